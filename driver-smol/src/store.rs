//! The node's documents under `p2p/`: each is whole or absent at any moment, and a failed write is an error.
//!
//! `identity.json`, `access.json`, `peers.json` and `limits.json` are replaced as a whole; `replay.log` and `outbox.jsonl`
//! grow by lines and are replaced when the node thins them out.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use wopr_p2p_core::time::WallTime;
use zeroize::Zeroizing;

use crate::file::{self, FileError};
use crate::home::HomeLock;
use crate::utc;
use wopr_p2p_core::{Document, DocumentWrite};

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

    /// Renames a document that cannot be understood to `NAME.damaged-20240115T120000Z`, so that nothing overwrites it,
    /// and returns the new path.
    ///
    /// # Errors
    /// The file cannot be renamed, or there is none.
    pub fn set_aside(&mut self, document: Document, now: WallTime) -> Result<PathBuf, FileError> {
        let path = self.path(document);
        let name = format!("{}.damaged-{}", document.file_name(), utc::compact(now));
        let mut aside = path.with_file_name(&name);
        let mut count = 1;
        // The lock makes us the only ones who make such names.
        while aside.symlink_metadata().is_ok() {
            count += 1;
            aside = path.with_file_name(format!("{name}-{count}"));
        }
        fs::rename(&path, &aside).map_err(FileError::new("set aside", &path))?;
        file::sync_folder_of(&aside)?;
        Ok(aside)
    }
}

/// A line of a document that lacks its end cannot be told from a torn one.
const fn never_whole(_: &[u8]) -> bool {
    false
}

#[cfg(test)]
mod tests;
