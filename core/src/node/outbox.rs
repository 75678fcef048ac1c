//! Delivering what waits in the outbox: one message after the other for each peer, in the order of their queueing.
//!
//! What is promised:
//! * Between our own nodes each message is delivered exactly once, whatever is lost and whoever crashes, until it
//!   expires or is cancelled: it is on disk before it is sent, and leaves the disk when the peer has acknowledged it;
//!   the peer knows a repetition by its id (`once.rs`).
//! * An original cannot tell a repetition. There each attempt is marked on disk first; if its outcome stays unknown
//!   (no answer, or we crashed), the message is not sent again and the owner is told: it was delivered at most once. The
//!   mark is taken back when the peer answers with a refusal.
//! * A message is given up when it expires and when the peer says that it will never take it.
//!
//! A peer is tried again after a delay that doubles, and at once when any stream shows that it is there or the owner has
//! another message for it. What waits for a peer that was away for a while so goes out within about that while of its
//! return, and within the longest delay at most. Few peers are tried at the same time, and each at most every few
//! seconds unless the owner wants it, so that nobody can make us dial without end. What went out in the background keeps
//! below the rate limits that peers have by default.

mod lane;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use self::lane::Lane;
use super::request::{Request, What};
use super::{AfterWrite, CommandError, CommandId, Document, DocumentWrite, Node, Reply, WriteFailed};
use crate::access::SessionName;
use crate::event::Event;
use crate::keys::{Nonce, PublicKey};
use crate::outbox::{MAX_WAIT, Outbox, Queued, Tried};
use crate::peer::PeerRef;
use crate::time::{Instant, Now, WallTime};

/// A peer that shows up again and again is tried no more often than this.
const MIN_GAP: Duration = Duration::from_secs(5);
/// How long a peer that counts too many requests is left alone at least.
const LIMITED_GAP: Duration = Duration::from_secs(600);

/// The outbox, and what is being done about it.
#[derive(Default)]
pub(super) struct Outgoing {
    pub(super) table: Outbox,
    lanes: BTreeMap<PublicKey, Lane>,
    under_way: BTreeSet<Nonce>,
    waiting: BTreeMap<Nonce, Waiter>,
    /// When a peer is to be tried next, of those that are not held up by anything else.
    wake: Option<Instant>,
    /// The last write of the document failed: nobody knows how it ends.
    failed: bool,
}

/// A command that waits for its message to be delivered.
struct Waiter {
    command: CommandId,
    until: Instant,
}

/// A message that waits, for the owner to look at: without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: Nonce,
    /// For whom, by the key that the peer has now.
    pub peer: PublicKey,
    /// For which of the peer's sessions.
    pub session: SessionName,
    /// The text's length in bytes.
    pub size: usize,
    /// Since when it waits.
    pub queued: WallTime,
    /// When it is given up.
    pub expires: WallTime,
    /// Why the last attempt to reach the peer failed, if there was one since the node started.
    pub failure: Option<String>,
    /// Whether it is with the peer and the answer has yet to come, or never came.
    pub sent: bool,
}

/// What is to be done when a line of the document is durable.
pub(super) enum AfterLine {
    /// The message may be sent.
    Queued(Nonce),
    /// The message may be sent once.
    Marked(Nonce),
    /// Nothing waits for it.
    Nothing,
}

impl Outgoing {
    pub(super) fn new(table: Outbox, now: Now) -> Self {
        Self { table, wake: Some(now.mono), ..Self::default() }
    }

    /// When something is to be done without any input.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.waiting.values().map(|waiter| waiter.until).chain(self.wake).min()
    }
}

