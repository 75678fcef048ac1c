//! Streams: opening, bytes in, the handshake, closing, and what is held against whom.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::request::RequestNo;
use super::rotate::KEY_GIVEN_UP;
use super::{DialId, Node, Output, StreamId, StreamOrigin, TransportKey};
use crate::channel::{Channel, Side};
use crate::config::Config;
use crate::event::{Event, RejectReason};
use crate::frame::{FrameError, LineBuffer};
use crate::handshake::{self, Dialler, Greeting};
use crate::keys::{Nonce, PublicKey};
use crate::message::Header;
use crate::peer::KeyStatus;
use crate::rate::{Action, Subject, Verdict};
use crate::time::{Instant, Now};
use crate::wire::json::{self, Received};

/// What may have arrived behind the longest line, in bytes.
const READ_AHEAD: usize = 64 * 1024;

/// One stream.
pub(super) struct Stream {
    pub(super) remote: TransportKey,
    pub(super) phase: Phase,
    pub(super) lines: LineBuffer,
    /// The keys of ours that the other side can have come for; one of them when we dialled.
    locals: Vec<PublicKey>,
    pub(super) opened: Instant,
    /// When the stream is closed unless something happens.
    pub(super) deadline: Instant,
    /// Requests of the other side that are being worked on.
    pub(super) serving: usize,
    /// Our requests that wait for an answer, by their nonce.
    pub(super) asked: BTreeMap<Nonce, RequestNo>,
}

/// How far a stream has come.
pub(super) enum Phase {
    /// Accepted; the other side has yet to say hello.
    AwaitHello,
    /// Dialled; we said hello and wait for the answer.
    AwaitAck(DialId, Box<Dialler>),
    /// Both sides have shown who they are.
    Open(Box<Channel>),
}

impl Stream {
    pub(super) fn channel(&self) -> Option<&Channel> {
        match &self.phase {
            Phase::Open(channel) => Some(channel),
            _ => None,
        }
    }

    pub(super) fn channel_mut(&mut self) -> Option<&mut Channel> {
        match &mut self.phase {
            Phase::Open(channel) => Some(channel),
            _ => None,
        }
    }

    fn dialled(&self) -> bool {
        match &self.phase {
            Phase::AwaitHello => false,
            Phase::AwaitAck(..) => true,
            Phase::Open(channel) => channel.side() == Side::Dialler,
        }
    }
}

impl Node {
    pub(super) fn stream_opened(&mut self, id: StreamId, origin: StreamOrigin, remote: TransportKey, now: Now) {
        if self.streams.contains_key(&id) || self.discovery.has(id) {
            return;
        }
        if let Some(topic) = self.topic_of_stream(&origin) {
            return self.meet(id, &origin, topic, remote, now);
        }
        match origin {
            StreamOrigin::Dialled(dial) => self.dialled(id, dial, remote, now),
            StreamOrigin::Accepted { topics } => {
                if self.limits.banned(self.transport(remote), Action::Invalid, now).is_some() {
                    return self.turn_away(id, remote, RejectReason::RateLimited);
                }
                if !self.make_room(remote, now) {
                    return self.turn_away(id, remote, RejectReason::Crowded);
                }
                let mut locals = self.identity.keys();
                let named: Vec<_> = locals.iter().copied().filter(|key| topics.contains(&key.topic())).collect();
                if !named.is_empty() {
                    locals = named;
                }
                self.add_stream(id, remote, locals, Phase::AwaitHello, now);
            }
        }
    }

    pub(super) fn add_stream(
        &mut self,
        id: StreamId,
        remote: TransportKey,
        locals: Vec<PublicKey>,
        phase: Phase,
        now: Now,
    ) {
        let longest = self.config.max_line().max(Config::MAX_STRANGER_LINE);
        let longest = if planted!(self.config, LineUnbounded) { usize::MAX / 4 } else { longest };
        let lines = LineBuffer::new(longest + READ_AHEAD);
        // No listener answers with an empty line; an original sender fails on it, too.
        let lines = if matches!(phase, Phase::AwaitAck(..)) { lines.without_empty_lines() } else { lines };
        let stream = Stream {
            remote,
            phase,
            lines,
            locals,
            opened: now.mono,
            deadline: now.mono + self.config.handshake_timeout,
            serving: 0,
            asked: BTreeMap::new(),
        };
        self.streams.insert(id, stream);
    }

    pub(super) fn turn_away(&mut self, id: StreamId, remote: TransportKey, reason: RejectReason) {
        self.outputs.push_back(Output::CloseStream { stream: id });
        self.event(Event::PeerRejected { remote, reason });
    }

