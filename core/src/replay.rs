//! No message counts twice: a time window, the nonces of accepted messages, and a floor.
//!
//! An accepted message is remembered until its place is needed. Then the oldest leave, by their own timestamps, and
//! the floor rises to the newest of those that left; whatever is not newer than the floor is refused. So every accepted
//! message is for ever either remembered or below the floor, whatever the clock does and however full the table gets.
//! Nothing leaves because time passed: a clock that steps back finds everything it had. In quiet times this costs
//! nothing, because what leaves is older than the window.
//!
//! The journal `replay.log` holds a line for each accepted message. Reading it leads to the same table and floor, so a
//! restart does not reopen the window. After an append that failed, put [`ReplayWindow::compacted`] in its place.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::keys::{Nonce, PublicKey};
use crate::time::WallTime;

#[cfg(test)]
mod tests;

/// How far back a message is told apart from its replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    /// How far a message's timestamp may be from our clock, either way.
    pub window: Duration,
    /// How many messages are remembered, at least one; about 250 bytes of memory and 108 bytes of journal each.
    pub max_nonces: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { window: Duration::from_secs(300), max_nonces: 10_000 }
    }
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Its timestamp lies further back than the window.
    TooOld,
    /// Its timestamp lies further ahead than the window.
    TooNew,
    /// Its nonce was used by the same sender.
    Seen,
    /// It is not newer than messages that had to be forgotten: it could be one of them.
    BelowFloor,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooOld => "the message is too old: check the clocks of both sides",
            Self::TooNew => "the message comes from the future: check the clocks of both sides",
            Self::Seen => "the message was seen before",
            Self::BelowFloor => "the message is older than what can be remembered: send it anew",
        })
    }
}

impl core::error::Error for ReplayError {}

/// The messages that were accepted.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    config: ReplayConfig,
    /// Timestamps by sender and nonce: a stranger's nonce is not a peer's.
    seen: BTreeMap<(PublicKey, Nonce), WallTime>,
    /// The same, oldest first.
    by_time: BTreeSet<(WallTime, PublicKey, Nonce)>,
    floor: Option<WallTime>,
    journal_lines: usize,
    damaged_lines: usize,
    torn: bool,
}

impl ReplayWindow {
    /// Nothing accepted yet.
    #[must_use]
    pub const fn new(config: ReplayConfig) -> Self {
        Self {
            config,
            seen: BTreeMap::new(),
            by_time: BTreeSet::new(),
            floor: None,
            journal_lines: 0,
            damaged_lines: 0,
            torn: false,
        }
    }

