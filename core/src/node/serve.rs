//! What a peer's message may do: the checks in the order of their cost, then the work.
//!
//! Size, shape and version; who and where; time window, ban and replay; then the signature; then how often; then the
//! grant; and only then is a payload decrypted or a session touched.

use alloc::string::{String, ToString};

use super::deliver::{Delivery, Kind};
use super::rotate::KEY_GIVEN_UP;
use super::{Node, StreamId, once};
use crate::access::SessionName;
use crate::chain::Chain;
use crate::channel::Channel;
use crate::event::{Event, RejectReason};
use crate::keys::{EncryptKey, Nonce, PublicKey, VerifyingKey};
use crate::message::{Body, Header, Message, Reject};
use crate::rate::{Action, Subject};
use crate::replay::ReplayError;
use crate::time::Now;
use crate::wire::json::Received;

/// What a peer hears whose question comes back to somebody who waits for the answer.
const LOOP: &str = "loop: this node waits for the answer to this very question, or the chain of questions is too long";

impl Node {
    /// A line on a stream that the other side dialled, after the handshake.
    pub(super) fn serve(&mut self, id: StreamId, request: Received, now: Now) {
        let Some(channel) = self.streams.get(&id).and_then(|stream| stream.channel()) else {
            return;
        };
        let (key, expires) = (channel.remote().clone(), channel.expires(&self.config));
        if expires <= now.mono && !planted!(self.config, KeysNeverAge) {
            // No nuisance: a peer with another limit cannot know.
            let (nonce, words) = (Some(request.message().header.nonce), "the keys of this stream are too old");
            self.refuse(id, nonce, None, RejectReason::OutsideWindow, words, now);
            return self.close(id, now);
        }
        if let Err(reason) = self.precheck(id, &request, &key, now) {
            return self.refuse_early(id, &request, reason, now);
        }
        let name = if planted!(self.config, NameBelieved) { request.message().header.from } else { key.public() };
        let peer = self.acting(name, now);
        // Nobody signs a rotation's envelope: its statement and its proof stand for themselves.
        if matches!(request.message().body, Body::KeyRotation(_)) {
            return self.serve_rotation(id, request, peer, now);
        }
        #[cfg(wopr_planted)]
        let request = request.believed_if(planted!(self.config, RequestUnsigned | NameBelieved));
        match request.verify(&key) {
            Ok(message) => self.serve_message(id, message, peer, now),
            Err(_) => self.invalid(id, RejectReason::BadSignature, now),
        }
    }

    /// A message that its sender signed: how often, then what it wants.
    fn serve_message(&mut self, id: StreamId, message: Message, peer: PublicKey, now: Now) {
        let (action, session) = match &message.body {
            Body::Log(log) => (Action::Log, Some(log.session.clone())),
            Body::Inject(inject) => (Action::Inject, Some(inject.session.clone())),
            _ => (Action::Claim, None),
        };
        if !self.charge(self.subject(id, peer), action, now) {
            return self.refuse(
                id,
                Some(message.header.nonce),
                session,
                RejectReason::RateLimited,
                "rate limited",
                now,
            );
        }
        if self.streams.get(&id).is_some_and(|stream| stream.serving >= self.config.max_requests_per_stream) {
            let text = "too many requests at once";
            return self.refuse(id, Some(message.header.nonce), session, RejectReason::Crowded, text, now);
        }
        let local = self.streams.get(&id).and_then(|stream| stream.channel()).map(|channel| channel.local());
        if local.is_some_and(|local| self.identity.is_compromised(&local)) {
            let (nonce, reason) = (Some(message.header.nonce), RejectReason::KeyGivenUp);
            return self.refuse(id, nonce, session, reason, KEY_GIVEN_UP, now);
        }
        let Message { header, body } = message;
        match body {
            Body::Log(log) => {
                if let Some(fault) = once::fault(log.once.as_ref(), header.ts, self.config.replay.window) {
                    return self.refuse(id, Some(header.nonce), session, RejectReason::OutsideWindow, &fault, now);
                }
                let kind = Kind::Log { once: log.once };
                self.deliver_text(id, header, peer, log.session, &log.payload, log.encrypt_key, kind, now);
            }
            Body::Inject(inject) => {
                let Some(chain) = self.join_chain(inject.chain, &peer) else {
                    return self.refuse(id, Some(header.nonce), session, RejectReason::Loop, LOOP, now);
                };
                let kind = Kind::Inject { request: inject.request_id, encrypt_key: inject.encrypt_key, chain };
                self.deliver_text(id, header, peer, inject.session, &inject.payload, inject.encrypt_key, kind, now);
            }
            Body::Claim(claim) => self.claimed(id, header, &claim, now),
            _ => self.invalid(id, RejectReason::Malformed, now),
        }
    }

