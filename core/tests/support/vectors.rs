//! The recorded vectors: the folder named by `WOPR_VECTORS`, or else the copy in this repository.

#![allow(clippy::disallowed_methods, reason = "vectors are files, and WOPR_VECTORS may name their folder")]
#![allow(dead_code, reason = "every test file uses a part of this")]

use std::path::PathBuf;
use std::vec::Vec;

use serde_json::Value;

/// Reads one file of vectors; one that is not in the folder is taken from the copy.
pub(crate) fn load(name: &str) -> Value {
    let copy = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors")).join(name);
    let further = std::env::var_os("WOPR_VECTORS").map(|folder| PathBuf::from(folder).join(name));
    let path = further.filter(|path| path.exists()).unwrap_or(copy);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the cases are others than those of this repository.
pub(crate) fn are_others() -> bool {
    std::env::var_os("WOPR_VECTORS").is_some()
}

/// Fails if `docs/stricter.md` does not explain a rule.
pub(crate) fn explained(rule: &'static str) -> &'static str {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/stricter.md");
    let page = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(page.contains(&["| ", rule, " |"].concat()), "{path} does not explain: {rule}");
    rule
}

/// The member `name` of a case, which must be a text.
pub(crate) fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_else(|| panic!("no text {name:?} in {case}"))
}

/// The bytes that the member `name` gives in hex.
pub(crate) fn hex(case: &Value, name: &str) -> Vec<u8> {
    let digits = text(case, name);
    assert!(digits.len().is_multiple_of(2), "an odd number of digits in {name:?}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect()
}
