use alloc::format;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quickcheck::quickcheck;

use super::*;
use crate::rng::Rng;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TOLERANCE: Duration = Duration::from_secs(300);
const NOW: WallTime = WallTime::from_millis(1_767_225_600_000);

fn identity(seed: u8) -> Identity {
    Identity::generate(&mut Rng::new([seed; 32]), NOW)
}

fn statement(effective_at: WallTime, grace: Duration) -> RotationStatement {
    let (old, new) = (identity(1), identity(2));
    let (old, new, new_encrypt) = (old.public_key(), new.public_key(), new.encrypt_key());
    RotationStatement { old, new, new_encrypt, reason: RotationReason::Compromise, effective_at, grace }
}

/// The statement with `from` changed to `to`, signed anew by the old key.
fn signed(from: &str, to: &str) -> String {
    let json = statement(NOW, DAY).sign(&identity(1));
    assert!(json.contains(from), "{from} is not in {json}");
    let unsigned = json.split(",\"sig\"").next().unwrap().replacen(from, to, 1);
    let signature = STANDARD.encode(identity(1).sign(format!("{unsigned}}}").as_bytes()));
    format!("{unsigned},\"sig\":\"{signature}\"}}")
}

fn parse(json: &str) -> Result<RotationStatement, RotationError> {
    RotationStatement::parse_and_verify(json.as_bytes())
}

#[test]
fn a_statement_says_what_the_old_key_signed() {
    let statement = statement(NOW, DAY);
    assert_eq!(parse(&statement.sign(&identity(1))), Ok(statement));
}

#[test]
fn flaw_11_the_grace_period_is_bounded_by_the_receiver() {
    let limit = Duration::from_secs(3_600);
    for grace in [limit * 2, DAY * 10_000, Duration::MAX] {
        assert_eq!(statement(NOW, grace).grace_until(NOW, limit, TOLERANCE), Ok(NOW + limit));
    }
    // The sender may ask for less.
    assert_eq!(statement(NOW, limit / 2).grace_until(NOW, limit, TOLERANCE), Ok(NOW + limit / 2));
    assert_eq!(statement(NOW, DAY).grace_until(NOW, Duration::ZERO, TOLERANCE), Ok(NOW));
}

#[test]
fn flaw_11_a_rotation_cannot_take_effect_in_the_future() {
    let late = statement(NOW + TOLERANCE + Duration::from_millis(1), DAY);
    assert_eq!(late.grace_until(NOW, DAY, TOLERANCE), Err(RotationError::NotYetEffective));
    let never = statement(WallTime::from_millis(9_000_000_000_000_000), DAY);
    assert_eq!(never.grace_until(NOW, DAY, TOLERANCE), Err(RotationError::NotYetEffective));
    // A clock that is a little ahead gains nothing by it.
    assert_eq!(statement(NOW + TOLERANCE, DAY).grace_until(NOW, DAY, TOLERANCE), Ok(NOW + DAY));
}

#[test]
fn flaw_11_the_grace_period_of_an_old_rotation_is_over() {
    let long_ago = WallTime::from_millis(NOW.as_millis() - 2 * 86_400_000);
    let end = statement(long_ago, Duration::MAX).grace_until(NOW, DAY, TOLERANCE).unwrap();
    assert_eq!(end, long_ago + DAY);
    assert!(end < NOW);
}

#[test]
fn flaw_11_a_statement_that_the_old_key_did_not_sign_is_refused() {
    let json = statement(NOW, DAY).sign(&identity(1));
    let (one, three) = (identity(1).public_key(), identity(3).public_key());
    assert_eq!(parse(&json.replace(&format!("{one}"), &format!("{three}"))), Err(RotationError::BadSignature));
    assert_eq!(parse(&json.replacen("\"reason\":\"compromise\"", "\"reason\":\"upgrade\"", 1)), {
        Err(RotationError::BadSignature)
    });
    let (unsigned, _) = json.split_once(",\"sig\"").unwrap();
    assert_eq!(parse(&format!("{unsigned}}}")), Err(RotationError::BadSignature));
}

