//! What we ask of peers: logs, injects, claims and rotation notices, from waiting for a stream to the answer.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::outbox::MaySend;
use super::stream::Phase;
use super::{CommandError, CommandId, Node, Reply, StreamId};
use crate::access::{SessionName, SessionSet};
use crate::chain::Chain;
use crate::channel::{Channel, Sealed, Side};
use crate::event::RejectReason;
use crate::handshake::NO_COMMON_VERSION;
use crate::invite::InviteToken;
use crate::keys::{EncryptKey, Nonce, PublicKey};
use crate::message::{Ack, Body, Claim, Header, Inject, KeyRotation, Log, Message, RequestId};
use crate::peer::Opened;
use crate::time::{Instant, Now};
use crate::wire::json::Received;

/// Numbers our requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestNo(u64);

/// One request to a peer.
pub(super) struct Request {
    /// Which of our keys asks.
    pub(super) local: PublicKey,
    /// The peer's key.
    pub(super) target: PublicKey,
    pub(super) what: What,
    pub(super) deadline: Instant,
    /// The stream it was sent on.
    pub(super) sent: Option<(StreamId, Nonce)>,
}

/// What is asked, and for whom.
pub(super) enum What {
    Log {
        command: CommandId,
        session: SessionName,
        text: String,
    },
    Inject {
        command: CommandId,
        session: SessionName,
        text: String,
        request: RequestId,
        chain: Option<Chain>,
    },
    Claim {
        command: CommandId,
        token: InviteToken,
        text: String,
    },
    /// Asks for nothing but a handshake.
    Ping {
        command: CommandId,
        started: Instant,
    },
    /// A message of the outbox.
    Queued {
        id: Nonce,
    },
    /// Tells the peer that `old` is followed by the key that asks.
    Notice {
        old: PublicKey,
        statement: String,
    },
}

impl Request {
    /// Whether a message says nothing yet about an inject, as the original sees it: an acknowledgement, or the answer
    /// to another question. The deadline bounds how long that goes on.
    fn is_not_answered_by(&self, answer: &Body) -> bool {
        match (&self.what, answer) {
            (What::Inject { .. }, Body::Ack(_)) => true,
            (What::Inject { request, .. }, Body::Response(response)) => response.request_id != *request,
            _ => false,
        }
    }
}

impl What {
    pub(super) fn command(&self) -> Option<CommandId> {
        match self {
            Self::Log { command, .. }
            | Self::Inject { command, .. }
            | Self::Claim { command, .. }
            | Self::Ping { command, .. } => Some(*command),
            Self::Queued { .. } | Self::Notice { .. } => None,
        }
    }
}

impl Node {
    /// Starts a request: on a stream that is there already, or by dialling.
    pub(super) fn request(&mut self, request: Request, now: Now) {
        let (local, target) = (request.local, request.target);
        let number = RequestNo(self.next_id());
        self.requests.insert(number, request);
        self.pump(local, target, now);
    }

    /// Sends what waits for this peer, as far as there is a stream to send it on; dials if there is none.
    pub(super) fn pump(&mut self, local: PublicKey, target: PublicKey, now: Now) {
        let waiting: Vec<RequestNo> = self
            .requests
            .iter()
            .filter(|(_, request)| request.sent.is_none() && request.local == local && request.target == target)
            .map(|(number, _)| *number)
            .collect();
        for number in waiting {
            if self.is_ping(number) {
                self.dial(local, target, now);
                continue;
            }
            let Some(stream) = self.usable_stream(&local, &target, now) else {
                return self.dial(local, target, now);
            };
            // The original reads one message at a time: the others wait for its answer.
            let bound = self.streams.get(&stream).and_then(|s| s.channel()).is_some_and(Channel::is_bound);
            if !bound && self.streams.get(&stream).is_some_and(|s| !s.asked.is_empty()) {
                return;
            }
            let sent = match self.may_send(number, bound) {
                MaySend::Yes => self.send(number, stream, now),
                MaySend::Later => continue,
                MaySend::No => Err(CommandError::NoAnswer(target)),
            };
            if let Err(error) = sent {
                self.conclude(number, Err(error), now);
            }
        }
    }

