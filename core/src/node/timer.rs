//! When the node needs to be called without an input, and why.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use super::change::Change;
use super::stream::Phase;
use super::{AfterWrite, Document, DocumentWrite, Node, StreamId};
use crate::event::{Event, RejectReason};
use crate::time::{Instant, Now};

/// How often counters that changed are stored; a ban is stored at once.
const SAVE_LIMITS_EVERY: Duration = Duration::from_secs(10);
/// How often expiries of the wall clock are looked at: the wall clock can jump, so no timer can be set on it.
const LOOK_AT_WALL_CLOCK_EVERY: Duration = Duration::from_secs(60);

/// Why [`Node::poll_timeout`] names an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeoutReason {
    /// A stream has to finish its handshake, or has been idle.
    Stream,
    /// A request of ours has been waiting too long.
    Request,
    /// A peer is looked for again.
    Dial,
    /// A peer is told of our new key.
    Notice,
    /// A message that waits is tried again, or its command has waited long enough.
    Outbox,
    /// Counters are stored.
    Limits,
    /// Discovery: a topic is searched again, or a stream there is pinged or closed.
    Discovery,
    /// Expiries are looked at.
    Expiry,
}

impl Node {
    /// When to call [`Node::handle_timeout`] at the latest, and for what; never `None` for long.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, TimeoutReason)> {
        let streams = self.streams.values().map(|stream| (stream.deadline, TimeoutReason::Stream));
        let requests = self.requests.values().map(|request| (request.deadline, TimeoutReason::Request));
        let dials = self.dials.values().filter_map(|dial| dial.timeout().map(|at| (at, TimeoutReason::Dial)));
        let notices = self.notice_timeout().map(|at| (at, TimeoutReason::Notice));
        let outbox = self.outgoing.timeout().map(|at| (at, TimeoutReason::Outbox));
        let discovery = self.discovery.timeout().map(|at| (at, TimeoutReason::Discovery));
        let limits = self.limits_dirty.then(|| (self.limits_saved + SAVE_LIMITS_EVERY, TimeoutReason::Limits));
        let expiry = (self.expiries_seen + LOOK_AT_WALL_CLOCK_EVERY, TimeoutReason::Expiry);
        streams
            .chain(requests)
            .chain(dials)
            .chain(notices)
            .chain(outbox)
            .chain(discovery)
            .chain(limits)
            .chain([expiry])
            .min()
    }

    /// Does what the clock demands. Calling it early or often does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.expire_requests(now);
        self.expire_streams(now);
        self.retry_dials(now);
        self.tell_peers(now);
        self.end_waiting(now);
        self.discover_on_time(now);
        self.expire_outbox(now);
        if self.limits_dirty && self.limits_saved + SAVE_LIMITS_EVERY <= now.mono {
            self.save_limits(now);
        }
        if self.expiries_seen + LOOK_AT_WALL_CLOCK_EVERY <= now.mono {
            if !planted!(self.config, TimerStuck) {
                self.expiries_seen = now.mono;
            }
            self.mend_rotations(now);
            self.retire_expired(now);
            self.prune_access(now);
            self.forget_found(now);
            self.refuse_stale_questions(now);
            self.expire_book(now);
            if self.identity_unsaved {
                self.store_identity();
            }
        }
    }

    /// Ends what the wall clock has ended, for good: stored, so that a clock that steps back brings nothing back.
    fn prune_access(&mut self, now: Now) {
        if planted!(self.config, GrantsNeverExpire) {
            return;
        }
        let (ended, past_keys) = self.at_once(|access| {
            access.invites.prune(now.wall);
            (access.grants.prune_expired(now.wall), access.peers.prune(now.wall))
        });
        for grant in &ended {
            self.event(Event::GrantRevoked { peer: grant.peer, grant: grant.id.to_string() });
        }
        if !ended.is_empty() || past_keys {
            self.stop_unauthorised_asks(now);
            self.limit_strangers(now);
            let documents = Vec::from([Document::Access, Document::Peers]);
            self.change(Change::Persist { command: None, documents }, now);
        }
    }

    fn expire_streams(&mut self, now: Now) {
        let late: Vec<StreamId> =
            self.streams.iter().filter(|(_, stream)| stream.deadline <= now.mono).map(|(id, _)| *id).collect();
        for id in late {
            let Some(stream) = self.streams.get(&id) else {
                continue;
            };
            // Somebody's AI is still thinking, or somebody waits for our peer's.
            if stream.serving > 0 || !stream.asked.is_empty() {
                self.stay_open(id, now);
                continue;
            }
            if matches!(stream.phase, Phase::AwaitHello) {
                let remote = stream.remote;
                self.event(Event::PeerRejected { remote, reason: RejectReason::Crowded });
            }
            self.close(id, now);
        }
    }

    /// Stores bans and counters; nothing waits for it.
    pub(super) fn save_limits(&mut self, now: Now) {
        self.limits_dirty = false;
        self.limits_saved = now.mono;
        let bytes = self.limits.to_json(now);
        let write = if planted!(self.config, LimitsAppended) {
            DocumentWrite::Append([bytes, Vec::from(b"\n")].concat())
        } else {
            DocumentWrite::Replace(Zeroizing::new(bytes))
        };
        self.store(Document::Limits, write, AfterWrite::Nothing(Document::Limits));
    }
}
