//! Durable files: put in place as a whole, or grown line by line. What was reported as written survives a power cut; what
//! was not is either absent or whole.

mod lines;

use std::error::Error;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crash::{self, Step};

pub(crate) use lines::{append_lines, repair_lines};

/// Something could not be done with a file. Its text names the file, the reason and what to do.
#[derive(Debug)]
pub struct FileError {
    /// What was to be done, as in "cannot … FILE".
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What kind of reason a [`FileError`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileProblem {
    /// No space left, or more than the quota or the file size limit allows.
    Full,
    /// The file system takes no changes.
    ReadOnly,
    /// The file belongs to somebody else.
    Denied,
    /// Anything else; the text has the operating system's words.
    Other,
}

impl FileError {
    /// For `map_err`.
    pub(crate) fn new(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.to_path_buf(), source }
    }

    /// Adds that tidying up after the failure failed too.
    fn and_also(self, tidying: io::Result<()>) -> Self {
        let Err(error) = tidying else { return self };
        let both = format!("{} (and tidying up after that: {error})", self.source);
        Self { source: io::Error::new(self.source.kind(), both), ..self }
    }

    /// The file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of reason it is.
    #[must_use]
    pub fn problem(&self) -> FileProblem {
        match self.source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => FileProblem::Full,
            ErrorKind::ReadOnlyFilesystem => FileProblem::ReadOnly,
            ErrorKind::PermissionDenied => FileProblem::Denied,
            _ => FileProblem::Other,
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = match self.problem() {
            FileProblem::Full => ": free some space on that disk, then try again",
            FileProblem::ReadOnly => ": make that file system writable, or set WOPR_HOME to a folder on another",
            FileProblem::Denied => ": give its ownership to the user who runs wopr, or set WOPR_HOME to another folder",
            FileProblem::Other => "",
        };
        write!(f, "cannot {} {}: {}{next}", self.action, self.path.display(), self.source)
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// The name under which a file is written before it is put in place. One is enough: a file has one writer at a time.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Puts a file in place as a whole: after a crash the old or the new one is there, never a part. Readable by us only.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    crash::point(Step::ReplaceStarted);
    let temporary = temporary(path);
    remove_if_there(&temporary).map_err(FileError::new("remove", &temporary))?;
    if let Err(error) = write_synced(&temporary, bytes).and_then(|()| {
        crash::point(Step::ReplaceSynced);
        fs::rename(&temporary, path)
    }) {
        // It may hold private keys. If it cannot be removed now, the next start does it.
        return Err(FileError::new("write", path)(error).and_also(remove_if_there(&temporary)));
    }
    crash::point(Step::ReplaceRenamed);
    sync_folder_of(path)?;
    crash::point(Step::ReplaceDone);
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    crash::point(Step::ReplaceCreated);
    crash::write_all(&file, bytes, Step::ReplaceHalfWritten)?;
    crash::point(Step::ReplaceWritten);
    file.sync_all()
}

/// Reads a whole file, `None` if there is none, and takes away what others may do with it.
pub(crate) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    let cannot_read = || FileError::new("read", path);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_read()(error)),
    };
    let about = file.metadata().map_err(cannot_read())?;
    if about.mode() & 0o077 != 0 {
        let only_ours = fs::Permissions::from_mode(0o600);
        file.set_permissions(only_ours).map_err(FileError::new("restrict the permissions of", path))?;
    }
    // Of its final size from the start: a growing vector would leave copies of private keys behind.
    let size = usize::try_from(about.len()).map_err(|_| cannot_read()(ErrorKind::FileTooLarge.into()))?;
    let mut bytes = Zeroizing::new(vec![0; size]);
    file.read_exact(&mut bytes).map_err(cannot_read())?;
    Ok(Some(bytes))
}

/// Removes a file; it is no error if there is none.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Makes a folder, and those above it, that only we can enter; it is no error if it exists.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::new("make the folder", path))?;
    sync_folder_of(path)
}

/// Waits until what is in a file is on disk, and its name.
pub(crate) fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_data()).map_err(FileError::new("write", path))?;
    sync_folder_of(path)
}

/// Makes the name of a new, renamed or removed file durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::new("write the folder", folder))
}

#[cfg(test)]
mod tests;
