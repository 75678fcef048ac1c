//! Where ours is stricter about invite tokens: predicates on a token's text, explained in `docs/stricter.md`.

use serde_json::{Map, Value};

use crate::{lenient, rules};

/// Why a token that the original takes is refused.
pub(crate) fn stricter(token: &str) -> Option<&'static str> {
    let body = token.strip_prefix("wop1://").unwrap_or(token);
    if token.len() > 64 * 1024 {
        return Some("a token longer than 64 KiB");
    }
    if !lenient::is_strict_base64url(body) {
        return Some("a token that is not strict base64url");
    }
    let Ok(json) = String::from_utf8(lenient::base64(body)) else { return Some("a token that is not UTF-8") };
    if rules::stricter_about_text(&json).is_some() {
        return Some("a token whose JSON JSON.stringify writes otherwise, or too large");
    }
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(&rules::without_surrogates(&json)) else {
        // The original finds no signature in it either.
        return None;
    };
    if rules::has_surrogate(&json, &members, &["iss", "sub", "ses", "cap", "nonce", "sig"]) {
        return Some("a lone surrogate in a member of a token that is read");
    }
    stricter_about_members(&members)
}

fn stricter_about_members(members: &Map<String, Value>) -> Option<&'static str> {
    let get = |name: &str| members.get(name).unwrap_or(&Value::Null);
    let Some(issuer) = lenient::spki(get("iss"), 0x70) else {
        return Some("an iss or sub that is not an Ed25519 key in strict base64 of its SPKI");
    };
    if lenient::spki(get("sub"), 0x70).is_none() {
        return Some("an iss or sub that is not an Ed25519 key in strict base64 of its SPKI");
    }
    let is_nonce = |text: &str| text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let sig = get("sig").as_str().filter(|sig| lenient::is_strict_base64(sig)).map(lenient::base64);
    if get("v") != 1 {
        Some("a v that is not 1")
    } else if !get("exp").as_f64().is_some_and(|exp| exp.is_finite() && exp >= 0.0) {
        Some("an exp that is missing or not a number from 0")
    } else if !texts(get("ses"), 256, |name| (1..=1024).contains(&name.len())) {
        Some("a ses that is not a list of 1 to 256 names of 1 to 1024 bytes")
    } else if !texts(get("cap"), 64, is_capability) {
        Some("a cap that is not a list of 1 to 64 capabilities")
    } else if !get("nonce").as_str().is_some_and(is_nonce) {
        Some("a nonce that is not 32 lower-case hex digits")
    } else if sig.as_ref().is_none_or(|sig| sig.len() != 64) {
        Some("a sig that is not strict base64 of 64 bytes")
    } else if lenient::is_weak(&issuer) {
        Some("an issuer's key of small order or not canonical")
    } else if sig.is_some_and(|sig| sig.first_chunk().is_some_and(lenient::is_weak)) {
        Some("a signature whose R has small order")
    } else {
        None
    }
}

fn texts(list: &Value, most: usize, fits: impl Fn(&str) -> bool) -> bool {
    let fits = |text: &Value| text.as_str().is_some_and(&fits);
    list.as_array().is_some_and(|list| (1..=most).contains(&list.len()) && list.iter().all(fits))
}

fn is_capability(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    text.len() <= 64 && text.split('.').all(word)
}