    /// Reads the journal.
    ///
    /// A last line that was cut off belongs to a message that was never acted on, and is passed over. Any other line
    /// that cannot be read may have been an accepted message: then the floor rises above all that could have been
    /// accepted until now, so that messages are refused for about the length of the window, but no replay gets in.
    #[must_use]
    pub fn load(config: ReplayConfig, journal: &[u8], now: WallTime) -> Self {
        let mut window = Self::new(config);
        for line in journal.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) = line.strip_suffix(b"\n").map_or((line, false), |text| (text, true));
            match Line::read(text) {
                Some(Line::Accepted(from, nonce, ts)) => window.remember(from, nonce, ts),
                Some(Line::Floor(floor)) => window.raise_floor(floor),
                None if whole => window.damaged_lines += 1,
                None => {}
            }
            window.torn |= !whole;
            window.journal_lines += 1;
        }
        if window.damaged_lines > 0 {
            let newest = window.by_time.last().map_or(now, |(ts, _, _)| *ts);
            window.raise_floor(newest.max(now + config.window));
        }
        window
    }

    /// Whether a message may be accepted. Costs no signature and changes nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, from: &PublicKey, nonce: &Nonce, ts: WallTime, now: WallTime) -> Result<(), ReplayError> {
        if now.since(ts) > self.config.window {
            return Err(ReplayError::TooOld);
        }
        if ts.since(now) > self.config.window {
            return Err(ReplayError::TooNew);
        }
        if self.seen.contains_key(&(*from, *nonce)) {
            return Err(ReplayError::Seen);
        }
        let next_to_leave = self.by_time.first().filter(|_| self.is_full()).map(|(oldest, _, _)| *oldest);
        if self.floor.max(next_to_leave).is_some_and(|floor| ts <= floor) {
            return Err(ReplayError::BelowFloor);
        }
        Ok(())
    }

    /// Accepts a message whose signature and authorisation have been checked (a stranger must not fill the table), and
    /// gives the line to append to the journal. The message must not take effect before that line is durable.
    ///
    /// # Errors
    /// As [`ReplayWindow::check`]: another copy may have been accepted since.
    pub fn accept(
        &mut self,
        from: &PublicKey,
        nonce: &Nonce,
        ts: WallTime,
        now: WallTime,
    ) -> Result<Vec<u8>, ReplayError> {
        self.check(from, nonce, ts, now)?;
        self.remember(*from, *nonce, ts);
        self.journal_lines += 1;
        Ok(Line::Accepted(*from, *nonce, ts).write().into_bytes())
    }

    /// A journal that says the same as the present one in as few lines as possible, to be put in its place.
    #[must_use]
    pub fn compacted(&mut self) -> Vec<u8> {
        let floor = self.floor.map(Line::Floor);
        let accepted = self.by_time.iter().map(|(ts, from, nonce)| Line::Accepted(*from, *nonce, *ts));
        let lines: Vec<String> = floor.into_iter().chain(accepted).map(|line| line.write()).collect();
        (self.journal_lines, self.torn, self.damaged_lines) = (lines.len(), false, 0);
        lines.concat().into_bytes()
    }

    /// Whether the journal should be replaced by [`ReplayWindow::compacted`] before the next line is appended: it has
    /// more than twice as many lines as it needs, or the one read at the start was damaged.
    #[must_use]
    pub fn needs_compaction(&self) -> bool {
        self.torn || self.damaged_lines > 0 || self.journal_lines > 2 * self.seen.len() + 1
    }

    /// How many lines the journal has.
    #[must_use]
    pub const fn journal_lines(&self) -> usize {
        self.journal_lines
    }

    /// How many lines of the journal could not be read at the start; the owner should know.
    #[must_use]
    pub const fn damaged_lines(&self) -> usize {
        self.damaged_lines
    }

    /// How many messages are remembered one by one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn is_full(&self) -> bool {
        self.seen.len() >= self.config.max_nonces.max(1)
    }

    fn remember(&mut self, from: PublicKey, nonce: Nonce, ts: WallTime) {
        // A journal can name a nonce twice, if it was forgotten in between: then the later time covers both.
        let before = self.seen.remove(&(from, nonce));
        if let Some(before) = before {
            self.by_time.remove(&(before, from, nonce));
        }
        let ts = before.map_or(ts, |before| ts.max(before));
        while self.is_full() {
            let Some((oldest, from, nonce)) = self.by_time.pop_first() else { break };
            self.seen.remove(&(from, nonce));
            self.raise_floor(oldest);
        }
        self.seen.insert((from, nonce), ts);
        self.by_time.insert((ts, from, nonce));
    }

    fn raise_floor(&mut self, to: WallTime) {
        self.floor = self.floor.max(Some(to));
    }
}

/// A line of the journal, without its end.
enum Line {
    /// `TS NONCE KEY`
    Accepted(PublicKey, Nonce, WallTime),
    /// `floor TS`
    Floor(WallTime),
}

impl Line {
    fn read(line: &[u8]) -> Option<Self> {
        let time = |text: &str| text.parse().ok().map(WallTime::from_millis);
        let mut words = core::str::from_utf8(line).ok()?.split(' ');
        let line = match (words.next()?, words.next()?, words.next()) {
            ("floor", ts, None) => Self::Floor(time(ts)?),
            (ts, nonce, Some(from)) => Self::Accepted(from.parse().ok()?, nonce.parse().ok()?, time(ts)?),
            _ => return None,
        };
        words.next().is_none().then_some(line)
    }

    fn write(&self) -> String {
        match self {
            Self::Accepted(from, nonce, ts) => format!("{} {nonce} {from}\n", ts.as_millis()),
            Self::Floor(ts) => format!("floor {}\n", ts.as_millis()),
        }
    }
}
