//! How much a peer or a transport may do: sliding windows of a minute and an hour, and bans.
//!
//! Every (subject, action) pair has windows and a ban of its own. Memory is bounded: a subject keeps at most as many
//! timestamps as its hourly limit, and peers and transports live in separate tables of bounded size, so that no flood
//! of fresh transport keys can push out a peer. In memory the monotonic clock counts; on disk wall times stand.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use crate::keys::PublicKey;
use crate::time::{Instant, Now};

mod document;
#[cfg(test)]
mod tests;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Action {
    /// Questions to an AI.
    #[serde(rename = "injects")]
    Inject,
    /// Messages into a session.
    #[serde(rename = "logs")]
    Log,
    /// Claims of invite tokens.
    #[serde(rename = "claims")]
    Claim,
    /// Messages that are no valid messages; counted against the transport they came from.
    #[serde(rename = "invalidMessages")]
    Invalid,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Inject, Self::Log, Self::Claim, Self::Invalid];
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A peer that proved its key.
    Peer(PublicKey),
    /// The transport's authenticated key of a stream's other end.
    Transport([u8; 32]),
}

/// How often an action may be done, and how long it may not be done after that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How often within 60 seconds.
    pub per_minute: usize,
    /// How often within 3600 seconds; also how many timestamps are kept, 8 bytes each.
    pub per_hour: usize,
    /// For how long a subject that exceeds either is banned from the action.
    pub ban: Duration,
}

/// The limits of all actions, and how many subjects are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// Questions.
    pub injects: Limit,
    /// Logged messages.
    pub logs: Limit,
    /// Claims.
    pub claims: Limit,
    /// Invalid messages.
    pub invalid: Limit,
    /// How many peers are remembered, at least one. With the default limits each takes about 2 kB at most.
    pub max_peers: usize,
    /// How many transports are remembered, at least one; each as large as a peer.
    pub max_transports: usize,
}

impl Default for RateConfig {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        let limit = |per_minute, per_hour, ban| Limit { per_minute, per_hour, ban };
        Self {
            injects: limit(10, 100, HOUR),
            logs: limit(10, 100, HOUR),
            claims: limit(5, 20, HOUR),
            invalid: limit(3, 10, 2 * HOUR),
            max_peers: 4096,
            max_transports: 4096,
        }
    }
}

impl RateConfig {
    /// The limit of one action.
    #[must_use]
    pub const fn limit(&self, action: Action) -> Limit {
        match action {
            Action::Inject => self.injects,
            Action::Log => self.logs,
            Action::Claim => self.claims,
            Action::Invalid => self.invalid,
        }
    }
}

/// Whether something may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, and it has been counted.
    Allowed,
    /// No.
    Refused {
        /// When the ban ends.
        until: Instant,
        /// This check exceeded the limit and started the ban; otherwise it was in force already.
        newly_banned: bool,
    },
}

/// Where a subject stands with one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which action.
    pub action: Action,
    /// How often it was done within the last minute.
    pub last_minute: usize,
    /// How often within the last hour.
    pub last_hour: usize,
    /// What is allowed.
    pub limit: Limit,
    /// How long the ban lasts yet, if there is one.
    pub banned: Option<Duration>,
}

/// Somebody who may not do something for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub subject: Subject,
    /// What.
    pub action: Action,
    /// For how long yet.
    pub left: Duration,
}

/// The counters and bans of all subjects.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    config: RateConfig,
    peers: Table<PublicKey>,
    transports: Table<[u8; 32]>,
}

impl RateLimiter {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new(config: RateConfig) -> Self {
        Self { config, peers: Table::new(config.max_peers), transports: Table::new(config.max_transports) }
    }

    /// Counts an action, if it may be done now. What exceeds a limit starts the ban and is not counted, and neither is
    /// what comes during the ban.
    pub fn check(&mut self, subject: Subject, action: Action, now: Now) -> Verdict {
        let (limit, now) = (self.config.limit(action), ticks(now.mono));
        match subject {
            Subject::Peer(key) => self.peers.change(key, now, |record| record.check(action, limit, now)),
            Subject::Transport(key) => self.transports.change(key, now, |record| record.check(action, limit, now)),
        }
    }

    /// How long a subject is banned from an action yet; `None` if it is not. Counts nothing.
    #[must_use]
    pub fn banned(&self, subject: Subject, action: Action, now: Now) -> Option<Duration> {
        self.record(subject)?.rows.get(&action)?.remaining_ban(ticks(now.mono))
    }

    /// Where a subject stands, for every action that it did or is banned from.
    pub fn status(&self, subject: Subject, now: Now) -> impl Iterator<Item = Standing> {
        let now = ticks(now.mono);
        self.record(subject).into_iter().flat_map(|record| &record.rows).map(move |(action, row)| Standing {
            action: *action,
            last_minute: row.within(MINUTE, now),
            last_hour: row.within(HOUR, now),
            limit: self.config.limit(*action),
            banned: row.remaining_ban(now),
        })
    }

