//! The recorded verdicts on signatures: ours accepts nothing that the original refuses, and refuses more only by a rule.

#[path = "support/rules.rs"]
mod rules;
#[path = "support/vectors.rs"]
mod vectors;

use serde_json::Value;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::wire::signed::{Object, parse_signature};

/// The steps of `json::decode` and `Received::verify`, for objects that are no messages otherwise.
fn verifies(line: &str) -> bool {
    let verdict = || {
        let object = Object::parse(line.as_bytes()).ok()?;
        let from: PublicKey = serde_json::from_str(object.get("from")?).ok()?;
        let (signed, signature) = object.cut_signature().ok()?;
        Some(from.verifying_key().ok()?.verifies(&signed, &parse_signature(signature)?))
    };
    verdict().unwrap_or(false)
}

fn check(name: &Value, line: &str, accepted: &Value) {
    let accepted = accepted.as_bool().unwrap_or_else(|| panic!("no verdict for {name}"));
    let rule = rules::stricter_about_signature(line);
    match (accepted, verifies(line)) {
        (false, true) => panic!("{name}: the original refuses what ours accepts"),
        (true, false) => assert!(rule.is_some(), "{name}: ours refuses it, and no rule says why"),
        // A rule that fits where ours accepts would be no reason for anything.
        (true, true) => assert_eq!(rule, None, "{name}"),
        (false, false) => {}
    }
}

#[test]
fn signatures_have_the_recorded_verdict_or_a_stricter_one() {
    let file = vectors::load("verify.json");
    for case in file["cases"].as_array().expect("cases") {
        match case["lines"].as_array() {
            Some(lines) => {
                for (line, accepted) in lines.iter().zip(case["accepted"].as_array().expect("verdicts")) {
                    check(&case["name"], line.as_str().expect("a line"), accepted);
                }
            }
            None => check(&case["name"], vectors::text(case, "line"), &case["accepted"]),
        }
    }
}

#[test]
fn signed_strings_have_the_recorded_verdict() {
    for case in vectors::load("verify.json")["strings"].as_array().expect("strings") {
        check(&case["name"], vectors::text(case, "line"), &case["accepted"]);
    }
}
