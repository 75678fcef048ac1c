//! Changes of who may do what: made on a copy, stored, and only then in force.
//!
//! One change is on its way to the disk at a time; the others wait in a bounded queue. Taking access away is the
//! exception: it holds at once, in the state in force and in the copy under way, and is stored afterwards.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::access::Access;
use super::discover::book::Edit;
use super::rotate::INVALID_ROTATION;
use super::{AfterWrite, CommandError, CommandId, Document, DocumentWrite, Node, Output, Reply, StreamId, WriteFailed};
use crate::access::{Capability, SessionSet};
use crate::event::{Event, RejectReason};
use crate::grant::Grant;
use crate::identity::IdentityFile;
use crate::invite::InviteSummary;
use crate::keys::{EncryptKey, Nonce, PublicKey};
use crate::message::{Ack, Body};
use crate::peer::{Opened, RotateOutcome, RotateRefused, Rotation};
use crate::rotation::RotationStatement;
use crate::time::{Instant, Now, WallTime};

/// A change and what becomes of it once it is stored.
pub(super) enum Change {
    /// The owner grants access.
    Grant { command: CommandId, grant: Grant },
    /// The owner makes an invite.
    Invite { command: CommandId, invite: InviteSummary, token: String },
    /// The owner names a peer.
    Name { command: CommandId, peer: PublicKey, name: String },
    /// A peer claims an invite.
    Claim { stream: StreamId, re: Nonce, nonce: Nonce, encrypt_key: EncryptKey, grant_id: Nonce },
    /// A peer has a new key.
    PeerRotation { stream: StreamId, re: Nonce, statement: RotationStatement, until: WallTime },
    /// A peer opened sessions of its own to us.
    Opened { command: CommandId, local: PublicKey, peer: PublicKey, encrypt_key: Option<EncryptKey>, opened: Opened },
    /// We have a new key.
    OwnRotation { command: CommandId, until: Option<Instant>, next: IdentityFile },
    /// Something of discovery.
    Book { command: Option<CommandId>, edit: Edit },
    /// Something was taken away: store what holds already.
    Persist { command: Option<(CommandId, Reply)>, documents: Vec<Document> },
}

/// The change on its way to the disk, and those behind it.
#[derive(Default)]
pub(super) struct Changes {
    queue: VecDeque<Change>,
    under_way: Option<UnderWay>,
}

impl Changes {
    /// Whether new keys of ours are being stored, or wait for that.
    pub(super) fn rotate_keys(&self) -> bool {
        let under_way = self.under_way.as_ref().is_some_and(|it| matches!(it.then, Then::OwnRotated { .. }));
        under_way || self.queue.iter().any(|change| matches!(change, Change::OwnRotation { .. }))
    }

    /// Whether a change that is not in force yet makes this key known, or invites it.
    pub(super) fn add(&self, key: &PublicKey) -> bool {
        let next = self.under_way.as_ref().and_then(|under_way| under_way.next.as_ref());
        let queued = |change: &Change| match change {
            Change::Grant { grant, .. } => grant.peer == *key,
            Change::Invite { invite, .. } => invite.subject == *key,
            _ => false,
        };
        next.is_some_and(|next| next.peers.get(key).is_some() || next.invites.has_open(key))
            || self.queue.iter().any(queued)
    }
}

struct UnderWay {
    /// What will be in force; `None` if the change holds already or is one of the identity.
    next: Option<Access>,
    /// Documents still to be written, in this order.
    documents: VecDeque<Document>,
    then: Then,
}

