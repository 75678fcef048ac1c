//! What a command and the daemon say to each other: one request, and responses up to the last, each a frame.
//!
//! A frame is the protocol's version (one byte), the length of what follows (four bytes, big-endian) and CBOR. The
//! version comes first so that programs of different versions can tell each other apart whatever follows.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::exit::Failure;
use crate::output::Shown;

/// The version of requests and responses.
pub(super) const VERSION: u8 = 2;
/// The longest frame, in bytes: a message from stdin, and room for the rest.
pub(super) const MAX_FRAME: u32 = 16 << 20;
/// The socket's name in the home's `p2p` folder, which only its owner can enter.
pub(super) const SOCKET: &str = "daemon.sock";

/// A command as it was typed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    /// The words after the program's name.
    pub(super) words: Vec<String>,
    /// What was read from stdin, if the command wants it.
    pub(super) stdin: Option<String>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Response {
    /// The request was read and is about to be done: always the first. Without it nothing was done.
    Taken,
    /// To be printed; more follows.
    Part(Shown),
    /// To be printed.
    Done(Shown),
    /// Why it was not done.
    Failed(Failure),
}

/// Why no frame could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// The other side speaks this version.
    OtherVersion(u8),
    /// Longer than [`MAX_FRAME`], or not what was expected.
    Unreadable,
    /// The connection ended.
    Broken,
}

impl From<io::Error> for FrameError {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Writes one frame.
///
/// # Errors
/// The value cannot be encoded or is too long, or the connection ended.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![VERSION, 0, 0, 0, 0];
    ciborium::into_writer(value, &mut frame).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 5).ok().filter(|length| *length <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::other("longer than 16 MiB"))?;
    frame[1..5].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Reads one frame. Nothing is kept before its length is known to be within bounds.
///
/// # Errors
/// Each [`FrameError`].
pub(super) async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> Result<T, FrameError> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let [version, length @ ..] = head;
    if version != VERSION {
        return Err(FrameError::OtherVersion(version));
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_FRAME {
        return Err(FrameError::Unreadable);
    }
    let mut body = Vec::new();
    stream.take(length.into()).read_to_end(&mut body).await?;
    if body.len() as u64 != u64::from(length) {
        return Err(FrameError::Broken);
    }
    ciborium::from_reader(body.as_slice()).map_err(|_| FrameError::Unreadable)
}

#[cfg(test)]
mod tests {
    use smol::io::Cursor;

    use super::*;
    use crate::exit::Exit;

    fn frame(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        smol::block_on(write(&mut bytes, value)).unwrap();
        bytes
    }

    fn read_back<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
        smol::block_on(read(&mut Cursor::new(bytes)))
    }

    #[test]
    fn what_is_written_is_read() {
        let request = Request { words: vec!["p2p".to_owned(), "peers".to_owned()], stdin: Some("hi".to_owned()) };
        assert_eq!(read_back::<Request>(&frame(&request)).unwrap(), request);
        let response = Response::Failed(Failure::new(Exit::PeerOffline, "away", "wait"));
        assert_eq!(read_back::<Response>(&frame(&response)).unwrap(), response);
    }

    #[test]
    fn another_version_is_told_apart_whatever_follows() {
        assert!(matches!(read_back::<Request>(&[9, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::OtherVersion(9))));
    }

    #[test]
    fn a_long_frame_is_refused_by_its_length() {
        let head = [&[VERSION][..], &(MAX_FRAME + 1).to_be_bytes()].concat();
        assert!(matches!(read_back::<Request>(&head), Err(FrameError::Unreadable)));
    }

    #[test]
    fn a_cut_or_damaged_frame_is_an_error() {
        let whole = frame(&Request { words: Vec::new(), stdin: None });
        assert!(matches!(read_back::<Request>(&whole[..whole.len() - 1]), Err(FrameError::Broken)));
        assert!(matches!(read_back::<Request>(&whole[..3]), Err(FrameError::Broken)));
        assert!(matches!(read_back::<Response>(&whole), Err(FrameError::Unreadable)));
    }
}
