//! The node's documents under `p2p/`: each is whole or absent at any moment, and a failed write is an error.
//!
//! `identity.json`, `access.json`, `peers.json` and `limits.json` are replaced as a whole; `replay.log` and `outbox.jsonl`
//! grow by lines and are replaced when the node thins them out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::file::{self, FileError};
use crate::home::HomeLock;
use wopr_p2p_core::{Document, DocumentWrite};

/// Copies that are kept of one damaged document.
pub const MAX_COPIES: usize = 8;

/// The documents of a locked home. Its calls block until the disk has done its work: see [`Disk`](crate::disk::Disk).
#[derive(Debug)]
pub struct Store {
    home: Arc<HomeLock>,
}

impl Store {
    /// Opens the documents and clears away what a crash left behind: temporary files, and a torn last line.
    ///
    /// # Errors
    /// A left-over cannot be cleared away.
    pub fn open(home: Arc<HomeLock>) -> Result<Self, FileError> {
        let store = Self { home };
        for document in Document::ALL {
            let temporary = file::temporary(&store.path(document));
            file::remove_if_there(&temporary).map_err(FileError::new("remove", &temporary))?;
        }
        for document in [Document::Replay, Document::Outbox] {
            file::repair_lines(&store.path(document), never_whole)?;
        }
        Ok(store)
    }

    /// Where a document is.
    #[must_use]
    pub fn path(&self, document: Document) -> PathBuf {
        self.home.home().p2p().join(document.file_name())
    }

    /// Reads a document; `None` if there is none yet. Takes away what other users may do with its file.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn load(&self, document: Document) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        file::read_private(&self.path(document))
    }

    /// Changes a document and waits until the change is on disk. After an error the document is as it was.
    ///
    /// # Errors
    /// The disk is full, read-only, or fails; or the bytes to append are not whole lines.
    pub fn write(&mut self, document: Document, write: &DocumentWrite) -> Result<(), FileError> {
        match write {
            DocumentWrite::Replace(bytes) => file::replace(&self.path(document), bytes),
            DocumentWrite::Append(lines) => file::append_lines(&self.path(document), lines, never_whole),
        }
    }

    /// Keeps a copy of a document that cannot be understood beside it, so that mending it, or putting another in its
    /// place, loses nothing: `NAME.damaged-` and the beginning of its SHA-256. A content is kept once, and of a document
    /// at most [`MAX_COPIES`]: looking at the damage again and again fills no disk. The document itself stays as it is.
    ///
    /// # Errors
    /// The document is gone or cannot be read, the copy cannot be written, or there are enough of them.
    pub fn keep_copy(&self, document: Document) -> Result<PathBuf, FileError> {
        let path = self.path(document);
        let gone = || FileError::new("keep a copy of", &path)(io::ErrorKind::NotFound.into());
        let bytes = self.load(document)?.ok_or_else(gone)?;
        let digest = Sha256::digest(bytes.as_slice());
        let beginning = format!("{}.damaged-", document.file_name());
        let name = digest.iter().take(8).fold(beginning.clone(), |name, byte| format!("{name}{byte:02x}"));
        let copy = path.with_file_name(name);
        if !copy.exists() {
            if copies(&path, &beginning).map_err(FileError::new("keep a copy of", &path))? >= MAX_COPIES {
                let why = io::Error::other(format!("there are {MAX_COPIES} files {beginning}… already"));
                return Err(FileError::new("keep a copy of", &path)(why));
            }
            file::replace(&copy, &bytes)?;
        }
        Ok(copy)
    }
}

/// The files beside a document whose names begin like this.
fn copies(path: &Path, beginning: &str) -> io::Result<usize> {
    let folder = path.parent().unwrap_or(path);
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    Ok(names.iter().filter(|name| name.to_str().is_some_and(|name| name.starts_with(beginning))).count())
}

/// A line of a document that lacks its end cannot be told from a torn one.
const fn never_whole(_: &[u8]) -> bool {
    false
}

#[cfg(test)]
mod tests;