/// What is to be done when a change is stored.
enum Then {
    Granted {
        command: CommandId,
        grant: Grant,
    },
    Finish {
        command: Option<CommandId>,
        reply: Result<Reply, CommandError>,
    },
    Claimed {
        stream: StreamId,
        re: Nonce,
        peer: PublicKey,
        grant: Grant,
    },
    PeerRotated {
        stream: StreamId,
        re: Nonce,
        statement: RotationStatement,
        until: WallTime,
    },
    Opened {
        command: CommandId,
        local: PublicKey,
        peer: PublicKey,
        sessions: SessionSet,
        capabilities: Vec<Capability>,
    },
    OwnRotated {
        command: CommandId,
        until: Option<Instant>,
        next: IdentityFile,
    },
    Edited {
        command: Option<CommandId>,
        edit: Edit,
    },
}

/// A change that is not to be made.
enum Refusal {
    Command(CommandId, CommandError),
    Edit(Option<CommandId>, Box<Edit>, CommandError),
    Peer {
        stream: StreamId,
        re: Nonce,
        reason: RejectReason,
        words: String,
    },
    /// Nothing to store, and the answer has been given.
    Answered,
}

impl Node {
    /// Queues a change; answers at once if there is no room.
    pub(super) fn change(&mut self, change: Change, now: Now) {
        let removal = matches!(change, Change::Persist { .. });
        if self.changes.queue.len() >= self.config.max_pending_changes && !removal {
            return match change {
                Change::Grant { command, .. }
                | Change::Invite { command, .. }
                | Change::Name { command, .. }
                | Change::Opened { command, .. }
                | Change::OwnRotation { command, .. } => {
                    self.finish(command, Err(CommandError::LimitReached("max_pending_changes")));
                }
                Change::Claim { stream, re, .. } | Change::PeerRotation { stream, re, .. } => {
                    self.refuse(stream, Some(re), None, RejectReason::Crowded, "too many requests at once", now);
                }
                Change::Book { command, edit } => {
                    self.edit_failed(command, edit, CommandError::LimitReached("max_pending_changes"), now);
                }
                Change::Persist { .. } => {}
            };
        }
        self.changes.queue.push_back(change);
        self.next_change(now);
    }

    fn next_change(&mut self, now: Now) {
        if self.identity_unsaved {
            self.store_identity();
        }
        while self.changes.under_way.is_none() {
            let Some(change) = self.changes.queue.pop_front() else {
                return;
            };
            match self.prepare(change, now) {
                Ok(under_way) => {
                    if planted!(self.config, ClaimAckedBeforeStored)
                        && let Then::Claimed { stream, re, .. } = under_way.then
                    {
                        self.acknowledge(stream, re, now);
                    }
                    self.changes.under_way = Some(under_way);
                    self.write_next_document(now);
                }
                Err(Refusal::Command(command, error)) => self.finish(command, Err(error)),
                Err(Refusal::Edit(command, edit, error)) => self.edit_failed(command, *edit, error, now),
                Err(Refusal::Peer { stream, re, reason, words }) => {
                    self.refuse(stream, Some(re), None, reason, &words, now);
                }
                Err(Refusal::Answered) => {}
            }
        }
    }

