//! Shows the demo's steps as they happen, each with what it found and how long it took.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use crate::exit::Failure;
use crate::output::{BAD, BOLD, DIM, Fields, GOOD, Json, Object, Output};

/// The steps so far.
pub(super) struct Steps {
    out: Output,
    number: u32,
    started: Instant,
}

impl Steps {
    /// No step yet; the clock runs.
    pub(super) fn new(out: Output) -> Self {
        Self { out, number: 0, started: Instant::now() }
    }

    /// Does one step and shows it.
    ///
    /// # Errors
    /// The step failed (it is shown as failed), or stdout cannot be written.
    pub(super) async fn step<T>(
        &mut self,
        name: &'static str,
        title: &str,
        work: impl Future<Output = Result<(T, Object), Failure>>,
    ) -> Result<T, Failure> {
        self.number += 1;
        let waiting = self.out.waiting(title);
        let started = Instant::now();
        let result = work.await;
        let took = started.elapsed();
        drop(waiting);
        let done = Done { step: self.number, name, title, ok: result.is_ok(), took };
        let found = result.as_ref().map(|(_, found)| found.clone()).unwrap_or_default();
        self.out.line(&json(&done, &found), &text(&done, &found))?;
        result.map(|(value, _)| value)
    }

    /// Says that every step was as it should be.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub(super) fn finish(self) -> io::Result<()> {
        let (steps, took) = (self.number, self.started.elapsed());
        let total = Object::default().with("ok", true).with("steps", steps).with("ms", millis(took));
        let text = format!("\n{GOOD}All {steps} steps were as they should be{GOOD:#} ({}).\n", show(took));
        self.out.line(&Object::default().with("demo", total), &text)
    }
}

struct Done<'a> {
    step: u32,
    name: &'static str,
    title: &'a str,
    ok: bool,
    took: Duration,
}

fn json(done: &Done<'_>, found: &Object) -> Object {
    let &Done { step, name, title, ok, took } = done;
    let step = Object::default().with("step", step).with("name", name).with("title", title);
    step.with("ok", ok).with("ms", millis(took)).with("found", found.clone())
}

fn text(done: &Done<'_>, found: &Object) -> String {
    let Done { step, title, took, .. } = done;
    let (mark, style) = if done.ok { ("✓", GOOD) } else { ("✗", BAD) };
    let mut fields = Fields::default();
    for (name, value) in found.members() {
        fields = match value {
            Json::List(values) => values.iter().fold(fields, |fields, value| fields.field(name, plain(value))),
            value => fields.field(name, plain(value)),
        };
    }
    let findings = fields.render(6);
    format!("{style}{mark}{style:#} {step:>2}  {BOLD}{title}{BOLD:#}  {DIM}{}{DIM:#}\n{findings}", show(*took))
}

/// A finding for people.
fn plain(value: &Json) -> String {
    match value {
        Json::Text(text) | Json::Raw(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Float(number) => number.to_string(),
        Json::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        Json::Null | Json::List(_) | Json::Object(_) => String::new(),
    }
}

/// Milliseconds with microseconds after the point.
fn millis(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}

/// `1.4 s`, `12 ms`, `0.3 ms`.
fn show(took: Duration) -> String {
    match took.as_millis() {
        1000.. => format!("{:.1} s", took.as_secs_f64()),
        10.. => format!("{} ms", took.as_millis()),
        _ => format!("{:.1} ms", millis(took)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::printable;

    fn done(ok: bool) -> Done<'static> {
        Done { step: 4, name: "claim", title: "bob claims it", ok, took: Duration::from_micros(12_500) }
    }

    #[test]
    fn a_step_is_one_line_and_its_findings() {
        let found = Object::default().with("sessions", "main").with("note", "two\nlines\x1b[2J");
        let styled = text(&done(true), &found);
        assert_eq!(
            anstream::adapter::strip_str(&styled).to_string(),
            "✓  4  bob claims it  12 ms\n      sessions:  main\n      note:      two lines\n"
        );
        assert!(text(&done(false), &Object::default()).contains('✗'));
    }

    #[test]
    fn a_step_has_its_documented_json_shape() {
        let line = json(&done(true), &Object::default().with("sessions", "main"));
        assert_eq!(
            printable::json(&line).unwrap(),
            r#"{"step":4,"name":"claim","title":"bob claims it","ok":true,"ms":12.5,"found":{"sessions":"main"}}"#
        );
    }

    #[test]
    fn a_failed_step_fails_the_demo() {
        let mut steps = Steps::new(Output::new(true));
        let failure = Failure::invalid("no", "");
        let result = std::future::ready(Err::<((), Object), _>(failure.clone()));
        assert_eq!(smol::block_on(steps.step("x", "x", result)), Err(failure));
    }
}
