//! The recorded key rotations: ours writes the same, takes nothing that the original refuses, and refuses more only by a
//! rule of `docs/stricter.md`. What becomes of grants and peers is tested where they are.

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/rules.rs"]
mod rules;
#[path = "support/vectors.rs"]
mod vectors;

use std::time::Duration;

use serde_json::Value;
use wopr_p2p_core::identity::IdentityFile;
use wopr_p2p_core::rotation::{RotationError, RotationStatement};
use wopr_p2p_core::time::WallTime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

fn read(statement: &str, now: u64) -> Result<RotationStatement, RotationError> {
    let statement = RotationStatement::parse_and_verify(statement.as_bytes())?;
    statement.grace_until(WallTime::from_millis(now), DAY, TOLERANCE)?;
    Ok(statement)
}

/// Why a rotation that the original takes is refused.
fn stricter(statement: &str, now: u64) -> Option<&'static str> {
    if rules::stricter_about_text(statement).is_some() {
        return Some("a rotation that JSON.stringify writes otherwise, or too large");
    }
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(&rules::without_surrogates(statement)) else {
        // The original finds no signature in it either.
        return None;
    };
    let texts = ["type", "oldSignPub", "newSignPub", "newEncryptPub", "reason", "sig"];
    if rules::has_surrogate(statement, &members, &texts) {
        return Some("a lone surrogate in a member of a rotation that is read");
    }
    let get = |name: &str| members.get(name).unwrap_or(&Value::Null);
    let (old, new) = (lenient::spki(get("oldSignPub"), 0x70), lenient::spki(get("newSignPub"), 0x70));
    let number = |name: &str| get(name).as_f64().filter(|number| number.is_finite() && *number >= 0.0);
    let reason = get("reason").as_str().unwrap_or("");
    let sig = get("sig").as_str().filter(|sig| lenient::is_strict_base64(sig)).map(lenient::base64);
    let (Some(effective_at), Some(_)) = (number("effectiveAt"), number("gracePeriodMs")) else {
        return Some("an effectiveAt or gracePeriodMs that is not a number from 0");
    };
    let latest = WallTime::from_millis(now) + TOLERANCE;
    if get("v") != 1 || get("type") != "key-rotation" {
        Some("a rotation whose v is not 1 or whose type is another")
    } else if !["scheduled", "compromise", "upgrade"].contains(&reason) {
        Some("a reason that is none of the three")
    } else if old.is_none() || new.is_none() || lenient::spki(get("newEncryptPub"), 0x6e).is_none() {
        Some("a key of a rotation that is not in strict base64 of its SPKI")
    } else if old == new {
        Some("a rotation to the same key")
    } else if old.iter().chain(&new).any(lenient::is_weak) {
        Some("a key of a rotation that nobody may use")
    } else if sig.as_ref().is_none_or(|sig| sig.len() != 64) {
        Some("a rotation's sig that is not strict base64 of 64 bytes")
    } else if sig.is_some_and(|sig| sig.first_chunk().is_some_and(lenient::is_weak)) {
        Some("a rotation's signature whose R has small order")
    } else if effective_at.floor() > latest.as_millis() as f64 {
        Some("a rotation that takes effect in the future")
    } else {
        None
    }
}

fn now(file: &Value) -> u64 {
    file["now"].as_u64().expect("a time")
}

#[test]
fn flaw_11_rotations_have_the_recorded_verdict_or_a_stricter_one() {
    let file = vectors::load("rotation.json");
    for case in file["cases"].as_array().expect("cases") {
        let statement = vectors::text(case, "rotation");
        let rule = stricter(statement, now(&file)).map(vectors::explained);
        let ours = read(statement, now(&file));
        let accepted = case["verifyKeyRotation"] == true && rule.is_none();
        assert_eq!(ours.is_ok(), accepted, "{}: ours says {ours:?}; the rule is {rule:?}", case["name"]);
    }
}

#[test]
fn a_rotation_is_written_byte_for_byte() {
    let file = vectors::load("rotation.json");
    let recorded = vectors::text(&file, "rotation");
    let statement = read(recorded, now(&file)).expect("the recorded rotation");
    let successor = IdentityFile::from_json(vectors::text(&file["newIdentity"], "storedJson").as_bytes())
        .expect("the new identity")
        .current;
    assert_eq!(successor.rotated_from(), Some(statement.old));
    let identities = vectors::load("identity.json");
    let stored = identities["identities"].as_array().expect("identities").iter().map(|case| {
        IdentityFile::from_json(vectors::text(case, "storedJson").as_bytes()).expect("an identity").current
    });
    let old = stored.into_iter().find(|identity| identity.public_key() == statement.old).expect("the old identity");
    let ours = RotationStatement {
        old: old.public_key(),
        new: successor.public_key(),
        new_encrypt: successor.encrypt_key(),
        ..statement.clone()
    };
    assert_eq!(ours, statement);
    assert_eq!(ours.sign(&old), recorded);
}
