//! Prints what `cargo bench -p wopr-p2p-benches` measured as a table in markdown, and how many times the lower bound each
//! is. Of every measurement it takes the sample that only a tenth of the others are below: a median says more about who
//! else used the machine. The folder is the argument, `target/criterion` if there is none.

#![allow(clippy::disallowed_methods, reason = "criterion's results are files")]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The rows, in the order in which they are measured.
const GROUPS: [&str; 17] = [
    "handshake, the listener's side",
    "handshake and first log of 300 B, both sides",
    "receive a log of 300 B",
    "receive a log of 64 KiB",
    "receive a log of 1 MiB",
    "send a log of 300 B",
    "send a log of 64 KiB",
    "send a log of 1 MiB",
    "refuse a line that is no message",
    "refuse 64 KiB without a line's end, from a stranger",
    "refuse a replayed log of 300 B",
    "refuse a log of another sender than the stream's",
    "refuse a log of a peer without a grant",
    "refuse a wrong signature",
    "find the grant of a peer among 10",
    "find the grant of a peer among 100000",
    "simulate a minute of five nodes",
];

fn main() {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion"), PathBuf::from);
    println!("| | core | bound | core / bound | snow |\n|---|---|---|---|---|");
    for group in GROUPS {
        let time = |what: &str| time(&folder.join(group).join(what).join("new/sample.json"));
        let (core, bound, snow) = (time("core"), time("bound"), time("snow"));
        let ratio = core.zip(bound).map_or_else(String::new, |(core, bound)| format!("{:.2}", core / bound));
        println!("| {group} | {} | {} | {ratio} | {} |", show(core), show(bound), show(snow));
    }
}

/// What one round of a measurement took, in nanoseconds.
fn time(path: &Path) -> Option<f64> {
    let samples: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let numbers = |name: &str| samples[name].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>();
    let (times, rounds) = (numbers("times")?, numbers("iters")?);
    let mut each: Vec<_> = times.iter().zip(rounds).map(|(time, rounds)| time / rounds).collect();
    each.sort_by(f64::total_cmp);
    each.get(each.len() / 10).copied()
}

fn show(nanoseconds: Option<f64>) -> String {
    match nanoseconds {
        None => String::new(),
        Some(time) if time < 1e3 => format!("{time:.1} ns"),
        Some(time) if time < 1e6 => format!("{:.1} µs", time / 1e3),
        Some(time) => format!("{:.2} ms", time / 1e6),
    }
}
