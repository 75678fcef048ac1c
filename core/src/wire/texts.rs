//! JSON objects out of a stream of bytes that may be cut anywhere and has no line ends: discovery streams.
//!
//! Only where an object ends is looked for; whether it is JSON is the parser's business. Each byte is looked at once,
//! and never more than the longest object is kept.

use alloc::vec::Vec;
use core::fmt;

/// Why a stream cannot be read on: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextError {
    /// Something else than an object begins.
    NotObject,
    /// An object is longer than the limit.
    TooLong,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotObject => "the peer sent something else than a JSON object",
            Self::TooLong => "the peer sent a longer message than allowed",
        })
    }
}

impl core::error::Error for TextError {}

/// The object of one stream that has not ended yet.
#[derive(Debug)]
pub struct TextBuffer {
    bytes: Vec<u8>,
    max: usize,
    /// Objects and lists that are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl TextBuffer {
    /// For objects of at most `max` bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max, depth: 0, in_string: false, escaped: false }
    }

    /// Takes bytes from the front of `input` up to the end of the next object, and gives that; `None` when all bytes
    /// are taken. White space between objects is skipped.
    ///
    /// # Errors
    /// Each [`TextError`].
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, TextError> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            if self.depth == 0 && byte.is_ascii_whitespace() {
                continue;
            }
            if self.depth == 0 && *byte != b'{' {
                return Err(TextError::NotObject);
            }
            if self.bytes.len() == self.max {
                return Err(TextError::TooLong);
            }
            self.bytes.push(*byte);
            self.step(*byte);
            if self.depth == 0 {
                return Ok(Some(core::mem::take(&mut self.bytes)));
            }
        }
        Ok(None)
    }

    /// How many bytes are kept.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.bytes.len()
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            let ends = byte == b'"' && !self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
            self.in_string = !ends;
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