#[test]
fn flaw_11_a_new_key_that_nobody_can_own_is_refused() {
    let mut weak = [0; 32];
    weak[0] = 1;
    let (new, weak) = (identity(2).public_key(), PublicKey::from_bytes(weak));
    assert_eq!(parse(&signed(&format!("{new}"), &format!("{weak}"))), Err(RotationError::BadKey));
    let old = identity(1).public_key();
    assert_eq!(parse(&signed(&format!("{new}"), &format!("{old}"))), Err(RotationError::SameKey));
}

#[test]
fn every_member_is_required_and_checked() {
    for (from, to, member) in [
        ("\"v\":1,", "", "v"),
        ("\"v\":1,", "\"v\":\"1\",", "v"),
        ("\"type\":\"key-rotation\",", "", "type"),
        ("\"type\":\"key-rotation\",", "\"type\":\"log\",", "type"),
        ("\"oldSignPub\"", "\"old\"", "oldSignPub"),
        ("\"newSignPub\":\"MCow", "\"newSignPub\":\"MCo", "newSignPub"),
        ("\"newEncryptPub\":\"MCowBQYDK2Vu", "\"newEncryptPub\":\"MCowBQYDK2Vw", "newEncryptPub"),
        ("\"reason\":\"compromise\"", "\"reason\":\"because\"", "reason"),
        ("\"effectiveAt\":1767225600000", "\"effectiveAt\":\"1767225600000\"", "effectiveAt"),
        ("\"effectiveAt\":1767225600000", "\"effectiveAt\":null", "effectiveAt"),
        ("\"gracePeriodMs\":86400000", "\"gracePeriodMs\":-1", "gracePeriodMs"),
        (",\"gracePeriodMs\":86400000", "", "gracePeriodMs"),
    ] {
        assert_eq!(parse(&signed(from, to)), Err(RotationError::Member(member)), "{to}");
    }
    assert_eq!(parse(&signed("\"v\":1", "\"v\":2")), Err(RotationError::UnknownVersion));
}

#[test]
fn numbers_are_read_as_javascript_writes_them() {
    let read = parse(&signed("\"gracePeriodMs\":86400000", "\"gracePeriodMs\":3.6e+24")).unwrap();
    assert_eq!(read.grace, Duration::from_millis(u64::MAX));
    let read = parse(&signed("\"effectiveAt\":1767225600000", "\"effectiveAt\":1767225600000.75")).unwrap();
    assert_eq!(read.effective_at, NOW);
}

#[test]
fn reasons_have_one_spelling() {
    for reason in [RotationReason::Scheduled, RotationReason::Compromise, RotationReason::Upgrade] {
        assert_eq!(reason.as_str().parse(), Ok(reason));
        let json = serde_json::to_string(&reason).unwrap();
        assert_eq!(json, format!("\"{reason}\""));
        assert_eq!(serde_json::from_str::<RotationReason>(&json).unwrap(), reason);
    }
    assert_eq!("Scheduled".parse::<RotationReason>(), Err(UnknownReason));
}

quickcheck! {
    fn what_is_signed_is_read(old: u8, new: u8, reason: u8, effective_at: u32, grace: u32) -> bool {
        let reasons = [RotationReason::Scheduled, RotationReason::Compromise, RotationReason::Upgrade];
        let (old, new) = (identity(old), identity(new));
        let statement = RotationStatement {
            old: old.public_key(),
            new: new.public_key(),
            new_encrypt: new.encrypt_key(),
            reason: reasons[usize::from(reason % 3)],
            effective_at: WallTime::from_millis(effective_at.into()),
            grace: Duration::from_millis(grace.into()),
        };
        let read = parse(&statement.sign(&old));
        if statement.old == statement.new { read == Err(RotationError::SameKey) } else { read == Ok(statement) }
    }

    fn flaw_11_no_statement_outlives_the_receivers_limit(effective_at: u64, grace: u64, now: u64, limit: u64) -> bool {
        let (now, limit) = (WallTime::from_millis(now), Duration::from_millis(limit));
        let statement = statement(WallTime::from_millis(effective_at), Duration::from_millis(grace));
        statement.grace_until(now, limit, TOLERANCE).map_or(true, |end| end <= now + limit)
    }

    fn no_bytes_make_parsing_panic(at: usize, byte: u8) -> bool {
        let good = statement(NOW, DAY).sign(&identity(1));
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        RotationStatement::parse_and_verify(&bytes).is_err() || bytes == good.as_bytes()
    }
}
