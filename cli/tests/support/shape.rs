//! The shapes of `--json` that docs/json.md promises.

use serde_json::Value;

/// The block under the heading of a command.
fn documented(command: &str) -> Value {
    let heading = format!("### `wopr {command}`\n");
    let doc = include_str!("../../../docs/json.md");
    let section = doc.split(&heading).nth(1).unwrap_or_else(|| panic!("docs/json.md has no heading {heading}"));
    let block = section.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next());
    serde_json::from_str(block.expect("a block follows")).unwrap_or_else(|e| panic!("{command}: {e}"))
}

/// Asserts that a result has the members that its command's documentation shows, down to the first of each list.
#[track_caller]
pub(crate) fn has_shape(command: &str, found: &Value) {
    compare(&documented(command), found, command);
}

#[track_caller]
fn compare(documented: &Value, found: &Value, at: &str) {
    match (documented, found) {
        (Value::Object(documented), Value::Object(found)) => {
            let [mut wanted, mut there] = [documented, found].map(|map| map.keys().collect::<Vec<_>>());
            wanted.sort();
            there.sort();
            assert_eq!(wanted, there, "{at}");
            documented.iter().for_each(|(name, value)| compare(value, &found[name], &format!("{at}.{name}")));
        }
        (Value::Array(documented), Value::Array(found)) => {
            if let (Some(documented), Some(found)) = (documented.first(), found.first()) {
                compare(documented, found, at);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => assert_eq!(std::mem::discriminant(documented), std::mem::discriminant(found), "{at}"),
    }
}
