use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use quickcheck::QuickCheck;

use super::{Action, Limit, RateConfig, RateLimiter, Subject, Verdict};
use crate::error::StateError;
use crate::keys::PublicKey;
use crate::time::{Instant, Now, WallTime};

const EPOCH: u64 = 1_767_225_600_000;
const HOUR_MS: u64 = 3_600_000;

/// Both clocks, `ms` after the start.
fn at(ms: u64) -> Now {
    Now { mono: Instant::from_millis(ms), wall: WallTime::from_millis(EPOCH + ms) }
}

fn peer(n: u8) -> Subject {
    Subject::Peer(PublicKey::from_bytes([n; 32]))
}

fn transport(n: u32) -> Subject {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    Subject::Transport(key)
}

fn seed() -> RateLimiter {
    RateLimiter::new(RateConfig::default())
}

fn allowed(limiter: &mut RateLimiter, subject: Subject, action: Action, ms: u64) -> bool {
    limiter.check(subject, action, at(ms)) == Verdict::Allowed
}

/// How many of `count` checks at one moment are allowed.
fn burst(limiter: &mut RateLimiter, subject: Subject, action: Action, ms: u64, count: usize) -> usize {
    (0..count).filter(|_| allowed(limiter, subject, action, ms)).count()
}

#[test]
fn the_defaults_are_those_of_the_description() {
    let expected = [(10, 100, 1), (10, 100, 1), (5, 20, 1), (3, 10, 2)];
    for (action, (per_minute, per_hour, hours)) in Action::ALL.into_iter().zip(expected) {
        let ban = Duration::from_secs(hours * 3600);
        assert_eq!(RateConfig::default().limit(action), Limit { per_minute, per_hour, ban });
    }
}

#[test]
fn bans_are_listed_with_who_from_what_and_how_long_until_they_end() {
    let mut limiter = seed();
    burst(&mut limiter, peer(1), Action::Inject, 5, 11);
    burst(&mut limiter, peer(2), Action::Inject, 5, 10);
    burst(&mut limiter, transport(3), Action::Invalid, 5, 4);
    let listed = |ms| limiter.bans(at(ms)).map(|ban| (ban.subject, ban.action, ban.left)).collect::<Vec<_>>();
    let hours = |hours| Duration::from_millis(hours * HOUR_MS);
    assert_eq!(listed(5), [(peer(1), Action::Inject, hours(1)), (transport(3), Action::Invalid, hours(2))]);
    assert_eq!(listed(5 + HOUR_MS), [(transport(3), Action::Invalid, hours(1))]);
    assert_eq!(listed(5 + 2 * HOUR_MS), []);
}

#[test]
fn what_exceeds_the_minute_starts_a_ban_that_says_when_it_ends() {
    let mut limiter = seed();
    assert_eq!(burst(&mut limiter, peer(1), Action::Inject, 5, 10), 10);
    assert_eq!(limiter.banned(peer(1), Action::Inject, at(5)), None);
    let until = Instant::from_millis(7 + HOUR_MS);
    let refused = |newly_banned| Verdict::Refused { until, newly_banned };
    assert_eq!(limiter.check(peer(1), Action::Inject, at(7)), refused(true));
    assert_eq!(limiter.check(peer(1), Action::Inject, at(8)), refused(false));
    assert_eq!(limiter.banned(peer(1), Action::Inject, at(8)), Some(Duration::from_millis(HOUR_MS - 1)));
    assert_eq!(limiter.check(peer(1), Action::Inject, at(6 + HOUR_MS)), refused(false));
    assert_eq!(limiter.banned(peer(1), Action::Inject, at(7 + HOUR_MS)), None);
    assert!(allowed(&mut limiter, peer(1), Action::Inject, 7 + HOUR_MS));
}

#[test]
fn the_minute_is_the_last_60_seconds() {
    let mut limiter = seed();
    assert_eq!(burst(&mut limiter, peer(1), Action::Inject, 1000, 10), 10);
    let mut early = limiter.clone();
    assert!(!allowed(&mut early, peer(1), Action::Inject, 60_999));
    assert!(allowed(&mut limiter, peer(1), Action::Inject, 61_000));
}

