//! The recorded invite tokens: ours writes the same, takes nothing that the original refuses, and refuses more only by a
//! rule of `docs/stricter.md`.

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/rules.rs"]
mod rules;
#[path = "support/vectors.rs"]
mod vectors;

use serde_json::{Map, Value};
use wopr_p2p_core::access::{Capability, SessionSet};
use wopr_p2p_core::identity::{Identity, IdentityFile};
use wopr_p2p_core::invite::InviteToken;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_core::time::WallTime;

/// What ours makes of a token: the original's `parseInviteToken` refuses an expired one too.
fn read(token: &str, now: u64) -> Result<InviteToken, String> {
    let token = InviteToken::parse(token).map_err(|error| error.to_string())?;
    if token.is_expired(WallTime::from_millis(now)) { Err("expired".into()) } else { Ok(token) }
}

/// Why a token that the original takes is refused.
fn stricter(token: &str) -> Option<&'static str> {
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

fn check(name: &Value, token: &str, accepted: bool, now: u64) {
    let rule = stricter(token).map(vectors::explained);
    let ours = read(token, now);
    assert_eq!(ours.is_ok(), accepted && rule.is_none(), "{name}: ours says {ours:?}; the rule is {rule:?}");
}

fn now(file: &Value, case: &Value) -> u64 {
    case["now"].as_u64().or_else(|| file["now"].as_u64()).expect("a time")
}

fn identity(name: &Value) -> Identity {
    let file = vectors::load("identity.json");
    let named = |case: &&Value| case["name"] == *name;
    let case = file["identities"].as_array().expect("identities").iter().find(named).expect("an identity");
    IdentityFile::from_json(vectors::text(case, "storedJson").as_bytes()).expect("an identity file").current
}

#[test]
fn tokens_of_the_original_have_the_recorded_verdict_or_a_stricter_one() {
    let file = vectors::load("tokens.json");
    for case in file["tokens"].as_array().expect("tokens") {
        check(&case["name"], vectors::text(case, "token"), case["parse"] == "accepted", now(&file, case));
    }
}

#[test]
fn tokens_say_what_is_recorded() {
    let file = vectors::load("tokens.json");
    for case in file["tokens"].as_array().expect("tokens") {
        let Ok(token) = read(vectors::text(case, "token"), now(&file, case)) else { continue };
        assert_eq!(token.issuer, identity(&case["issuer"]).public_key(), "{}", case["name"]);
        assert_eq!(token.subject, identity(&case["sub"]).public_key(), "{}", case["name"]);
        let names = case["sessions"].as_array().expect("sessions").iter().map(|name| vectors::text(name, "text"));
        assert_eq!(token.sessions, SessionSet::new(names).expect("names"), "{}", case["name"]);
        assert_eq!(token.capabilities, [Capability::inject()], "{}", case["name"]);
        assert_eq!(token.nonce.to_string(), vectors::text(case, "nonceHex"), "{}", case["name"]);
        if let Some(exp) = case["exp"].as_u64() {
            assert_eq!(token.expires.as_millis(), exp, "{}", case["name"]);
        }
    }
}

#[test]
fn tokens_are_written_byte_for_byte() {
    let file = vectors::load("tokens.json");
    let mut written = 0;
    for case in file["tokens"].as_array().expect("tokens") {
        let names: Option<Vec<&str>> =
            case["sessions"].as_array().expect("sessions").iter().map(|name| name["text"].as_str()).collect();
        // Ours keeps sessions as a set: each once, in order. An expiry that is no whole number of ours is rounded.
        let (Some(names), Some(exp)) = (names, case["exp"].as_u64()) else { continue };
        if !names.is_sorted_by(|one, next| one < next) || stricter(vectors::text(case, "token")).is_some() {
            continue;
        }
        let issuer = identity(&case["issuer"]);
        let token = InviteToken {
            issuer: issuer.public_key(),
            subject: identity(&case["sub"]).public_key(),
            sessions: SessionSet::new(names).expect("names"),
            capabilities: vec![Capability::inject()],
            expires: WallTime::from_millis(exp),
            nonce: vectors::text(case, "nonceHex").parse::<Nonce>().expect("a nonce"),
        };
        assert_eq!(token.to_token(&issuer).as_deref(), Ok(vectors::text(case, "token")), "{}", case["name"]);
        written += 1;
    }
    assert!(written > 0 || vectors::are_others(), "no token was compared");
}

#[test]
fn flaw_25_bad_tokens_have_the_recorded_verdict_or_a_stricter_one() {
    let file = vectors::load("tokens-negative.json");
    for case in file["cases"].as_array().expect("cases") {
        check(&case["name"], vectors::text(case, "token"), case["verdict"] == "accepted", now(&file, case));
    }
}
