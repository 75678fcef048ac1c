//! What happened, for people: the line of the log as a sentence. Programs get the line itself.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_smol::event_log::EventLine;
use wopr_p2p_smol::utc;

use crate::output::{BOLD, Cell, DIM, Output, Shown, WARN};

/// Columns for an event's name: that of `p2p.message.delivered` and its like.
const LONGEST: usize = 21;
/// Digits of an id that people see.
const SHORT: usize = 12;

/// One line of the log, as it will be printed.
pub(crate) fn show(line: &EventLine, out: Output) -> Shown {
    out.rendered_line(&line.json, || text(line))
}

fn text(line: &EventLine) -> String {
    let style = if line.event.ends_with("rejected") || line.event.ends_with("conflict") { WARN } else { BOLD };
    let mut text = format!("{DIM}{}{DIM:#} {style}{:<LONGEST$}{style:#}", utc::iso(line.at), line.event);
    for (name, said) in members(line) {
        text += &format!(" {DIM}{}:{DIM:#} {}", Cell::from(name), Cell::from(said));
    }
    text.push('\n');
    text
}

/// What a line says beside its time and its event, in its order, each with its name. It can hold other people's words.
pub(crate) fn members(line: &EventLine) -> Vec<(String, String)> {
    let Members(members) = serde_json::from_str(&line.json).unwrap_or_default();
    // These begin the line; and a time stands there twice.
    let beside = |name: &str| !matches!(name, "seq" | "ts" | "iso" | "event" | "graceUntil");
    let member = |(name, value): (String, Value)| {
        let said = match name.as_str() {
            "grant" | "id" | "transport" => said(&value).chars().take(SHORT).collect(),
            "oldKey" | "newKey" | "refusedKey" => short_id(&said(&value)),
            _ => said(&value),
        };
        (name.strip_suffix("Iso").unwrap_or(&name).to_owned(), said)
    };
    members.into_iter().filter(|(name, _)| beside(name)).map(member).collect()
}

/// A peer by its name and short id, a list by its elements, everything else as it is.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(said).collect::<Vec<_>>().join(", "),
        Value::Object(peer) => match (&peer.get("name"), &peer.get("shortId")) {
            (Some(Value::String(name)), Some(id)) => format!("{name} ({})", said(id)),
            (_, Some(id)) => said(id),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

fn short_id(key: &str) -> String {
    key.parse::<PublicKey>().map_or_else(|_| key.to_owned(), |key| key.short_id())
}

/// The members of an object in their order.
#[derive(Default)]
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use wopr_p2p_core::time::WallTime;

    use super::*;

    fn line(json: &str) -> EventLine {
        EventLine { seq: 1, at: WallTime::from_millis(0), event: "p2p.grant.created".to_owned(), json: json.to_owned() }
    }

    #[test]
    fn a_line_for_people_has_the_members_in_order_and_no_escapes() {
        let json = r#"{"seq":1,"ts":0,"iso":"x","event":"p2p.grant.created","peer":{"name":"al\u001b[2J","publicKey":"M","shortId":"0a"},"grant":"g","sessions":["b","a"],"repeated":3}"#;
        let shown = anstream::adapter::strip_str(&show(&line(json), Output::new(false)).out).to_string();
        let wanted =
            "1970-01-01T00:00:00.000Z p2p.grant.created     peer: al (0a) grant: g sessions: b, a repeated: 3\n";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_line_for_programs_is_the_logs_own_with_control_characters_escaped() {
        let shown = show(&line("{\"z\":1,\"a\":\"\u{9b}2J\"}"), Output::new(true));
        assert_eq!(shown.out, "{\"z\":1,\"a\":\"\\u009b2J\"}\n");
    }
}
