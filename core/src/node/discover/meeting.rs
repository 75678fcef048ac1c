//! One discovery stream: who is at its other end, what was said there, and how much of it is taken.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::{DialId, Node, Output, StreamId, StreamOrigin, TransportKey};
use crate::event::{Event, RejectReason};
use crate::keys::{EncryptKey, Nonce, PublicKey};
use crate::profile::TopicName;
use crate::rate::{Action, Subject};
use crate::time::{Instant, Now, WallTime};
use crate::wire::discovery::{self as wire, MAX_MESSAGE, Message, Outgoing, Proof, Received, Shown};
use crate::wire::texts::TextBuffer;

/// A discovery stream.
pub(super) struct Meeting {
    pub(super) remote: TransportKey,
    pub(super) topic: TopicName,
    pub(super) dialled: bool,
    opened: Instant,
    /// When the other side was last heard.
    pub(super) heard: WallTime,
    /// When the stream is closed unless something is heard.
    deadline: Instant,
    ping_at: Instant,
    texts: TextBuffer,
    /// What a proof of the other side has to name.
    challenge: Nonce,
    pub(super) other: Option<Other>,
    /// The other side asked for access here.
    pub(super) requested: bool,
    messages: Budget,
    /// Messages that cost a signature or a write.
    dear: Budget,
}

/// Who is at the other end, as it says.
#[derive(Clone, Copy)]
pub(super) struct Other {
    pub(super) key: PublicKey,
    /// What our proofs have to name; the original has none.
    challenge: Option<Nonce>,
    /// It has proved that the key is its own, and this encryption key belongs to it.
    pub(super) proven: Option<Option<EncryptKey>>,
}

impl Other {
    /// Somebody who merely names this key.
    pub(super) const fn unproven(key: PublicKey) -> Self {
        Self { key, challenge: None, proven: None }
    }

    /// Whether more is to be expected from it before it counts as what it is: it speaks our extension.
    pub(super) fn may_yet_prove(&self) -> bool {
        self.challenge.is_some() && self.proven.is_none()
    }
}

/// How many messages are taken: `burst` at once, and as many again within a minute.
struct Budget {
    burst: u32,
    left: u32,
    since: Instant,
}

impl Budget {
    /// The original pings every ten seconds and answers our pings.
    const MESSAGES: u32 = 30;
    const DEAR: u32 = 8;

    const fn new(burst: u32, now: Instant) -> Self {
        Self { burst, left: burst, since: now }
    }

