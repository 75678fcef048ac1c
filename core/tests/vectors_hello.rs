//! The recorded answers to a hello, as far as reading it decides them.

#[path = "support/rules.rs"]
mod rules;
#[path = "support/vectors.rs"]
mod vectors;

use wopr_p2p_core::message::{Body, Hello};
use wopr_p2p_core::wire::json;

fn read(line: &str) -> Option<Hello> {
    let received = json::decode(line.as_bytes()).ok()?;
    let key = received.message().header.from.verifying_key().ok()?;
    match received.verify(&key).ok()?.body {
        Body::Hello(hello) => Some(hello),
        _ => None,
    }
}

#[test]
fn a_hello_is_read_as_recorded_or_refused_by_a_rule() {
    let file = vectors::load("hello.json");
    // A case without a line is about the connection.
    for case in file["cases"].as_array().expect("cases").iter().filter(|case| case["line"].is_string()) {
        let (name, line, reply) = (&case["name"], vectors::text(case, "line"), &case["reply"]);
        match read(line) {
            Some(hello) => {
                let common = hello.versions.iter().filter(|version| matches!(version, 1 | 2)).max();
                assert_eq!(reply["version"].as_u64(), common.copied(), "{name}");
                assert_eq!(reply["type"], if common.is_some() { "hello-ack" } else { "reject" }, "{name}");
            }
            // The original gives no answer either.
            None if reply.is_null() => {}
            None => {
                let rule = rules::stricter_about_message(line);
                assert!(rule.is_some(), "{name}: refused, and no rule says why");
            }
        }
    }
}
