use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use quickcheck::QuickCheck;

use super::{ReplayConfig, ReplayError, ReplayWindow};
use crate::keys::{Nonce, PublicKey};
use crate::time::WallTime;

const START: u64 = 1_767_225_600_000;

fn at(ms: i64) -> WallTime {
    WallTime::from_millis(START.checked_add_signed(ms).unwrap())
}

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

fn nonce(n: u32) -> Nonce {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Nonce(bytes)
}

fn small(max_nonces: usize) -> ReplayConfig {
    ReplayConfig { max_nonces, ..ReplayConfig::default() }
}

/// A window together with its journal, as a node keeps them.
struct Kept {
    window: ReplayWindow,
    journal: Vec<u8>,
}

impl Kept {
    fn new(config: ReplayConfig) -> Self {
        Self { window: ReplayWindow::new(config), journal: Vec::new() }
    }

    fn accept(&mut self, from: u8, n: u32, ts: i64, now: i64) -> Result<(), ReplayError> {
        let (from, nonce) = (key(from), nonce(n));
        let expected = self.window.check(&from, &nonce, at(ts), at(now));
        let line = self.window.accept(&from, &nonce, at(ts), at(now));
        assert_eq!(line.as_ref().err(), expected.as_ref().err(), "check and accept agree");
        self.journal.extend(line?);
        Ok(())
    }

    fn restart(&mut self, now: i64) {
        self.window = ReplayWindow::load(self.window.config, &self.journal, at(now));
    }
}

#[test]
fn the_defaults_are_those_of_the_description() {
    let expected = ReplayConfig { window: Duration::from_secs(5 * 60), max_nonces: 10_000 };
    assert_eq!(ReplayConfig::default(), expected);
}

#[test]
fn a_timestamp_may_be_five_minutes_off_and_no_more() {
    let mut kept = Kept::new(ReplayConfig::default());
    assert_eq!(kept.accept(1, 1, -300_000, 0), Ok(()));
    assert_eq!(kept.accept(1, 2, 300_000, 0), Ok(()));
    assert_eq!(kept.accept(1, 3, -300_001, 0), Err(ReplayError::TooOld));
    assert_eq!(kept.accept(1, 4, 300_001, 0), Err(ReplayError::TooNew));
}

#[test]
fn flaw_14_a_nonce_is_accepted_once_per_sender() {
    let mut kept = Kept::new(ReplayConfig::default());
    assert_eq!(kept.accept(1, 1, 0, 0), Ok(()));
    assert_eq!(kept.accept(1, 1, 0, 0), Err(ReplayError::Seen));
    assert_eq!(kept.accept(1, 1, 1000, 1000), Err(ReplayError::Seen));
    assert_eq!(kept.accept(1, 1, 400_000, 400_000), Err(ReplayError::Seen), "not even when the window is over");
    assert_eq!(kept.accept(2, 1, 0, 0), Ok(()), "another sender's nonce does not collide");
}

#[test]
fn flaw_14_a_full_table_forgets_the_oldest_and_refuses_what_could_be_one_of_them() {
    let mut kept = Kept::new(ReplayConfig::default());
    for n in 0..10_000 {
        assert_eq!(kept.accept(1, n, i64::from(n), 10_000), Ok(()));
    }
    assert_eq!(kept.accept(1, 10_000, 10_000, 10_000), Ok(()));
    assert_eq!(kept.window.seen.len(), 10_000);
    assert_eq!(kept.window.by_time.len(), 10_000);
    assert_eq!(kept.accept(1, 0, 0, 10_000), Err(ReplayError::BelowFloor), "the forgotten one");
    assert_eq!(kept.accept(1, 77_777, 0, 10_000), Err(ReplayError::BelowFloor), "and what is as old");
    assert_eq!(kept.accept(1, 77_777, 1, 10_000), Err(ReplayError::BelowFloor), "and what would have to leave at once");
    assert_eq!(kept.accept(1, 5000, 5000, 10_000), Err(ReplayError::Seen));
    assert_eq!(kept.accept(1, 77_777, 2, 10_000), Ok(()));
}

#[test]
fn flaw_14_a_restart_does_not_reopen_the_window() {
    let mut kept = Kept::new(small(3));
    for n in 0..5 {
        assert_eq!(kept.accept(1, n, i64::from(n), 0), Ok(()));
    }
    for compacted in [false, true] {
        if compacted {
            kept.journal = kept.window.compacted();
        }
        kept.restart(0);
        for n in 0..5 {
            let expected = if n < 2 { ReplayError::BelowFloor } else { ReplayError::Seen };
            assert_eq!(kept.accept(1, n, i64::from(n), 0), Err(expected));
        }
    }
}