    fn may_send(&mut self, number: RequestNo, bound: bool) -> MaySend {
        let Some(Request { what, local, target, .. }) = self.requests.get(&number) else {
            return MaySend::Later;
        };
        // Nothing else is understood under a key that the peer has yet to hear of.
        if !matches!(what, What::Notice { .. }) && self.is_telling(local, target) {
            return MaySend::Later;
        }
        match what.queued() {
            Some(id) => self.may_send_queued(&id, bound),
            None => MaySend::Yes,
        }
    }

    /// Whether the peer is being told of the key that asks.
    fn is_telling(&self, local: &PublicKey, target: &PublicKey) -> bool {
        let notice = |r: &Request| matches!(r.what, What::Notice { .. }) && r.local == *local && r.target == *target;
        self.requests.values().any(notice)
    }

    /// An open stream that we dialled to this peer, whose keys are fresh, and which it will not close soon.
    fn usable_stream(&self, local: &PublicKey, target: &PublicKey, now: Now) -> Option<StreamId> {
        self.streams
            .iter()
            .find(|(_, stream)| {
                let awake = stream.deadline > now.mono || !stream.asked.is_empty();
                awake
                    && stream.channel().is_some_and(|channel| {
                        channel.side() == Side::Dialler
                            && channel.local() == *local
                            && channel.remote().public() == *target
                            && (channel.expires(&self.config) > now.mono || planted!(self.config, KeysNeverAge))
                    })
            })
            .map(|(id, _)| *id)
    }

    fn send(&mut self, number: RequestNo, id: StreamId, now: Now) -> Result<(), CommandError> {
        let Some(request) = self.requests.get_mut(&number) else {
            return Ok(());
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let Phase::Open(channel) = &mut stream.phase else {
            return Ok(());
        };
        let target = request.target;
        let Some(identity) = self.identity.find(&request.local) else {
            return Err(CommandError::NoAnswer(target));
        };
        let remote_static = self.access.peers.get(&target).and_then(|peer| peer.encrypt_key);
        let (v, re, encrypt_key) = (channel.version(), channel.bound(), identity.encrypt_key());
        let mut from = request.local;
        let rng = &mut self.rng;
        #[cfg(wopr_planted)]
        let mut fixed = crate::rng::Rng::new([0; 32]);
        #[cfg(wopr_planted)]
        let rng = if planted!(self.config, SameIv) { &mut fixed } else { rng };
        let mut seal = |channel: &mut Channel, text: &str| -> Result<Sealed, CommandError> {
            let sealed = channel.seal_request(identity, remote_static, text, rng);
            let sealed = sealed.map_err(|_| CommandError::VersionMismatch(target))?;
            let (size, limit) = (sealed.payload.len(), self.config.max_payload);
            if size > limit { Err(CommandError::PayloadTooLarge { size, limit }) } else { Ok(sealed) }
        };
        let body = match &request.what {
            What::Log { session, text, .. } => {
                let Sealed { payload, ephemeral } = seal(channel, text)?;
                Body::Log(Log { v, encrypt_key, ephemeral, session: session.clone(), payload, once: None, re })
            }
            What::Queued { id } => {
                let (message, once) = self.outgoing.table.message(id, now.wall).ok_or(CommandError::Cancelled)?;
                let Sealed { payload, ephemeral } = seal(channel, &message.text)?;
                let (session, once) = (message.session.clone(), re.map(|_| once));
                Body::Log(Log { v, encrypt_key, ephemeral, session, payload, once, re })
            }
            What::Inject { session, text, request, chain, .. } => {
                let Sealed { payload, ephemeral } = seal(channel, text)?;
                let (session, request_id) = (session.clone(), request.clone());
                let chain = chain.clone().filter(|_| re.is_some());
                Body::Inject(Inject { v, encrypt_key, ephemeral, session, payload, request_id, chain, re })
            }
            // Its handshake is all.
            What::Ping { .. } => return Ok(()),
            What::Claim { text, .. } => Body::Claim(Claim { v, encrypt_key, token: text.clone(), re }),
            What::Notice { old, statement } => {
                from = *old;
                let proof = re.map(|re| identity.sign(&KeyRotation::proof_bytes(statement, re)));
                Body::KeyRotation(KeyRotation { statement: statement.clone(), proof, re })
            }
        };
        let nonce = if planted!(self.config, NonceIsTime) {
            Nonce(u128::from(now.wall.as_millis()).to_be_bytes())
        } else {
            Nonce(self.rng.bytes())
        };
        let line = Channel::line(identity, Header { from, nonce, ts: now.wall }, body);
        request.sent = Some((id, nonce));
        stream.asked.insert(nonce, number);
        self.transmit(id, line);
        Ok(())
    }

    /// A line on a stream that we dialled, after the handshake.
    pub(super) fn request_answered(&mut self, id: StreamId, answer: Received, now: Now) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Phase::Open(channel) = &stream.phase else {
            return;
        };
        if let Err(reason) = channel.precheck_answer(&answer, &self.config, now) {
            return self.invalid(id, reason, now);
        }
        // Towards an original there is one request at a time, and the answer is to that one.
        let re = answer.message().body.re();
        let nonce = match channel.bound() {
            // A refusal of something that the peer could not even read: it is clear what, if there is only one.
            Some(handshake) if re == Some(handshake) && stream.asked.len() == 1 => stream.asked.keys().next().copied(),
            Some(_) if planted!(self.config, AnyAnswer) => stream.asked.keys().next().copied(),
            Some(_) => re,
            None => stream.asked.keys().next().copied(),
        };
        let Some(number) = nonce.and_then(|nonce| stream.asked.get(&nonce)).copied() else {
            // An answer to what nobody waits for any more, or to nothing at all.
            if !channel.is_bound() {
                self.invalid(id, RejectReason::NotForUs, now);
            }
            return;
        };
        #[cfg(wopr_planted)]
        let answer = answer.believed_if(planted!(self.config, AnswerUnsigned));
        let Ok(message) = answer.verify(channel.remote()) else {
            return self.invalid(id, RejectReason::BadSignature, now);
        };
        if self.requests.get(&number).is_some_and(|request| request.is_not_answered_by(&message.body)) {
            return;
        }
        if let Some(nonce) = nonce {
            stream.asked.remove(&nonce);
        }
        self.conclude_with(number, id, message, now);
        let pair = self.streams.get(&id).and_then(|s| s.channel()).map(|c| (c.local(), c.remote().public()));
        if let Some((local, target)) = pair {
            self.pump(local, target, now);
        }
    }