    fn serve_rotation(&mut self, id: StreamId, request: Received, peer: PublicKey, now: Now) {
        let Some((header, rotation)) = request.into_rotation() else {
            return;
        };
        if self.charge(self.subject(id, peer), Action::Claim, now) {
            self.peer_rotated(id, header, &rotation, now);
        } else {
            self.refuse(id, Some(header.nonce), None, RejectReason::RateLimited, "rate limited", now);
        }
    }

    /// Everything that can be checked before any arithmetic.
    fn precheck(&self, id: StreamId, request: &Received, key: &VerifyingKey, now: Now) -> Result<(), RejectReason> {
        let channel = self.streams.get(&id).and_then(|stream| stream.channel()).ok_or(RejectReason::NotForUs)?;
        channel.precheck_request(request, &self.config)?;
        let (action, payload) = match &request.message().body {
            Body::Log(log) => (Action::Log, log.payload.len()),
            Body::Inject(inject) => (Action::Inject, inject.payload.len()),
            _ => (Action::Claim, 0),
        };
        if payload > self.config.max_payload {
            return Err(RejectReason::PayloadTooLarge);
        }
        let header = request.message().header;
        let peer = self.acting(key.public(), now);
        // A rotation can be told twice: the second time nothing changes.
        let rotation = matches!(request.message().body, Body::KeyRotation(_));
        match self.replay.check(&key.public(), &header.nonce, header.ts, now.wall) {
            _ if rotation => {}
            Ok(()) => {}
            Err(ReplayError::TooOld | ReplayError::TooNew) if planted!(self.config, AnyTime) => {}
            Err(ReplayError::TooOld | ReplayError::TooNew) => return Err(RejectReason::OutsideWindow),
            Err(ReplayError::Seen | ReplayError::BelowFloor) => return Err(RejectReason::Replayed),
        }
        if self.limits.banned(self.subject(id, peer), action, now).is_some() {
            return Err(RejectReason::RateLimited);
        }
        let by_name = || self.limits.banned(Subject::Peer(peer), Action::Invalid, now).is_some();
        if planted!(self.config, BannedByName) && by_name() {
            return Err(RejectReason::RateLimited);
        }
        Ok(())
    }

    /// Refuses before the signature was looked at: the refusal is an answer only where the sender may be honest, and it
    /// ends the stream, so that each costs its sender a handshake.
    fn refuse_early(&mut self, id: StreamId, request: &Received, reason: RejectReason, now: Now) {
        let nonce = Some(request.message().header.nonce);
        let (session, payload) = match &request.message().body {
            Body::Log(log) => (Some(log.session.clone()), log.payload.len()),
            Body::Inject(inject) => (Some(inject.session.clone()), inject.payload.len()),
            _ => (None, 0),
        };
        let text = match reason {
            RejectReason::RateLimited => "rate limited".to_string(),
            RejectReason::PayloadTooLarge => {
                alloc::format!("payload too large: {payload} bytes exceeds {} limit", self.config.max_payload)
            }
            RejectReason::OutsideWindow => "message time is outside of the window".to_string(),
            RejectReason::VersionMismatch => "wrong protocol version for this stream".to_string(),
            _ => return self.invalid(id, reason, now),
        };
        self.refuse(id, nonce, session, reason, &text, now);
        if reason == RejectReason::RateLimited {
            self.close(id, now);
        } else {
            self.invalid(id, reason, now);
        }
    }

    /// Whom a request counts against: a known peer by its key, a stranger by its transport key, so that strangers with
    /// ever new keys fill no table.
    pub(super) fn subject(&self, id: StreamId, peer: PublicKey) -> Subject {
        match self.streams.get(&id) {
            Some(stream) if self.access.peers.get(&peer).is_none() => Subject::Transport(stream.remote.0),
            _ => Subject::Peer(peer),
        }
    }

