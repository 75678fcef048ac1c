//! Everything the program prints: results on stdout, as text or JSON; waiting, notes and errors on stderr.
//!
//! Invariant: what a peer wrote reaches a terminal only through [`printable`](printable::printable) or through JSON
//! whose control characters are escaped.

mod json;
pub(crate) mod printable;
mod progress;
mod table;

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};
use wopr_p2p_core::time::WallTime;

pub(crate) use self::json::{Json, Object};
pub(crate) use self::progress::Waiting;
pub(crate) use self::table::{Cell, Fields, Table, laid_out};
use crate::duration::show_duration;
use crate::exit::{Exit, Failure};

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

/// The result of a command, in both of its forms.
pub(crate) trait View {
    /// For programs.
    fn json(&self) -> Object;

    /// For people: styled lines that end in `\n`.
    fn text(&self) -> String;

    /// What a person should know beside the result; empty if there is nothing. It goes to stderr.
    fn note(&self) -> String {
        String::new()
    }

    /// The exit code with which the program ends all the same, if not everything is as it should be.
    fn exit(&self) -> Option<Exit> {
        None
    }
}

/// A result, ready to be printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// For stdout, with styles.
    pub(crate) out: String,
    /// For stderr.
    pub(crate) note: String,
    /// The exit code, if the result is that something is not as it should be.
    #[serde(default)]
    pub(crate) exit: Option<Exit>,
}

/// How to print.
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

    /// A result as it will be printed: one line of JSON, or text.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub(crate) fn render(self, view: &impl View) -> Result<Shown, Failure> {
        if self.json {
            Ok(Shown { out: json_line(&view.json())?, note: String::new(), exit: view.exit() })
        } else {
            Ok(Shown { out: view.text(), note: view.note(), exit: view.exit() })
        }
    }

    /// Prints a result.
    ///
    /// # Errors
    /// Stdout or stderr cannot be written.
    pub(crate) fn show(self, shown: &Shown) -> io::Result<()> {
        print(&laid_out(&shown.out, columns()))?;
        if shown.note.is_empty() { Ok(()) } else { writeln!(anstream::stderr().lock(), "{}", shown.note) }
    }

    /// Prints one line of JSON, or a text.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(crate) fn line(self, json: &Object, text: &str) -> io::Result<()> {
        if self.json { print(&json_line(json)?) } else { print(text) }
    }

    /// A line of JSON that is written already, as it will be printed; or the text.
    pub(crate) fn rendered_line(self, json: &str, text: impl FnOnce() -> String) -> Shown {
        let out = if self.json { printable::escaped(json) + "\n" } else { text() };
        Shown { out, ..Shown::default() }
    }

    /// Says why the command failed: on stderr for people, on stdout as `{"error":…}` with `--json`.
    ///
    /// # Errors
    /// Stdout or stderr cannot be written.
    pub(crate) fn show_failure(self, failure: &Failure) -> io::Result<()> {
        if self.json {
            return print(&json_line(&error_json(failure))?);
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

/// `in 3h 5m` or `2d ago`.
pub(crate) fn relative(time: WallTime, now: WallTime) -> String {
    if time > now {
        format!("in {}", show_duration(time.since(now)))
    } else {
        format!("{} ago", show_duration(now.since(time)))
    }
}

/// A failure as JSON: `{"error":{…}}`.
pub(crate) fn error_json(failure: &Failure) -> Object {
    let Failure { exit, message, next } = failure;
    let error = Object::default().with("code", exit.code()).with("name", exit.name());
    Object::default().with("error", error.with("message", message.as_str()).with("next", next.as_str()))
}

fn json_line(value: &Object) -> io::Result<String> {
    printable::json(value).map(|line| line + "\n")
}

/// How many columns there are, if stdout is a terminal.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A reader that went away (`wopr … | head`) wants no more: that is no error.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_documented_json_shape() {
        let failure = Failure::new(Exit::Unauthorized, "alice has not granted \"x\"", "ask alice");
        assert_eq!(
            json_line(&error_json(&failure)).unwrap(),
            concat!(
                r#"{"error":{"code":7,"name":"EXIT_UNAUTHORIZED","message":"alice has not granted \"x\"","next":"ask alice"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn relative_times_point_both_ways() {
        let now = WallTime::from_millis(10_000_000);
        assert_eq!(relative(WallTime::from_millis(13_600_000), now), "in 1h");
        assert_eq!(relative(WallTime::from_millis(9_995_000), now), "5s ago");
    }
}
