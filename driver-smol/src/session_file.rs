//! Sessions as files: `sessions/<name>.conversation.jsonl`, one line of JSON a message, for ever.
//!
//! A line has the members `ts` (milliseconds since the epoch), `iso` (the same in UTC), `from`, `type`, `content` and
//! `channel`: `{"type": "p2p", "id": …}` with the peer's full public key. A message that its sender may send again also
//! has `id`, which is the same each time: it is written once ([`SessionWriter::append`]). `type` is `message` for a text that a peer
//! logged, `question` for one that a peer asked the session's AI, and `answer` for what the AI said to it.

mod copies;
mod history;
mod name;
mod newest;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::IgnoredAny;
use wopr_p2p_core::access::SessionName;

use crate::file::{self, FileError};
use crate::home::{Home, HomeLock};
use crate::utc;
use wopr_p2p_core::{EntryKind, SessionEntry};

pub use history::Page;
use name::FileName;
pub use newest::{NewestFirst, Said};

/// Reads the sessions of a home. Needs no lock: a session's file only grows.
#[derive(Clone, Debug)]
pub struct SessionReader {
    folder: PathBuf,
}

impl SessionReader {
    /// For the sessions of this home.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        Self { folder: home.sessions() }
    }

    /// Where a session's file is, or will be. It is always directly in the `sessions` folder, whatever the name.
    #[must_use]
    pub fn path(&self, session: &SessionName) -> PathBuf {
        self.folder.join(FileName::of(session).conversation())
    }

    /// The names of the sessions that have a file, in order. Files that are not named as ours are left out.
    ///
    /// # Errors
    /// The folder, or a file with an overlong name, cannot be read.
    pub fn list(&self) -> Result<Vec<SessionName>, FileError> {
        let cannot_read = || FileError::new("read the folder", &self.folder);
        let mut sessions = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(sessions),
            entries => entries.map_err(cannot_read())?,
        };
        for entry in entries {
            let file_name = entry.map_err(cannot_read())?.file_name();
            let Some(name) = file_name.to_str().and_then(FileName::from_conversation) else { continue };
            sessions.extend(self.session_of(&name)?);
        }
        sessions.sort();
        Ok(sessions)
    }

    /// The session with this file name; `None` if no session has it.
    fn session_of(&self, name: &FileName) -> Result<Option<SessionName>, FileError> {
        let session = match name.decode() {
            Some(session) => Some(session),
            None => {
                let path = self.folder.join(name.full_name());
                let text = match fs::read(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    text => text.map_err(FileError::new("read", &path))?,
                };
                String::from_utf8(text).ok()
            }
        };
        Ok(session.and_then(|text| SessionName::new(text).ok()).filter(|session| FileName::of(session) == *name))
    }

    /// A page of a session, oldest line first: at most `limit` lines after the first `offset`. Reads the file once, in
    /// pieces; keeps the page only. A session without a file is empty. A line that is being written is not there yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn history(&self, session: &SessionName, offset: u64, limit: usize) -> Result<Page, FileError> {
        let path = self.path(session);
        history::read(&path, offset, limit).map_err(FileError::new("read", &path))
    }

    /// The messages of a session, newest first: only as much of the file is read as is asked for. A session without a
    /// file is empty. A line that is being written is not there yet.
    ///
    /// # Errors
    /// The file cannot be opened; each message may bring the same.
    pub fn newest_first(&self, session: &SessionName) -> Result<NewestFirst, FileError> {
        NewestFirst::open(&self.path(session))
    }
}

/// Appends to the sessions of a locked home. Its calls block until the disk has done its work: see
/// [`Disk`](crate::disk::Disk).
#[derive(Debug)]
pub struct SessionWriter {
    reader: SessionReader,
    _home: Arc<HomeLock>,
}

impl SessionWriter {
    /// For the sessions of this home.
    #[must_use]
    pub fn new(home: Arc<HomeLock>) -> Self {
        Self { reader: SessionReader::new(home.home()), _home: home }
    }

    /// Appends a line to a session's file, which is made if there is none, and waits until it is on disk. A last line
    /// that a crash cut off is cleared away first. After an error the line is not in the file. An entry that is to be
    /// there once is not written again: then its line is on disk already.
    ///
    /// # Errors
    /// The disk is full, read-only, or fails.
    pub fn append(&mut self, session: &SessionName, entry: &SessionEntry) -> Result<(), FileError> {
        let path = self.reader.path(session);
        let name = FileName::of(session);
        if name.decode().is_none() {
            self.keep_full_name(&self.reader.folder.join(name.full_name()), session)?;
        }
        if let Some(once) = &entry.once {
            // A crash may have cut off the line's end alone.
            file::repair_lines(&path, is_json)?;
            if copies::find(&path, once, &entry.content).map_err(FileError::new("read", &path))? {
                // It may have been written by a process that died before it was durable.
                return file::sync(&path);
            }
        }
        let mut line = serde_json::to_vec(&Line::new(entry))
            .map_err(|error| FileError::new("write a message to", &path)(error.into()))?;
        line.push(b'\n');
        file::append_lines(&path, &line, is_json)
    }

    /// A name that is too long for a file's name is kept in a file of its own, before the session's file is made.
    fn keep_full_name(&self, path: &Path, session: &SessionName) -> Result<(), FileError> {
        match fs::read(path) {
            Ok(text) if text == session.as_str().as_bytes() => Ok(()),
            _ => file::replace(path, session.as_str().as_bytes()),
        }
    }
}

/// A line of a session's file.
#[derive(Serialize)]
struct Line<'a> {
    ts: u64,
    iso: String,
    from: &'a str,
    r#type: &'static str,
    content: &'a str,
    channel: Channel,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

#[derive(Serialize)]
struct Channel {
    r#type: &'static str,
    id: String,
}

impl<'a> Line<'a> {
    fn new(entry: &'a SessionEntry) -> Self {
        Self {
            ts: entry.at.as_millis(),
            iso: utc::iso(entry.at),
            from: &entry.from,
            r#type: match entry.kind {
                EntryKind::Message => "message",
                EntryKind::Question => "question",
                EntryKind::Answer => "answer",
            },
            content: &entry.content,
            channel: Channel { r#type: "p2p", id: entry.peer.to_string() },
            id: entry.once.as_ref().map(|once| once.id.to_string()),
        }
    }
}

/// Whether a last line that lacks its end has all the rest. An object cannot be whole before its closing brace.
fn is_json(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

#[cfg(test)]
mod tests;