#[test]
fn the_hour_is_the_last_3600_seconds() {
    let mut limiter = seed();
    for n in 0..20 {
        assert!(allowed(&mut limiter, peer(1), Action::Claim, 1000 + n * 60_000));
    }
    let mut early = limiter.clone();
    assert!(!allowed(&mut early, peer(1), Action::Claim, HOUR_MS + 999));
    assert!(allowed(&mut limiter, peer(1), Action::Claim, HOUR_MS + 1000));
}

#[test]
fn a_ban_shorter_than_the_hour_starts_anew_while_the_hour_is_exceeded() {
    let claims = Limit { per_minute: 100, per_hour: 2, ban: Duration::from_secs(1) };
    let mut limiter = RateLimiter::new(RateConfig { claims, ..RateConfig::default() });
    assert_eq!(burst(&mut limiter, peer(1), Action::Claim, 0, 2), 2);
    for start in [0, 1000, 2000] {
        let until = Instant::from_millis(start + 1000);
        assert_eq!(limiter.check(peer(1), Action::Claim, at(start)), Verdict::Refused { until, newly_banned: true });
    }
    assert!(allowed(&mut limiter, peer(1), Action::Claim, HOUR_MS));
}

#[test]
fn flaw_15_logs_and_injects_are_counted_apart_and_each_is_configurable() {
    let mut limiter = seed();
    assert_eq!(burst(&mut limiter, peer(1), Action::Log, 0, 20), 10);
    assert_eq!(burst(&mut limiter, peer(1), Action::Inject, 0, 20), 10);
    let mut config = RateConfig::default();
    config.logs.per_minute = 2;
    let mut limiter = RateLimiter::new(config);
    assert_eq!(burst(&mut limiter, peer(1), Action::Log, 0, 20), 2);
    assert_eq!(burst(&mut limiter, peer(1), Action::Inject, 0, 20), 10);
}

#[test]
fn flaw_15_invalid_messages_of_a_transport_ban_that_transport_and_no_peer() {
    let mut limiter = seed();
    assert_eq!(burst(&mut limiter, transport(1), Action::Invalid, 0, 4), 3);
    assert_eq!(limiter.banned(transport(1), Action::Invalid, at(0)), Some(Duration::from_secs(7200)));
    assert_eq!(limiter.banned(transport(2), Action::Invalid, at(0)), None);
    let same_bytes = Subject::Peer(PublicKey::from_bytes([0; 32]));
    assert_eq!(limiter.banned(same_bytes, Action::Invalid, at(0)), None);
    assert!(allowed(&mut limiter, same_bytes, Action::Invalid, 0));
}

#[test]
fn flaw_15_a_flood_of_fresh_transports_is_bounded_and_pushes_out_no_peer() {
    let config = RateConfig { max_peers: 4, max_transports: 100, ..RateConfig::default() };
    let mut limiter = RateLimiter::new(config);
    assert_eq!(burst(&mut limiter, peer(1), Action::Log, 0, 11), 10);
    for n in 0..100_000 {
        assert!(allowed(&mut limiter, transport(n), Action::Invalid, u64::from(n)));
    }
    assert_eq!(limiter.transports.records.len(), 100);
    assert_eq!(limiter.transports.by_lapse.len(), 100);
    assert!(limiter.banned(peer(1), Action::Log, at(100_000)).is_some());
}

#[test]
fn a_full_table_forgets_who_has_nothing_in_force_and_keeps_bans_longest() {
    let config = RateConfig { max_transports: 3, ..RateConfig::default() };
    let mut limiter = RateLimiter::new(config);
    assert_eq!(burst(&mut limiter, transport(1), Action::Invalid, 0, 4), 3);
    assert!(allowed(&mut limiter, transport(2), Action::Invalid, 1));
    assert!(allowed(&mut limiter, transport(3), Action::Invalid, 2));
    assert!(allowed(&mut limiter, transport(4), Action::Invalid, 3));
    let known = |limiter: &RateLimiter, n| limiter.status(transport(n), at(3)).next().is_some();
    assert_eq!([1, 2, 3, 4].map(|n| known(&limiter, n)), [true, false, true, true]);
    assert!(limiter.banned(transport(1), Action::Invalid, at(3)).is_some());
}

