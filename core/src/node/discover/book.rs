//! What discovery remembers over restarts, and the changes of it: made on a copy, stored, then in force, like every
//! change of access, and where both change, in one step.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::super::access::Access;
use super::super::deliver::Delivery;
use super::super::{CommandError, CommandId, Document, Node, Reply, StreamId};
use crate::config::Config;
use crate::discovery::{Asked, ConnectRequest, Connected, HeldLog, PendingId, PendingRequest, PendingWhat};
use crate::event::{Event, RejectReason};
use crate::grant::Grant;
use crate::keys::{EncryptKey, PublicKey};
use crate::peer::Opened;
use crate::profile::{Profile, TopicName};
use crate::time::{Now, WallTime};
use crate::wire::discovery::Answer;

/// The words of a refusal by the owner.
pub(super) const DENIED: &str = "denied by the owner";

/// `discovery.json`.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct Book {
    pub(in super::super) profile: Profile,
    pub(in super::super) topics: BTreeSet<TopicName>,
    /// Others' requests, one a key.
    pub(super) requests: Vec<ConnectRequest>,
    /// Ours, one a key.
    pub(in super::super) asked: Vec<Asked>,
    pub(in super::super) held: Vec<HeldLog>,
}

/// One change.
pub(in super::super) enum Edit {
    /// The owner joins a topic.
    Join(TopicName),
    /// The owner leaves a topic.
    Leave(TopicName),
    /// The owner shows something else.
    Profile(Profile),
    /// Somebody asks for access, on this stream. `fresh` is found out on the way.
    Request { stream: StreamId, request: ConnectRequest, fresh: bool },
    /// The owner, or the rule for newcomers, grants what was asked for.
    Accept { grant: Grant, encrypt_key: Option<EncryptKey> },
    /// The owner granted something by another command.
    Settle { grant: Grant },
    /// The owner denies what was asked for.
    Deny { id: PendingId },
    /// We ask for access.
    Ask(Asked),
    /// What we asked for was decided: what opened to us, or why not.
    Answered { key: PublicKey, answer: Result<Option<(EncryptKey, Opened)>, alloc::string::String> },
    /// A text waits for the owner.
    Hold { log: HeldLog, delivery: Delivery },
    /// It does not wait any longer.
    Drop { id: PendingId },
    /// What has waited too long goes.
    Expire,
}

impl Book {
    /// The request of a key.
    pub(super) fn request(&self, key: &PublicKey) -> Option<&ConnectRequest> {
        self.requests.iter().find(|request| request.key == *key)
    }

    /// The waiting request that the owner names by its id or by the key.
    pub(in super::super) fn pending(&self, name: &str) -> Option<&ConnectRequest> {
        let (id, key) = (name.parse::<PendingId>().ok(), name.parse::<PublicKey>().ok());
        let named = |request: &&ConnectRequest| Some(request.id) == id || Some(request.key) == key;
        self.requests.iter().filter(|request| request.denied.is_none()).find(named)
    }

    pub(in super::super) fn has_id(&self, id: PendingId) -> bool {
        self.requests.iter().any(|request| request.id == id) || self.held.iter().any(|log| log.id == id)
    }

    /// Takes a request in; whether it is one that the owner has not seen.
    fn take_in(&mut self, mut request: ConnectRequest, config: &Config) -> Result<bool, CommandError> {
        if let Some(known) = self.requests.iter_mut().find(|known| known.key == request.key) {
            if known.proven || !request.proven {
                return Ok(false);
            }
            // The owner of the key speaks up: what somebody else said in its name, and was told, is void.
            let fresh = known.denied.is_some();
            if !fresh {
                (request.id, request.since) = (known.id, known.since);
            }
            *known = request;
            return Ok(fresh);
        }
        // Keys that nobody proved are for free: they get half of the places.
        let max = config.discovery.max_requests / if request.proven { 1 } else { 2 };
        if self.requests.len() >= max {
            let Some(oldest) = self.requests.iter().position(|known| known.denied.is_some()) else {
                return Err(CommandError::LimitReached("discovery.max_requests"));
            };
            self.requests.remove(oldest);
        }
        self.requests.push(request);
        Ok(true)
    }

