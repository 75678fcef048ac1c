//! Frames between a command and the daemon, and the only one that comes from outside: the request.
//!
//! A frame is the protocol's version (one byte), the length of what follows (four bytes, big-endian) and CBOR. The
//! version comes first so that programs of different versions can tell each other apart whatever follows.
//!
//! Nothing else of this program is used here, so that the fuzzer can take this file as it is.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The version of requests and responses.
pub(super) const VERSION: u8 = 2;
/// The longest frame, in bytes: a message from stdin, and room for the rest.
pub(super) const MAX_FRAME: u32 = 16 << 20;

/// A command as it was typed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    /// The words after the program's name.
    pub(super) words: Vec<String>,
    /// What was read from stdin, if the command wants it.
    pub(super) stdin: Option<String>,
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