impl Node {
    #[expect(clippy::too_many_arguments, reason = "the members of one command, taken apart")]
    pub(super) fn queue(
        &mut self,
        command: CommandId,
        target: PublicKey,
        session: SessionName,
        text: String,
        timeout: Duration,
        expires_in: Duration,
        now: Now,
    ) -> Result<(), CommandError> {
        let same = |key: &PublicKey| self.current_key(key) == target;
        let room = self.outgoing.table.room(text.len(), same, &self.config.outbox);
        room.map_err(CommandError::LimitReached)?;
        let id = Nonce(self.rng.bytes());
        let expires = now.wall + expires_in.min(MAX_WAIT);
        let message = Queued { id, peer: target, session, text, queued: now.wall, expires };
        let line = self.outgoing.table.push(message);
        #[cfg(wopr_planted)]
        if planted!(self.config, QueueJumped) {
            self.outgoing.table.jump();
        }
        self.outgoing.waiting.insert(id, Waiter { command, until: now.mono + timeout });
        self.append_outbox(line, AfterLine::Queued(id));
        Ok(())
    }

    pub(super) fn cancel_queued(&mut self, command: CommandId, id: &str, now: Now) -> Result<(), CommandError> {
        let id: Nonce = id.parse().map_err(|_| CommandError::NoSuchMessage)?;
        let waiting = self.waiting_messages().into_iter().find(|waiting| waiting.id == id);
        let waiting = waiting.ok_or(CommandError::NoSuchMessage)?;
        self.end_message(&id, Err(CommandError::Cancelled));
        let number = self.requests.iter().find(|(_, request)| request.what.queued() == Some(id));
        if let Some(number) = number.map(|(number, _)| *number) {
            self.conclude(number, Err(CommandError::Cancelled), now);
        }
        self.stop_unwanted_dials(now);
        self.finish(command, Ok(Reply::Unqueued(waiting)));
        self.pump_outbox(now);
        Ok(())
    }

    /// The messages that wait, oldest first.
    pub(super) fn waiting_messages(&self) -> Vec<Waiting> {
        let waiting = |message: &Queued, tried| {
            let peer = self.current_key(&message.peer);
            let failure = self.outgoing.lanes.get(&peer).and_then(|lane| lane.failure.clone());
            let sent = tried == Tried::Unknown || self.is_sent(&message.id);
            let Queued { id, session, queued, expires, .. } = message.clone();
            Waiting { id, peer, session, size: message.text.len(), queued, expires, failure, sent }
        };
        self.outgoing.table.iter().map(|entry| waiting(&entry.message, entry.tried)).collect()
    }

    fn is_sent(&self, id: &Nonce) -> bool {
        self.requests.values().any(|request| request.what.queued() == Some(*id) && request.sent.is_some())
    }

    fn current_key(&self, key: &PublicKey) -> PublicKey {
        self.access.peers.resolve(&PeerRef::Key(*key)).map_or(*key, |peer| peer.key)
    }

    fn append_outbox(&mut self, line: Vec<u8>, after: AfterLine) {
        // After a failed append nobody knows how the document ends: it is put in place anew.
        let write = if self.outgoing.failed || self.outgoing.table.needs_compaction() {
            DocumentWrite::Replace(Zeroizing::new(self.outgoing.table.compacted()))
        } else {
            DocumentWrite::Append(line)
        };
        self.outgoing.failed = false;
        self.store(Document::Outbox, write, AfterWrite::Outbox(after));
    }

    pub(super) fn outbox_written(&mut self, after: &AfterLine, result: Result<(), WriteFailed>, now: Now) {
        if let Err(WriteFailed { reason }) = &result {
            self.outgoing.failed = true;
            self.event(Event::StoreFailed { what: Document::Outbox.file_name().into(), reason: reason.clone() });
        }
        match (after, result) {
            (AfterLine::Queued(id), Ok(())) => {
                // Cancelled meanwhile, if it is not there any more.
                if self.outgoing.table.stored(id) {
                    self.pump_outbox(now);
                }
            }
            (AfterLine::Queued(id), Err(WriteFailed { reason })) => {
                self.outgoing.table.remove(id);
                self.answer_waiter(id, Err(CommandError::NotStored(reason)));
            }
            (AfterLine::Marked(id), Ok(())) => {
                self.outgoing.table.mark(id, Tried::Marked);
                self.pump_for(id, now);
            }
            (AfterLine::Marked(id), Err(WriteFailed { reason })) => {
                self.outgoing.table.mark(id, Tried::No);
                self.end_attempt(id, Err(CommandError::NotStored(reason)), now);
            }
            (AfterLine::Nothing, _) => {}
        }
    }