    /// Whether one more is taken.
    fn take(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= Duration::from_secs(60) {
            (self.left, self.since) = (self.burst, now);
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

impl Meeting {
    pub(super) fn timeout(&self) -> Instant {
        self.deadline.min(self.ping_at)
    }

    pub(super) fn buffered(&self) -> usize {
        self.texts.buffered()
    }

    /// The key at the other end, as far as it is known.
    pub(super) fn key(&self) -> Option<PublicKey> {
        self.other.map(|other| other.key)
    }

    /// Whether this key is at the other end, or says it is.
    pub(super) fn counts_for(&self, key: &PublicKey) -> bool {
        self.key() == Some(*key)
    }
}

impl Node {
    /// A discovery stream is open: say who we are.
    pub(in super::super) fn meet(
        &mut self,
        id: StreamId,
        origin: &StreamOrigin,
        topic: TopicName,
        remote: TransportKey,
        now: Now,
    ) {
        let dialled = matches!(origin, StreamOrigin::Dialled(_));
        if self.limits.banned(Subject::Transport(remote.0), Action::Invalid, now).is_some() {
            return self.turn_away(id, remote, RejectReason::RateLimited);
        }
        let meetings = &self.discovery.meetings;
        // A later search finds those again to whom there is a stream.
        if dialled
            && meetings.values().any(|meeting| meeting.dialled && meeting.remote == remote && meeting.topic == topic)
        {
            self.outputs.push_back(Output::CloseStream { stream: id });
            return;
        }
        if !dialled && !self.may_meet(remote) || !self.make_room_for_meeting(now) {
            return self.turn_away(id, remote, RejectReason::Crowded);
        }
        let config = &self.config.discovery;
        let challenge = Nonce(self.rng.bytes());
        let meeting = Meeting {
            remote,
            topic,
            dialled,
            opened: now.mono,
            heard: now.wall,
            deadline: now.mono + config.silence,
            ping_at: now.mono + config.ping,
            texts: TextBuffer::new(MAX_MESSAGE),
            challenge,
            other: None,
            requested: false,
            messages: Budget::new(Budget::MESSAGES, now.mono),
            dear: Budget::new(Budget::DEAR, now.mono),
        };
        self.discovery.meetings.insert(id, meeting);
        self.show_profile(id, now);
    }

    /// Makes room for one more stream, at the cost of one whose other side has proved nothing; false if there is none.
    fn make_room_for_meeting(&mut self, now: Now) -> bool {
        let meetings = &self.discovery.meetings;
        if meetings.len() < self.config.discovery.max_streams {
            return true;
        }
        let unproven = meetings.iter().filter(|(_, meeting)| meeting.other.is_none_or(|other| other.proven.is_none()));
        let oldest = unproven.min_by_key(|(_, meeting)| (meeting.dialled, meeting.opened)).map(|(id, _)| *id);
        oldest.inspect(|oldest| self.end_meeting(*oldest, now)).is_some()
    }

    pub(in super::super) fn meeting_received(&mut self, id: StreamId, bytes: &[u8], now: Now) {
        let mut rest = bytes;
        while let Some(meeting) = self.discovery.meetings.get_mut(&id) {
            match meeting.texts.next(&mut rest) {
                Ok(Some(text)) => {
                    if !meeting.messages.take(now.mono) {
                        return self.bad_meeting(id, RejectReason::RateLimited, now);
                    }
                    meeting.heard = now.wall;
                    meeting.deadline = now.mono + self.config.discovery.silence;
                    match wire::decode(&text) {
                        Ok(message) => self.heard(id, message, now),
                        Err(_) => return self.bad_meeting(id, RejectReason::Malformed, now),
                    }
                }
                Ok(None) => return,
                Err(_) => return self.bad_meeting(id, RejectReason::Malformed, now),
            }
        }
    }

    fn heard(&mut self, id: StreamId, received: Received, now: Now) {
        let Some(meeting) = self.discovery.meetings.get_mut(&id) else {
            return;
        };
        if received.is_dear() && !meeting.dear.take(now.mono) {
            return self.bad_meeting(id, RejectReason::RateLimited, now);
        }
        let (message, proven) = match received.proof().copied() {
            None => (received.unproven(), false),
            Some(proof) => match self.check_proof(id, received, &proof, now) {
                Ok(message) => (message, true),
                Err(reason) => return self.bad_meeting(id, reason, now),
            },
        };
        match message {
            Message::Ping { ts } => {
                let pong = Outgoing::pong(ts);
                self.transmit(id, pong.plain());
            }
            Message::Profile { shown, challenge } => self.profile_shown(id, shown, challenge, proven, now),
            Message::ConnectRequest { topic, shown } => self.connect_requested(id, &topic, shown, proven, now),
            Message::ConnectResponse(answer) => self.connect_answered(id, answer, proven, now),
            Message::Pong | Message::Other => {}
        }
    }

    /// Checks a proof: what costs nothing first.
    fn check_proof(
        &mut self,
        id: StreamId,
        received: Received,
        proof: &Proof,
        now: Now,
    ) -> Result<Message, RejectReason> {
        let meeting = self.discovery.meetings.get(&id).ok_or(RejectReason::NotForUs)?;
        let for_us = self.identity.find(&proof.to).is_some() && self.identity.find(&proof.from).is_none();
        if !for_us || proof.re != meeting.challenge {
            return Err(RejectReason::NotForUs);
        }
        if proof.ts.abs_diff(now.wall) > self.config.replay.window {
            return Err(RejectReason::OutsideWindow);
        }
        let key = proof.from.verifying_key().map_err(|_| RejectReason::BadSignature)?;
        let message = received.verify(&key).map_err(|_| RejectReason::BadSignature)?;
        let named = match &message {
            Message::Profile { shown, .. } | Message::ConnectRequest { shown, .. } => Some(shown.key),
            _ => meeting.other.filter(|other| other.proven.is_some()).map(|other| other.key),
        };
        if named == Some(proof.from) { Ok(message) } else { Err(RejectReason::BadSignature) }
    }

    fn profile_shown(&mut self, id: StreamId, shown: Shown, challenge: Option<Nonce>, proven: bool, now: Now) {
        // Ourselves by a detour, or somebody who plays us.
        if self.identity.find(&shown.key).is_some() || !proven && shown.key.verifying_key().is_err() {
            return self.bad_meeting(id, RejectReason::NotForUs, now);
        }
        let Some(meeting) = self.discovery.meetings.get_mut(&id) else {
            return;
        };
        let before = meeting.other.filter(|other| other.key == shown.key);
        let challenge = challenge.or_else(|| before.and_then(|other| other.challenge));
        let news = before.is_none_or(|other| other.challenge != challenge);
        let proof = if proven { Some(shown.encrypt_key) } else { before.and_then(|other| other.proven) };
        meeting.other = Some(Other { key: shown.key, challenge, proven: proof });
        let topic = meeting.topic.clone();
        // Who has proved itself is not described by somebody else on the same stream.
        if proven || proof.is_none() {
            self.found(shown.key, proven, shown.content, topic, now);
        }
        if news && challenge.is_some() {
            self.show_profile(id, now);
        }
        if proven {
            self.ask_again(id, now);
        }
        self.try_connecting(now);
    }

    /// Shows our profile, with a proof as soon as the other side has said what it has to name.
    fn show_profile(&mut self, id: StreamId, now: Now) {
        let Some(challenge) = self.discovery.meetings.get(&id).map(|meeting| meeting.challenge) else {
            return;
        };
        let Some(profile) = self.own_profile(id) else {
            return;
        };
        self.say(id, &Outgoing::profile(profile, challenge), now);
    }

    /// Shows our profile on every stream.
    pub(in super::super) fn show_profile_to_all(&mut self, now: Now) {
        let all: Vec<StreamId> = self.discovery.meetings.keys().copied().collect();
        for id in all {
            self.show_profile(id, now);
        }
    }

    /// Our profile as the other side of a stream may see it: with the topic on which we met, and no other.
    pub(super) fn own_profile(&self, id: StreamId) -> Option<String> {
        let (current, profile) = (&self.identity.current, &self.access.book.profile);
        let topic = self.discovery.meetings.get(&id)?.topic.as_str();
        let (key, encrypt_key) = (current.public_key(), current.encrypt_key());
        Some(wire::profile_json(&key, &encrypt_key, profile.content(), topic, profile.updated()))
    }

    /// Sends a message, with a proof if the other side can read one.
    pub(super) fn say(&mut self, id: StreamId, message: &Outgoing, now: Now) {
        let other = self.discovery.meetings.get(&id).and_then(|meeting| meeting.other);
        let bytes = match other {
            Some(Other { key: to, challenge: Some(re), .. }) => {
                let from = self.identity.current.public_key();
                let proof = Proof { from, to, re, nonce: Nonce(self.rng.bytes()), ts: now.wall };
                message.proven(&proof, |bytes| self.identity.current.sign(bytes))
            }
            _ => message.plain(),
        };
        self.transmit(id, bytes);
    }

    /// Pings, and closes what has fallen silent.
    pub(super) fn meetings_on_time(&mut self, now: Now) {
        let config = &self.config.discovery;
        let silent: Vec<StreamId> = self
            .discovery
            .meetings
            .iter()
            .filter(|(_, meeting)| meeting.deadline <= now.mono)
            .map(|(id, _)| *id)
            .collect();
        let mut pings = Vec::new();
        for (id, meeting) in &mut self.discovery.meetings {
            if meeting.ping_at <= now.mono {
                meeting.ping_at = now.mono + config.ping;
                pings.push(*id);
            }
        }
        for id in silent {
            self.end_meeting(id, now);
        }
        for id in pings.into_iter().filter(|id| self.discovery.has(*id)).collect::<Vec<_>>() {
            self.transmit(id, Outgoing::ping(now.wall).plain());
        }
    }

    /// Counts a nuisance against the transport's key, and closes the stream.
    pub(super) fn bad_meeting(&mut self, id: StreamId, reason: RejectReason, now: Now) {
        let Some(remote) = self.discovery.meetings.get(&id).map(|meeting| meeting.remote) else {
            return;
        };
        self.charge(Subject::Transport(remote.0), Action::Invalid, now);
        self.event(Event::PeerRejected { remote, reason });
        self.end_meeting(id, now);
    }

    /// Closes a stream from our side.
    pub(super) fn end_meeting(&mut self, id: StreamId, now: Now) {
        if self.discovery.has(id) {
            self.outputs.push_back(Output::CloseStream { stream: id });
            self.meeting_ended(id, now);
        }
    }

    /// A stream is gone.
    pub(in super::super) fn meeting_ended(&mut self, id: StreamId, now: Now) {
        let Some(meeting) = self.discovery.meetings.remove(&id) else {
            return;
        };
        if let Some(found) = meeting.key().and_then(|key| self.discovery.found.get_mut(&key)) {
            found.seen = now;
        }
        let alone = !self.discovery.meetings.values().any(|other| other.topic == meeting.topic);
        let pause = self.config.discovery.first_redial;
        if let Some(joined) = self.discovery.topics.get_mut(&meeting.topic).filter(|_| alone) {
            joined.at = joined.at.min(now.mono + pause.max(joined.pause));
        }
        self.connecting_lost(id, now);
    }

    /// The dial of a topic opens no more streams.
    pub(in super::super) fn topic_dial_ended(&mut self, dial: DialId, why: super::super::DialEnd, now: Now) -> bool {
        let name = self.topic_of_dial(dial);
        if let Some(name) = &name {
            self.topic_searched(name, why, now);
        }
        name.is_some()
    }
}