    /// The bans in force, of peers and then of transports.
    pub(crate) fn bans(&self, now: Now) -> impl Iterator<Item = Ban> {
        let now = ticks(now.mono);
        let peers = self.peers.records.iter().map(|(key, record)| (Subject::Peer(*key), record));
        let transports = self.transports.records.iter().map(|(key, record)| (Subject::Transport(*key), record));
        peers.chain(transports).flat_map(move |(subject, record)| {
            let ban = move |(action, row): (&Action, &Row)| {
                row.remaining_ban(now).map(|left| Ban { subject, action: *action, left })
            };
            record.rows.iter().filter_map(ban)
        })
    }

    /// How many subjects are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.records.len() + self.transports.records.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn record(&self, subject: Subject) -> Option<&Record> {
        match subject {
            Subject::Peer(key) => self.peers.records.get(&key),
            Subject::Transport(key) => self.transports.records.get(&key),
        }
    }
}

/// The records of one kind of subject, found by key and by when they lapse.
#[derive(Clone, Debug)]
struct Table<K> {
    max: usize,
    records: BTreeMap<K, Record>,
    by_lapse: BTreeSet<(i64, K)>,
}

impl<K: Copy + Ord> Table<K> {
    const fn new(max: usize) -> Self {
        Self { max, records: BTreeMap::new(), by_lapse: BTreeSet::new() }
    }

    /// Changes the record of `key`. If it is new and the table is full, the record that lapses first makes room: one
    /// with nothing in force if there is any, and a subject that is banned outlives those that merely came by.
    fn change<T>(&mut self, key: K, now: i64, with: impl FnOnce(&mut Record) -> T) -> T {
        let mut record = self.take(&key).unwrap_or_default();
        let result = with(&mut record);
        self.put(key, record, now);
        result
    }

    fn take(&mut self, key: &K) -> Option<Record> {
        let record = self.records.remove(key)?;
        self.by_lapse.remove(&(record.lapses, *key));
        Some(record)
    }

    fn put(&mut self, key: K, mut record: Record, now: i64) {
        record.settle(now);
        if record.rows.is_empty() {
            return;
        }
        while self.records.len() >= self.max.max(1) {
            let Some((_, first)) = self.by_lapse.pop_first() else { return };
            self.records.remove(&first);
        }
        self.by_lapse.insert((record.lapses, key));
        self.records.insert(key, record);
    }
}

/// What is known of one subject.
#[derive(Clone, Debug, Default)]
struct Record {
    rows: BTreeMap<Action, Row>,
    /// From when on it says nothing any more.
    lapses: i64,
}

impl Record {
    fn check(&mut self, action: Action, limit: Limit, now: i64) -> Verdict {
        self.rows.entry(action).or_default().check(limit, now)
    }

    /// Drops the rows that say nothing any more and computes when the rest does.
    fn settle(&mut self, now: i64) {
        self.rows.retain(|_, row| row.lapses() > now);
        self.lapses = self.rows.values().map(Row::lapses).max().unwrap_or(now);
    }
}

/// The window and the ban of one subject and action. Times are monotonic milliseconds; those from before this run's
/// clock began are negative.
#[derive(Clone, Debug, Default)]
struct Row {
    /// When it was done, oldest first; at most [`Limit::per_hour`] of them, none older than an hour at the last check.
    times: VecDeque<i64>,
    banned_until: Option<i64>,
}

impl Row {
    fn check(&mut self, limit: Limit, now: i64) -> Verdict {
        let refused = |until, newly_banned| Verdict::Refused { until: instant(until), newly_banned };
        if let Some(until) = self.banned_until.filter(|until| now < *until) {
            return refused(until, false);
        }
        while self.times.front().is_some_and(|time| now.saturating_sub(*time) >= HOUR) {
            self.times.pop_front();
        }
        if self.times.len() >= limit.per_hour || self.within(MINUTE, now) >= limit.per_minute {
            let until = now.saturating_add(length(limit.ban));
            self.banned_until = Some(until);
            return refused(until, true);
        }
        self.times.push_back(now);
        Verdict::Allowed
    }

    /// How many times are less than `window` ago.
    fn within(&self, window: i64, now: i64) -> usize {
        self.times.len() - self.times.partition_point(|time| now.saturating_sub(*time) >= window)
    }

    fn remaining_ban(&self, now: i64) -> Option<Duration> {
        let left = self.banned_until?.saturating_sub(now);
        u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
    }

    fn lapses(&self) -> i64 {
        let counted = self.times.back().map_or(i64::MIN, |last| last.saturating_add(HOUR));
        counted.max(self.banned_until.unwrap_or(i64::MIN))
    }
}

fn ticks(instant: Instant) -> i64 {
    i64::try_from(instant.as_millis()).unwrap_or(i64::MAX)
}

fn instant(ticks: i64) -> Instant {
    Instant::from_millis(u64::try_from(ticks).unwrap_or(0))
}

fn length(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