    /// Makes room for one more accepted stream, at the cost of strangers; false if there is none to be had.
    fn make_room(&mut self, remote: TransportKey, now: Now) -> bool {
        if planted!(self.config, StrangersCrowd) {
            return true;
        }
        let same = self.streams.values().filter(|s| !s.dialled() && s.remote == remote).count();
        if same >= self.config.max_streams_per_remote {
            return false;
        }
        let strangers = self.strangers();
        let full = self.streams.len() >= self.config.max_streams;
        if !full && strangers.len() < self.config.max_stranger_streams {
            return true;
        }
        if planted!(self.config, StrangersStay) {
            return false;
        }
        let Some((_, oldest)) = strangers.into_iter().min() else {
            return false;
        };
        self.close(oldest, now);
        true
    }

    /// Closes the oldest streams of strangers beyond their bound: a peer whose grants ended is a stranger like any other.
    pub(super) fn limit_strangers(&mut self, now: Now) {
        let mut strangers = self.strangers();
        let surplus = strangers.len().saturating_sub(self.config.max_stranger_streams);
        if surplus == 0 {
            return;
        }
        strangers.sort_unstable();
        for (_, id) in strangers.into_iter().take(surplus) {
            self.close(id, now);
        }
    }

    /// The streams of strangers, each after when it was opened.
    fn strangers(&self) -> Vec<(Instant, StreamId)> {
        self.streams.iter().filter(|(_, s)| !self.is_known(s)).map(|(id, s)| (s.opened, *id)).collect()
    }

    /// Whether a stream is ours, or the other side has shown the key of a peer with a grant.
    pub(super) fn is_known(&self, stream: &Stream) -> bool {
        stream.dialled()
            || stream
                .channel()
                .is_some_and(|channel| self.access.grants.of_peer(&channel.remote().public()).next().is_some())
    }

    /// The longest line that the other side of a stream may send.
    fn line_limit(&self, stream: &Stream) -> usize {
        match &stream.phase {
            Phase::Open(_) if planted!(self.config, LineUnbounded) && self.is_known(stream) => usize::MAX,
            _ if planted!(self.config, StrangersSendMuch) => self.config.max_line(),
            Phase::Open(_) if self.is_known(stream) => self.config.max_line().max(Config::MAX_STRANGER_LINE),
            _ => Config::MAX_STRANGER_LINE,
        }
    }

    pub(super) fn received(&mut self, id: StreamId, bytes: &[u8], now: Now) {
        if self.discovery.has(id) {
            return self.meeting_received(id, bytes, now);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.lines.extend(bytes).is_err() {
            return self.unreadable(id, FrameError::Overflow, now);
        }
        // A line may end the stream or change its limit, so each is handled before the next is cut off.
        while let Some(limit) = self.streams.get(&id).map(|stream| self.line_limit(stream)) {
            match self.streams.get_mut(&id).map(|stream| stream.lines.next_line(limit)) {
                Some(Ok(Some(line))) => self.line(id, &line, now),
                Some(Err(error)) => return self.unreadable(id, error, now),
                Some(Ok(None)) | None => return,
            }
        }
    }

    /// The bytes of a stream make no lines. A peer whose grants were revoked hears that it is unauthorised, one that
    /// sends too much hears that; a stranger just loses the stream.
    fn unreadable(&mut self, id: StreamId, error: FrameError, now: Now) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        if error == FrameError::EmptyLines {
            return self.invalid(id, RejectReason::Malformed, now);
        }
        if stream.dialled() || stream.channel().is_none() {
            return self.invalid(id, RejectReason::TooLong, now);
        }
        let (reason, text) = if self.is_known(stream) {
            let (size, limit) = (self.config.max_line() + 1, self.config.max_line());
            (RejectReason::PayloadTooLarge, alloc::format!("payload too large: {size} bytes exceeds {limit} limit"))
        } else {
            (RejectReason::Unauthorized, "unauthorized".into())
        };
        self.refuse(id, None, None, reason, &text, now);
        self.invalid(id, RejectReason::TooLong, now);
    }

