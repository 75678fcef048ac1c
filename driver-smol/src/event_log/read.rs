//! Reading the log, while it is being written or not. Needs no lock.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wopr_p2p_core::time::WallTime;

use super::paths;
use crate::file::FileError;
use crate::home::Home;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLine {
    /// Its number: each line has the next.
    pub seq: u64,
    /// When it happened.
    pub at: WallTime,
    /// The event's name.
    pub event: String,
    /// The whole line as it stands in the file, without its end: an object whose members `docs/json.md` explains.
    /// Session names and refusals in it are other people's words: escape control characters before a terminal gets them.
    pub json: String,
}

/// Which lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only those with a higher number.
    pub after: Option<u64>,
    /// Only those that happened then or later.
    pub since: Option<WallTime>,
    /// Only the last so many of these.
    pub tail: Option<usize>,
}

/// Reads the log of a home.
#[derive(Clone, Debug)]
pub struct EventReader {
    paths: [PathBuf; 2],
}

impl EventReader {
    /// For the log of this home.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        Self { paths: paths(home) }
    }

    /// The lines that fit, oldest first. A line that is being written is not there yet; what is no line of ours is
    /// passed over.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn read(&self, query: &Query) -> Result<Vec<EventLine>, FileError> {
        let [older, current] = &self.paths;
        let mut lines = BTreeMap::new();
        // The current file may become the older one between two readings: then one of its readings has it.
        for path in [current, older, current] {
            for line in read_lines(path)? {
                lines.insert(line.seq, line);
            }
        }
        let fits = |line: &EventLine| {
            query.after.is_none_or(|after| line.seq > after) && query.since.is_none_or(|since| line.at >= since)
        };
        let mut lines: Vec<EventLine> = lines.into_values().filter(fits).collect();
        if let Some(tail) = query.tail {
            lines.drain(..lines.len().saturating_sub(tail));
        }
        Ok(lines)
    }
}

#[derive(Deserialize)]
struct Members {
    seq: u64,
    ts: WallTime,
    event: String,
}

fn read_lines(path: &Path) -> Result<Vec<EventLine>, FileError> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(FileError::new("read", path)(error)),
    };
    let line = |text: &str| {
        let json = text.strip_suffix('\n')?;
        let Members { seq, ts, event } = serde_json::from_str(json).ok()?;
        Some(EventLine { seq, at: ts, event, json: json.to_owned() })
    };
    Ok(text.split_inclusive('\n').filter_map(line).collect())
}
