//! The recorded behaviour of `JSON.parse` and `JSON.stringify`: what we write, and what we take.

#[path = "support/rules.rs"]
mod rules;
#[path = "support/vectors.rs"]
mod vectors;

use serde_json::Value;
use wopr_p2p_core::wire::signed::{Object, ObjectWriter};

fn takes(json: &str) -> bool {
    Object::parse(json.as_bytes()).is_ok()
}

fn cases(file: &Value, name: &str) -> Vec<Value> {
    let cases = file[name].as_array().unwrap_or_else(|| panic!("no {name}")).clone();
    assert!(!cases.is_empty(), "{name} is empty");
    cases
}

#[test]
fn strings_are_written_as_javascript_writes_them() {
    for case in cases(&vectors::load("json.json"), "strings") {
        let json = vectors::text(&case, "json");
        assert!(takes(&format!("{{\"s\":{json}}}")), "{}", case["name"]);
        // A lone surrogate is no Rust text: we never write one.
        if let Some(text) = case["text"].as_str().filter(|_| case["loneSurrogates"] != true) {
            let written = ObjectWriter::new(0).text("s", text).with_signature("");
            assert_eq!(written, format!("{{\"s\":{json},\"sig\":\"\"}}"), "{}", case["name"]);
        }
    }
}

#[test]
fn every_escape_is_javascripts() {
    for case in cases(&vectors::load("json.json"), "escapes") {
        let code = |name: &str| u32::try_from(case[name].as_u64().expect("a code unit")).expect("16 bits");
        for (code, escape) in [(code("firstCode"), "first"), (code("lastCode"), "last")] {
            let escape = vectors::text(&case, escape);
            assert!(takes(&format!("{{\"s\":\"{escape}\"}}")), "{escape}");
            if let Some(character) = char::from_u32(code) {
                let written = ObjectWriter::new(0).text("s", &character.to_string()).with_signature("");
                assert_eq!(written, format!("{{\"s\":\"{escape}\",\"sig\":\"\"}}"));
            }
        }
    }
}

#[test]
fn numbers_are_taken_as_javascript_writes_them_only() {
    for case in cases(&vectors::load("json.json"), "numbers") {
        let (text, written) = (vectors::text(&case, "text"), vectors::text(&case, "reserialised"));
        assert_eq!(takes(&format!("{{\"n\":{text}}}")), text == written, "{text}");
        assert!(takes(&format!("{{\"n\":{written}}}")), "{written}");
    }
}

#[test]
fn objects_are_taken_as_javascript_writes_them_only() {
    for case in cases(&vectors::load("json.json"), "objects") {
        let (text, written) = (vectors::text(&case, "text"), vectors::text(&case, "reserialised"));
        assert!(!takes(text) || text == written, "{text}");
        let rule = rules::stricter_about_text(written);
        assert_eq!(takes(written), written.starts_with('{') && rule.is_none(), "{written} {rule:?}");
    }
}

#[test]
fn what_does_not_parse_is_not_taken() {
    for case in cases(&vectors::load("json.json"), "parseOrNot") {
        let text = vectors::text(&case, "text");
        let parses = case["parses"] == true;
        assert!(parses || !takes(text), "{text}");
        let rule = rules::stricter_about_text(text);
        if parses && text.starts_with('{') && rule.is_none() {
            assert!(takes(text), "{text}");
        }
    }
}