    /// Makes the change on a copy.
    fn prepare(&mut self, change: Change, now: Now) -> Result<UnderWay, Refusal> {
        let mut next = self.access.clone();
        let both = [Document::Peers, Document::Access];
        let (documents, then) = match change {
            Change::Grant { command, grant } => {
                let refuse = |error| Refusal::Command(command, error);
                next.peers.add(grant.peer, now.wall).map_err(|error| refuse(error.into()))?;
                next.peers.restore(&grant.peer);
                let inserted = next.grants.insert(grant.clone());
                inserted.map_err(|_| refuse(CommandError::LimitReached("max_grants")))?;
                (both.to_vec(), Then::Granted { command, grant })
            }
            Change::Invite { command, invite, token } => {
                let issued = next.invites.issue(invite.clone(), self.config.max_invites);
                issued.map_err(|_| Refusal::Command(command, CommandError::LimitReached("max_invites")))?;
                let reply = Ok(Reply::InviteCreated { token, invite });
                (alloc::vec![Document::Access], Then::Finish { command: Some(command), reply })
            }
            Change::Name { command, peer, name } => {
                let named =
                    next.peers.set_name(&peer, &name).map_err(|error| Refusal::Command(command, error.into()))?;
                let reply = Ok(Reply::Named(named.clone()));
                (alloc::vec![Document::Peers], Then::Finish { command: Some(command), reply })
            }
            Change::Claim { stream, re, nonce, encrypt_key, grant_id } => {
                let then = self.prepare_claim(&mut next, stream, re, nonce, encrypt_key, grant_id, now)?;
                (both.to_vec(), then)
            }
            Change::PeerRotation { stream, re, statement, until } => {
                let then = self.prepare_peer_rotation(&mut next, stream, re, statement, until, now)?;
                // The grants first: once the peer has moved, telling us again moves nothing more.
                (alloc::vec![Document::Access, Document::Peers], then)
            }
            Change::Opened { command, local, peer, encrypt_key, opened } => {
                let (sessions, capabilities) = (opened.sessions.clone(), opened.capabilities.clone());
                next.peers.add(peer, now.wall).map_err(|error| Refusal::Command(command, error.into()))?;
                if let Some(encrypt_key) = encrypt_key {
                    next.peers.set_encrypt_key(&peer, encrypt_key);
                }
                next.peers.open(&peer, opened);
                (alloc::vec![Document::Peers], Then::Opened { command, local, peer, sessions, capabilities })
            }
            Change::OwnRotation { command, until, next } => {
                let documents = [Document::Identity].into();
                return Ok(UnderWay { next: None, documents, then: Then::OwnRotated { command, until, next } });
            }
            Change::Book { command, mut edit } => match self.prepare_edit(&mut next, &mut edit, now) {
                Ok(documents) => (documents, Then::Edited { command, edit }),
                Err(error) => return Err(Refusal::Edit(command, Box::new(edit), error)),
            },
            Change::Persist { command, documents } => {
                let (command, reply) = match command {
                    Some((command, reply)) => (Some(command), Ok(reply)),
                    None => (None, Err(CommandError::Cancelled)),
                };
                let then = Then::Finish { command, reply };
                return Ok(UnderWay { next: None, documents: documents.into(), then });
            }
        };
        Ok(UnderWay { next: Some(next), documents: documents.into(), then })
    }

    #[expect(clippy::too_many_arguments, reason = "the members of one variant, taken apart")]
    fn prepare_claim(
        &self,
        next: &mut Access,
        stream: StreamId,
        re: Nonce,
        nonce: Nonce,
        encrypt_key: EncryptKey,
        grant_id: Nonce,
        now: Now,
    ) -> Result<Then, Refusal> {
        let refuse = |words: String| Refusal::Peer { stream, re, reason: RejectReason::BadToken, words };
        let Some(peer) = self.streams.get(&stream).and_then(|s| s.channel()).map(|c| c.remote().public()) else {
            return Err(refuse("claim failed".to_string()));
        };
        let subject = peer;
        #[cfg(wopr_planted)]
        let subject = self.subject_of(next, &nonce, subject);
        let at = if planted!(self.config, TokenNeverExpires) { WallTime::default() } else { now.wall };
        let invite = next.invites.claim(&nonce, &subject, at).map_err(|error| refuse(error.to_string()))?;
        let grant = Grant {
            id: grant_id,
            peer,
            sessions: invite.sessions.clone(),
            except: alloc::collections::BTreeSet::new(),
            capabilities: invite.capabilities.clone(),
            trust: crate::access::TrustLevel::SemiTrusted,
            created: now.wall,
            expires: None,
            invite: Some(nonce),
        };
        if planted!(self.config, TokenTwice) {
            next.invites.unclaim(&nonce);
        }
        next.peers.add(peer, now.wall).map_err(|_| refuse("claim failed".to_string()))?;
        next.peers.restore(&peer);
        next.peers.set_encrypt_key(&peer, encrypt_key);
        next.peers.saw(&peer, now.wall);
        next.grants.insert(grant.clone()).map_err(|_| refuse("claim failed".to_string()))?;
        Ok(Then::Claimed { stream, re, peer, grant })
    }