    fn pump_for(&mut self, id: &Nonce, now: Now) {
        let request = self.requests.values().find(|request| request.what.queued() == Some(*id));
        if let Some((local, target)) = request.map(|request| (request.local, request.target)) {
            self.pump(local, target, now);
        }
    }

    /// Ends the attempt under way for a message, if there is one.
    fn end_attempt(&mut self, id: &Nonce, result: Result<Reply, CommandError>, now: Now) {
        let number = self.requests.iter().find(|(_, request)| request.what.queued() == Some(*id));
        if let Some(number) = number.map(|(number, _)| *number) {
            self.conclude(number, result, now);
        }
    }

    /// Sends what may be sent now, and finds out when to come back.
    pub(super) fn pump_outbox(&mut self, now: Now) {
        self.outgoing.wake = None;
        let mut seen = BTreeSet::new();
        let mut due = Vec::new();
        for entry in self.outgoing.table.iter().filter(|entry| entry.stored) {
            let (id, peer) = (entry.message.id, self.current_key(&entry.message.peer));
            if seen.insert(peer) && !self.outgoing.under_way.contains(&id) {
                due.push((id, peer));
            }
        }
        self.outgoing.lanes.retain(|peer, lane| seen.contains(peer) || lane.sent_lately(now));
        for (id, peer) in due {
            let awaited = self.is_awaited(&peer);
            if !awaited && !self.config.outbox.background {
                continue;
            }
            let next = self.next_attempt(peer, awaited, now);
            if next > now.mono {
                self.outgoing.wake = Some(self.outgoing.wake.map_or(next, |wake| wake.min(next)));
            } else if awaited || self.outgoing.under_way.len() < self.config.outbox.parallel {
                self.attempt(id, peer, now);
            }
            // Else the end of an attempt under way comes back here.
        }
    }

    /// Whether the owner is waiting for a message to this peer.
    fn is_awaited(&self, peer: &PublicKey) -> bool {
        self.outgoing
            .waiting
            .keys()
            .any(|id| self.outgoing.table.get(id).is_some_and(|entry| self.current_key(&entry.message.peer) == *peer))
    }

    fn next_attempt(&mut self, peer: PublicKey, awaited: bool, now: Now) -> Instant {
        let limit = self.config.rates.logs;
        let lane = self.outgoing.lanes.entry(peer).or_default();
        if awaited { now.mono } else { lane.next.max(lane.room(limit.per_minute, limit.per_hour, now)) }
    }

    fn attempt(&mut self, id: Nonce, target: PublicKey, now: Now) {
        let lane = self.outgoing.lanes.entry(target).or_default();
        lane.last = Some(now.mono);
        let until = self.outgoing.waiting.get(&id).map(|waiter| waiter.until);
        let deadline = until.unwrap_or(now.mono + self.config.outbox.attempt);
        self.outgoing.under_way.insert(id);
        let local = self.identity.current.public_key();
        self.tell_first(&target, now);
        self.request(Request { local, target, what: What::Queued { id }, deadline, sent: None }, now);
    }

    /// A message that is about to be sent on a stream: whether it may, or what to do instead.
    pub(super) fn may_send_queued(&mut self, id: &Nonce, bound: bool) -> MaySend {
        let Some(entry) = self.outgoing.table.get(id) else {
            return MaySend::No;
        };
        if bound {
            return MaySend::Yes;
        }
        match entry.tried {
            Tried::Marked => {
                self.outgoing.table.mark(id, Tried::Unknown);
                MaySend::Yes
            }
            Tried::Marking => MaySend::Later,
            Tried::Unknown => MaySend::No,
            Tried::No => {
                let line = self.outgoing.table.mark_tried(id);
                self.append_outbox(line, AfterLine::Marked(*id));
                MaySend::Later
            }
        }
    }

