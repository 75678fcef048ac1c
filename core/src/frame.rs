//! Lines out of a stream of bytes that may be cut anywhere.
//!
//! Every limit is applied before anything is kept: the buffer never takes more than its cap, and a line that is longer
//! than allowed is refused as soon as it is, not when it ends. Time is linear however the bytes are cut.

use alloc::vec::Vec;
use core::fmt;

use memchr::memchr;

/// Why a stream cannot be read on: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A line is longer than its limit, whether it has ended or not.
    TooLong,
    /// More lines wait to be read than the buffer may hold.
    Overflow,
    /// More than [`LineBuffer::MAX_EMPTY_LINES`] empty lines in a row, or one where there must be none.
    EmptyLines,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the peer sent a line that is longer than allowed",
            Self::Overflow => "the peer sent more than may wait to be read",
            Self::EmptyLines => "the peer sent too many empty lines",
        })
    }
}

impl core::error::Error for FrameError {}

/// The bytes of one stream that are not read yet.
///
/// After the first error it is empty for good: it takes bytes and gives nothing.
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// What was given out already.
    start: usize,
    /// Up to here there is no line end after `start`.
    scanned: usize,
    cap: usize,
    empty_lines: usize,
    max_empty_lines: usize,
    failed: bool,
}

impl fmt::Debug for LineBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LineBuffer({} of {} bytes)", self.buffered(), self.cap)
    }
}

impl LineBuffer {
    /// How many empty lines may come in a row.
    pub const MAX_EMPTY_LINES: usize = 16;

    /// What is kept allocated for the next line, in bytes.
    const KEEP: usize = 8192;

    /// A buffer for at most `cap` unread bytes: the longest line, its end, and what may wait behind it. It allocates as
    /// it fills, `cap` bytes at most as long as every line is read when it is complete, otherwise up to twice that.
    #[must_use]
    pub const fn new(cap: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            scanned: 0,
            cap,
            empty_lines: 0,
            max_empty_lines: Self::MAX_EMPTY_LINES,
            failed: false,
        }
    }

    /// The same, but the first empty line is an error.
    #[must_use]
    pub const fn without_empty_lines(mut self) -> Self {
        self.max_empty_lines = 0;
        self
    }

    /// Takes bytes as they arrive.
    ///
    /// # Errors
    /// [`FrameError::Overflow`] if these bytes and the unread ones are more than the cap.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.failed {
            return Ok(());
        }
        let needed = self.buffered() + bytes.len();
        if needed > self.cap {
            return self.fail(FrameError::Overflow);
        }
        // Never moving more bytes than were given out since the last move keeps the whole linear.
        if self.start >= self.buffered() {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        let total = self.bytes.len() + bytes.len();
        if total > self.bytes.capacity() {
            let most = if total <= self.cap { self.cap } else { self.cap.saturating_mul(2) };
            let capacity = total.max(self.bytes.capacity().saturating_mul(2)).min(most);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next line, without its end (LF or CR LF); `None` until one is complete. Empty lines are skipped.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if there are more than `limit` bytes before the LF, [`FrameError::EmptyLines`].
    pub fn next_line(&mut self, limit: usize) -> Result<Option<Vec<u8>>, FrameError> {
        loop {
            let found = memchr(b'\n', &self.bytes[self.scanned..]);
            let end = found.map_or(self.bytes.len(), |at| self.scanned + at);
            if end - self.start > limit {
                return self.fail(FrameError::TooLong);
            }
            if found.is_none() {
                self.scanned = end;
                return Ok(None);
            }
            let line = self.take(end);
            if !line.is_empty() {
                self.empty_lines = 0;
                return Ok(Some(line));
            }
            self.empty_lines += 1;
            if self.empty_lines > self.max_empty_lines {
                return self.fail(FrameError::EmptyLines);
            }
        }
    }

    /// How many bytes are unread.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Gives out the line that ends before the LF at `end`.
    fn take(&mut self, end: usize) -> Vec<u8> {
        let mut line = if self.start == 0 && end + 1 == self.bytes.len() && end > Self::KEEP {
            // A big line alone: it takes its memory along.
            core::mem::take(&mut self.bytes)
        } else {
            self.bytes[self.start..end].to_vec()
        };
        line.truncate(end - self.start);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if self.bytes.len() <= end + 1 {
            self.bytes.clear();
            self.bytes.shrink_to(Self::KEEP);
            (self.start, self.scanned) = (0, 0);
        } else {
            (self.start, self.scanned) = (end + 1, end + 1);
        }
        line
    }

    fn fail<T>(&mut self, error: FrameError) -> Result<T, FrameError> {
        self.bytes = Vec::new();
        (self.start, self.scanned, self.failed) = (0, 0, true);
        Err(error)
    }
}

#[cfg(test)]
mod tests;
