//! Pages of a session's file. A file may have millions of lines: it is read in pieces, and only the page is kept.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

use serde_json::value::RawValue;

/// A part of a session's history.
#[derive(Debug, Default)]
pub struct Page {
    /// How many lines the session has.
    pub total: u64,
    /// How many lines are before the page.
    pub offset: u64,
    /// The lines of the page, oldest first, as they stand in the file: members that others wrote are kept.
    pub lines: Vec<Box<RawValue>>,
    /// Lines of the page that are not JSON, by their number from 0; they are not in `lines`.
    pub damaged: Vec<u64>,
}

impl Page {
    /// Where the next page begins; `None` if this is the last one.
    #[must_use]
    pub fn next_offset(&self) -> Option<u64> {
        let next = self.offset + (self.lines.len() + self.damaged.len()) as u64;
        (next < self.total).then_some(next)
    }
}

pub(super) fn read(path: &Path, offset: u64, limit: usize) -> io::Result<Page> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Page { offset, ..Page::default() }),
        file => file?,
    };
    let mut file = BufReader::with_capacity(64 * 1024, file);
    let mut page = Page { offset, ..Page::default() };
    page.total = skip_lines(&mut file, offset)?;
    if page.total < offset {
        return Ok(page);
    }
    let mut line = Vec::new();
    while page.lines.len() + page.damaged.len() < limit && file.read_until(b'\n', &mut line)? > 0 {
        if !line.ends_with(b"\n") {
            return Ok(page);
        }
        match serde_json::from_slice(&line) {
            Ok(value) => page.lines.push(value),
            Err(_) => page.damaged.push(page.total),
        }
        page.total += 1;
        line.clear();
    }
    page.total += skip_lines(&mut file, u64::MAX)?;
    Ok(page)
}

/// Passes over at most `count` lines and returns how many there were. Text after the last line's end is no line.
fn skip_lines(file: &mut impl BufRead, count: u64) -> io::Result<u64> {
    let mut skipped = 0;
    while skipped < count {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            break;
        }
        let ends = piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        let (passed, len) = if skipped + ends < count {
            (ends, piece.len())
        } else {
            let last = usize::try_from(count - skipped).unwrap_or(usize::MAX);
            let end = piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(last - 1);
            (count - skipped, end.map_or(piece.len(), |(at, _)| at + 1))
        };
        file.consume(len);
        skipped += passed;
    }
    Ok(skipped)
}
