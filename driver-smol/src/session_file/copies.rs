//! Whether a message that came again is in a session's file already.
//!
//! A copy cannot be older than the moment at which its sender first sent the message, so the file is read from its end,
//! as far back as that. Our clock may have been set back in between: reading goes on until a whole stretch of lines is
//! older.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use wopr_p2p_core::OnceOnly;

/// How far back is looked at once, in bytes. All lines of a stretch must be older for the search to end before it.
const STRETCH: u64 = 1 << 20;

/// The members that count; what others wrote into a line does not matter.
#[derive(Deserialize)]
struct Line<'a> {
    ts: u64,
    #[serde(borrow, default)]
    id: Option<&'a str>,
    #[serde(default)]
    content: std::borrow::Cow<'a, str>,
    channel: Option<Channel<'a>>,
}

#[derive(Deserialize)]
struct Channel<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// Looks for a whole line with this id, this text and one of these senders. Without a file there is none.
pub(super) fn find(path: &Path, once: &OnceOnly, content: &str) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let search = Search { needle: format!("\"id\":\"{}\"", once.id), once, content };
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(STRETCH);
        let (found, newer) = search.stretch(&mut file, start, end)?;
        if found || !newer {
            return Ok(found);
        }
        end = start;
    }
    Ok(false)
}

struct Search<'a> {
    needle: String,
    once: &'a OnceOnly,
    content: &'a str,
}

impl Search<'_> {
    /// Looks at the lines that begin in this part of the file: whether the copy is there, and whether any line is new
    /// enough for it to be further up.
    fn stretch(&self, file: &mut File, start: u64, end: u64) -> io::Result<(bool, bool)> {
        // The line in which the part begins belongs to the one before, unless it begins right there.
        let from = start.saturating_sub(1);
        file.seek(SeekFrom::Start(from))?;
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        let (mut at, mut line, mut newer, mut any) = (from, Vec::new(), false, false);
        if start > 0 {
            at += reader.read_until(b'\n', &mut line)? as u64;
        }
        while at < end {
            line.clear();
            let len = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            at += len as u64;
            any = true;
            let Some(parsed) = self.parse(&line) else { continue };
            if parsed.copy {
                return Ok((true, true));
            }
            newer |= parsed.ts >= self.once.since.as_millis();
        }
        // A part without any line's beginning is the middle of a long one.
        Ok((false, newer || !any))
    }

    /// `None` for a line that is not one of ours: it says nothing about time.
    fn parse(&self, line: &[u8]) -> Option<Parsed> {
        if !contains(line, self.needle.as_bytes()) {
            // Cheaper, and most lines by far.
            let time: Time = serde_json::from_slice(line).ok()?;
            return Some(Parsed { ts: time.ts, copy: false });
        }
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        let sender = line
            .channel
            .as_ref()
            .is_some_and(|channel| self.once.senders.iter().any(|sender| sender.to_string() == channel.id));
        let same = line.id.is_some_and(|id| id.parse() == Ok(self.once.id)) && line.content == self.content;
        Some(Parsed { ts: line.ts, copy: sender && same })
    }
}

struct Parsed {
    ts: u64,
    copy: bool,
}

#[derive(Deserialize)]
struct Time {
    ts: u64,
}

fn contains(line: &[u8], needle: &[u8]) -> bool {
    // The id stands behind the content: looking from the end finds it at once where it is.
    line.windows(needle.len()).rev().any(|window| window == needle)
}

#[cfg(test)]
mod tests;
