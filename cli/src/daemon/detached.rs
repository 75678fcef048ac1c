//! A daemon without a terminal: its own session, and a log file that cannot grow for ever.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use wopr_p2p_smol::home::Home;

use crate::exit::Failure;

/// The log's name in the home's `p2p` folder; the part before it has `.1` behind.
const LOG: &str = "daemon.log";
/// From this length on, in bytes, the log is put away as the part before, and a new one begun.
const LONG: u64 = 1 << 20;

/// Where the log of a home's daemon is.
pub(super) fn log_path(home: &Home) -> PathBuf {
    home.p2p().join(LOG)
}

/// Opens the log to write at its end, putting a long one away first.
///
/// # Errors
/// The file cannot be made or written.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|about| about.len() >= LONG) {
        match fs::rename(path, path.with_extension("log.1")) {
            // Two that start at once: the other was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Leaves the terminal and the session of whoever started us. A process that leads its group already has no need to.
pub(super) fn leave_terminal() {
    rustix::process::setsid().ok();
}

/// The log as stdout and stderr.
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    /// Turns stdout and stderr over to the log.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn take_over(home: &Home) -> Result<Self, Failure> {
        let log = Self { path: log_path(home) };
        log.turn().map_err(|error| {
            Failure::invalid(format!("the log {} cannot be written: {error}", log.path.display()), "free its place")
        })?;
        Ok(log)
    }

    /// Begins a new file if this one is long.
    ///
    /// # Errors
    /// It cannot be put away.
    pub(super) fn keep_short(&self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(about) if about.len() < LONG => Ok(()),
            _ => self.turn(),
        }
    }

    fn turn(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        rustix::stdio::dup2_stdout(&file)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_put_away_once_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG);
        fs::write(&path, vec![b'x'; usize::try_from(LONG).unwrap()]).unwrap();
        fs::write(path.with_extension("log.1"), "older").unwrap();
        assert_eq!(open(&path).unwrap().metadata().unwrap().len(), 0);
        assert_eq!(fs::metadata(path.with_extension("log.1")).unwrap().len(), LONG);
        fs::write(&path, "short").unwrap();
        assert_eq!(open(&path).unwrap().metadata().unwrap().len(), 5, "a short one goes on");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