    /// Authorises and decrypts a log or an inject, then sends it on its way to the session.
    #[expect(clippy::too_many_arguments, reason = "the parts of two kinds of message that go the same way")]
    fn deliver_text(
        &mut self,
        id: StreamId,
        header: Header,
        peer: PublicKey,
        session: SessionName,
        payload: &str,
        encrypt_key: EncryptKey,
        kind: Kind,
        now: Now,
    ) {
        let nonce = Some(header.nonce);
        // A known peer's nonce is spent even if the message is refused; a stranger's must not fill the table.
        #[cfg(wopr_planted)]
        self.clear_nonces();
        let time = if planted!(self.config, AnyTime) { header.ts } else { now.wall };
        let journal = if self.access.peers.get(&peer).is_some() {
            match self.replay.accept(&header.from, &header.nonce, header.ts, time) {
                Ok(line) => Some(line),
                Err(_) => return self.invalid(id, RejectReason::Replayed, now),
            }
        } else {
            None
        };
        if !self.authorised(&peer, &session, &kind, now) {
            if let Some(line) = journal {
                self.append_journal(line, super::AfterWrite::Nothing(super::Document::Replay));
            }
            return self.refuse(id, nonce, Some(session), RejectReason::Unauthorized, "unauthorized", now);
        }
        let text = match self.open(id, encrypt_key, payload) {
            Ok(text) => text,
            Err(reason) => {
                let words = kind.failure();
                self.refuse(id, nonce, Some(session), reason, words, now);
                return self.invalid(id, reason, now);
            }
        };
        let crowded = self.questions() >= self.config.max_asks && !planted!(self.config, QuestionsUnbounded);
        if matches!(kind, Kind::Inject { .. }) && crowded {
            let words = "too many requests at once";
            return self.refuse(id, nonce, Some(session), RejectReason::Crowded, words, now);
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.serving += 1;
        }
        let delivery = Delivery { stream: id, peer, nonce: header.nonce, session, text, kind };
        match journal {
            Some(line) if self.delivered_before(&delivery, now) => {
                self.served(id);
                self.append_journal(line, super::AfterWrite::Nothing(super::Document::Replay));
            }
            Some(line) => self.append_journal(line, super::AfterWrite::Journal(delivery)),
            None => self.refuse_delivery(&delivery, RejectReason::Unauthorized, now),
        }
    }

    /// The chain of a peer's question, the peer in it; `None` if the question must not be answered here.
    fn join_chain(&mut self, chain: Option<Chain>, peer: &PublicKey) -> Option<Chain> {
        let chain = chain.unwrap_or_else(|| Chain::start(Nonce(self.rng.bytes())));
        if self.identity.keys().iter().any(|key| chain.contains(key)) {
            return None;
        }
        chain.with(peer).filter(|chain| chain.len() <= self.config.max_chain)
    }

    pub(super) fn authorised(&self, peer: &PublicKey, session: &SessionName, kind: &Kind, now: Now) -> bool {
        self.permit(peer, session, kind.needs(), now).is_some()
    }

    fn open(&mut self, id: StreamId, encrypt_key: EncryptKey, payload: &str) -> Result<String, RejectReason> {
        let channel = self.streams.get_mut(&id).and_then(|stream| stream.channel_mut()).ok_or(RejectReason::Failed)?;
        let identity = self.identity.find(&channel.local()).ok_or(RejectReason::Failed)?;
        let mut text = channel.open_request(identity, encrypt_key, payload);
        if text.is_err() && channel.version() < 2 {
            // The peer may have heard of our new key although we did not hear that it has, or the other way round; and
            // in protocol 1 nothing says for which of them the payload is.
            let local = channel.local();
            let trusted = self.identity.trusted().filter(|other| other.public_key() != local);
            text = trusted
                .map(|other| channel.open_request(other, encrypt_key, payload))
                .find(Result::is_ok)
                .unwrap_or(text);
        }
        #[cfg(wopr_planted)]
        let text =
            text.or_else(|error| super::planted::open_downgraded(&self.config, identity, encrypt_key, payload, error));
        text.map_err(|_| RejectReason::Undecryptable)
    }

    /// Answers a request with a refusal. The stream stays open.
    pub(super) fn refuse(
        &mut self,
        id: StreamId,
        re: Option<Nonce>,
        session: Option<SessionName>,
        reason: RejectReason,
        words: &str,
        now: Now,
    ) {
        let Some(channel) = self.streams.get(&id).and_then(|stream| stream.channel()) else {
            return;
        };
        let peer = channel.remote().public();
        // A message that could not be read has no nonce: then the handshake's tells at least which stream is meant.
        let re = re.or(Some(channel.handshake()));
        let refusal = Reject { session: session.clone(), reason: words.to_string(), re };
        if self.answer(id, Body::Reject(refusal), now) {
            self.event(Event::MessageRejected { peer, session, reason });
        }
    }

    /// Sends a signed answer on a stream; false if the stream, or the key it belongs to, is no more.
    pub(super) fn answer(&mut self, id: StreamId, body: Body, now: Now) -> bool {
        let Some(channel) = self.streams.get(&id).and_then(|stream| stream.channel()) else {
            return false;
        };
        let (local, nonce) = (channel.local(), Nonce(self.rng.bytes()));
        let Some(identity) = self.identity.find(&local) else {
            return false;
        };
        let line = Channel::line(identity, Header { from: local, nonce, ts: now.wall }, body);
        self.transmit(id, line);
        self.stay_open(id, now);
        true
    }
}