#[test]
fn a_larger_or_smaller_table_after_a_restart_reopens_nothing_either() {
    for (max, compacted) in [1, 2, 100].into_iter().flat_map(|max| [(max, false), (max, true)]) {
        let mut kept = Kept::new(small(3));
        for n in 0..5 {
            assert_eq!(kept.accept(1, n, i64::from(n), 0), Ok(()));
        }
        if compacted {
            kept.journal = kept.window.compacted();
        }
        kept.window.config.max_nonces = max;
        kept.restart(0);
        assert!((0..5).all(|n| kept.accept(1, n, i64::from(n), 0).is_err()), "{max} {compacted}");
        assert_eq!(kept.accept(1, 5, 5, 0), Ok(()));
    }
}

#[test]
fn a_clock_that_steps_back_does_not_make_an_old_message_acceptable() {
    let mut kept = Kept::new(small(3));
    assert_eq!(kept.accept(1, 1, 0, 0), Ok(()));
    for n in 2..6 {
        assert_eq!(kept.accept(1, n, 3_600_000, 3_600_000), if n < 5 { Ok(()) } else { Err(ReplayError::BelowFloor) });
    }
    assert_eq!(kept.accept(1, 1, 0, 3_600_000), Err(ReplayError::TooOld));
    assert_eq!(kept.accept(1, 1, 0, 0), Err(ReplayError::BelowFloor), "it had left the table, its time is closed");
    kept.restart(0);
    assert_eq!(kept.accept(1, 1, 0, 0), Err(ReplayError::BelowFloor));
    assert_eq!(kept.accept(1, 9, 1, 0), Err(ReplayError::BelowFloor), "it would be the first to leave again");
}

#[test]
fn what_is_older_than_the_window_makes_room_without_refusing_anything_fresh() {
    let mut kept = Kept::new(small(100));
    // 100 messages within ten minutes, each delayed by up to five minutes or from a clock as much ahead.
    for n in 0..10_000_u32 {
        let now = i64::from(n) * 6001;
        let off = i64::from(n.wrapping_mul(2_654_435_761) % 600_000) - 300_000;
        assert_eq!(kept.accept(1, n, now + off, now), Ok(()), "{n}");
    }
}

#[test]
fn a_torn_last_line_is_passed_over_and_asks_for_a_new_journal() {
    let mut kept = Kept::new(small(10));
    for n in 0..3 {
        assert_eq!(kept.accept(1, n, 0, 0), Ok(()));
    }
    let (whole, line) = (kept.journal.clone(), kept.journal.len() / 3);
    assert_eq!(line, 108);
    for cut in 1..line {
        kept.journal = whole[..whole.len() - cut].to_vec();
        kept.restart(0);
        assert_eq!((kept.window.damaged_lines(), kept.window.needs_compaction()), (0, true), "{cut}");
        assert_eq!(kept.accept(1, 1, 0, 0), Err(ReplayError::Seen));
        assert_eq!(kept.accept(1, 9, 0, 0), Ok(()), "nothing else is refused");
    }
    kept.journal = whole;
    kept.restart(0);
    assert_eq!((kept.window.journal_lines(), kept.window.needs_compaction()), (3, false));
}

#[test]
fn a_damaged_line_closes_the_window_and_the_next_journal_keeps_it_closed() {
    for damaged in ["", "x", "1767225600000", "1 2 3", "floor", "floor x", "floor 1 2", "\u{fffd}"] {
        let mut kept = Kept::new(small(10));
        assert_eq!(kept.accept(1, 1, 0, 0), Ok(()));
        kept.journal.extend(format!("{damaged}\n").bytes());
        assert_eq!(kept.accept(1, 2, 0, 0), Ok(()));
        kept.restart(1000);
        assert_eq!((kept.window.damaged_lines(), kept.window.needs_compaction()), (1, true), "{damaged:?}");
        for compacted in [false, true] {
            if compacted {
                kept.journal = kept.window.compacted();
                kept.restart(1000);
                assert!(!kept.window.needs_compaction());
            }
            assert_eq!(kept.accept(1, 1, 0, 1000), Err(ReplayError::Seen));
            assert_eq!(kept.accept(1, 3, 301_000, 1000), Err(ReplayError::BelowFloor), "as new as could be");
            assert!(kept.window.check(&key(1), &nonce(3), at(301_001), at(301_001)).is_ok());
        }
    }
}

