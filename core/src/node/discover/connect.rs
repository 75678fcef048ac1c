//! Connection requests: others' that wait for our owner, and ours that wait for theirs.

use alloc::borrow::ToOwned as _;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::change::Change;
use super::super::{CommandError, CommandId, Node, Reply, StreamId};
use super::book::{DENIED, Edit};
use super::meeting::Other;
use crate::access::SessionSet;
use crate::discovery::{Asked, ConnectRequest, Connected, PendingId};
use crate::event::{Event, RejectReason};
use crate::gateway::Gateway;
use crate::grant::{Grant, Needs};
use crate::keys::{Nonce, PublicKey};
use crate::peer::{Opened, PeerRef, ResolveError};
use crate::rate::{Action, Subject};
use crate::time::{Instant, Now};
use crate::wire::discovery::{Answer, Outgoing, Shown};

/// How soon a request of ours may be repeated when its peer is met again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A command that waits for a peer's answer.
pub(super) struct Connecting {
    peer: PeerRef,
    pub(super) deadline: Instant,
    /// Whom the request was sent to, and where.
    sent: Option<(PublicKey, StreamId)>,
}

impl Node {
    /// Somebody wants to use our sessions.
    pub(super) fn connect_requested(&mut self, id: StreamId, topic: &str, shown: Shown, proven: bool, now: Now) {
        let Some(meeting) = self.discovery.meetings.get_mut(&id) else {
            return;
        };
        if self.identity.find(&shown.key).is_some() || shown.key.verifying_key().is_err() {
            return self.bad_meeting(id, RejectReason::NotForUs, now);
        }
        let remote = meeting.remote;
        // An original may ask before it showed itself; on a stream with a proven peer nobody else may ask.
        let other = *meeting.other.get_or_insert(Other::unproven(shown.key));
        if other.key != shown.key || other.proven.is_some() && !proven {
            return self.bad_meeting(id, RejectReason::BadSignature, now);
        }
        meeting.requested = true;
        let name = meeting.topic.clone();
        let refuse = |reason: &str| Answer::Refused { reason: reason.to_owned() };
        if name.as_str() != topic {
            return self.respond(id, &refuse("we did not meet on this topic"), now);
        }
        if !self.charge(Subject::Transport(remote.0), Action::Claim, now) {
            return self.respond(id, &refuse("rate limited"), now);
        }
        if let Some(answer) = self.standing_answer(&shown.key, proven, now) {
            return self.respond(id, &answer, now);
        }
        let encrypt_key = shown.encrypt_key.filter(|_| proven);
        if let Some(grant) = self.grant_for_newcomer(&shown.key, proven, now) {
            let edit = Edit::Accept { grant, encrypt_key };
            return self.change(Change::Book { command: None, edit }, now);
        }
        let (key, content, since) = (shown.key, shown.content, now.wall);
        let pending = self.new_pending_id();
        let request =
            ConnectRequest { id: pending, key, proven, encrypt_key, topic: name, content, since, denied: None };
        self.change(Change::Book { command: None, edit: Edit::Request { stream: id, request, fresh: false } }, now);
    }

    /// The answer that is certain already: the key may use the gateway, its request waits, or was denied.
    fn standing_answer(&self, key: &PublicKey, proven: bool, now: Now) -> Option<Answer> {
        if let Some(Gateway { session, .. }) = &self.config.gateway {
            let permit = [Needs::Log, Needs::Inject].into_iter().find_map(|n| self.permit(key, session, n, now));
            if let Some(permit) = permit {
                let sessions = SessionSet::new([session.as_str()]).ok();
                return Some(Answer::Accepted { sessions, capabilities: permit.capabilities });
            }
        }
        let known = self.access.book.request(key).filter(|known| known.proven || !proven)?;
        Some(match known.denied {
            Some(_) => Answer::Refused { reason: DENIED.to_string() },
            None => Answer::Pending,
        })
    }

    /// What the owner set newcomers to get by themselves: nothing, unless the key is proven and was never revoked.
    fn grant_for_newcomer(&mut self, key: &PublicKey, proven: bool, now: Now) -> Option<Grant> {
        let revoked = self.access.peers.get(key).is_some_and(|peer| peer.revoked.is_some());
        let wanted = self.config.discovery.auto_accept && proven && !revoked;
        wanted.then(|| self.gateway_grant(*key, now)).flatten()
    }

