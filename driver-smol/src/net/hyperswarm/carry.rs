//! Carries the messages of a stream over UDX.
//!
//! Writes are handed to UDX without waiting for the last one to arrive, so the first message leaves in the same moment
//! as the stream opens. UDX neither limits what it queues nor what it buffers for a slow reader, so both are limited
//! here: sending waits once [`WINDOW`] bytes may be unacknowledged, and a peer that sends more than [`BACKLOG`] bytes
//! that nobody reads is cut off.

use std::collections::VecDeque;
use std::time::Duration;

use libudx::{UdxSocket, UdxStream};
use peeroxide_dht::noise_wrap::NoiseWrapResult;
use smol::future::poll_once;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::secret::{Corrupt, Opener, Sealer};
use crate::net::Stream;
use crate::net::stream::{StreamPort, stream};

/// Bytes sent before it is waited for that they have arrived.
const WINDOW: usize = 1024 * 1024;
/// Bytes received that may wait for the driver.
const BACKLOG: usize = 4 * 1024 * 1024;
/// How often an empty message shows that we are there; a peer that acknowledges none for about a minute is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a closing stream may take to deliver what was sent.
const FLUSH: Duration = Duration::from_secs(5);
/// How long the other side may take to close its direction too.
const LINGER: Duration = Duration::from_secs(1);

/// The stream is over.
struct Over;

impl From<libudx::UdxError> for Over {
    fn from(_: libudx::UdxError) -> Self {
        Self
    }
}

impl From<Corrupt> for Over {
    fn from(_: Corrupt) -> Self {
        Self
    }
}

/// Serves a stream over this connected UDX stream, which lives on this socket.
pub(super) fn carry(udx: UdxStream, socket: UdxSocket, keys: &NoiseWrapResult) -> Stream {
    let (stream, port) = stream(keys.remote_public_key);
    let (sealer, first) = Sealer::new(keys);
    let carrier = Carrier { udx, sealer, opener: Opener::new(keys), unacknowledged: 0, backlog: Backlog::default() };
    tokio::spawn(async move {
        carrier.run(first, port).await;
        drop(socket);
    });
    stream
}

struct Carrier {
    udx: UdxStream,
    sealer: Sealer,
    opener: Opener,
    unacknowledged: usize,
    backlog: Backlog,
}

impl Carrier {
    async fn run(mut self, first: Vec<u8>, port: StreamPort) {
        let StreamPort { outgoing, incoming, unfinished } = port;
        let asked_to_close = match self.write(&first).await {
            Ok(()) => self.exchange(&outgoing, &incoming).await.is_ok(),
            Err(Over) => false,
        };
        // From here on sending fails for the driver, and it sees the end after what has arrived.
        outgoing.close();
        if asked_to_close && matches!(timeout(FLUSH, self.udx.shutdown()).await, Ok(Ok(()))) {
            drop(unfinished);
            // Without the other side's end it would see ours as an error.
            drop(timeout(LINGER, async { while let Ok(Some(_)) = self.udx.read().await {} }).await);
        }
        drop(self.udx.destroy().await);
        while let Some(message) = self.backlog.pop() {
            if incoming.send(message).await.is_err() {
                break;
            }
        }
    }

    /// Goes on until the driver closes the stream (`Ok`) or the stream is over.
    async fn exchange(
        &mut self,
        outgoing: &smol::channel::Receiver<Vec<u8>>,
        incoming: &tokio::sync::mpsc::Sender<Vec<u8>>,
    ) -> Result<(), Over> {
        let mut keep_alive = interval(KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                bytes = self.udx.read() => {
                    let bytes = bytes?.ok_or(Over)?;
                    for message in self.opener.open(&bytes)? {
                        // When nobody reads any more, what arrives is of no use.
                        if !incoming.is_closed() {
                            self.backlog.push(message)?;
                        }
                    }
                }
                slot = incoming.reserve(), if !self.backlog.is_empty() => {
                    if let (Ok(slot), Some(message)) = (slot, self.backlog.pop()) {
                        slot.send(message);
                    }
                }
                message = outgoing.recv() => {
                    let Ok(message) = message else { return Ok(()) };
                    let frame = self.sealer.seal(&message);
                    self.write(&frame).await?;
                }
                _ = keep_alive.tick() => {
                    let frame = self.sealer.seal(&[]);
                    self.write(&frame).await?;
                }
            }
        }
    }

    async fn write(&mut self, frame: &[u8]) -> Result<(), Over> {
        self.unacknowledged += frame.len();
        if self.unacknowledged <= WINDOW {
            // The first look at the write puts it into UDX's queue; the rest of it would only wait.
            poll_once(self.udx.write(frame)).await.unwrap_or(Ok(()))?;
        } else {
            self.udx.write(frame).await?;
            self.unacknowledged = 0;
        }
        Ok(())
    }
}

/// Messages that wait for the driver.
#[derive(Default)]
struct Backlog {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Backlog {
    fn push(&mut self, message: Vec<u8>) -> Result<(), Over> {
        self.bytes += message.len();
        self.messages.push_back(message);
        if self.bytes > BACKLOG { Err(Over) } else { Ok(()) }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
