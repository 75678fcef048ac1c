//! A session's messages from the newest back, for those who need only the last ones of a long file.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::file::FileError;

/// How much is read at once, in bytes.
const PIECE: u64 = 64 * 1024;
/// No message makes a longer line: 1 MiB of text with every character escaped, and room for the rest.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// A message as it stands in a session's file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Said {
    /// When, in milliseconds since the epoch.
    pub ts: u64,
    /// `message`, `question` or `answer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What its writer is called.
    pub from: String,
    /// The text.
    pub content: String,
    /// The public key of the peer that it came from or went to.
    #[serde(default, rename = "channel", deserialize_with = "peer")]
    pub peer: Option<String>,
}

fn peer<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Channel {
        r#type: String,
        id: String,
    }
    let channel = Option::<Channel>::deserialize(deserializer)?;
    Ok(channel.filter(|channel| channel.r#type == "p2p").map(|channel| channel.id))
}

/// The messages of a session, newest first. Lines that are no messages are passed over.
#[derive(Debug)]
pub struct NewestFirst {
    path: PathBuf,
    /// `None` if the session has no file, or after an error.
    file: Option<File>,
    /// Where in the file `rest` begins.
    at: u64,
    /// What has been read and not been given out.
    rest: Vec<u8>,
}

impl NewestFirst {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let opened = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((None, 0)),
            file => file.and_then(|mut file| {
                let end = file.seek(SeekFrom::End(0))?;
                Ok((Some(file), end))
            }),
        };
        let (file, at) = opened.map_err(FileError::new("read", path))?;
        let mut newest = Self { path: path.to_owned(), file, at, rest: Vec::new() };
        // Text after the last line's end is no line.
        newest.line().map_err(FileError::new("read", path))?;
        Ok(newest)
    }

    /// What follows the last line end that is left, which is taken away with it; `None` at the beginning of the file.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let unsearched = self.rest.len() - searched;
            if let Some(end) = self.rest[..unsearched].iter().rposition(|byte| *byte == b'\n') {
                let line = self.rest.split_off(end + 1);
                self.rest.pop();
                return Ok(Some(line));
            }
            searched = self.rest.len();
            let Some(file) = self.file.as_mut().filter(|_| self.at > 0) else {
                let first = std::mem::take(&mut self.rest);
                return Ok((!first.is_empty()).then_some(first));
            };
            if self.rest.len() > MAX_LINE {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line is longer than any message"));
            }
            let length = PIECE.min(self.at);
            self.at -= length;
            file.seek(SeekFrom::Start(self.at))?;
            let mut piece = Vec::new();
            file.take(length).read_to_end(&mut piece)?;
            piece.append(&mut self.rest);
            self.rest = piece;
        }
    }
}

impl Iterator for NewestFirst {
    type Item = Result<Said, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.line() {
                Ok(Some(line)) => {
                    if let Ok(said) = serde_json::from_slice(&line) {
                        return Some(Ok(said));
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    (self.file, self.at, self.rest) = (None, 0, Vec::new());
                    return Some(Err(FileError::new("read", &self.path)(error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