    fn line(&mut self, id: StreamId, line: &[u8], now: Now) {
        let received = json::decode(line);
        #[cfg(wopr_planted)]
        let received = received.or_else(|error| self.read_leniently(line).ok_or(error));
        let received = match received {
            Ok(received) => received,
            Err(error) if planted!(self.config, Unwrapped) => panic!("{error}"),
            Err(_) => return self.invalid(id, RejectReason::Malformed, now),
        };
        #[cfg(wopr_planted)]
        self.skip_handshake(id, &received, now);
        self.stay_open(id, now);
        match self.streams.get(&id).map(|stream| &stream.phase) {
            Some(Phase::AwaitHello) => self.hello(id, received, now),
            Some(Phase::AwaitAck(..)) => self.hello_answered(id, received, now),
            Some(Phase::Open(channel)) => match channel.side() {
                Side::Listener => self.serve(id, received, now),
                Side::Dialler => self.request_answered(id, received, now),
            },
            None => {}
        }
    }

    /// Something was said in an open stream: its silence begins anew.
    pub(super) fn stay_open(&mut self, id: StreamId, now: Now) {
        if let Some(stream) = self.streams.get_mut(&id)
            && let Phase::Open(channel) = &stream.phase
        {
            stream.deadline = now.mono + channel.idle(&self.config);
        }
    }