    /// An attempt has ended.
    pub(super) fn queued_ended(
        &mut self,
        id: &Nonce,
        target: PublicKey,
        result: Result<Reply, CommandError>,
        now: Now,
    ) {
        self.outgoing.under_way.remove(id);
        let Some(entry) = self.outgoing.table.get(id) else {
            // Expired or cancelled meanwhile. What waits behind it has no other timer.
            return self.pump_outbox(now);
        };
        let (tried, awaited) = (entry.tried, self.outgoing.waiting.contains_key(id));
        let untold = self.has_untold_key(&target);
        match result {
            Ok(_) => {
                self.lane_worked(target, now);
                self.end_message(id, Ok(Reply::Logged));
            }
            Err(error) if tried == Tried::Unknown && outcome_unknown(&error) => self.end_message(id, Err(error)),
            Err(error) if is_final(&error, awaited, untold) => {
                self.lane_worked(target, now);
                self.end_message(id, Err(error));
            }
            Err(error) => {
                // Refused, or not sent after all. Else its outcome is as unknown as before.
                if tried == Tried::Marked || tried == Tried::Unknown && is_refusal(&error) {
                    let line = self.outgoing.table.mark_refused(id);
                    self.append_outbox(line, AfterLine::Nothing);
                }
                self.lane_failed(target, &error, now);
                self.stop_waiting_for(target);
                if planted!(self.config, QueuedForgotten) {
                    self.outgoing.table.remove(id);
                }
            }
        }
        self.pump_outbox(now);
    }

    fn lane_worked(&mut self, peer: PublicKey, now: Now) {
        let lane = self.outgoing.lanes.entry(peer).or_default();
        lane.sent.push_back(now.mono);
        (lane.next, lane.delay, lane.failure) = (now.mono, Duration::ZERO, None);
    }

    fn lane_failed(&mut self, peer: PublicKey, error: &CommandError, now: Now) {
        let config = &self.config.outbox;
        let lane = self.outgoing.lanes.entry(peer).or_default();
        lane.failure = Some(error.to_string());
        let delay = match error {
            // The peer is there. It has to be left alone, whenever we were to try it.
            CommandError::RateLimited(_) => lane.longer_delay(config).max(LIMITED_GAP),
            // Tried early, because the owner had another message for it. That says nothing of how long it will be away,
            // and whoever writes a dozen messages in a minute must not make them wait for long.
            _ if now.mono < lane.next => return,
            // Nor does this.
            CommandError::NetworkDown => config.first_retry,
            _ => lane.longer_delay(config),
        };
        let spread = self.rng.below(delay.as_millis() as u64 / 4 + 1);
        lane.next = now.mono + delay + Duration::from_millis(spread);
    }

    /// The peer of these messages cannot be had now: the commands that wait for them are over, the messages are not.
    fn stop_waiting_for(&mut self, peer: PublicKey) {
        let of_peer = |node: &Self, id: &Nonce| {
            node.outgoing.table.get(id).is_some_and(|entry| node.current_key(&entry.message.peer) == peer)
        };
        let ids: Vec<Nonce> = self.outgoing.waiting.keys().filter(|id| of_peer(self, id)).copied().collect();
        for id in ids {
            self.leave_queued(&id);
        }
    }

    /// Tells the command that waits for a message that it stays queued.
    fn leave_queued(&mut self, id: &Nonce) {
        let Some(entry) = self.outgoing.table.get(id) else {
            return;
        };
        if !entry.stored {
            return;
        }
        let Queued { peer, session, expires, .. } = entry.message.clone();
        let peer = self.current_key(&peer);
        self.answer_waiter(id, Ok(Reply::Queued { id: *id, expires }));
        self.event(Event::MessageQueued { id: *id, peer, session });
    }

    fn answer_waiter(&mut self, id: &Nonce, result: Result<Reply, CommandError>) {
        if let Some(waiter) = self.outgoing.waiting.remove(id) {
            self.finish(waiter.command, result);
        }
    }

