//! The two ends of a stream: what the driver holds, and what a transport feeds.
//!
//! Between them are two bounded queues, so a slow side slows the other one down instead of filling memory.

use std::convert::Infallible;
use std::fmt;

use smol::channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc;

use super::RemoteKey;

/// The longest message a stream carries, in bytes. A line of the protocol is at most about 1.4 MiB.
pub const MAX_MESSAGE: usize = 2 * 1024 * 1024;

/// Messages that wait in either direction before the producer has to.
const QUEUE: usize = 8;

/// The way that the packets of a stream take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// The other side is on this machine, or on a network that we are on.
    Lan,
    /// Over the internet, to an address of one side's own: no NAT stands before it.
    Direct,
    /// Over the internet, through the NATs before both sides.
    Punched,
    /// Through a third node that passes on what it cannot read.
    Relayed,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lan => "lan",
            Self::Direct => "direct",
            Self::Punched => "punched",
            Self::Relayed => "relayed",
        })
    }
}

/// An encrypted connection to another node. Dropping it closes it after what was sent has left.
pub struct Stream {
    remote: RemoteKey,
    path: Path,
    reader: StreamReader,
    writer: StreamWriter,
}

impl Stream {
    /// The transport's authenticated key of the other end.
    #[must_use]
    pub fn remote(&self) -> RemoteKey {
        self.remote
    }

    /// The way it takes.
    #[must_use]
    pub fn path(&self) -> Path {
        self.path
    }

    /// The two directions, to be used at the same time.
    #[must_use]
    pub fn split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream(")?;
        self.remote[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "…)")
    }
}

/// The receiving direction of a [`Stream`].
#[derive(Debug)]
pub struct StreamReader {
    messages: mpsc::Receiver<Vec<u8>>,
}

impl StreamReader {
    /// The next message, at most [`MAX_MESSAGE`] bytes and never empty; `None` when the stream is closed or broke.
    pub async fn recv(&mut self) -> Option<Vec<u8>> {
        self.messages.recv().await
    }
}

/// The sending direction of a [`Stream`]. Dropping it closes the stream after what was sent has left.
#[derive(Debug)]
pub struct StreamWriter {
    messages: Sender<Vec<u8>>,
    finished: Receiver<Infallible>,
}

impl StreamWriter {
    /// Sends these bytes as one message; waits while the queue is full. An empty message is nothing to send.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the stream is closed, [`SendError::TooLong`] if there are more than [`MAX_MESSAGE`]
    /// bytes.
    pub async fn send(&self, bytes: Vec<u8>) -> Result<(), SendError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(SendError::TooLong);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.messages.send(bytes).await.map_err(|_| SendError::Closed)
    }

    /// Closes the stream, and waits until what was sent has arrived or the stream broke. Bounded to a few seconds.
    pub async fn close(self) {
        drop(self.messages);
        // Nothing is ever sent on this channel: its end is the message.
        if let Ok(never) = self.finished.recv().await {
            match never {}
        }
    }
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The stream is closed or broke.
    Closed,
    /// The message has more than [`MAX_MESSAGE`] bytes.
    TooLong,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the stream is closed"),
            Self::TooLong => write!(f, "a message of more than {MAX_MESSAGE} bytes cannot be sent"),
        }
    }
}

impl std::error::Error for SendError {}

/// The transport's end of a [`Stream`].
pub(super) struct StreamPort {
    /// Messages to send; its end asks for the stream to be closed.
    pub(super) outgoing: Receiver<Vec<u8>>,
    /// Messages that arrived. Dropping it tells the driver that the stream is closed.
    pub(super) incoming: mpsc::Sender<Vec<u8>>,
    /// Dropped when everything sent has arrived, or cannot arrive any more.
    pub(super) unfinished: Sender<Infallible>,
}

/// A stream that takes this way, and the end that a transport serves.
pub(super) fn stream(remote: RemoteKey, path: Path) -> (Stream, StreamPort) {
    let (messages, outgoing) = bounded(QUEUE);
    let (incoming, received) = mpsc::channel(QUEUE);
    let (unfinished, finished) = bounded(1);
    let reader = StreamReader { messages: received };
    let writer = StreamWriter { messages, finished };
    (Stream { remote, path, reader, writer }, StreamPort { outgoing, incoming, unfinished })
}