#[test]
fn a_journal_that_is_not_text_is_damaged() {
    let window = ReplayWindow::load(ReplayConfig::default(), &[0xff, b'\n'], at(0));
    assert_eq!(window.damaged_lines(), 1);
}

#[test]
fn the_journal_asks_to_be_replaced_when_it_is_twice_what_it_needs() {
    let mut kept = Kept::new(small(10));
    for n in 0..21 {
        assert!(!kept.window.needs_compaction());
        assert_eq!(kept.accept(1, n, i64::from(n), 0), Ok(()));
    }
    assert!(!kept.window.needs_compaction());
    assert_eq!(kept.accept(1, 21, 21, 0), Ok(()));
    assert!(kept.window.needs_compaction());
    kept.journal = kept.window.compacted();
    assert_eq!(kept.window.journal_lines(), 11);
    assert_eq!(String::from_utf8(kept.journal.clone()).unwrap().lines().next(), Some("floor 1767225600011"));
    assert!(!kept.window.needs_compaction());
}

/// What to do, the sender, the nonce, the timestamp's offset and the clock's jump.
type Step = (u8, bool, u8, i8, i8);

#[test]
fn no_message_is_accepted_twice_whatever_the_clock_does() {
    fn property(steps: Vec<Step>, max: u8) -> bool {
        let mut kept = Kept::new(small(usize::from(max % 8)));
        let mut accepted = BTreeSet::new();
        let mut now = 0_i64;
        for (what, from, n, offset, jump) in steps {
            match what % 8 {
                0 => now += i64::from(jump) * 30_000,
                1 => {
                    kept.window.config.max_nonces = usize::from(jump.unsigned_abs() % 8);
                    kept.restart(now);
                }
                2 => kept.journal = kept.window.compacted(),
                // A message not stored yet when the power fails: cut off, and not acted on.
                3 => {
                    let before = kept.journal.len();
                    let message = (from, n % 16, now);
                    if kept.accept(u8::from(from), u32::from(n % 16), now, now).is_ok() {
                        kept.journal.truncate(before + usize::from(jump.unsigned_abs()) % 108);
                        kept.restart(now);
                        kept.journal = kept.window.compacted();
                        accepted.remove(&message);
                    }
                }
                _ => {
                    // Coarse times, so that the same message comes again.
                    let ts = (now / 60_000 + i64::from(offset % 7)) * 60_000;
                    let message = (from, n % 16, ts);
                    let verdict = kept.accept(u8::from(from), u32::from(n % 16), ts, now);
                    if verdict.is_ok() && !accepted.insert(message) {
                        return false;
                    }
                }
            }
            assert!(kept.window.seen.len() <= kept.window.config.max_nonces.max(1));
            assert_eq!(kept.window.seen.len(), kept.window.by_time.len());
            if accepted.iter().any(|(from, n, ts)| {
                kept.window.check(&key(u8::from(*from)), &nonce(u32::from(*n)), at(*ts), at(*ts)).is_ok()
            }) {
                return false;
            }
        }
        true
    }
    QuickCheck::new().tests(1000).quickcheck(property as fn(Vec<Step>, u8) -> bool);
}

#[test]
fn no_journal_makes_loading_panic() {
    fn property(journal: Vec<u8>, lines: Vec<(u64, String)>) -> bool {
        let text: String = lines.iter().map(|(ts, rest)| format!("{ts} {rest}\n")).collect();
        for bytes in [journal, text.into_bytes()] {
            let mut window = ReplayWindow::load(small(2), &bytes, at(0));
            let again = ReplayWindow::load(small(2), &window.compacted(), at(0));
            if again.floor != window.floor || again.seen != window.seen {
                return false;
            }
        }
        true
    }
    QuickCheck::new().quickcheck(property as fn(Vec<u8>, Vec<(u64, String)>) -> bool);
}

#[test]
fn the_window_is_the_configured_one() {
    let config = ReplayConfig { window: Duration::from_millis(10), max_nonces: 10 };
    let mut kept = Kept::new(config);
    assert_eq!(kept.accept(1, 1, -11, 0), Err(ReplayError::TooOld));
    assert_eq!(kept.accept(1, 1, 11, 0), Err(ReplayError::TooNew));
    assert_eq!(kept.accept(1, 1, 10, 0), Ok(()));
}
