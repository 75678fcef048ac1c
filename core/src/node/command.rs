//! What the owner can have done.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::change::Change;
use super::discover::book::Edit;
use super::request::{Request, What};
use super::{Command, CommandError, CommandId, Document, Node, Reply, StreamId};
use crate::access::{Capability, SessionName, SessionSet, TrustLevel};
use crate::chain::Chain;
use crate::event::{Event, RejectReason};
use crate::grant::Grant;
use crate::invite::{InviteState, InviteSummary, InviteToken, RevokeRefused};
use crate::keys::{Nonce, PublicKey};
use crate::message::{Claim, Header, RequestId};
use crate::peer::{PeerRef, ResolveError};
use crate::profile::Profile;
use crate::time::Now;

impl Node {
    pub(super) fn command(&mut self, id: CommandId, command: Command, now: Now) {
        if self.requests.len() >= self.config.max_commands {
            return self.finish(id, Err(CommandError::LimitReached("max_commands")));
        }
        if let Err(error) = self.start(id, command, now) {
            self.finish(id, Err(error));
        }
    }

    fn start(&mut self, command: CommandId, what: Command, now: Now) -> Result<(), CommandError> {
        match what {
            Command::Log { peer, session, text, timeout } => {
                let target = self.target(&peer, now)?;
                self.check_size(&text)?;
                self.ask_peer(target, What::Log { command, session, text }, timeout, now);
            }
            Command::Queue { peer, session, text, timeout, expires_in } => {
                let target = self.target(&peer, now)?;
                self.check_size(&text)?;
                self.queue(command, target, session, text, timeout, expires_in, now)?;
            }
            Command::Unqueue { id } => self.cancel_queued(command, &id, now)?,
            Command::InChain { chain, command: what } => self.start_in_chain(command, chain, *what, now)?,
            Command::Inject { peer, session, text, timeout } => {
                self.inject(command, peer, session, text, timeout, None, now)?;
            }
            Command::Ping { peer, timeout } => {
                let target = self.target(&peer, now)?;
                self.ask_peer(target, What::Ping { command, started: now.mono }, timeout, now);
            }
            Command::Claim { token, timeout } => self.claim(command, token, timeout, now)?,
            Command::CreateInvite { subject, sessions, capabilities, expires_in } => {
                self.create_invite(command, subject, sessions, capabilities, expires_in, now)?;
            }
            Command::RevokeInvite { invite } => self.revoke_invite(command, &invite, now)?,
            Command::Grant { peer, sessions, capabilities, trust, expires_in } => {
                let peer = self.target(&peer, now)?;
                peer.verifying_key().map_err(CommandError::BadKey)?;
                let grant = self.new_grant(peer, sessions, capabilities, trust, expires_in, now)?;
                self.change(Change::Grant { command, grant }, now);
            }
            Command::RevokeGrant { grant } => {
                let id: Nonce = grant.parse().map_err(|_| CommandError::NoSuchGrant)?;
                let removed = self.at_once(|access| access.grants.remove(&id)).ok_or(CommandError::NoSuchGrant)?;
                self.revoked(command, Vec::from([removed]), Vec::new(), Vec::new(), now);
            }
            Command::RevokePeer { peer, session: Some(session) } => {
                let peer = self.known(&peer)?;
                let narrowed = self.at_once(|access| access.grants.narrow(&peer, &session));
                if narrowed.removed.is_empty() && narrowed.narrowed.is_empty() {
                    return Err(CommandError::NoSuchGrant);
                }
                self.revoked(command, narrowed.removed, narrowed.narrowed, Vec::new(), now);
            }
            Command::RevokePeer { peer, session: None } => {
                let peer = self.revocable(&peer)?;
                self.drop_pending_access(&peer);
                let leave = planted!(self.config, InviteSurvives);
                let (grants, invites) = self.at_once(|access| {
                    access.peers.revoke(&peer, now.wall);
                    let invites = if leave { Vec::new() } else { access.invites.revoke_subject(&peer, now.wall) };
                    (access.grants.remove_peer(&peer), invites)
                });
                self.revoked(command, grants, Vec::new(), invites, now);
            }
            Command::NamePeer { peer, name } => {
                let peer = self.known(&peer)?;
                self.change(Change::Name { command, peer, name }, now);
            }
            Command::JoinTopic { topic } => self.edit(command, Edit::Join(topic), now),
            Command::LeaveTopic { topic } => self.edit(command, Edit::Leave(topic), now),
            Command::SetProfile { content } => {
                let profile = Profile::new(&content, now.wall).map_err(CommandError::BadProfile)?;
                self.edit(command, Edit::Profile(profile), now);
            }
            Command::Connect { peer, timeout } => self.connect(command, peer, timeout, now),
            Command::Approve { request } => self.approve(command, &request, now)?,
            Command::Deny { request } => self.deny(command, &request, now)?,
            Command::RotateKeys { reason, notify_all, timeout } => {
                self.rotate_keys(command, reason, notify_all.then_some(timeout), now);
            }
        }
        Ok(())
    }

