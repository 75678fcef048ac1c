//! The recorded invite tokens: ours writes the same, takes nothing that the original refuses, and refuses more only by a
//! rule of `docs/stricter.md`.

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/rules.rs"]
mod rules;
#[path = "support/token_rules.rs"]
mod token_rules;
#[path = "support/vectors.rs"]
mod vectors;

use serde_json::Value;
use token_rules::stricter;
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
