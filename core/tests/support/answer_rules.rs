//! Where a dialler is stricter about a listener's answers than the original: predicates on all that the listener sends,
//! explained in `docs/stricter.md`.

use serde_json::Value;

use crate::{rules, vectors};

/// Why a dialler that looks for the key `dialled` believes less than the original did; `text` is all that it received.
pub(crate) fn stricter_about_answers(text: &str, dialled: &str, now: u64) -> Option<&'static str> {
    let mut hello_acks = 0;
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            return Some(vectors::explained("an empty line where an answer is due"));
        }
        if !line.ends_with('\n') {
            return Some(vectors::explained("an answer without its line end"));
        }
        if let Some(rule) = rules::stricter_about_message(line) {
            return Some(rule);
        }
        let message: Value = serde_json::from_str(line).expect("a message");
        hello_acks += usize::from(message["type"] == "hello-ack");
        let own = |rule| Some(vectors::explained(rule));
        if message["from"] != dialled {
            return own("an answer from another key than the one that was dialled");
        } else if message["ts"].as_u64().is_some_and(|ts| ts.abs_diff(now) > 300_000) {
            return own("an answer whose ts is more than five minutes from our clock");
        } else if message["type"] == "hello-ack" && !matches!(message["version"].as_u64(), Some(1 | 2)) {
            return own("a hello-ack with a version that was not offered");
        } else if message["version"] == 2 && message["ephemeralPub"].as_str().is_none_or(str::is_empty) {
            return own("a hello-ack for version 2 without an ephemeralPub");
        } else if hello_acks == 0 && message["type"] != "reject" || hello_acks > 1 {
            return own("another message where a hello-ack is due, or a second hello-ack");
        }
    }
    None
}