    fn edit(&mut self, command: CommandId, edit: Edit, now: Now) {
        self.change(Change::Book { command: Some(command), edit }, now);
    }

    /// A command of a question's handler. Only another question can come back to those who wait.
    fn start_in_chain(
        &mut self,
        command: CommandId,
        chain: Chain,
        what: Command,
        now: Now,
    ) -> Result<(), CommandError> {
        match what {
            Command::Inject { peer, session, text, timeout } => {
                self.inject(command, peer, session, text, timeout, Some(chain), now)
            }
            Command::InChain { .. } => Err(CommandError::ChainTooLong(self.config.max_chain)),
            what => self.start(command, what, now),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the members of one command, taken apart")]
    fn inject(
        &mut self,
        command: CommandId,
        peer: PeerRef,
        session: SessionName,
        text: String,
        timeout: Duration,
        chain: Option<Chain>,
        now: Now,
    ) -> Result<(), CommandError> {
        let target = self.target(&peer, now)?;
        self.check_size(&text)?;
        if let Some(chain) = &chain {
            self.check_chain(chain, &target)?;
        }
        let request = RequestId::from(Nonce(self.rng.bytes()));
        self.ask_peer(target, What::Inject { command, session, text, request, chain }, timeout, now);
        Ok(())
    }

    /// Whether a question in this chain may be asked of this peer.
    fn check_chain(&self, chain: &Chain, target: &PublicKey) -> Result<(), CommandError> {
        let past = self.access.peers.get(target).into_iter().flat_map(|peer| &peer.history);
        if past.map(|past| &past.key).chain([target]).any(|key| chain.contains(key)) {
            return Err(CommandError::Loop(*target));
        }
        // We wait in it from now on.
        if chain.len() >= self.config.max_chain {
            return Err(CommandError::ChainTooLong(self.config.max_chain));
        }
        Ok(())
    }

    /// The key of a peer we know, under which it acts now.
    fn known(&self, peer: &PeerRef) -> Result<PublicKey, CommandError> {
        Ok(self.access.peers.resolve(peer).map_err(CommandError::Unresolved)?.key)
    }

    /// The key of a peer we know or are about to know: by an open invite, or by a change that waits for the disk.
    fn revocable(&self, peer: &PeerRef) -> Result<PublicKey, CommandError> {
        self.known(peer).or_else(|unknown| match peer {
            PeerRef::Key(key) if self.access.invites.has_open(key) || self.changes.add(key) => Ok(*key),
            _ => Err(unknown),
        })
    }

    /// The key of a peer that may be unknown, if it was given in full.
    fn target(&self, peer: &PeerRef, now: Now) -> Result<PublicKey, CommandError> {
        let key = match (self.known(peer), peer) {
            (Err(CommandError::Unresolved(ResolveError::Unknown(_))), PeerRef::Key(key)) => self.acting(*key, now),
            (known, _) => known?,
        };
        if self.identity.find(&key).is_some() {
            return Err(CommandError::OwnKey);
        }
        Ok(key)
    }

    fn check_size(&self, text: &str) -> Result<(), CommandError> {
        let (size, limit) = (crate::cipher::payload_len(text.len()), self.config.max_payload);
        if size > limit { Err(CommandError::PayloadTooLarge { size, limit }) } else { Ok(()) }
    }

    fn ask_peer(&mut self, target: PublicKey, what: What, timeout: Duration, now: Now) {
        let local = self.identity.current.public_key();
        self.tell_first(&target, now);
        self.request(Request { local, target, what, deadline: now.mono + timeout, sent: None }, now);
    }

    fn claim(&mut self, command: CommandId, text: String, timeout: Duration, now: Now) -> Result<(), CommandError> {
        let token = InviteToken::parse(&text).map_err(CommandError::BadInvite)?;
        if token.is_expired(now.wall) {
            return Err(CommandError::InviteExpired(token.expires));
        }
        if self.identity.find(&token.issuer).is_some() {
            return Err(CommandError::OwnInvite);
        }
        // A token for a key that we have given up since can still be claimed under that key, while it counts.
        let Some(identity) = self.identity.find(&token.subject) else {
            return Err(CommandError::InviteForAnother(token.subject));
        };
        let (local, target) = (identity.public_key(), self.acting(token.issuer, now));
        let what = What::Claim { command, token, text };
        self.request(Request { local, target, what, deadline: now.mono + timeout, sent: None }, now);
        Ok(())
    }

    fn create_invite(
        &mut self,
        command: CommandId,
        subject: PublicKey,
        sessions: SessionSet,
        capabilities: Vec<Capability>,
        expires_in: Duration,
        now: Now,
    ) -> Result<(), CommandError> {
        subject.verifying_key().map_err(CommandError::BadKey)?;
        if self.identity.find(&subject).is_some() {
            return Err(CommandError::OwnKey);
        }
        let capabilities = non_empty(capabilities)?;
        let (nonce, expires) = (Nonce(self.rng.bytes()), now.wall + expires_in);
        let identity = &self.identity.current;
        let token = InviteToken {
            issuer: identity.public_key(),
            subject,
            sessions: sessions.clone(),
            capabilities: capabilities.clone(),
            expires,
            nonce,
        };
        let text = token.to_token(identity).map_err(CommandError::BadInvite)?;
        let state = InviteState::Open;
        let invite = InviteSummary { nonce, subject, sessions, capabilities, created: now.wall, expires, state };
        self.change(Change::Invite { command, invite, token: text }, now);
        Ok(())
    }

    fn revoke_invite(&mut self, command: CommandId, invite: &str, now: Now) -> Result<(), CommandError> {
        let nonce = match invite.parse() {
            Ok(nonce) => nonce,
            Err(_) => InviteToken::parse(invite).map_err(CommandError::BadInvite)?.nonce,
        };
        // A claim of it may be on its way to the disk: then it is too late.
        if self.claim_under_way(&nonce) {
            return Err(CommandError::NotRevoked(RevokeRefused::AlreadyClaimed));
        }
        let revoked = self.at_once(|access| access.invites.revoke(&nonce, now.wall).cloned());
        let reply = Reply::InviteRevoked(revoked.map_err(CommandError::NotRevoked)?);
        let documents = Vec::from([Document::Access]);
        self.change(Change::Persist { command: Some((command, reply)), documents }, now);
        Ok(())
    }

    fn new_grant(
        &mut self,
        peer: PublicKey,
        sessions: SessionSet,
        capabilities: Vec<Capability>,
        trust: TrustLevel,
        expires_in: Option<Duration>,
        now: Now,
    ) -> Result<Grant, CommandError> {
        Ok(Grant {
            id: Nonce(self.rng.bytes()),
            peer,
            sessions,
            except: BTreeSet::new(),
            capabilities: non_empty(capabilities)?,
            trust,
            created: now.wall,
            expires: expires_in.map(|delay| now.wall + delay),
            invite: None,
        })
    }

    /// Reports what was taken away, stores it, and stops what was being done under it.
    fn revoked(
        &mut self,
        command: CommandId,
        grants: Vec<Grant>,
        narrowed: Vec<Grant>,
        invites: Vec<InviteSummary>,
        now: Now,
    ) {
        for grant in grants.iter().chain(&narrowed) {
            self.event(Event::GrantRevoked { peer: grant.peer, grant: alloc::format!("{}", grant.id) });
        }
        self.stop_unauthorised_asks(now);
        self.limit_strangers(now);
        let reply = Reply::Revoked { grants, narrowed, invites };
        if planted!(self.config, RevocationNotStored) {
            return self.finish(command, Ok(reply));
        }
        let documents = Vec::from([Document::Access, Document::Peers]);
        self.change(Change::Persist { command: Some((command, reply)), documents }, now);
    }

    /// An AI that is answering a peer stops as soon as the peer may no longer ask.
    pub(super) fn stop_unauthorised_asks(&mut self, now: Now) {
        let stopped: Vec<_> = self
            .asks
            .iter()
            .filter(|(_, ask)| !self.authorised(&ask.peer, &ask.session, &ask.kind, now))
            .filter(|_| !planted!(self.config, RevokedAnswered))
            .map(|(id, _)| *id)
            .collect();
        self.refuse_stale_questions(now);
        for id in stopped {
            if let Some(ask) = self.asks.remove(&id) {
                self.outputs.push_back(super::Output::CancelAsk { id });
                self.refuse_delivery(&ask, RejectReason::Unauthorized, now);
            }
        }
    }

    /// A peer claims an invite.
    pub(super) fn claimed(&mut self, id: StreamId, header: Header, claim: &Claim, now: Now) {
        let refuse = |node: &mut Self, words: &str| {
            node.refuse(id, Some(header.nonce), None, RejectReason::BadToken, words, now);
        };
        let token = match InviteToken::parse(&claim.token) {
            Ok(token) => token,
            Err(error) => return refuse(self, &alloc::format!("invalid token: {error}")),
        };
        if self.identity.find(&token.issuer).is_none() || self.identity.is_compromised(&token.issuer) {
            return refuse(self, "token not issued by this peer");
        }
        if token.subject != header.from && !planted!(self.config, TokenOfAnother) {
            return refuse(self, "token not issued for you");
        }
        let change = Change::Claim {
            stream: id,
            re: header.nonce,
            nonce: token.nonce,
            encrypt_key: claim.encrypt_key,
            grant_id: Nonce(self.rng.bytes()),
        };
        self.change(change, now);
    }
}

fn non_empty(capabilities: Vec<Capability>) -> Result<Vec<Capability>, CommandError> {
    if capabilities.is_empty() {
        return Err(CommandError::BadAccess(crate::access::AccessError::BadCapability));
    }
    Ok(capabilities)
}
