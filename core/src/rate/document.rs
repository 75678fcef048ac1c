//! `limits.json`: counters and bans in wall times, so that a restart keeps them.
//!
//! The wall clock may have jumped between two runs. A time that now lies in the future counts as just now, and a ban
//! never lasts longer than the limit says: a jump can shorten what is in force, but never lengthen it.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::{Action, HOUR, RateConfig, RateLimiter, Record, Row, Table, length, ticks};
use crate::error::{MemberFault, StateError};
use crate::keys::{Nonce, PublicKey, Topic};
use crate::time::{Now, WallTime};

const DOCUMENT: &str = "limits.json";

/// The whole document.
#[derive(serde::Serialize, serde::Deserialize)]
struct Document {
    peers: BTreeMap<PublicKey, Rows>,
    /// By the transport's key in hex.
    transports: BTreeMap<String, Rows>,
}

type Rows = BTreeMap<Action, StoredRow>;

/// A [`Row`] in wall times.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredRow {
    #[serde(default)]
    times: Vec<WallTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    banned_until: Option<WallTime>,
}

impl RateLimiter {
    /// The document `limits.json`.
    ///
    /// # Panics
    /// Never: maps of texts, numbers and lists are always JSON.
    #[must_use]
    pub fn to_json(&self, now: Now) -> Vec<u8> {
        let peers = self.peers.records.iter().map(|(key, record)| (*key, store(record, now)));
        let transports =
            self.transports.records.iter().map(|(key, record)| (Topic(*key).to_string(), store(record, now)));
        let document = Document { peers: peers.collect(), transports: transports.collect() };
        serde_json::to_vec(&document).expect("maps of texts, numbers and lists are JSON")
    }

    /// Reads the document of an earlier run. What is no longer in force is left out.
    ///
    /// # Errors
    /// [`StateError`] says where it is damaged.
    pub fn from_json(config: RateConfig, json: &[u8], now: Now) -> Result<Self, StateError> {
        let document: Document = serde_json::from_slice(json).map_err(|error| StateError::Malformed {
            document: DOCUMENT,
            line: error.line(),
            column: error.column(),
        })?;
        let mut limiter = Self::new(config);
        for (key, rows) in document.peers {
            load(&mut limiter.peers, key, rows, &config, now);
        }
        for (key, rows) in document.transports {
            let key = transport(&key).ok_or(StateError::Member {
                document: DOCUMENT,
                member: "transports",
                fault: MemberFault::Unreadable,
            })?;
            load(&mut limiter.transports, key, rows, &config, now);
        }
        Ok(limiter)
    }
}

fn store(record: &Record, now: Now) -> Rows {
    let (mono, wall) = (ticks(now.mono), i64::try_from(now.wall.as_millis()).unwrap_or(i64::MAX));
    let at = |time: i64| {
        let then = wall.saturating_add(time.saturating_sub(mono));
        WallTime::from_millis(u64::try_from(then).unwrap_or(0))
    };
    let row = |row: &Row| StoredRow {
        times: row.times.iter().map(|time| at(*time)).collect(),
        banned_until: row.banned_until.map(at),
    };
    record.rows.iter().map(|(action, stored)| (*action, row(stored))).collect()
}

fn load<K: Copy + Ord>(table: &mut Table<K>, key: K, rows: Rows, config: &RateConfig, now: Now) {
    let mono = ticks(now.mono);
    let row = |action: Action, stored: StoredRow| {
        let limit = config.limit(action);
        let mut times: Vec<i64> =
            stored.times.iter().map(|time| mono.saturating_sub(length(now.wall.since(*time)))).collect();
        times.retain(|time| mono.saturating_sub(*time) < HOUR);
        times.sort_unstable();
        let surplus = times.len().saturating_sub(limit.per_hour);
        times.drain(..surplus);
        let left = stored.banned_until.map(|until| length(until.since(now.wall).min(limit.ban)));
        Row { times: times.into(), banned_until: left.map(|left| mono.saturating_add(left)) }
    };
    let rows = rows.into_iter().map(|(action, stored)| (action, row(action, stored))).collect();
    table.put(key, Record { rows, lapses: 0 }, mono);
}

/// The 32 bytes written as 64 lower-case hex digits.
fn transport(text: &str) -> Option<[u8; 32]> {
    let (high, low) = text.split_at_checked(32)?;
    let (high, low): (Nonce, Nonce) = (high.parse().ok()?, low.parse().ok()?);
    let mut key = [0; 32];
    key[..16].copy_from_slice(&high.0);
    key[16..].copy_from_slice(&low.0);
    Some(key)
}
