//! Where a node is stricter about a message than the original, beyond what the line alone says: predicates on the
//! message and the handshake before it, explained in `docs/stricter.md`.

use serde_json::Value;

use crate::{lenient, original, rules, token_rules, vectors};

/// What came before a message.
pub(crate) struct Before<'a> {
    /// Who said hello, and with which ephemeral key; nobody yet.
    pub(crate) hello: Option<(&'a str, &'a str)>,
    /// The negotiated version.
    pub(crate) version: u64,
    /// Our clock, in milliseconds.
    pub(crate) now: u64,
    /// What the sender's grant allows.
    pub(crate) capabilities: &'a Value,
    /// The key that opens the payload, in protocol 2.
    pub(crate) key: Option<[u8; 32]>,
    /// Tokens claimed before.
    pub(crate) claimed: &'a [String],
}

/// Why a line that the original acts upon is refused in a channel.
pub(crate) fn stricter_in_channel(line: &str, before: &Before<'_>) -> Option<&'static str> {
    let Some((from, ephemeral)) = before.hello else {
        return Some(vectors::explained("a message before the handshake"));
    };
    rules::stricter_about_message(line)
        .or_else(|| stricter_after_hello(line, from, ephemeral, before).map(vectors::explained))
}

fn stricter_after_hello(line: &str, from: &str, ephemeral: &str, before: &Before<'_>) -> Option<&'static str> {
    let message: Value = serde_json::from_str(line).expect("a message");
    let kind = message["type"].as_str().unwrap_or("");
    let ts = message["ts"].as_u64().unwrap_or(0);
    match kind {
        "log" | "inject" | "claim" if message["from"] != from => Some("a sender other than the one that said hello"),
        "log" | "inject" | "claim" if message["v"] != before.version => Some("a v that is not the negotiated version"),
        "log" | "inject" | "claim" if ts.abs_diff(before.now) > 300_000 => {
            Some("a ts more than five minutes from our clock, ahead too")
        }
        "log" | "inject" if before.version >= 2 && message["ephemeralPub"] != ephemeral => {
            Some("an ephemeralPub that is not the one of the hello")
        }
        "log" | "inject" => stricter_about_text(kind, &message, before),
        "claim" => {
            let token = message["token"].as_str().unwrap_or("");
            if before.claimed.iter().any(|claimed| claimed == token) {
                return Some("a token that was claimed before");
            }
            token_rules::stricter(token)
        }
        "key-rotation" if message["keyRotation"]["newSignPub"] != from => {
            Some("a rotation that is not told under its new key")
        }
        "key-rotation" if message["keyRotation"]["oldSignPub"] != message["from"] => {
            Some("a rotation whose from is not its old key")
        }
        "key-rotation" => None,
        _ => Some("a message that only a listener sends, or a second hello"),
    }
}

fn stricter_about_text(kind: &str, message: &Value, before: &Before<'_>) -> Option<&'static str> {
    let payload = message["payload"].as_str().unwrap_or("");
    if !lenient::is_strict_base64(payload) {
        return Some("a payload that is not strict base64");
    }
    let payload = lenient::base64(payload);
    if payload.len() < 28 {
        return Some("a tag of fewer than 16 bytes");
    }
    let text = before.key.and_then(|key| original::open(&key, &payload));
    if text.is_some_and(|text| String::from_utf8(text).is_err()) {
        return Some("a text that is not UTF-8");
    }
    let capabilities = before.capabilities.as_array().map_or(&[][..], Vec::as_slice);
    let has = |fits: fn(&str) -> bool| capabilities.iter().filter_map(Value::as_str).any(fits);
    let enough = match kind {
        "inject" => has(|word| word == "inject" || word.starts_with("inject.")),
        _ => has(|word| word == "message" || word == "inject"),
    };
    (!enough).then_some("a capability that does not cover what is asked")
}