    /// A message no longer waits: it was delivered, or never will be.
    fn end_message(&mut self, id: &Nonce, result: Result<Reply, CommandError>) {
        let Some((entry, line)) = self.outgoing.table.remove(id) else {
            return;
        };
        self.append_outbox(line, AfterLine::Nothing);
        let Queued { peer, session, .. } = entry.message;
        let (id, peer) = (*id, self.current_key(&peer));
        // Whoever waits for it hears it by the command, and nobody else is concerned.
        if !self.outgoing.waiting.contains_key(&id) {
            match &result {
                Ok(_) => self.event(Event::QueuedDelivered { id, peer, session }),
                Err(error) => {
                    self.event(Event::QueuedFailed { id, peer, session, reason: error.to_string() });
                }
            }
        }
        self.answer_waiter(&id, result);
    }

    /// Gives up what has waited too long, and the commands that have.
    pub(super) fn expire_outbox(&mut self, now: Now) {
        let waiting = self.outgoing.waiting.iter();
        let late: Vec<Nonce> = waiting.filter(|(_, waiter)| waiter.until <= now.mono).map(|(id, _)| *id).collect();
        for id in late {
            self.leave_queued(&id);
        }
        let table = self.outgoing.table.iter();
        let over: Vec<Nonce> =
            table.filter(|entry| entry.message.expires <= now.wall).map(|entry| entry.message.id).collect();
        for id in over {
            self.end_message(&id, Err(CommandError::Expired));
            self.end_attempt(&id, Err(CommandError::Expired), now);
        }
        if self.outgoing.wake.is_some_and(|wake| wake <= now.mono) {
            self.pump_outbox(now);
        }
    }

    /// The peer has just shown that it is there.
    pub(super) fn outbox_peer_seen(&mut self, peer: PublicKey, now: Now) {
        let peer = self.current_key(&peer);
        if !self.outgoing.table.iter().any(|entry| self.current_key(&entry.message.peer) == peer) {
            return;
        }
        let lane = self.outgoing.lanes.entry(peer).or_default();
        let soonest = lane.last.map_or(now.mono, |last| last + MIN_GAP).max(now.mono);
        lane.next = lane.next.min(soonest);
        self.pump_outbox(now);
    }
}

/// What to do with a queued message for which there is a stream.
pub(super) enum MaySend {
    Yes,
    /// Something has to be stored first, and comes back.
    Later,
    /// It is not to be sent.
    No,
}

/// Whether the peer may have acted on the message although the attempt failed.
const fn outcome_unknown(error: &CommandError) -> bool {
    matches!(error, CommandError::NoAnswer(_) | CommandError::BadAnswer(_) | CommandError::Cancelled)
}

/// Whether the peer itself said no.
const fn is_refusal(error: &CommandError) -> bool {
    matches!(error, CommandError::Unauthorized(_) | CommandError::RateLimited(_) | CommandError::Rejected { .. })
}

/// Whether a refusal is the last word. While somebody waits, every refusal of the peer is: they decide what to do.
fn is_final(error: &CommandError, awaited: bool, untold: bool) -> bool {
    match error {
        CommandError::PayloadTooLarge { .. } | CommandError::BadKey(_) => true,
        CommandError::Rejected { reason, .. } if reason.starts_with("payload too large") => true,
        // It has arrived; the owner decides there.
        CommandError::Rejected { reason, .. } if reason == crate::gateway::HELD => true,
        // It may just not know our new key yet.
        CommandError::Unauthorized(_) => !untold,
        CommandError::RateLimited(_) | CommandError::Rejected { .. } | CommandError::VersionMismatch(_) => awaited,
        _ => false,
    }
}

impl What {
    /// The message of the outbox that this is an attempt for.
    pub(super) const fn queued(&self) -> Option<Nonce> {
        match self {
            Self::Queued { id } => Some(*id),
            _ => None,
        }
    }
}
