//! Delivering a message once, however often it comes.
//!
//! A queued message carries an id that stays the same over all attempts ([`Once`](crate::message::Once)), while each
//! attempt has a nonce and a time of its own: the replay window sees new messages, and is as strict as ever. Only a
//! sender whose handshake, signature, limits and grant have passed gets here.
//!
//! Whether a message was delivered is known in one place only, its session's file: the line that holds the text holds
//! the id, written at once. So there is no moment at which a crash could leave the two apart:
//! * before the line is on disk, the message was never acknowledged, and the next attempt writes the line;
//! * after it, every further attempt finds the line, writes nothing, and is acknowledged again.
//!
//! The driver does the looking, since it has the file: [`SessionEntry::once`](super::SessionEntry::once) makes its
//! append idempotent, and its order (one write after the other) settles two attempts that overlap. Only a line of the
//! same peer, session and text counts; anything else under the same id is a message of its own. Here a bounded memory
//! of the last such messages spares the disk the question, and the owner a second event.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Node;
use super::deliver::{Delivery, Kind};
use crate::keys::{Nonce, PublicKey};
use crate::message::Once;
use crate::outbox::MAX_WAIT;
use crate::time::{Now, WallTime};

/// How many delivered messages are remembered, 64 bytes each.
const REMEMBERED: usize = 1024;
/// How far a sender's word on when it first sent a message may lie back: beyond, no file is searched.
const OLDEST: Duration = Duration::from_secs(MAX_WAIT.as_secs() + 24 * 3600);

/// Where the driver has to look before it appends a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceOnly {
    /// The message's id, to be written into the line.
    pub id: Nonce,
    /// Every key of its sender: a line of any of them counts.
    pub senders: Vec<PublicKey>,
    /// Lines from before need not be looked at, by our clock.
    pub since: WallTime,
}

/// The last messages that were delivered.
#[derive(Default)]
pub(super) struct Delivered {
    order: VecDeque<[u8; 32]>,
    known: BTreeSet<[u8; 32]>,
}

impl Delivered {
    fn contains(&self, delivery: &Delivery, once: &Once) -> bool {
        self.known.contains(&mark(delivery, once))
    }

    /// Whether it is new.
    fn insert(&mut self, delivery: &Delivery, once: &Once) -> bool {
        let mark = mark(delivery, once);
        if !self.known.insert(mark) {
            return false;
        }
        self.order.push_back(mark);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

fn mark(delivery: &Delivery, once: &Once) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(delivery.peer.as_bytes());
    hash.update(once.id.0);
    hash.update(Sha256::digest(delivery.session.as_str()));
    hash.update(Sha256::digest(&delivery.text));
    hash.finalize().into()
}

impl Node {
    /// Where to look for an earlier copy of this message; none if it has no id.
    pub(super) fn look_for(&self, delivery: &Delivery) -> Option<OnceOnly> {
        let Kind::Log { once: Some(once) } = delivery.kind else {
            return None;
        };
        if planted!(self.config, QueuedTwice) {
            return None;
        }
        let senders = self.keys_of(&delivery.peer);
        // Their clock may be ahead of ours by as much as a message's time may be.
        let ahead = self.config.replay.window.as_millis() as u64 * 2;
        let since = WallTime::from_millis(once.since.as_millis().saturating_sub(ahead));
        Some(OnceOnly { id: once.id, senders, since })
    }

    /// A peer's key and those before it.
    pub(super) fn keys_of(&self, peer: &PublicKey) -> Vec<PublicKey> {
        let past = self.access.peers.get(peer).into_iter().flat_map(|peer| &peer.history);
        past.map(|past| past.key).chain([*peer]).collect()
    }

    /// Whether the message is known to have been delivered. Then it is acknowledged again, and nothing else.
    pub(super) fn delivered_before(&mut self, delivery: &Delivery, now: Now) -> bool {
        let Kind::Log { once: Some(once) } = &delivery.kind else {
            return false;
        };
        if !self.delivered.contains(delivery, once) || planted!(self.config, QueuedTwice) {
            return false;
        }
        self.acknowledge_log(delivery, now);
        true
    }

    /// Notes a delivery; whether the owner should hear of it.
    pub(super) fn note_delivered(&mut self, delivery: &Delivery) -> bool {
        match &delivery.kind {
            Kind::Log { once: Some(once) } => self.delivered.insert(delivery, once),
            _ => true,
        }
    }
}

/// Why a message with this id cannot be taken; its time is that of the attempt.
pub(super) fn fault(once: Option<&Once>, ts: WallTime, window: Duration) -> Option<String> {
    let since = once?.since;
    if since > ts + window {
        return Some("log failed: the message says that it was first sent in the future".into());
    }
    (ts.since(since) > OLDEST).then(|| "log failed: the message has waited for more than 31 days".into())
}
