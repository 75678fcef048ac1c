//! The way of an accepted text into its session, and of an answer back.
//!
//! Each step waits for the disk: the nonce (so that no restart lets the message in again), the message in the session's
//! file, the AI's answer in the same file; only then does the sender hear of it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{
    AfterWrite, AskFailed, AskId, Document, DocumentWrite, EntryKind, Node, Output, Question, SessionEntry, StreamId,
    WriteFailed, WriteId,
};
use crate::access::SessionName;
use crate::chain::Chain;
use crate::event::{Event, RejectReason};
use crate::gateway::HELD;
use crate::grant::Needs;
use crate::keys::{EncryptKey, Nonce, PublicKey};
use crate::message::{Ack, Body, Once, RequestId, Response};
use crate::time::Now;

/// A text on its way into a session.
pub(super) struct Delivery {
    pub(super) stream: StreamId,
    /// Whose it is, by the key the peer acts under.
    pub(super) peer: PublicKey,
    pub(super) nonce: Nonce,
    pub(super) session: SessionName,
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// What is to be done with a delivered text.
pub(super) enum Kind {
    /// Store it.
    Log {
        /// What tells a repetition from a new message.
        once: Option<Once>,
    },
    /// Store it, ask the session's AI, send the answer.
    Inject {
        request: RequestId,
        /// The asker's static key, for a protocol 1 answer.
        encrypt_key: EncryptKey,
        /// Who waits for the answer.
        chain: Chain,
    },
}

impl Kind {
    /// What a grant has to allow for it.
    pub(super) const fn needs(&self) -> Needs {
        match self {
            Self::Log { .. } => Needs::Log,
            Self::Inject { .. } => Needs::Inject,
        }
    }

    /// The original's words for "it did not work".
    pub(super) const fn failure(&self) -> &'static str {
        match self {
            Self::Log { .. } => "log failed",
            Self::Inject { .. } => "inject failed",
        }
    }
}

impl Node {
    pub(super) fn append_journal(&mut self, line: Vec<u8>, after: AfterWrite) {
        // After a failed append nobody knows how the journal ends: it is put in place anew.
        let write = if self.replay.needs_compaction() || self.journal_failed {
            DocumentWrite::Replace(Zeroizing::new(self.replay.compacted()))
        } else {
            DocumentWrite::Append(line)
        };
        self.journal_failed = false;
        self.store(Document::Replay, write, after);
    }

    /// The nonce is spent for good: the text may go into the session, if its sender still may.
    pub(super) fn journal_written(&mut self, mut delivery: Delivery, result: Result<(), WriteFailed>, now: Now) {
        if let Err(WriteFailed { reason }) = result {
            self.journal_failed = true;
            return self.delivery_failed(&delivery, Document::Replay.file_name(), reason, now);
        }
        delivery.peer = self.acting(delivery.peer, now);
        if !self.authorised(&delivery.peer, &delivery.session, &delivery.kind, now) {
            return self.refuse_delivery(&delivery, RejectReason::Unauthorized, now);
        }
        if self.needs_approval(&delivery, now) { self.hold(delivery, now) } else { self.let_in(delivery, now) }
    }

    /// The text goes into the session.
    pub(super) fn let_in(&mut self, delivery: Delivery, now: Now) {
        let kind = match delivery.kind {
            Kind::Log { .. } => EntryKind::Message,
            Kind::Inject { .. } => EntryKind::Question,
        };
        let from = self.display_name(&delivery.peer);
        let (content, peer, once) = (delivery.text.clone(), delivery.peer, self.look_for(&delivery));
        let entry = SessionEntry { at: now.wall, from, kind, content, peer, once };
        if planted!(self.config, AckedBeforeStored) && kind == EntryKind::Message {
            self.acknowledge_log(&delivery, now);
        }
        self.record(delivery.session.clone(), entry, AfterWrite::Record(delivery));
    }

    /// The text is in the session's file.
    pub(super) fn record_written(&mut self, delivery: Delivery, result: Result<(), WriteFailed>, now: Now) {
        if let Err(WriteFailed { reason }) = result {
            let session = delivery.session.to_string();
            return self.delivery_failed(&delivery, &session, reason, now);
        }
        let (peer, session) = (delivery.peer, delivery.session.clone());
        if self.note_delivered(&delivery) {
            self.event(Event::MessageDelivered { peer, session });
        }
        match delivery.kind {
            Kind::Log { .. } => {
                self.served(delivery.stream);
                self.acknowledge_log(&delivery, now);
            }
            Kind::Inject { .. } => self.ask(delivery, now),
        }
    }

    pub(super) fn acknowledge_log(&mut self, delivery: &Delivery, now: Now) {
        let (session, re) = (Some(delivery.session.clone()), Some(delivery.nonce));
        self.answer(delivery.stream, Body::Ack(Ack { encrypt_key: None, session, re }), now);
    }

    /// How many questions are with the AI, or will be as soon as they are stored.
    pub(super) fn questions(&self) -> usize {
        let stored = self.writes.values().filter(|after| match after {
            AfterWrite::Journal(delivery) | AfterWrite::Record(delivery) => {
                matches!(delivery.kind, Kind::Inject { .. })
            }
            _ => false,
        });
        self.asks.len() + stored.count()
    }

