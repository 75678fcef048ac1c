//! `logs` and `events`: what happened, oldest first, from the log of events.

use regex::RegexBuilder;
use wopr_p2p_smol::event_log::{EventLine, EventReader, Query};
use wopr_p2p_smol::home::Home;

use crate::args::Logs;
use crate::daemon::show_event;
use crate::exit::Failure;
use crate::output::{DIM, Output, Shown};

/// The largest expression, in bytes of memory.
const MAX_FILTER: usize = 1 << 20;

/// `logs --service p2p [--filter REGEX]`: the lines whose text for people the expression fits.
///
/// # Errors
/// The expression is none, or the log cannot be read.
pub(crate) fn logs(home: &Home, command: &Logs, out: Output) -> Result<Shown, Failure> {
    // As grep writes alternatives; no line of the log has the bar itself to look for.
    let filter = command.filter.as_ref().map(|filter| filter.replace("\\|", "|"));
    let filter = filter.map(|filter| RegexBuilder::new(&filter).size_limit(MAX_FILTER).build()).transpose();
    let filter = filter.map_err(|error| {
        let next = "an example: --filter \"rejected|revoked\"";
        Failure::invalid(format!("--filter is no regular expression: {error}"), next)
    })?;
    let plain = |line: &EventLine| anstream::adapter::strip_str(&show_event(line, Output::new(false)).out).to_string();
    show(home, |line| filter.as_ref().is_none_or(|filter| filter.is_match(plain(line).trim_end())), out)
}

/// `events`.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn events(home: &Home, out: Output) -> Result<Shown, Failure> {
    show(home, |_| true, out)
}

fn show(home: &Home, fits: impl Fn(&EventLine) -> bool, out: Output) -> Result<Shown, Failure> {
    let lines = EventReader::new(home).read(&Query::default());
    let lines = lines.map_err(|error| Failure::invalid(error.to_string(), ""))?;
    let text: String = lines.iter().filter(|line| fits(line)).map(|line| show_event(line, out).out).collect();
    let note = if text.is_empty() && !out.is_json() {
        format!("{DIM}Nothing of the kind has happened.{DIM:#}")
    } else {
        String::new()
    };
    Ok(Shown { out: text, note, ..Shown::default() })
}
