//! Where ours is stricter than the original on purpose: predicates on a line's content, explained in `docs/stricter.md`.
//!
//! They are written against the text, not with the code under test.

#![allow(dead_code, reason = "every test file uses a part of this")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

const ED25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const X25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00";

/// Why a signed object may be refused although the original accepts its signature.
pub(crate) fn stricter_about_signature(line: &str) -> Option<&'static str> {
    if let Some(rule) = stricter_about_text(line) {
        return Some(rule);
    }
    // Lone surrogates do not stop ours from reading the rest, but they stop serde_json.
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(&without_surrogates(line)) else {
        return Some("not an object");
    };
    let Some(from) = members.get("from").and_then(|from| spki(from, ED25519_SPKI)) else {
        return Some("from is not an Ed25519 key in strict base64 of its SPKI");
    };
    if weak_point(&from) {
        return Some("from is a point of small order or not canonical");
    }
    match members.get("sig").and_then(Value::as_str).map(|sig| STANDARD.decode(sig)) {
        Some(Ok(sig)) if sig.len() == 64 => weak_point(&sig[..32]).then_some("R of the signature has small order"),
        _ => Some("sig is not strict base64 of 64 bytes"),
    }
}

/// Why a message may be refused although the original takes it.
pub(crate) fn stricter_about_message(line: &str) -> Option<&'static str> {
    if let Some(rule) = stricter_about_signature(line) {
        return Some(rule);
    }
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(line) else {
        return Some("lone surrogate");
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let is_nonce = |text: &str| text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !matches!(members.get("v").and_then(Value::as_u64), Some(1 | 2)) {
        return Some("v is neither 1 nor 2");
    }
    if members.get("ts").and_then(Value::as_u64).is_none() {
        return Some("ts is missing or not a whole number from 0");
    }
    if !text("nonce").is_some_and(is_nonce) {
        return Some("nonce is not 32 lower-case hex digits");
    }
    if members.get("re").is_some() && !text("re").is_some_and(is_nonce) {
        return Some("our member re is something else");
    }
    if members.get("to").is_some_and(|to| spki(to, ED25519_SPKI).is_none()) {
        return Some("our member to is something else");
    }
    stricter_about_keys(&members).or_else(|| stricter_about_body(&members)).or_else(|| match text("type") {
        Some("key-rotation") => stricter_about_rotation(&members),
        Some("hello" | "hello-ack" | "ack" | "reject" | "response") => wrongly_signed(line),
        _ => None,
    })
}

/// The original checks no signature of hello, hello-ack, ack, reject and response.
fn wrongly_signed(line: &str) -> Option<&'static str> {
    let members: Value = serde_json::from_str(line).ok()?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&spki(&members["from"], ED25519_SPKI)?).ok()?;
    let signature = STANDARD.decode(members["sig"].as_str()?).ok()?;
    let member = format!("\"sig\":{}", members["sig"]);
    let signed = line.trim_end().replace(&format!(",{member}"), "").replace(&format!("{member},"), "");
    let signature = ed25519_dalek::Signature::from_slice(&signature).ok()?;
    key.verify_strict(signed.as_bytes(), &signature).is_err().then_some("the signature is not the sender's")
}

fn stricter_about_rotation(members: &Map<String, Value>) -> Option<&'static str> {
    let repeated = members.get("keyRotation").and_then(|statement| statement.get("sig")) == members.get("sig");
    (!repeated).then_some("the sig of a key rotation is not its statement's")
}

fn stricter_about_keys(members: &Map<String, Value>) -> Option<&'static str> {
    let ephemeral = members.get("ephemeralPub");
    if ephemeral.is_some_and(|key| key != "" && spki(key, X25519_SPKI).is_none()) {
        return Some("ephemeralPub is not an X25519 key");
    }
    let needs_key = ["log", "inject", "claim"].contains(&members.get("type").and_then(Value::as_str).unwrap_or(""));
    let key = members.get("encryptPub");
    if key.is_none() && needs_key || key.is_some_and(|key| spki(key, X25519_SPKI).is_none()) {
        return Some("encryptPub is not an X25519 key, or missing in log, inject or claim");
    }
    None
}

fn stricter_about_body(members: &Map<String, Value>) -> Option<&'static str> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let kind = text("type").unwrap_or("");
    if kind == "hello" {
        let whole = |list: &Vec<Value>| list.len() <= 16 && list.iter().all(Value::is_u64);
        if members.get("versions").is_some_and(|versions| !versions.as_array().is_some_and(whole)) {
            return Some("versions is not a list of at most 16 whole numbers");
        }
    }
    let versioned = members.get("version").and_then(Value::as_u64).is_some_and(|version| version < 256);
    if kind == "hello-ack" && !versioned {
        return Some("version is not a small whole number");
    }
    let session = text("session").is_some_and(|name| !name.is_empty() && name != "*" && name.len() <= 1024);
    let needs_session = ["log", "inject"].contains(&kind);
    if !session && (needs_session || members.contains_key("session")) {
        return Some("session is not a session's name");
    }
    let long = match kind {
        "log" | "inject" | "response" => Some("payload"),
        "claim" => Some("token"),
        "reject" => Some("reason"),
        _ => None,
    };
    if long.is_some_and(|name| text(name).is_none_or(str::is_empty)) {
        return Some("payload, token or reason is not a text, or empty");
    }
    let id = text("requestId").is_some_and(|id| (1..=64).contains(&id.len()) && !id.contains(char::is_control));
    if ["inject", "response"].contains(&kind) && !id {
        return Some("requestId is missing or not a short text");
    }
    None
}