    /// The grant that an approved newcomer gets; `None` without a gateway.
    fn gateway_grant(&mut self, peer: PublicKey, now: Now) -> Option<Grant> {
        let Gateway { session, capabilities, .. } = self.config.gateway.as_ref()?;
        Some(Grant {
            id: Nonce(self.rng.bytes()),
            peer,
            sessions: SessionSet::new([session.as_str()]).ok()?,
            except: Default::default(),
            capabilities: capabilities.clone(),
            trust: self.config.discovery.trust,
            created: now.wall,
            expires: None,
            invite: None,
        })
    }

    pub(in super::super) fn new_pending_id(&mut self) -> PendingId {
        loop {
            let id = PendingId(u32::from_le_bytes(self.rng.bytes()));
            if !self.access.book.has_id(id) && !self.gate.holds(id) {
                return id;
            }
        }
    }

    /// A request waits now; `fresh` if the owner has not seen it.
    pub(super) fn request_stored(&mut self, stream: StreamId, key: PublicKey, fresh: bool, now: Now) {
        let Some(request) = self.access.book.request(&key).cloned() else {
            return;
        };
        if fresh {
            let (peer, proven) = (key, request.proven);
            self.event(Event::ConnectRequested { peer, proven, request: request.id });
        }
        let answer = match request.denied {
            Some(_) => Answer::Refused { reason: DENIED.to_string() },
            None => Answer::Pending,
        };
        self.respond(stream, &answer, now);
    }

    /// The owner approves a connection request.
    pub(in super::super) fn approve_connection(
        &mut self,
        command: CommandId,
        request: &ConnectRequest,
        now: Now,
    ) -> Result<(), CommandError> {
        let grant = self.gateway_grant(request.key, now).ok_or(CommandError::NoGateway)?;
        let edit = Edit::Accept { grant, encrypt_key: request.encrypt_key };
        self.change(Change::Book { command: Some(command), edit }, now);
        Ok(())
    }

    /// The owner granted something in other words: if its peer waits for that, it hears of it.
    pub(in super::super) fn settle_request(&mut self, grant: &Grant, now: Now) {
        if self.access.book.request(&grant.peer).is_some() {
            let edit = Edit::Settle { grant: grant.clone() };
            self.change(Change::Book { command: None, edit }, now);
        }
    }

    /// A request was granted.
    pub(super) fn accepted(&mut self, grant: &Grant, now: Now) {
        let (sessions, capabilities) = (Some(grant.sessions.clone()), grant.capabilities.clone());
        self.tell(&grant.peer, &Answer::Accepted { sessions, capabilities }, now);
    }

    /// Tells a key what became of its request, wherever it asked or has proved itself.
    pub(super) fn tell(&mut self, key: &PublicKey, answer: &Answer, now: Now) {
        let streams: Vec<StreamId> = self
            .discovery
            .meetings
            .iter()
            .filter(|(_, meeting)| meeting.requested && meeting.counts_for(key))
            .map(|(id, _)| *id)
            .collect();
        for stream in streams {
            self.respond(stream, answer, now);
        }
    }

    pub(super) fn respond(&mut self, stream: StreamId, answer: &Answer, now: Now) {
        if self.discovery.has(stream) {
            self.say(stream, &Outgoing::connect_response(answer), now);
        }
    }

    /// The owner wants to use a discovered peer's sessions.
    pub(in super::super) fn connect(&mut self, command: CommandId, peer: PeerRef, timeout: Duration, now: Now) {
        if self.discovery.connecting.len() >= self.config.max_commands {
            return self.finish(command, Err(CommandError::LimitReached("max_commands")));
        }
        let deadline = now.mono + timeout;
        self.discovery.connecting.insert(command, Connecting { peer, deadline, sent: None });
        self.try_connecting(now);
    }

