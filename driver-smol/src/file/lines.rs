//! Files that only grow, by whole lines. A line that a crash cut off was never reported as written, so it is taken away
//! before anything follows it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{FileError, sync_folder_of};
use crate::crash::{self, Step};

/// Appends whole lines and waits until they are on disk; makes the file if there is none. If it fails, the file is as it
/// was, or has a torn line that the next append takes away.
///
/// `is_whole` tells whether a last line that lacks only its line end is complete.
pub(crate) fn append_lines(path: &Path, lines: &[u8], is_whole: fn(&[u8]) -> bool) -> Result<(), FileError> {
    if !lines.ends_with(b"\n") {
        let torn = io::Error::new(ErrorKind::InvalidInput, "the last line has no end");
        return Err(FileError::new("append to", path)(torn));
    }
    crash::point(Step::AppendStarted);
    let (file, is_new) = open(path).map_err(FileError::new("open", path))?;
    crash::point(Step::AppendCreated);
    let len = repair(&file, is_whole).map_err(FileError::new("repair the last line of", path))?;
    if let Err(error) = write_synced(&file, lines) {
        // Take back what is there of it. If that fails too, the repair before the next append does it.
        let taken_back = file.set_len(len).and_then(|()| file.sync_data());
        return Err(FileError::new("append to", path)(error).and_also(taken_back));
    }
    crash::point(Step::AppendSynced);
    if is_new {
        sync_folder_of(path)?;
    }
    crash::point(Step::AppendDone);
    Ok(())
}

/// Cuts off a torn last line; it is no error if there is no file.
pub(crate) fn repair_lines(path: &Path, is_whole: fn(&[u8]) -> bool) -> Result<(), FileError> {
    match OpenOptions::new().read(true).append(true).open(path) {
        Ok(file) => {
            repair(&file, is_whole).map_err(FileError::new("repair the last line of", path))?;
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::new("open", path)(error)),
    }
}

/// The file, and whether it was made.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((options.create_new(true).open(path)?, true)),
        opened => Ok((opened?, false)),
    }
}

fn write_synced(file: &File, lines: &[u8]) -> io::Result<()> {
    crash::write_all(file, lines, Step::AppendHalfWritten)?;
    crash::point(Step::AppendWritten);
    file.sync_data()
}

/// Ends a last line that is whole, cuts it off otherwise. Returns the file's length.
fn repair(mut file: &File, is_whole: fn(&[u8]) -> bool) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let last = last_line(file, len)?;
    // A power cut can leave zeros where data should be, with the line's end behind them; no line of ours has any.
    if last.is_empty() || (last.ends_with(b"\n") && !last.contains(&0)) {
        return Ok(len);
    }
    if !last.ends_with(b"\n") && is_whole(&last) {
        file.write_all(b"\n")?;
        file.sync_data()?;
        return Ok(len + 1);
    }
    let start = len - last.len() as u64;
    file.set_len(start)?;
    file.sync_data()?;
    Ok(start)
}

/// The last line of a file with its end, if it has one; empty for an empty file. Reads no more than about twice of it.
fn last_line(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let mut size = 4096;
    loop {
        size = len.min(size);
        let mut tail = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        file.read_exact_at(&mut tail, len - size)?;
        let without_end = tail.strip_suffix(b"\n").unwrap_or(&tail);
        match without_end.iter().rposition(|byte| *byte == b'\n') {
            Some(end_before) => return Ok(tail.split_off(end_before + 1)),
            None if size == len => return Ok(tail),
            None => size *= 2,
        }
    }
}