    fn prepare_peer_rotation(
        &mut self,
        next: &mut Access,
        stream: StreamId,
        re: Nonce,
        statement: RotationStatement,
        until: WallTime,
        now: Now,
    ) -> Result<Then, Refusal> {
        let RotationStatement { old, new, new_encrypt, reason, .. } = statement;
        #[cfg(wopr_planted)]
        let old = self.successor_of(next, old);
        match next.peers.rotate(&Rotation { old, new, new_encrypt, reason, valid_until: until }, now.wall) {
            Ok(RotateOutcome::Moved) => {
                next.grants.rekey(&old, &new);
                Ok(Then::PeerRotated { stream, re, statement, until })
            }
            // Told before: the peer did not hear our acknowledgement, or a crash let it forget that it did.
            Ok(RotateOutcome::AlreadyDone) | Err(RotateRefused::Superseded { .. }) => {
                self.acknowledge(stream, re, now);
                Err(Refusal::Answered)
            }
            Err(refused) => {
                if let RotateRefused::Conflict { known } = refused {
                    self.event(Event::RotationConflict { old: statement.old, known, refused: statement.new });
                }
                let words = INVALID_ROTATION.to_string();
                Err(Refusal::Peer { stream, re, reason: RejectReason::BadRotation, words })
            }
        }
    }

    fn write_next_document(&mut self, now: Now) {
        let Some(under_way) = &mut self.changes.under_way else {
            return;
        };
        let Some(document) = under_way.documents.pop_front() else {
            return self.change_stored(now);
        };
        let bytes = match (document, &under_way.then) {
            (Document::Identity, Then::OwnRotated { next, .. }) => next.to_json(),
            _ => Zeroizing::new(under_way.next.as_ref().unwrap_or(&self.access).to_json(document)),
        };
        self.store(document, DocumentWrite::Replace(bytes), AfterWrite::Change);
    }

    pub(super) fn change_written(&mut self, result: Result<(), WriteFailed>, now: Now) {
        let Err(WriteFailed { reason }) = result else {
            return self.write_next_document(now);
        };
        let Some(under_way) = self.changes.under_way.take() else {
            return;
        };
        self.event(Event::StoreFailed { what: "a change of access".into(), reason: reason.clone() });
        let failed = Err(CommandError::NotStored(reason));
        match under_way.then {
            Then::Granted { command, .. }
            | Then::Opened { command, .. }
            | Then::Finish { command: Some(command), .. }
            | Then::OwnRotated { command, .. } => self.finish(command, failed),
            Then::Finish { command: None, .. } => {}
            Then::Edited { command, edit } => {
                let error = failed.err().unwrap_or(CommandError::Cancelled);
                self.edit_failed(command, edit, error, now);
            }
            Then::Claimed { stream, re, .. } => {
                self.refuse(stream, Some(re), None, RejectReason::Failed, "claim failed", now);
            }
            Then::PeerRotated { stream, re, .. } => {
                self.refuse(stream, Some(re), None, RejectReason::Failed, "key rotation failed", now);
            }
        }
        self.next_change(now);
    }

    fn change_stored(&mut self, now: Now) {
        if let Some(under_way) = self.changes.under_way.take() {
            if let Some(next) = under_way.next {
                self.access = next;
            }
            self.changed(under_way.then, now);
            self.limit_strangers(now);
        }
        self.next_change(now);
    }

