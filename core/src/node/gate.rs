//! Texts of untrusted peers that wait at the gateway until the owner has approved or denied them.
//!
//! A logged text is stored, and its sender hears at once that it waits; approved, it goes into the session. A question
//! waits with its asker, in memory: approved, the AI is asked; when the asker goes away or the node stops, it is over.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::change::Change;
use super::deliver::{Delivery, Kind};
use super::discover::book::Edit;
use super::{
    AfterWrite, CommandError, CommandId, EntryKind, Node, OnceOnly, Reply, SessionEntry, StreamId, WriteFailed,
};
use crate::access::TrustLevel;
use crate::discovery::{HeldLog, PendingId, PendingRequest, PendingWhat};
use crate::event::{Event, RejectReason};
use crate::grant::Needs;
use crate::keys::Nonce;
use crate::time::{Now, WallTime};

/// What waits in memory, and what is on its way out.
#[derive(Default)]
pub(super) struct Gate {
    questions: BTreeMap<PendingId, Question>,
    /// Stored texts that the owner has decided about, by the command.
    leaving: BTreeMap<CommandId, (PendingRequest, Leaving)>,
}

struct Question {
    delivery: Delivery,
    since: WallTime,
}

#[derive(Clone, Copy)]
enum Leaving {
    Approved,
    Denied,
}

impl Gate {
    /// Whether a question waits under this id.
    pub(super) fn holds(&self, id: PendingId) -> bool {
        self.questions.contains_key(&id)
    }
}

impl Node {
    /// Whether the owner has to see this text first.
    pub(super) fn needs_approval(&self, delivery: &Delivery, now: Now) -> bool {
        let Some(gateway) = self.config.gateway.as_ref().filter(|gateway| gateway.approval) else {
            return false;
        };
        let permit = self.permit(&delivery.peer, &delivery.session, delivery.kind.needs(), now);
        delivery.session == gateway.session && permit.is_some_and(|permit| permit.trust == TrustLevel::Untrusted)
    }

    /// Keeps a text for the owner.
    pub(super) fn hold(&mut self, delivery: Delivery, now: Now) {
        if self.waits_already(&delivery) {
            return self.refuse_delivery(&delivery, RejectReason::Held, now);
        }
        if !self.has_room_for(&delivery) {
            return self.refuse_delivery(&delivery, RejectReason::Crowded, now);
        }
        let id = self.new_pending_id();
        if let Kind::Log { once } = &delivery.kind {
            let once = once.map_or_else(|| Nonce(self.rng.bytes()), |once| once.id);
            let (session, text) = (delivery.session.clone(), delivery.text.clone());
            let log = HeldLog { id, peer: delivery.peer, session, text, since: now.wall, once };
            return self.change(Change::Book { command: None, edit: Edit::Hold { log, delivery } }, now);
        }
        let (peer, session) = (delivery.peer, delivery.session.clone());
        self.gate.questions.insert(id, Question { delivery, since: now.wall });
        self.event(Event::MessageHeld { peer, session, request: id });
    }

    /// Whether this very message waits: its sender did not hear so, or tries again.
    fn waits_already(&self, delivery: &Delivery) -> bool {
        let Kind::Log { once: Some(once) } = &delivery.kind else {
            return false;
        };
        let mut held = self.access.book.held.iter();
        held.any(|log| log.once == once.id && log.peer == delivery.peer && log.text == delivery.text)
    }

    fn has_room_for(&self, delivery: &Delivery) -> bool {
        let questions = self.gate.questions.values().map(|held| (held.delivery.peer, held.delivery.text.len()));
        let logs = self.access.book.held.iter().map(|log| (log.peer, log.text.len()));
        let (mut count, mut same, mut bytes) = (0, 0, delivery.text.len());
        for (peer, len) in questions.chain(logs) {
            count += 1;
            same += usize::from(peer == delivery.peer);
            bytes += len;
        }
        let config = &self.config.discovery;
        count < config.max_requests && same < config.max_held_per_peer && bytes <= config.max_held_bytes
    }

    /// Every text that waits.
    pub(super) fn pending_messages(&self) -> Vec<PendingRequest> {
        let questions = self.gate.questions.iter().map(|(id, held)| self.pending_question(*id, held));
        questions.chain(self.access.book.held.iter().map(|log| self.pending_log(log))).collect()
    }

    fn pending_question(&self, id: PendingId, held: &Question) -> PendingRequest {
        let Delivery { peer, session, text, .. } = &held.delivery;
        let what = PendingWhat::Message { session: session.clone(), text: text.clone(), question: true };
        let expires = held.since + self.config.discovery.request_expiry;
        PendingRequest { id, peer: *peer, since: held.since, expires, what }
    }

    fn pending_log(&self, log: &HeldLog) -> PendingRequest {
        let HeldLog { id, peer, session, text, since, .. } = log.clone();
        let expires = since + self.config.discovery.request_expiry;
        PendingRequest { id, peer, since, expires, what: PendingWhat::Message { session, text, question: false } }
    }