    fn hello(&mut self, id: StreamId, hello: Received, now: Now) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        if let Err(reason) = handshake::precheck(&hello, &self.identity.keys(), &self.config, now) {
            return self.invalid(id, reason, now);
        }
        let from = hello.message().header.from;
        let local = self.local_for(&from, &stream.locals, handshake::addressee(&hello), now);
        let key = from.verifying_key();
        #[cfg(wopr_planted)]
        let key = key.or_else(|error| self.weak_key(&from).ok_or(error));
        let Ok(key) = key else {
            return self.invalid(id, RejectReason::BadSignature, now);
        };
        #[cfg(wopr_planted)]
        let hello = hello.believed_if(planted!(self.config, HelloUnsigned));
        let Ok(message) = hello.verify(&key) else {
            return self.invalid(id, RejectReason::BadSignature, now);
        };
        let Some(identity) = self.identity.find(&local) else {
            return self.invalid(id, RejectReason::NotForUs, now);
        };
        let known = self.access.peers.get(&self.acting(from, now)).is_some();
        if !known && self.identity.is_compromised(&local) {
            let re = message.header.nonce;
            let header = Header { from: local, nonce: Nonce(self.rng.bytes()), ts: now.wall };
            let line = Channel::reject_line(identity, header, None, KEY_GIVEN_UP, re);
            let remote = stream.remote;
            self.transmit(id, line);
            self.event(Event::PeerRejected { remote, reason: RejectReason::KeyGivenUp });
            return self.close(id, now);
        }
        match handshake::answer(message, key, identity, &self.config, &mut self.rng, now) {
            Ok(Greeting::Welcome(line, channel)) => {
                self.transmit(id, line);
                self.connected(id, channel, now);
                self.peer_is_back(from, now);
            }
            Ok(Greeting::Refuse(line, reason)) => {
                self.transmit(id, line);
                self.invalid(id, reason, now);
            }
            Err(reason) => self.invalid(id, reason, now),
        }
    }

    /// Which of our keys answers: the one the hello names; else the one it came for; else, during a grace period, the
    /// old one for a peer that has not heard of the new one.
    fn local_for(&self, from: &PublicKey, locals: &[PublicKey], named: Option<PublicKey>, now: Now) -> PublicKey {
        let current = self.identity.current.public_key();
        if let Some(named) = named
            && !planted!(self.config, HelloForAnother | OwnHello)
        {
            return named;
        }
        if let [only] = locals {
            return *only;
        }
        let from = self.acting(*from, now);
        let known = self.access.peers.get(&from).is_some();
        let untold = self.identity.retired.iter().find(|retired| known && !retired.told.contains(&from));
        untold.map_or(current, |retired| retired.identity.public_key())
    }

    fn hello_answered(&mut self, id: StreamId, answer: Received, now: Now) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Phase::AwaitAck(dial, dialler) = core::mem::replace(&mut stream.phase, Phase::AwaitHello) else {
            return;
        };
        match dialler.finish(answer, &self.config, now) {
            Ok(channel) => {
                self.connected(id, channel, now);
                self.dial_succeeded(dial, id, now);
            }
            Err(fault) => {
                self.close(id, now);
                self.dial_stream_failed(dial, Some(fault), now);
            }
        }
    }

    fn connected(&mut self, id: StreamId, channel: Box<Channel>, now: Now) {
        let (peer, version, side) = (channel.remote().public(), channel.version(), channel.side());
        let local = channel.local();
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.phase = Phase::Open(channel);
        }
        self.stay_open(id, now);
        let acting = self.acting(peer, now);
        self.at_once(|access| access.peers.saw(&acting, now.wall));
        self.known_by(local, peer, now);
        self.event(Event::PeerConnected { peer, version, dialled: side == Side::Dialler });
        self.outbox_peer_seen(acting, now);
        if side == Side::Listener {
            self.limit_streams_of(peer, now);
        }
    }

    /// A peer can have any number of transport keys: only its own key tells how many streams it holds. The oldest makes
    /// room, one that waits for nothing before one that does.
    fn limit_streams_of(&mut self, peer: PublicKey, now: Now) {
        let accepted = self.streams.iter().filter(|(_, stream)| {
            stream.channel().is_some_and(|it| it.side() == Side::Listener && it.remote().public() == peer)
        });
        let mut accepted: Vec<_> = accepted.map(|(id, stream)| (stream.serving > 0, stream.opened, *id)).collect();
        accepted.sort_unstable();
        let surplus = accepted.len().saturating_sub(self.config.max_streams_per_remote);
        for (_, _, id) in accepted.into_iter().take(surplus) {
            self.close(id, now);
        }
    }

    pub(super) fn stream_closed(&mut self, id: StreamId, now: Now) {
        self.meeting_ended(id, now);
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        self.forget_stream(id, stream, now);
    }

    /// Closes a stream from our side.
    pub(super) fn close(&mut self, id: StreamId, now: Now) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        self.outputs.push_back(Output::CloseStream { stream: id });
        self.forget_stream(id, stream, now);
    }

    /// What waited for a stream hears that it is gone.
    fn forget_stream(&mut self, id: StreamId, stream: Stream, now: Now) {
        self.cancel_asks(id);
        self.drop_held_questions(id);
        for request in stream.asked.into_values() {
            self.request_unanswered(request, now);
        }
        if let Phase::AwaitAck(dial, _) = stream.phase {
            self.dial_stream_failed(dial, None, now);
        }
    }

    /// Counts a nuisance against whoever really sent it, the transport's key, and closes the stream.
    pub(super) fn invalid(&mut self, id: StreamId, reason: RejectReason, now: Now) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let (remote, dialled) = (stream.remote, stream.dialled());
        let peer = stream.channel().map(|channel| channel.remote().public());
        // A stream that we dialled may lead to an impostor: that is no fault of the peer we looked for. And some things
        // befall honest nodes, too: each costs them the stream, but must not get them banned.
        let known = peer.is_some_and(|peer| self.access.peers.get(&self.acting(peer, now)).is_some());
        let excused = match reason {
            RejectReason::OutsideWindow | RejectReason::VersionMismatch | RejectReason::Misdirected => true,
            // It may not know yet that its grant is gone, or that our limit is lower than its own.
            RejectReason::TooLong => known,
            _ => false,
        };
        if !dialled && !excused {
            self.charge(self.transport(remote), Action::Invalid, now);
        }
        if planted!(self.config, BannedByName)
            && let Some(peer) = peer
        {
            self.charge(Subject::Peer(self.acting(peer, now)), Action::Invalid, now);
        }
        match peer {
            // It has been told, and the owner has heard of it.
            Some(_) if excused && reason == RejectReason::TooLong => {}
            Some(peer) => self.event(Event::MessageRejected { peer, session: None, reason }),
            None => self.event(Event::PeerRejected { remote, reason }),
        }
        self.close(id, now);
    }

    /// Whom the nuisance of a stream counts against.
    fn transport(&self, remote: TransportKey) -> Subject {
        Subject::Transport(if planted!(self.config, SharedBan) { [0; 32] } else { remote.0 })
    }

    /// Counts one action; false if it is over the limit.
    pub(super) fn charge(&mut self, subject: Subject, action: Action, now: Now) -> bool {
        let uncounted = match action {
            Action::Invalid => planted!(self.config, InvalidUncounted),
            Action::Inject | Action::Log | Action::Claim => planted!(self.config, RequestsUncounted),
        };
        if uncounted {
            return true;
        }
        self.limits_dirty = true;
        match self.limits.check(subject, action, now) {
            Verdict::Allowed => true,
            Verdict::Refused { newly_banned, .. } => {
                if newly_banned {
                    self.save_limits(now);
                }
                false
            }
        }
    }

    pub(super) fn transmit(&mut self, stream: StreamId, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Transmit { stream, bytes });
    }

    /// The key that a peer acts under now, seen through rotations that are still in their grace period.
    pub(super) fn acting(&self, key: PublicKey, now: Now) -> PublicKey {
        match self.access.peers.current_of(&key, now.wall) {
            Some(KeyStatus::Grace { peer, .. }) => peer.key,
            _ => key,
        }
    }
}