#[test]
fn a_subject_keeps_no_more_timestamps_than_its_hourly_limit() {
    let mut limiter = seed();
    for n in 0..10_000 {
        limiter.check(peer(1), Action::Inject, at(n * 7001));
    }
    let record = &limiter.peers.records.values().next().unwrap();
    assert!(record.rows[&Action::Inject].times.len() <= 100);
}

#[test]
fn status_tells_counts_limits_and_bans_without_counting() {
    let mut limiter = seed();
    burst(&mut limiter, peer(1), Action::Claim, 0, 2);
    burst(&mut limiter, peer(1), Action::Claim, 100_000, 6);
    for _ in 0..2 {
        let status: Vec<_> = limiter.status(peer(1), at(100_001)).collect();
        assert_eq!(status.len(), 1);
        assert_eq!((status[0].action, status[0].last_minute, status[0].last_hour), (Action::Claim, 5, 7));
        assert_eq!(status[0].limit, RateConfig::default().claims);
        assert_eq!(status[0].banned, Some(Duration::from_millis(HOUR_MS - 1)));
    }
    assert_eq!(limiter.status(peer(2), at(0)).count(), 0);
}

/// Stores at `stopped` and reads back with both clocks as given.
fn restarted(limiter: &RateLimiter, stopped: Now, started: Now) -> RateLimiter {
    RateLimiter::from_json(RateConfig::default(), &limiter.to_json(stopped), started).unwrap()
}

/// The clocks of a run whose monotonic clock starts over, `ms` after the start of the first run.
fn second_run(ms: u64) -> Now {
    Now { mono: Instant::ZERO, ..at(ms) }
}

#[test]
fn a_restart_keeps_counts_and_bans() {
    let mut limiter = seed();
    burst(&mut limiter, peer(1), Action::Inject, 1_000_000, 9);
    burst(&mut limiter, transport(1), Action::Invalid, 1_000_000, 4);
    let mut again = restarted(&limiter, at(1_010_000), second_run(1_020_000));
    assert_eq!(burst(&mut again, peer(1), Action::Inject, 0, 2), 1, "nine of ten were used up 20 seconds ago");
    assert_eq!(again.banned(transport(1), Action::Invalid, at(0)), Some(Duration::from_millis(2 * HOUR_MS - 20_000)));
    let much_later = restarted(&limiter, at(1_010_000), second_run(1_000_000 + 3 * HOUR_MS));
    assert!(much_later.peers.records.is_empty() && much_later.transports.records.is_empty());
}

#[test]
fn a_wall_clock_that_jumped_between_runs_never_lengthens_a_ban() {
    let mut limiter = seed();
    burst(&mut limiter, peer(1), Action::Inject, HOUR_MS, 11);
    let back = Now { mono: Instant::ZERO, wall: WallTime::from_millis(EPOCH - 365 * 24 * HOUR_MS) };
    let mut again = restarted(&limiter, at(HOUR_MS), back);
    assert_eq!(again.banned(peer(1), Action::Inject, at(0)), Some(Duration::from_millis(HOUR_MS)));
    assert!(allowed(&mut again, peer(1), Action::Inject, HOUR_MS));
    let ahead = Now { mono: Instant::ZERO, wall: WallTime::from_millis(u64::MAX) };
    assert_eq!(restarted(&limiter, at(HOUR_MS), ahead).banned(peer(1), Action::Inject, at(0)), None);
}

#[test]
fn the_document_is_json_in_the_words_of_the_configuration() {
    let mut limiter = seed();
    burst(&mut limiter, transport(1), Action::Invalid, 7, 4);
    burst(&mut limiter, peer(1), Action::Log, 8, 1);
    let expected = format!(
        "{{\"peers\":{{\"{}\":{{\"logs\":{{\"times\":[{t8}]}}}}}},\
         \"transports\":{{\"00000001{}\":{{\"invalidMessages\":{{\"times\":[{t7},{t7},{t7}],\
         \"bannedUntil\":{}}}}}}}}}",
        PublicKey::from_bytes([1; 32]),
        "0".repeat(56),
        EPOCH + 7 + 2 * HOUR_MS,
        t7 = EPOCH + 7,
        t8 = EPOCH + 8,
    );
    assert_eq!(String::from_utf8(limiter.to_json(at(9))).unwrap(), expected);
}

