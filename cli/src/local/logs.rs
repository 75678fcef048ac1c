//! `logs` and `events`: what happened, oldest first.

use std::fs;
use std::io;
use std::path::Path;

use regex::RegexBuilder;
use wopr_p2p_smol::home::Home;

use crate::args::Logs;
use crate::daemon;
use crate::exit::Failure;
use crate::output::{Json, Object, Output, Shown, View};

/// The largest expression, in bytes of memory.
const MAX_FILTER: usize = 1 << 20;

/// `logs --service p2p [--filter REGEX]`.
///
/// # Errors
/// The expression is none, or a log cannot be read.
pub(crate) fn logs(home: &Home, command: &Logs, out: Output) -> Result<Shown, Failure> {
    show(home, command.filter.as_deref(), out)
}

/// `events`.
///
/// # Errors
/// A log cannot be read.
pub(crate) fn events(home: &Home, out: Output) -> Result<Shown, Failure> {
    show(home, None, out)
}

fn show(home: &Home, filter: Option<&str>, out: Output) -> Result<Shown, Failure> {
    // As grep writes alternatives; no log line has the bar itself to look for.
    let filter = filter.map(|filter| filter.replace("\\|", "|"));
    let filter = filter.as_deref().map(|filter| RegexBuilder::new(filter).size_limit(MAX_FILTER).build());
    let filter = filter.transpose().map_err(|error| {
        Failure::invalid(
            format!("--filter is no regular expression: {error}"),
            "an example: --filter \"rejected|revoked\"",
        )
    })?;
    let mut lines = Vec::new();
    for path in daemon::logs(home) {
        let text = read(&path)?;
        lines.extend(text.lines().filter(|line| filter.as_ref().is_none_or(|f| f.is_match(line))).map(str::to_owned));
    }
    out.render(&Lines(lines))
}

fn read(path: &Path) -> Result<String, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::invalid(format!("{} cannot be read: {error}", path.display()), "")),
    }
}

struct Lines(Vec<String>);

impl View for Lines {
    fn json(&self) -> Object {
        Object::default().with("lines", self.0.iter().map(String::as_str).collect::<Json>())
    }

    fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }
}