/// Why a text may be refused before anything in it is looked at: `JSON.stringify` would write it otherwise, or it is too
/// large.
pub(crate) fn stricter_about_text(line: &str) -> Option<&'static str> {
    let line = line.trim_matches([' ', '\t', '\r', '\n']);
    let mut depth = 0;
    // The names seen in each object that is open; arrays have none.
    let mut names: Vec<Vec<&str>> = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let mut len = first.len_utf8();
        match first {
            '"' => {
                len = string_len(rest);
                if !is_plain_string(&rest[..len]) {
                    return Some("a string that JSON.stringify writes otherwise");
                }
                if rest[len..].starts_with(':') {
                    let seen = names.last_mut()?;
                    if rest[1..].starts_with(|first: char| first.is_ascii_digit()) {
                        return Some("a member name that starts with a digit");
                    }
                    if seen.contains(&&rest[..len]) {
                        return Some("a member twice");
                    }
                    seen.push(&rest[..len]);
                    if seen.len() > 64 {
                        return Some("more than 64 members");
                    }
                }
            }
            '{' | '[' => {
                depth += 1;
                names.push(Vec::new());
                if depth > 8 {
                    return Some("nested deeper than 8 levels");
                }
            }
            '}' | ']' => {
                depth -= 1;
                names.pop();
            }
            ' ' | '\t' | '\n' | '\r' => return Some("white space between members"),
            '-' | '0'..='9' => {
                len = rest.find([',', '}', ']', ' ']).unwrap_or(rest.len());
                if !is_plain_number(&rest[..len]) {
                    return Some("a number that JSON.stringify writes otherwise");
                }
            }
            _ => {}
        }
        rest = &rest[len..];
    }
    None
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |at| at + 2)
}

/// Whether writing the string anew gives the same text; lone surrogates are left alone.
fn is_plain_string(quoted: &str) -> bool {
    let quoted = without_surrogates(quoted);
    serde_json::from_str::<String>(&quoted)
        .is_ok_and(|text| serde_json::to_string(&text).is_ok_and(|written| written == quoted))
}

/// Whether a lone surrogate is in one of these texts or lists of texts; `line` is as `JSON.stringify` writes it, and
/// `members` are those of the line without its surrogates.
pub(crate) fn has_surrogate(line: &str, members: &Map<String, Value>, names: &[&str]) -> bool {
    let written = |name: &str| members.get(name).map(|value| format!("{}:{value}", Value::from(name)));
    names.iter().filter_map(|name| written(name)).any(|member| !line.contains(&member))
}

/// Takes out the escapes of lone surrogates, as `JSON.stringify` writes them.
pub(crate) fn without_surrogates(text: &str) -> String {
    let code = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok().filter(|_| !digits.contains(|c: char| c.is_ascii_uppercase()))
    };
    let mut kept = String::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let pair = matches!(code(at), Some(0xd800..=0xdbff)) && matches!(code(at + 6), Some(0xdc00..=0xdfff));
        if next == '\\' && matches!(code(at), Some(0xd800..=0xdfff)) && !pair {
            at += 6;
            continue;
        }
        // An escaped backslash must not start an escape with its second half.
        let len = if next == '\\' { text[at..].chars().take(2).map(char::len_utf8).sum() } else { next.len_utf8() };
        let len = if pair { 12 } else { len };
        kept.push_str(&text[at..at + len]);
        at += len;
    }
    kept
}

fn is_plain_number(text: &str) -> bool {
    let Ok(number) = text.parse::<f64>() else { return false };
    let size = number.abs();
    let plain = size == 0.0 || (1e-6..1e21).contains(&size);
    let written =
        if plain { number.to_string() } else { format!("{number:e}").replace('e', "e+").replace("e+-", "e-") };
    number.is_finite() && text == written && text != "-0"
}

fn spki(key: &Value, prefix: &[u8]) -> Option<[u8; 32]> {
    let der = STANDARD.decode(key.as_str()?).ok()?;
    der.strip_prefix(prefix)?.try_into().ok()
}

/// Points that ours does not take: of small order, not canonical, or none at all.
fn weak_point(bytes: &[u8]) -> bool {
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else { return true };
    // y ≥ p = 2^255 - 19: the low byte is from 0xed on and all others are ones.
    let canonical = bytes[0] < 0xed || bytes[1..31].iter().any(|byte| *byte != 0xff) || bytes[31] & 0x7f != 0x7f;
    !canonical || ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_or(true, |key| key.is_weak())
}