    fn conclude_with(&mut self, number: RequestNo, id: StreamId, message: Message, now: Now) {
        let Some(request) = self.requests.get(&number) else {
            return;
        };
        let peer = request.target;
        let result = match (&request.what, message.body) {
            (_, Body::Reject(reject)) => Err(refusal(peer, &reject.reason)),
            (What::Log { .. } | What::Queued { .. }, Body::Ack(_)) => Ok(Reply::Logged),
            (What::Inject { .. }, Body::Response(response)) => {
                let sealed = Sealed { payload: response.payload, ephemeral: response.ephemeral };
                self.open_response(id, &sealed, response.encrypt_key)
                    .map(Reply::Answer)
                    .ok_or(CommandError::BadAnswer(peer))
            }
            (What::Claim { command, token, .. }, Body::Ack(Ack { encrypt_key, .. })) => {
                let (command, local, opened) = (*command, request.local, Opened::by_invite(token, now.wall));
                self.requests.remove(&number);
                let change = super::change::Change::Opened { command, local, peer, encrypt_key, opened };
                return self.change(change, now);
            }
            (What::Notice { .. }, Body::Ack(_)) => Ok(Reply::Logged),
            _ => Err(CommandError::BadAnswer(peer)),
        };
        self.conclude(number, result, now);
    }

    fn open_response(&self, id: StreamId, sealed: &Sealed, remote_static: Option<EncryptKey>) -> Option<String> {
        let channel = self.streams.get(&id)?.channel()?;
        let identity = self.identity.find(&channel.local())?;
        channel.open_answer(identity, sealed, remote_static).ok()
    }

