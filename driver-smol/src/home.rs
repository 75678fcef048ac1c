//! A node's home: `WOPR_HOME`, or `~/.wopr`, with `p2p/` for its documents and `sessions/` for its sessions.
//!
//! One process at a time may change a home: [`HomeLock`] is the proof that it is us. The lock is the operating system's
//! (`flock`), so it ends with the process however that dies; the file `p2p/lock` stays, with the last holder's number.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::file::{self, FileError};

/// The format of the files in a home. A change that older programs would misread or destroy gets the next number.
const FORMAT: &str = "1";

/// Where a home is. Having one says nothing about the right to write there: see [`Home::lock`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    folder: PathBuf,
}

impl Home {
    /// The home that `WOPR_HOME` names, or `~/.wopr` where that is not set or empty.
    ///
    /// # Errors
    /// [`HomeError::Unknown`] if there is neither `WOPR_HOME` nor a home folder of the user.
    pub fn from_env() -> Result<Self, HomeError> {
        Self::choose(std::env::var_os("WOPR_HOME"), std::env::home_dir())
    }

    fn choose(wopr_home: Option<OsString>, user_home: Option<PathBuf>) -> Result<Self, HomeError> {
        let wopr_home = wopr_home.filter(|path| !path.is_empty()).map(PathBuf::from);
        let user_home = user_home.filter(|path| !path.as_os_str().is_empty()).map(|path| path.join(".wopr"));
        Self::at(wopr_home.or(user_home).ok_or(HomeError::Unknown)?)
    }

    /// The home in this folder, which need not exist yet. A relative path is taken from the current folder, now.
    ///
    /// # Errors
    /// [`HomeError::Unknown`] if the path is empty, or relative and the current folder is gone.
    pub fn at(folder: impl AsRef<Path>) -> Result<Self, HomeError> {
        std::path::absolute(folder).map(|folder| Self { folder }).map_err(|_| HomeError::Unknown)
    }

    /// The home's folder, absolute.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the documents are.
    #[must_use]
    pub fn p2p(&self) -> PathBuf {
        self.folder.join("p2p")
    }

    /// Where the session files are.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.folder.join("sessions")
    }

    /// Makes what is missing of the home, and takes the right to change it until the returned lock is dropped.
    ///
    /// Folders that it makes, and `p2p` and `sessions` in any case, can be entered by us only.
    ///
    /// # Errors
    /// Another process holds the home, a newer wopr has written it, it is not ours, or its folders cannot be made.
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        file::make_folder(&self.folder)?;
        for folder in [self.p2p(), self.sessions()] {
            file::make_folder(&folder)?;
            make_private(&folder)?;
        }
        let lock = self.take_lock()?;
        self.check_format()?;
        Ok(HomeLock { home: self.clone(), lock })
    }

    fn take_lock(&self) -> Result<File, HomeError> {
        let path = self.p2p().join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(FileError::new("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.locked_by(lock)),
            Err(TryLockError::Error(error)) => return Err(FileError::new("lock", &path)(error).into()),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(FileError::new("write", &path))?;
        Ok(lock)
    }

    fn locked_by(&self, lock: File) -> HomeError {
        let mut text = String::new();
        // Without a readable number the message lacks it, no more.
        let pid = lock.take(20).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
        HomeError::Locked { home: self.folder.clone(), pid }
    }

    /// Marks a new home with our format, and refuses one with a newer format. A home without a mark (one of the original
    /// program, say) has the first format.
    fn check_format(&self) -> Result<(), HomeError> {
        let path = self.p2p().join("format");
        match fs::read(&path) {
            Ok(found) if found.trim_ascii() == FORMAT.as_bytes() => Ok(()),
            Ok(found) => {
                let found = String::from_utf8_lossy(&found).trim().chars().take(20).collect();
                Err(HomeError::OtherFormat { home: self.folder.clone(), found })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(file::replace(&path, format!("{FORMAT}\n").as_bytes())?)
            }
            Err(error) => Err(FileError::new("read", &path)(error).into()),
        }
    }
}

/// The right to change a home: no other process has it while this lives.
#[derive(Debug)]
pub struct HomeLock {
    home: Home,
    lock: File,
}

impl HomeLock {
    /// The home that is locked.
    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // Closing the file would do, but a process that is being started still has a copy of it for a moment.
        self.lock.unlock().ok();
    }
}

/// Why a home cannot be used.
#[derive(Debug)]
pub enum HomeError {
    /// No folder is known that could be the home.
    Unknown,
    /// Another process has locked it.
    Locked {
        /// The home's folder.
        home: PathBuf,
        /// The other process, if its number could be read.
        pid: Option<u32>,
    },
    /// Written by a program that knows more formats than this one.
    OtherFormat {
        /// The home's folder.
        home: PathBuf,
        /// What its mark says.
        found: String,
    },
    /// A folder in it belongs to another user.
    NotOurs {
        /// That folder.
        folder: PathBuf,
    },
    /// A file or folder in it cannot be used.
    File(FileError),
}

impl fmt::Display for HomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no folder for wopr's files is known: set WOPR_HOME to one"),
            Self::Locked { home, pid } => {
                write!(f, "the home {} is in use by another wopr process", home.display())?;
                if let Some(pid) = pid {
                    write!(f, " (pid {pid})")?;
                }
                f.write_str(": use or stop that one, or set WOPR_HOME to another folder")
            }
            Self::OtherFormat { home, found } => write!(
                f,
                "the home {} has format {found:?}, this wopr knows format {FORMAT:?}: use a newer wopr, or set WOPR_HOME \
                 to another folder",
                home.display()
            ),
            Self::NotOurs { folder } => write!(
                f,
                "the folder {} belongs to another user: give it to the user who runs wopr, or set WOPR_HOME to another \
                 folder",
                folder.display()
            ),
            Self::File(error) => error.fmt(f),
        }
    }
}

impl Error for HomeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(error) => error.source(),
            _ => None,
        }
    }
}

impl From<FileError> for HomeError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Takes away what others may do in a folder. One of another user is refused: they could undo it.
fn make_private(folder: &Path) -> Result<(), HomeError> {
    let about = fs::metadata(folder).map_err(FileError::new("open", folder))?;
    if about.uid() != rustix::process::geteuid().as_raw() {
        return Err(HomeError::NotOurs { folder: folder.to_path_buf() });
    }
    if about.mode() & 0o777 != 0o700 {
        let only_ours = Permissions::from_mode(0o700);
        fs::set_permissions(folder, only_ours).map_err(FileError::new("restrict the permissions of", folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