    /// Takes out what has waited too long; whether there was anything.
    fn expire(&mut self, config: &Config, now: WallTime) -> bool {
        let before = (self.requests.len(), self.asked.len(), self.held.len());
        let config = &config.discovery;
        self.requests.retain(|request| match request.denied {
            Some(at) => now < at + config.denial_memory,
            None => now < request.since + config.request_expiry,
        });
        self.asked.retain(|asked| now < asked.since + config.request_expiry);
        self.held.retain(|log| now < log.since + config.request_expiry);
        before != (self.requests.len(), self.asked.len(), self.held.len())
    }
}

impl Node {
    /// Makes a change on a copy; the documents that it touches.
    pub(in super::super) fn prepare_edit(
        &self,
        next: &mut Access,
        edit: &mut Edit,
        now: Now,
    ) -> Result<Vec<Document>, CommandError> {
        let config = &self.config;
        let mut documents = Vec::from([Document::Discovery]);
        let book = &mut next.book;
        book.expire(config, now.wall);
        match edit {
            Edit::Join(topic) => {
                if book.topics.len() >= config.discovery.max_topics && !book.topics.contains(topic) {
                    return Err(CommandError::LimitReached("discovery.max_topics"));
                }
                book.topics.insert(topic.clone());
            }
            Edit::Leave(topic) => {
                if !book.topics.remove(topic) {
                    return Err(CommandError::NotJoined(topic.clone()));
                }
            }
            Edit::Profile(profile) => book.profile = profile.clone(),
            Edit::Request { request, fresh, .. } => *fresh = book.take_in(request.clone(), config)?,
            Edit::Accept { grant, encrypt_key } => {
                book.requests.retain(|request| request.key != grant.peer);
                documents = Vec::from([Document::Peers, Document::Access, Document::Discovery]);
                next.peers.add(grant.peer, now.wall)?;
                next.peers.restore(&grant.peer);
                if let Some(encrypt_key) = encrypt_key {
                    next.peers.set_encrypt_key(&grant.peer, *encrypt_key);
                }
                let inserted = next.grants.insert(grant.clone());
                inserted.map_err(|_| CommandError::LimitReached("max_grants"))?;
            }
            Edit::Settle { grant } => book.requests.retain(|request| request.key != grant.peer),
            Edit::Deny { id } => {
                let denied = book.requests.iter_mut().find(|request| request.id == *id && request.denied.is_none());
                denied.ok_or(CommandError::NoSuchRequest)?.denied = Some(now.wall);
            }
            Edit::Ask(asked) => {
                book.asked.retain(|other| other.key != asked.key);
                if book.asked.len() >= config.discovery.max_requests {
                    return Err(CommandError::LimitReached("discovery.max_requests"));
                }
                book.asked.push(asked.clone());
            }
            Edit::Answered { key, answer } => {
                book.asked.retain(|asked| asked.key != *key);
                if let Ok(Some((encrypt_key, opened))) = answer {
                    documents.insert(0, Document::Peers);
                    next.peers.add(*key, now.wall)?;
                    next.peers.set_encrypt_key(key, *encrypt_key);
                    next.peers.open(key, opened.clone());
                }
            }
            Edit::Hold { log, .. } => {
                // Looked at before, but others may have been on their way to the disk.
                let bytes: usize = book.held.iter().map(|held| held.text.len()).sum();
                let (max, max_bytes) = (config.discovery.max_requests, config.discovery.max_held_bytes);
                if book.held.len() >= max || bytes + log.text.len() > max_bytes {
                    return Err(CommandError::LimitReached("discovery.max_held_bytes"));
                }
                book.held.push(log.clone());
            }
            Edit::Drop { id } => book.held.retain(|log| log.id != *id),
            Edit::Expire => {}
        }
        Ok(documents)
    }

