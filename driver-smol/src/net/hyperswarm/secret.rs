//! The encrypted messages of a stream: `@hyperswarm/secret-stream` under keys that the handshake gave.
//!
//! Each message is a frame of three length bytes (little endian) and a secretstream ciphertext; the first frame of
//! either side binds the stream to the handshake. A frame longer than a message may be ends the stream before any of it
//! is buffered. Empty messages only keep the stream alive.

use std::sync::LazyLock;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _};
use peeroxide_dht::crypto::namespace;
use peeroxide_dht::noise_wrap::NoiseWrapResult;
use peeroxide_dht::secretstream::{ABYTES, HEADERBYTES, Pull, Push};

use crate::net::MAX_MESSAGE;

/// The three bytes that tell a frame's length.
const LENGTH: usize = 3;
/// The first frame: the stream's id and the header of its cipher.
const FIRST: usize = 32 + HEADERBYTES;

/// What stands for the initiator and for the responder in the stream's id.
static ROLES: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| namespace("hyperswarm/secret-stream", &[0, 1]));

/// The other side does not keep to the rules, or the bytes were changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// Encrypts what is sent.
pub(super) struct Sealer(Push);

impl Sealer {
    /// The encryption, and the first frame to send.
    pub(super) fn new(keys: &NoiseWrapResult) -> (Self, Vec<u8>) {
        let (push, header) = Push::new(&keys.tx);
        let first = [stream_id(keys, keys.is_initiator).as_slice(), &header].concat();
        (Self(push), frame(&first))
    }

    /// The frame of a message.
    pub(super) fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        frame(&self.0.next(message))
    }
}

/// Decrypts what arrives, however it is cut.
pub(super) struct Opener {
    key: [u8; 32],
    expected: [u8; 32],
    pull: Option<Pull>,
    buffer: Vec<u8>,
}

impl Opener {
    pub(super) fn new(keys: &NoiseWrapResult) -> Self {
        Self { key: keys.rx, expected: stream_id(keys, !keys.is_initiator), pull: None, buffer: Vec::new() }
    }

    /// Whether the other side has shown that our part of this very handshake reached it. That it has the keys shows
    /// with the first message.
    pub(super) fn is_proven(&self) -> bool {
        self.pull.is_some()
    }

    /// Takes bytes as they come, and gives the messages they complete.
    pub(super) fn open(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Corrupt> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let mut taken = 0;
        while let Some(&[a, b, c]) = self.buffer[taken..].first_chunk::<LENGTH>() {
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            if length > MAX_MESSAGE + ABYTES {
                return Err(Corrupt);
            }
            let start = taken + LENGTH;
            let Some(body) = self.buffer.get(start..start + length) else {
                break;
            };
            match &mut self.pull {
                Some(pull) => {
                    let (message, _tag) = pull.next(body).map_err(|_| Corrupt)?;
                    if !message.is_empty() {
                        messages.push(message);
                    }
                }
                None => self.pull = Some(first_frame(body, &self.expected, &self.key)?),
            }
            taken = start + length;
        }
        self.buffer.drain(..taken);
        Ok(messages)
    }
}

fn first_frame(body: &[u8], expected: &[u8; 32], key: &[u8; 32]) -> Result<Pull, Corrupt> {
    let body: &[u8; FIRST] = body.try_into().map_err(|_| Corrupt)?;
    let header = body.last_chunk::<HEADERBYTES>().ok_or(Corrupt)?;
    // Both are public, so comparing them needs no care for time.
    if !body.starts_with(expected) { Err(Corrupt) } else { Ok(Pull::new(key, header)) }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = body.len().to_le_bytes();
    [&[a, b, c], body].concat()
}

/// The id of one side's direction of the stream.
fn stream_id(keys: &NoiseWrapResult, of_initiator: bool) -> [u8; 32] {
    let role = &ROLES[usize::from(!of_initiator)];
    // 64 bytes are the longest key that BLAKE2b takes, and the transcript's hash is exactly that.
    let Ok(mac) = Blake2bMac::<U32>::new_from_slice(&keys.handshake_hash) else {
        return [0; 32];
    };
    mac.chain(role).finalize_fixed().into()
}

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod both_sides;
#[cfg(test)]
mod tests;