#[test]
fn a_damaged_document_is_an_error_and_never_a_panic() {
    let read = |text: &str| RateLimiter::from_json(RateConfig::default(), text.as_bytes(), at(0)).map(|_| ());
    assert_eq!(read(r#"{"peers":{},"transports":{}}"#), Ok(()));
    for text in ["", "{", "[]", r#"{"peers":{}}"#, r#"{"peers":{"__proto__":{}},"transports":{}}"#] {
        assert!(matches!(read(text), Err(StateError::Malformed { document: "limits.json", .. })), "{text}");
    }
    for key in ["", "00", &"é".repeat(32), &"G".repeat(64)] {
        let text = format!(r#"{{"peers":{{}},"transports":{{"{key}":{{}}}}}}"#);
        assert!(matches!(read(&text), Err(StateError::Member { member: "transports", .. })), "{text}");
    }
    let text = format!(
        r#"{{"peers":{{"{}":{{"logs":{{"times":[{}]}}}}}},"transports":{{}}}}"#,
        PublicKey::from_bytes([1; 32]),
        vec!["18446744073709551615"; 1000].join(",")
    );
    let loaded = RateLimiter::from_json(RateConfig::default(), text.as_bytes(), at(0)).unwrap();
    assert_eq!(loaded.status(peer(1), at(0)).next().unwrap().last_hour, 100, "no more than the limit is kept");
}

/// The limiter as a list of what happened, with the rules written out.
#[derive(Default)]
struct Model {
    done: Vec<(u8, Action, u64)>,
    bans: Vec<(u8, Action, u64)>,
}

impl Model {
    fn allows(&mut self, config: &RateConfig, who: u8, action: Action, now: u64) -> bool {
        if self.bans.iter().any(|(banned, from, until)| (*banned, *from) == (who, action) && now < *until) {
            return false;
        }
        let count = |window: u64| {
            let recent =
                |(other, done, time): &&(u8, Action, u64)| (*other, *done) == (who, action) && now - time < window;
            self.done.iter().filter(recent).count()
        };
        let limit = config.limit(action);
        if count(60_000) >= limit.per_minute || count(HOUR_MS) >= limit.per_hour {
            self.bans.push((who, action, now + u64::try_from(limit.ban.as_millis()).unwrap()));
            return false;
        }
        self.done.push((who, action, now));
        true
    }
}

#[test]
fn the_limiter_agrees_with_a_naive_model_also_over_restarts() {
    fn property(steps: Vec<(u8, u8, u16, bool)>, ban_minutes: u8) -> bool {
        let mut config = RateConfig::default();
        for limit in [&mut config.injects, &mut config.logs, &mut config.claims, &mut config.invalid] {
            *limit = Limit { per_minute: 2, per_hour: 4, ban: Duration::from_secs(60 * u64::from(ban_minutes)) };
        }
        let mut limiter = RateLimiter::new(config);
        let mut model = Model::default();
        // The monotonic clock starts over at each restart; `passed` goes on.
        let (mut passed, mut started) = (0, 0);
        for (who, action, wait, restart) in steps {
            let (who, action) = (who % 3, Action::ALL[usize::from(action % 4)]);
            passed += u64::from(wait) * 5;
            if restart {
                let stopped = Now { mono: Instant::from_millis(passed - started), ..at(passed) };
                limiter = RateLimiter::from_json(config, &limiter.to_json(stopped), second_run(passed)).unwrap();
                started = passed;
            }
            let subject = if who == 2 { transport(2) } else { peer(who) };
            let now = Now { mono: Instant::from_millis(passed - started), ..at(passed) };
            let verdict = limiter.check(subject, action, now) == Verdict::Allowed;
            if verdict != model.allows(&config, who, action, passed) {
                return false;
            }
        }
        true
    }
    QuickCheck::new().tests(500).quickcheck(property as fn(Vec<(u8, u8, u16, bool)>, u8) -> bool);
}
