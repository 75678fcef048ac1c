//! Everything the program prints: results on stdout, as text or JSON; waiting and errors on stderr.
//!
//! Invariant: what a peer wrote reaches a terminal only through [`printable`](printable::printable) or through JSON
//! whose control characters are escaped.

pub(crate) mod printable;
mod progress;
mod table;
pub(crate) mod time;

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

pub(crate) use self::progress::Waiting;
pub(crate) use self::table::{Cell, Fields, Table};
use crate::exit::Failure;

/// Headings and labels.
pub(crate) const BOLD: Style = Style::new().bold();
/// What is there but matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Worth a look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Not as it should be.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// The result of a command: it serialises to its JSON shape and writes itself as text.
pub(crate) trait View: Serialize {
    /// The text, with styles; lines end in `\n`. Styles are dropped where stdout is no terminal.
    fn text(&self) -> String;
}

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// JSON for programs, or text for people.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON is printed.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: one line of JSON, or text.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(crate) fn show(self, view: &impl View) -> io::Result<()> {
        if self.json { self.show_json(view) } else { self.show_text(&view.text()) }
    }

    /// Prints one line of JSON.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(crate) fn show_json(self, value: &impl Serialize) -> io::Result<()> {
        let mut line = printable::json(value)?;
        line.push('\n');
        write_all(&line)
    }

    /// Prints styled text.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(crate) fn show_text(self, text: &str) -> io::Result<()> {
        write_all(text)
    }

    /// Says why the command failed: on stderr for people, on stdout as `{"error":…}` with `--json`.
    pub(crate) fn show_failure(self, failure: &Failure) -> io::Result<()> {
        if self.json {
            return self.show_json(&ErrorLine::from(failure));
        }
        let mut stderr = anstream::stderr().lock();
        writeln!(stderr, "{BAD}error:{BAD:#} {}", printable::printable(&failure.message))?;
        if !failure.next.is_empty() {
            writeln!(stderr, "{BOLD}next:{BOLD:#}  {}", printable::printable(&failure.next))?;
        }
        Ok(())
    }

    /// Shows on a terminal's stderr what is being waited for, until the returned value is dropped.
    pub(crate) fn waiting(self, what: impl Into<String>) -> Waiting {
        Waiting::start(what.into())
    }
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: u8,
    name: &'static str,
    message: &'a str,
    next: &'a str,
}

impl<'a> From<&'a Failure> for ErrorLine<'a> {
    fn from(failure: &'a Failure) -> Self {
        let Failure { exit, message, next } = failure;
        Self { error: ErrorBody { code: exit.code(), name: exit.name(), message, next } }
    }
}

/// A reader that went away (`wopr … | head`) wants no more: that is no error.
fn write_all(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn an_error_has_its_documented_json_shape() {
        let failure = Failure::new(Exit::Unauthorized, "alice has not granted \"x\"", "ask alice");
        let line = printable::json(&ErrorLine::from(&failure)).unwrap();
        assert_eq!(
            line,
            r#"{"error":{"code":7,"name":"EXIT_UNAUTHORIZED","message":"alice has not granted \"x\"","next":"ask alice"}}"#
        );
    }
}