    fn ask(&mut self, delivery: Delivery, now: Now) {
        // Nobody waits for the answer any more, or the grant ended while the question was being stored.
        if !self.streams.contains_key(&delivery.stream) {
            return;
        }
        let permit = self.permit(&delivery.peer, &delivery.session, delivery.kind.needs(), now);
        let (Some(permit), Kind::Inject { chain, .. }) = (permit, &delivery.kind) else {
            return self.refuse_delivery(&delivery, RejectReason::Unauthorized, now);
        };
        let question = Question {
            session: delivery.session.clone(),
            text: delivery.text.clone(),
            peer: delivery.peer,
            peer_name: self.access.peers.get(&delivery.peer).and_then(|peer| peer.name.clone()),
            capabilities: permit.capabilities,
            trust: permit.trust,
            chain: chain.clone(),
        };
        let id = AskId(self.next_id());
        self.asks.insert(id, delivery);
        self.outputs.push_back(Output::Ask { id, question });
    }

    pub(super) fn answered(&mut self, id: AskId, result: Result<String, AskFailed>, now: Now) {
        let Some(delivery) = self.asks.remove(&id) else {
            return;
        };
        let answer = match result {
            Ok(answer) => answer,
            Err(AskFailed::LimitReached) => return self.refuse_delivery(&delivery, RejectReason::RateLimited, now),
            Err(_) => return self.refuse_delivery(&delivery, RejectReason::Failed, now),
        };
        let entry = SessionEntry {
            at: now.wall,
            from: delivery.session.to_string(),
            kind: EntryKind::Answer,
            content: answer.clone(),
            peer: delivery.peer,
            once: None,
        };
        self.record(delivery.session.clone(), entry, AfterWrite::Answer(delivery, answer));
    }

    /// The AI's answer is in the session's file: it may leave.
    pub(super) fn answer_written(
        &mut self,
        delivery: Delivery,
        answer: &str,
        result: Result<(), WriteFailed>,
        now: Now,
    ) {
        if let Err(WriteFailed { reason }) = result {
            let session = delivery.session.to_string();
            return self.delivery_failed(&delivery, &session, reason, now);
        }
        // The answer would tell a peer what it may no longer ask.
        let authorised = self.authorised(&delivery.peer, &delivery.session, &delivery.kind, now);
        if !authorised && !planted!(self.config, RevokedAnswered) {
            return self.refuse_delivery(&delivery, RejectReason::Unauthorized, now);
        }
        let Kind::Inject { request, encrypt_key, .. } = &delivery.kind else {
            return;
        };
        let Some(channel) = self.streams.get(&delivery.stream).and_then(|stream| stream.channel()) else {
            return;
        };
        let Some(identity) = self.identity.find(&channel.local()) else {
            return;
        };
        let Ok(sealed) = channel.seal_answer(identity, *encrypt_key, answer, &self.config, &mut self.rng) else {
            return self.refuse_delivery(&delivery, RejectReason::Failed, now);
        };
        #[cfg(wopr_planted)]
        let sealed = self.in_clear(sealed, answer);
        if sealed.payload.len() > self.config.max_payload {
            return self.refuse_delivery(&delivery, RejectReason::PayloadTooLarge, now);
        }
        let (encrypt_key, request_id) = (Some(identity.encrypt_key()), request.clone());
        self.served(delivery.stream);
        let (ephemeral, payload) = (sealed.ephemeral, sealed.payload);
        let (session, re) = (Some(delivery.session.clone()), Some(delivery.nonce));
        let response = Response { v: 2, encrypt_key, ephemeral, session, payload, request_id, re };
        self.answer(delivery.stream, Body::Response(response), now);
        self.event(Event::QuestionAnswered { peer: delivery.peer, session: delivery.session });
    }

    /// Nobody waits for the answers to this stream's questions any more.
    pub(super) fn cancel_asks(&mut self, stream: StreamId) {
        let ids: Vec<_> = self.asks.iter().filter(|(_, ask)| ask.stream == stream).map(|(id, _)| *id).collect();
        for id in ids {
            self.asks.remove(&id);
            self.outputs.push_back(Output::CancelAsk { id });
        }
    }

    pub(super) fn record(&mut self, session: SessionName, entry: SessionEntry, after: AfterWrite) {
        let id = WriteId(self.next_id());
        self.writes.insert(id, after);
        self.outputs.push_back(Output::Record { id, session, entry });
    }

    fn delivery_failed(&mut self, delivery: &Delivery, what: &str, reason: String, now: Now) {
        self.event(Event::StoreFailed { what: what.into(), reason });
        self.refuse_delivery(delivery, RejectReason::Failed, now);
    }

    pub(super) fn refuse_delivery(&mut self, delivery: &Delivery, reason: RejectReason, now: Now) {
        let words = match reason {
            RejectReason::Unauthorized => "unauthorized",
            RejectReason::RateLimited => "rate limited",
            RejectReason::PayloadTooLarge => "inject failed: the answer is too large",
            RejectReason::Held => HELD,
            RejectReason::Denied => "denied by the owner",
            RejectReason::Crowded => "too many messages wait for the owner's approval",
            RejectReason::Stopping => "the node is stopping: try again when it runs",
            _ => delivery.kind.failure(),
        };
        self.served(delivery.stream);
        self.refuse(delivery.stream, Some(delivery.nonce), Some(delivery.session.clone()), reason, words, now);
    }

    pub(super) fn served(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.serving = stream.serving.saturating_sub(1);
        }
    }

    /// What a peer is called in a session's file: the owner's name for it, else its short id.
    pub(super) fn display_name(&self, peer: &PublicKey) -> String {
        self.access.peers.get(peer).and_then(|peer| peer.name.clone()).unwrap_or_else(|| peer.short_id())
    }
}