    /// A change is stored and in force.
    pub(in super::super) fn edited(&mut self, command: Option<CommandId>, edit: Edit, now: Now) {
        let reply = match edit {
            Edit::Join(topic) => {
                self.meet_on(topic.clone(), now);
                Some(Reply::TopicJoined(topic))
            }
            Edit::Leave(topic) => {
                self.stop_meeting_on(&topic, now);
                Some(Reply::TopicLeft(topic))
            }
            Edit::Profile(profile) => {
                self.show_profile_to_all(now);
                Some(Reply::ProfileSet(profile))
            }
            Edit::Request { stream, request, fresh } => {
                self.request_stored(stream, request.key, fresh, now);
                None
            }
            Edit::Accept { grant, .. } => {
                // Revoked while it was being stored.
                if self.access.grants.get(&grant.id).is_none() {
                    return command.into_iter().for_each(|id| self.finish(id, Err(CommandError::Cancelled)));
                }
                self.grant_created(&grant);
                self.accepted(&grant, now);
                // A peer that had been turned away missed what was told to the others.
                self.schedule_notices_for(grant.peer, now);
                Some(Reply::Granted(grant))
            }
            Edit::Settle { grant } => {
                self.accepted(&grant, now);
                None
            }
            Edit::Deny { id } => self.denied(id, now).map(Reply::Denied),
            Edit::Ask(asked) => {
                self.send_request(&asked.key, now);
                None
            }
            Edit::Answered { key, answer } => {
                self.connect_decided(key, answer);
                None
            }
            Edit::Hold { log, delivery } => {
                let (peer, session) = (log.peer, log.session);
                self.event(Event::MessageHeld { peer, session, request: log.id });
                self.refuse_delivery(&delivery, RejectReason::Held, now);
                None
            }
            Edit::Drop { .. } => command.and_then(|command| self.release_reply(command)),
            Edit::Expire => None,
        };
        if let (Some(command), Some(reply)) = (command, reply) {
            self.finish(command, Ok(reply));
        }
    }

    /// A change was not made, or could not be stored.
    pub(in super::super) fn edit_failed(
        &mut self,
        command: Option<CommandId>,
        edit: Edit,
        error: CommandError,
        now: Now,
    ) {
        match edit {
            Edit::Request { stream, .. } => {
                let reason = "too many requests wait here: try again later".to_owned();
                self.respond(stream, &Answer::Refused { reason }, now);
            }
            Edit::Hold { delivery, .. } => {
                let full = matches!(error, CommandError::LimitReached(_));
                let reason = if full { RejectReason::Crowded } else { RejectReason::Failed };
                self.refuse_delivery(&delivery, reason, now);
            }
            Edit::Ask(Asked { key, .. }) | Edit::Answered { key, .. } => {
                self.connect_ended(&key, &Err(error.clone()));
            }
            Edit::Drop { .. } => command.into_iter().for_each(|command| self.release_failed(command)),
            _ => {}
        }
        if let Some(command) = command {
            self.finish(command, Err(error));
        }
    }

    /// Takes out what has waited too long, if there is anything.
    pub(in super::super) fn expire_book(&mut self, now: Now) {
        if self.access.book.clone().expire(&self.config, now.wall) {
            self.change(super::super::change::Change::Book { command: None, edit: Edit::Expire }, now);
        }
    }

    fn denied(&mut self, id: PendingId, now: Now) -> Option<PendingRequest> {
        let request = self.access.book.requests.iter().find(|request| request.id == id).cloned()?;
        self.tell(&request.key, &Answer::Refused { reason: DENIED.to_string() }, now);
        Some(self.pending_connection(&request))
    }

    /// What waits for the owner as a connection request.
    pub(in super::super) fn pending_connection(&self, request: &ConnectRequest) -> PendingRequest {
        let ConnectRequest { id, key, proven, topic, content, since, .. } = request.clone();
        let expires = since + self.config.discovery.request_expiry;
        PendingRequest { id, peer: key, since, expires, what: PendingWhat::Connection { proven, topic, content } }
    }

    /// Every connection request that waits.
    pub(in super::super) fn pending_connections(&self) -> impl Iterator<Item = PendingRequest> {
        let waiting = self.access.book.requests.iter().filter(|request| request.denied.is_none());
        waiting.map(|request| self.pending_connection(request))
    }

    fn connect_decided(&mut self, key: PublicKey, answer: Result<Option<(EncryptKey, Opened)>, alloc::string::String>) {
        self.event(Event::ConnectAnswered { peer: key, accepted: answer.is_ok() });
        let result = match answer {
            Ok(opened) => {
                let (sessions, capabilities) = match opened {
                    Some((_, opened)) => (Some(opened.sessions), opened.capabilities),
                    None => (None, Vec::new()),
                };
                Ok(Connected::Accepted { peer: key, proven: true, sessions, capabilities })
            }
            Err(reason) => Err(CommandError::Rejected { peer: key, reason }),
        };
        self.connect_ended(&key, &result.map(Reply::Connected));
    }
}