    /// The owner approves what waits under this name.
    pub(super) fn approve(&mut self, command: CommandId, name: &str, now: Now) -> Result<(), CommandError> {
        if let Some(request) = self.access.book.pending(name).cloned() {
            return self.approve_connection(command, &request, now);
        }
        let id: PendingId = name.parse().map_err(|_| CommandError::NoSuchRequest)?;
        if let Some(held) = self.gate.questions.get(&id) {
            let request = self.pending_question(id, held);
            if let Some(held) = self.gate.questions.remove(&id) {
                self.let_in(held.delivery, now);
            }
            self.finish(command, Ok(Reply::Approved(request)));
            return Ok(());
        }
        let mut log = self.held_log(id)?;
        log.peer = self.acting(log.peer, now);
        if self.permit(&log.peer, &log.session, Needs::Log, now).is_none() {
            return Err(CommandError::NoSuchGrant);
        }
        self.gate.leaving.insert(command, (self.pending_log(&log), Leaving::Approved));
        let (from, peer) = (self.display_name(&log.peer), log.peer);
        // So that a crash before it is taken out of the store does not let it in a second time.
        let once = Some(OnceOnly { id: log.once, senders: self.keys_of(&peer), since: log.since });
        let entry = SessionEntry { at: now.wall, from, kind: EntryKind::Message, content: log.text, peer, once };
        self.record(log.session, entry, AfterWrite::Approved(command, id));
        Ok(())
    }

    /// The owner denies what waits under this name.
    pub(super) fn deny(&mut self, command: CommandId, name: &str, now: Now) -> Result<(), CommandError> {
        if let Some(request) = self.access.book.pending(name) {
            let edit = Edit::Deny { id: request.id };
            self.change(Change::Book { command: Some(command), edit }, now);
            return Ok(());
        }
        let id: PendingId = name.parse().map_err(|_| CommandError::NoSuchRequest)?;
        if let Some(held) = self.gate.questions.remove(&id) {
            let request = self.pending_question(id, &held);
            self.refuse_delivery(&held.delivery, RejectReason::Denied, now);
            self.finish(command, Ok(Reply::Denied(request)));
            return Ok(());
        }
        let log = self.held_log(id)?;
        self.gate.leaving.insert(command, (self.pending_log(&log), Leaving::Denied));
        self.change(Change::Book { command: Some(command), edit: Edit::Drop { id } }, now);
        Ok(())
    }

    /// A stored text that waits and is not on its way out.
    fn held_log(&self, id: PendingId) -> Result<HeldLog, CommandError> {
        let leaving = self.gate.leaving.values().any(|(request, _)| request.id == id);
        let log = self.access.book.held.iter().find(|log| log.id == id && !leaving);
        log.cloned().ok_or(CommandError::NoSuchRequest)
    }

    /// An approved text is in its session, or could not be written there; then it goes on waiting.
    pub(super) fn approved_written(
        &mut self,
        command: CommandId,
        id: PendingId,
        result: Result<(), WriteFailed>,
        now: Now,
    ) {
        if let Err(WriteFailed { reason }) = result {
            self.gate.leaving.remove(&command);
            return self.finish(command, Err(CommandError::NotStored(reason)));
        }
        if let Some((PendingRequest { peer, what: PendingWhat::Message { session, .. }, .. }, _)) =
            self.gate.leaving.get(&command)
        {
            let (peer, session) = (*peer, session.clone());
            self.event(Event::MessageDelivered { peer, session });
        }
        self.change(Change::Book { command: Some(command), edit: Edit::Drop { id } }, now);
    }

    /// What to reply when a stored text does not wait any longer.
    pub(super) fn release_reply(&mut self, command: CommandId) -> Option<Reply> {
        let (request, how) = self.gate.leaving.remove(&command)?;
        Some(match how {
            Leaving::Approved => Reply::Approved(request),
            Leaving::Denied => Reply::Denied(request),
        })
    }

    /// It could not be taken out of the store: it goes on waiting there.
    pub(super) fn release_failed(&mut self, command: CommandId) {
        self.gate.leaving.remove(&command);
    }

    /// Nobody waits for the answers to a stream's questions any more.
    pub(super) fn drop_held_questions(&mut self, stream: StreamId) {
        self.gate.questions.retain(|_, held| held.delivery.stream != stream);
    }

    /// Questions of peers that may no longer ask, and those that waited too long, are refused.
    pub(super) fn refuse_stale_questions(&mut self, now: Now) {
        let expiry = self.config.discovery.request_expiry;
        let stale: Vec<(PendingId, RejectReason)> = self
            .gate
            .questions
            .iter()
            .filter_map(|(id, Question { delivery, since })| {
                if !self.authorised(&delivery.peer, &delivery.session, &delivery.kind, now) {
                    Some((*id, RejectReason::Unauthorized))
                } else {
                    (*since + expiry <= now.wall).then_some((*id, RejectReason::Denied))
                }
            })
            .collect();
        for (id, reason) in stale {
            if let Some(held) = self.gate.questions.remove(&id) {
                self.refuse_delivery(&held.delivery, reason, now);
            }
        }
    }

    /// The node is going to stop: whoever waits here hears that it is in vain.
    pub(super) fn refuse_held_questions(&mut self, now: Now) {
        for (_, held) in core::mem::take(&mut self.gate.questions) {
            self.refuse_delivery(&held.delivery, RejectReason::Stopping, now);
        }
    }
}