    /// The stream of a request is gone before its answer came.
    pub(super) fn request_unanswered(&mut self, number: RequestNo, now: Now) {
        if let Some(request) = self.requests.get(&number) {
            let error = CommandError::NoAnswer(request.target);
            self.conclude(number, Err(error), now);
        }
    }

    /// Ends every request to a peer that still waits for a stream.
    pub(super) fn fail_waiting(&mut self, local: PublicKey, target: PublicKey, error: &CommandError, now: Now) {
        let waiting: Vec<RequestNo> = self
            .requests
            .iter()
            .filter(|(_, request)| request.sent.is_none() && request.local == local && request.target == target)
            .map(|(number, _)| *number)
            .collect();
        for number in waiting {
            self.conclude(number, Err(error.clone()), now);
        }
    }

    pub(super) fn conclude(&mut self, number: RequestNo, result: Result<Reply, CommandError>, now: Now) {
        let Some(request) = self.requests.remove(&number) else {
            return;
        };
        if let Some(stream) = request.sent.and_then(|(id, _)| self.streams.get_mut(&id)) {
            stream.asked.retain(|_, asked| *asked != number);
        }
        match request.what {
            What::Queued { id } => self.queued_ended(&id, request.target, result, now),
            What::Notice { old, .. } => {
                self.notice_ended(old, request.target, &result, now);
                if request.sent.is_some() {
                    self.pump(request.local, request.target, now);
                }
            }
            What::Log { command, .. }
            | What::Inject { command, .. }
            | What::Claim { command, .. }
            | What::Ping { command, .. } => {
                if planted!(self.config, NeverFinished) && matches!(result, Err(CommandError::NoAnswer(_))) {
                    return;
                }
                self.finish(command, result);
            }
        }
    }

    /// Ends the requests whose time is over.
    pub(super) fn expire_requests(&mut self, now: Now) {
        let late: Vec<RequestNo> =
            self.requests.iter().filter(|(_, r)| r.deadline <= now.mono).map(|(number, _)| *number).collect();
        for number in late {
            let Some(request) = self.requests.get(&number) else {
                continue;
            };
            let (target, stream) = (request.target, request.sent.map(|(id, _)| id));
            let error = match stream {
                Some(_) => CommandError::NoAnswer(target),
                None => CommandError::PeerOffline(target),
            };
            let inject = matches!(request.what, What::Inject { .. });
            self.conclude(number, Err(error), now);
            // Closing is how the listener learns that nobody waits for its AI; an original that is silent is stuck.
            if let Some(id) = stream
                && self.streams.get(&id).is_some_and(|s| s.asked.is_empty())
                && (inject || self.streams.get(&id).and_then(|s| s.channel()).is_some_and(|c| !c.is_bound()))
            {
                self.close(id, now);
            }
        }
        self.stop_unwanted_dials(now);
    }

    pub(super) fn cancel_command(&mut self, id: CommandId, now: Now) {
        if self.cancel_connecting(id) {
            return;
        }
        let number = self.requests.iter().find(|(_, r)| r.what.command() == Some(id)).map(|(number, _)| *number);
        if let Some(number) = number {
            let stream = self.requests.get(&number).and_then(|r| r.sent).map(|(stream, _)| stream);
            self.conclude(number, Err(CommandError::Cancelled), now);
            if let Some(stream) = stream
                && self.streams.get(&stream).is_some_and(|s| s.asked.is_empty())
            {
                self.close(stream, now);
            }
            self.stop_unwanted_dials(now);
        }
    }
}

/// What a peer's words of refusal mean.
pub(super) fn refusal(peer: PublicKey, reason: &str) -> CommandError {
    match reason {
        "rate limited" => CommandError::RateLimited(peer),
        "unauthorized" => CommandError::Unauthorized(peer),
        NO_COMMON_VERSION => CommandError::VersionMismatch(peer),
        _ => CommandError::Rejected { peer, reason: reason.to_string() },
    }
}

impl Opened {
    /// What a claimed token opened to us.
    fn by_invite(token: &InviteToken, now: crate::time::WallTime) -> Self {
        let sessions: SessionSet = token.sessions.clone();
        Self { sessions, capabilities: token.capabilities.clone(), since: now, expires: None }
    }
}
