//! Framing: however a stream of bytes is cut, [`LineBuffer`] gives the lines that a simple reading of the whole gives,
//! fails where that fails, and never keeps more than its cap.

use wopr_p2p_core::frame::{FrameError, LineBuffer};

/// The first byte is the limit of a line, the second what may wait behind it, the third how the rest is cut.
pub fn run(data: &[u8]) {
    let [limit, ahead, cuts, bytes @ ..] = data else { return };
    let limit = usize::from(*limit);
    let ahead = usize::from(*ahead);
    let (lines, end) = read_whole(bytes, limit);
    let mut buffer = LineBuffer::new(limit + ahead);
    let mut given = Vec::new();
    for chunk in (Chunks { rest: bytes, seed: *cuts }) {
        // After every line was taken, the unread ones are fewer than the limit: only a large chunk can be too much.
        let overflows = buffer.buffered() + chunk.len() > limit + ahead;
        match buffer.extend(chunk) {
            Ok(()) => assert!(!overflows, "more than the cap was taken"),
            Err(error) => {
                assert_eq!((error, overflows), (FrameError::Overflow, true));
                assert!(lines.starts_with(&given), "the lines before an overflow are other ones");
                return ends_for_good(&mut buffer);
            }
        }
        assert!(buffer.buffered() <= limit + ahead, "more than the cap is kept");
        loop {
            match buffer.next_line(limit) {
                Ok(Some(line)) => given.push(line),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!((given, Err(error)), (lines, end));
                    return ends_for_good(&mut buffer);
                }
            }
        }
    }
    assert_eq!((given, Ok(())), (lines, end));
}

fn ends_for_good(buffer: &mut LineBuffer) {
    assert_eq!(buffer.buffered(), 0);
    assert_eq!(buffer.extend(b"more\n"), Ok(()));
    assert_eq!(buffer.next_line(usize::MAX), Ok(None));
}

/// The lines of all bytes at once, and whether they can be read to the end.
fn read_whole(bytes: &[u8], limit: usize) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let (mut lines, mut empty) = (Vec::new(), 0);
    let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(part) = parts.next() {
        if part.len() > limit {
            return (lines, Err(FrameError::TooLong));
        }
        if parts.peek().is_none() {
            break;
        }
        let line = part.strip_suffix(b"\r").unwrap_or(part);
        if !line.is_empty() {
            lines.push(line.to_vec());
            empty = 0;
            continue;
        }
        empty += 1;
        if empty > LineBuffer::MAX_EMPTY_LINES {
            return (lines, Err(FrameError::EmptyLines));
        }
    }
    (lines, Ok(()))
}

/// Cuts bytes into chunks of lengths that follow from the seed.
pub(crate) struct Chunks<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) seed: u8,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.seed = self.seed.wrapping_mul(37).wrapping_add(11);
        let (chunk, rest) = self.rest.split_at(usize::from(self.seed >> 1).min(self.rest.len()));
        self.rest = rest;
        Some(chunk)
    }
}