    /// Sends the requests whose peers have been met.
    pub(super) fn try_connecting(&mut self, now: Now) {
        let waiting: Vec<(CommandId, PeerRef)> = self
            .discovery
            .connecting
            .iter()
            .filter(|(_, connecting)| connecting.sent.is_none())
            .map(|(command, connecting)| (*command, connecting.peer.clone()))
            .collect();
        for (command, peer) in waiting {
            match self.met(&peer, now) {
                Ok(Some((stream, other, topic))) => {
                    if let Some(connecting) = self.discovery.connecting.get_mut(&command) {
                        connecting.sent = Some((other.key, stream));
                    }
                    if other.proven.is_some() {
                        let asked = Asked { key: other.key, topic, since: now.wall };
                        self.change(Change::Book { command: None, edit: Edit::Ask(asked) }, now);
                    } else {
                        self.ask_on(stream, now);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    self.discovery.connecting.remove(&command);
                    self.finish(command, Err(error));
                }
            }
        }
    }

    /// The stream to a peer that was met, if it can be asked now.
    fn met(
        &self,
        peer: &PeerRef,
        now: Now,
    ) -> Result<Option<(StreamId, Other, crate::profile::TopicName)>, CommandError> {
        let key = match peer {
            PeerRef::Key(key) => Some(self.acting(*key, now)),
            PeerRef::ShortId(id) => {
                let mut keys: Vec<PublicKey> = self.discovery.found.keys().copied().collect();
                keys.retain(|key| key.short_id() == *id);
                if keys.len() > 1 {
                    let short_id = id.clone();
                    return Err(CommandError::Unresolved(ResolveError::Ambiguous { short_id, keys }));
                }
                keys.first().copied()
            }
            PeerRef::Name(_) => Some(self.access.peers.resolve(peer).map_err(CommandError::Unresolved)?.key),
        };
        let Some(key) = key else { return Ok(None) };
        if self.identity.find(&key).is_some() {
            return Err(CommandError::OwnKey);
        }
        let to_it = self.discovery.meetings.iter().filter_map(|(id, meeting)| {
            let other = meeting.other.filter(|other| other.key == key && !other.may_yet_prove())?;
            Some((*id, other, meeting.topic.clone()))
        });
        // Whoever merely names the key is asked only if nobody has proved it.
        Ok(to_it.max_by_key(|(_, other, _)| other.proven.is_some()))
    }

    /// Sends a request to a key that has proved itself; an earlier request goes on.
    pub(super) fn send_request(&mut self, key: &PublicKey, now: Now) {
        let proven = self
            .discovery
            .meetings
            .iter()
            .find(|(_, meeting)| meeting.other.is_some_and(|other| other.key == *key && other.proven.is_some()));
        if let Some(stream) = proven.map(|(id, _)| *id) {
            self.discovery.sent.insert(*key, now.mono);
            self.ask_on(stream, now);
        }
    }

    fn ask_on(&mut self, stream: StreamId, now: Now) {
        let Some(topic) = self.discovery.meetings.get(&stream).map(|meeting| meeting.topic.clone()) else {
            return;
        };
        if let Some(profile) = self.own_profile(stream) {
            self.say(stream, &Outgoing::connect_request(topic.as_str(), profile), now);
        }
    }

    /// A peer that we asked before has proved itself again: it may have an answer now.
    pub(super) fn ask_again(&mut self, id: StreamId, now: Now) {
        let Some(key) = self.discovery.meetings.get(&id).and_then(super::meeting::Meeting::key) else {
            return;
        };
        let asked = self.access.book.asked.iter().any(|asked| asked.key == key);
        let lately = self.discovery.sent.get(&key).is_some_and(|at| now.mono < *at + ASK_AGAIN_AFTER);
        if asked && !lately {
            self.discovery.sent.insert(key, now.mono);
            self.ask_on(id, now);
        }
    }

    /// A peer says what became of our request. Without one, or from another key, it says nothing.
    pub(super) fn connect_answered(&mut self, id: StreamId, answer: Answer, proven: bool, now: Now) {
        let Some(other) = self.discovery.meetings.get(&id).and_then(|meeting| meeting.other) else {
            return;
        };
        let key = other.key;
        if !proven {
            return self.answered_unproven(id, key, answer);
        }
        if !self.access.book.asked.iter().any(|asked| asked.key == key) {
            return;
        }
        let answer = match answer {
            Answer::Pending => {
                return self.connect_ended(&key, &Ok(Reply::Connected(Connected::Pending { peer: key })));
            }
            // It is not decided: the request goes on.
            Answer::Refused { reason } if reason == "rate limited" => {
                return self.connect_ended(&key, &Err(CommandError::RateLimited(key)));
            }
            Answer::Refused { reason } => Err(reason),
            Answer::Accepted { sessions, capabilities } => {
                Ok(sessions.zip(other.proven.flatten()).map(|(sessions, encrypt)| {
                    (encrypt, Opened { sessions, capabilities, since: now.wall, expires: None })
                }))
            }
        };
        self.change(Change::Book { command: None, edit: Edit::Answered { key, answer } }, now);
    }

    /// The answer of a peer that proves nothing counts for the command that waits for it, and is not noted.
    fn answered_unproven(&mut self, id: StreamId, key: PublicKey, answer: Answer) {
        let other = self.discovery.meetings.get(&id).and_then(|meeting| meeting.other);
        if other.is_none_or(|other| other.proven.is_some() || other.may_yet_prove()) {
            return;
        }
        let result = match answer {
            Answer::Accepted { sessions, capabilities } => {
                Ok(Reply::Connected(Connected::Accepted { peer: key, proven: false, sessions, capabilities }))
            }
            Answer::Pending => Ok(Reply::Connected(Connected::Pending { peer: key })),
            Answer::Refused { reason } => Err(CommandError::Rejected { peer: key, reason }),
        };
        let here: Vec<CommandId> = self
            .discovery
            .connecting
            .iter()
            .filter(|(_, connecting)| connecting.sent == Some((key, id)))
            .map(|(command, _)| *command)
            .collect();
        for command in here {
            self.discovery.connecting.remove(&command);
            self.finish(command, result.clone());
        }
    }

    /// Ends the commands that wait for this peer's answer.
    pub(super) fn connect_ended(&mut self, key: &PublicKey, result: &Result<Reply, CommandError>) {
        let ended: Vec<CommandId> = self
            .discovery
            .connecting
            .iter()
            .filter(|(_, connecting)| connecting.sent.is_some_and(|(to, _)| to == *key))
            .map(|(command, _)| *command)
            .collect();
        for command in ended {
            self.discovery.connecting.remove(&command);
            self.finish(command, result.clone());
        }
    }

    /// A stream is gone: what waited for an answer there waits for the peer to come back.
    pub(super) fn connecting_lost(&mut self, id: StreamId, now: Now) {
        for connecting in self.discovery.connecting.values_mut() {
            if connecting.sent.is_some_and(|(_, stream)| stream == id) {
                connecting.sent = None;
            }
        }
        self.try_connecting(now);
    }

    /// Ends the commands whose time is over.
    pub(super) fn expire_connecting(&mut self, now: Now) {
        let late: Vec<CommandId> = self
            .discovery
            .connecting
            .iter()
            .filter(|(_, connecting)| connecting.deadline <= now.mono)
            .map(|(command, _)| *command)
            .collect();
        for command in late {
            let Some(Connecting { peer, sent, .. }) = self.discovery.connecting.remove(&command) else {
                continue;
            };
            let error = match (sent, &peer) {
                (Some((key, _)), _) => CommandError::NoAnswer(key),
                (None, PeerRef::Key(key)) => CommandError::PeerOffline(*key),
                (None, PeerRef::ShortId(_)) => CommandError::Unresolved(ResolveError::Unknown(peer)),
                (None, PeerRef::Name(_)) => match self.access.peers.resolve(&peer) {
                    Ok(known) => CommandError::PeerOffline(known.key),
                    Err(error) => CommandError::Unresolved(error),
                },
            };
            self.finish(command, Err(error));
        }
    }

    /// The owner no longer waits; whether there was such a command.
    pub(in super::super) fn cancel_connecting(&mut self, command: CommandId) -> bool {
        let found = self.discovery.connecting.remove(&command).is_some();
        if found {
            self.finish(command, Err(CommandError::Cancelled));
        }
        found
    }
}