    fn changed(&mut self, then: Then, now: Now) {
        match then {
            Then::Granted { command, grant } => {
                if self.access.grants.get(&grant.id).is_none() {
                    return self.finish(command, Err(CommandError::Cancelled));
                }
                self.grant_created(&grant);
                self.settle_request(&grant, now);
                // A peer that had been turned away missed what was told to the others.
                self.schedule_notices_for(grant.peer, now);
                self.finish(command, Ok(Reply::Granted(grant)));
            }
            Then::Finish { command: Some(command), reply } => self.finish(command, reply),
            Then::Finish { command: None, .. } => {}
            Then::Claimed { stream, re, peer, grant } => {
                // Revoked while it was being stored.
                if self.access.grants.get(&grant.id).is_none() {
                    return self.refuse(stream, Some(re), None, RejectReason::Unauthorized, "unauthorized", now);
                }
                self.grant_created(&grant);
                self.acknowledge(stream, re, now);
                if let Some(local) = self.streams.get(&stream).and_then(|s| s.channel()).map(|channel| channel.local())
                {
                    self.known_by(local, peer, now);
                }
            }
            Then::PeerRotated { stream, re, statement, until } => {
                let (old, new, reason) = (statement.old, statement.new, statement.reason);
                self.event(Event::KeyRotated { old, new, reason, grace_until: until });
                self.move_notices(&old, new, now);
                self.acknowledge(stream, re, now);
            }
            Then::Opened { command, local, peer, sessions, capabilities } => {
                self.known_by(local, peer, now);
                let reply = match self.access.peers.get(&peer) {
                    Some(peer) => Ok(Reply::Claimed { peer: peer.clone(), sessions, capabilities }),
                    None => Err(CommandError::Cancelled),
                };
                self.finish(command, reply);
            }
            Then::OwnRotated { command, until, next } => self.own_rotated(command, until, next, now),
            Then::Edited { command, edit } => self.edited(command, edit, now),
        }
    }

    pub(super) fn grant_created(&mut self, grant: &Grant) {
        let (peer, id, sessions) = (grant.peer, grant.id.to_string(), grant.sessions.clone());
        self.event(Event::GrantCreated { peer, grant: id, sessions });
    }

    /// The acknowledgement of a claim or a rotation, with our encryption key.
    fn acknowledge(&mut self, stream: StreamId, re: Nonce, now: Now) {
        let local = self.streams.get(&stream).and_then(|s| s.channel()).map(|channel| channel.local());
        let encrypt_key = local.and_then(|key| self.identity.find(&key)).map(|identity| identity.encrypt_key());
        self.answer(stream, Body::Ack(Ack { encrypt_key, session: None, re: Some(re) }), now);
    }

    /// Changes what is in force and the copy that is being stored alike, without waiting for the disk: for what is taken
    /// away, and for what is only noted.
    pub(super) fn at_once<T>(&mut self, amend: impl Fn(&mut Access) -> T) -> T {
        if let Some(next) = self.changes.under_way.as_mut().and_then(|under_way| under_way.next.as_mut()) {
            amend(next);
        }
        amend(&mut self.access)
    }

    /// Whether a claim of this invite is being stored.
    pub(super) fn claim_under_way(&self, nonce: &Nonce) -> bool {
        let then = self.changes.under_way.as_ref().map(|under_way| &under_way.then);
        matches!(then, Some(Then::Claimed { grant, .. }) if grant.invite == Some(*nonce))
    }

    /// Drops grants and invites for a peer that wait to be stored: a revocation came after them.
    pub(super) fn drop_pending_access(&mut self, peer: &PublicKey) {
        let mut dropped = Vec::new();
        self.changes.queue.retain(|change| match change {
            Change::Grant { command, grant } if grant.peer == *peer => {
                dropped.push(*command);
                false
            }
            Change::Invite { command, invite, .. } if invite.subject == *peer => {
                dropped.push(*command);
                false
            }
            Change::Book { command, edit: Edit::Accept { grant, .. } } if grant.peer == *peer => {
                dropped.extend(*command);
                false
            }
            _ => true,
        });
        for command in dropped {
            self.finish(command, Err(CommandError::Cancelled));
        }
    }

    pub(super) fn finish(&mut self, id: CommandId, result: Result<Reply, CommandError>) {
        self.outputs.push_back(Output::Finished { id, result });
    }
}
