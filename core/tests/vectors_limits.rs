//! limits.json: the verdicts of the original's rate limiter and replay protector, in their recorded order.

use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::rate::{Action, RateConfig, RateLimiter, Subject, Verdict};
use wopr_p2p_core::replay::{ReplayConfig, ReplayError, ReplayWindow};
use wopr_p2p_core::time::{Instant, Now, WallTime};

#[path = "support/vectors.rs"]
mod vectors;

fn now(limits: &serde_json::Value) -> u64 {
    limits["now"].as_u64().expect("a time")
}

/// A key of its own for every name.
fn named(name: &str) -> PublicKey {
    PublicKey::from_bytes(wopr_p2p_core::keys::Topic::discovery(name).0)
}

#[test]
fn every_check_of_the_rate_limiter_has_the_recorded_verdict() {
    let limits = vectors::load("limits.json");
    let checks = limits["rateLimiter"].as_array().expect("a list");
    assert!(!checks.is_empty());
    let mut limiter = RateLimiter::new(RateConfig::default());
    for (index, check) in checks.iter().enumerate() {
        let subject = Subject::Peer(named(vectors::text(check, "peer")));
        let action: Action = serde_json::from_value(check["action"].clone()).expect("an action");
        let passed = check["atMs"].as_u64().expect("a time");
        let now = Now { mono: Instant::from_millis(passed), wall: WallTime::from_millis(now(&limits) + passed) };
        let allowed = limiter.check(subject, action, now) == Verdict::Allowed;
        assert_eq!(Some(allowed), check["allowed"].as_bool(), "check {index}: {check}");
    }
}

/// The messages of the recorded steps, in order: the nonce, and how many milliseconds have passed. The original's
/// table is filled up before the third.
const STEPS: [(u16, u64); 7] = [(1, 0), (1, 0), (1, 0), (2, 0), (1, 0), (2, 0), (1, 400_000)];

#[test]
fn every_step_of_the_replay_protector_has_the_recorded_verdict_or_a_stricter_one() {
    let limits = vectors::load("limits.json");
    let steps = limits["replay"].as_array().expect("a list");
    assert_eq!(steps.len(), STEPS.len());
    let from = named("sender");
    let mut window = ReplayWindow::new(ReplayConfig::default());
    let mut forgotten = 0;
    for (index, (step, (nonce, passed))) in steps.iter().zip(STEPS).enumerate() {
        let at = WallTime::from_millis(now(&limits) + passed);
        if index == 2 {
            fill(&mut window, &from, at);
        }
        let verdict = window.accept(&from, &number(u32::from(nonce)), at, at);
        match (verdict, step["accepted"].as_bool().expect("a verdict")) {
            (Ok(_), true) | (Err(_), false) => {}
            // The rule: with the table full, what is not newer than the oldest in it could have been forgotten.
            (Err(ReplayError::BelowFloor), true) => forgotten += 1,
            // The rule: what is in the table is not accepted again, for the table is never emptied.
            (Err(ReplayError::Seen), true) => assert!(index > 0 && STEPS[..index].contains(&(nonce, passed))),
            (verdict, recorded) => panic!("{step}: recorded {recorded}, ours {verdict:?}"),
        }
    }
    assert_eq!(forgotten, 2, "the second nonce never fits in");
}

/// Accepts messages until the table is full.
fn fill(window: &mut ReplayWindow, from: &PublicKey, at: WallTime) {
    for n in 1..u32::try_from(ReplayConfig::default().max_nonces).expect("small") {
        window.accept(from, &number(1_000_000 + n), at, at).expect("there is room");
    }
}

fn number(n: u32) -> Nonce {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Nonce(bytes)
}
