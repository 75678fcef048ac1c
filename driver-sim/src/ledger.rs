//! Who may do what, kept beside the nodes from what their owners ordered and what they were told: the reference model
//! that the nodes are compared with. It knows parties, not keys, so it does not depend on how a node follows rotations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wopr_p2p_core::CommandId;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet};
use wopr_p2p_core::grant::{Grant, Needs};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::{Instant, Now, WallTime};

use crate::net::Party;
use crate::table::Map;

/// How a permission stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The owner ordered it; the order has not ended.
    Ordered(CommandId),
    /// The owner was told that it holds.
    InForce,
    /// The owner took it back; the order has not ended, so a crash may bring it back.
    Revoking(CommandId),
}

/// One permission.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// To whom.
    pub(crate) peer: Party,
    /// The node's name for it, once known.
    pub(crate) id: Option<String>,
    /// What it opens.
    pub(crate) sessions: SessionSet,
    /// Sessions taken out again.
    pub(crate) except: BTreeSet<SessionName>,
    /// The same, ordered but not yet confirmed.
    pub(crate) leaving: BTreeMap<SessionName, CommandId>,
    /// What may be done.
    pub(crate) capabilities: Vec<Capability>,
    /// When it ends, by the node's wall clock.
    pub(crate) expires: Option<WallTime>,
    /// How it stands.
    pub(crate) state: State,
    /// Since when, by the monotonic clock, the node could see that it has ended.
    over: Option<Instant>,
    /// The wall clock was past its end once.
    ever_over: bool,
}

/// As good as for ever, within a run.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// After this time the node has looked at its expiries at least once.
const SEEN: Duration = Duration::from_secs(65);

impl Entry {
    fn is_leaving(&self) -> bool {
        matches!(self.state, State::Revoking(_))
    }

    fn covers(&self, session: &SessionName) -> bool {
        self.sessions.contains(session) && !self.except.contains(session) && !self.leaving.contains_key(session)
    }

    fn allows(&self, needs: Needs) -> bool {
        self.capabilities.iter().any(|capability| match needs {
            Needs::Log => matches!(capability.as_str(), "message" | "inject"),
            Needs::Inject => capability.as_str() == "inject" || capability.as_str().starts_with("inject."),
        })
    }
}

/// An invite that was made.
#[derive(Clone, Debug)]
pub(crate) struct Invited {
    /// For whom.
    pub(crate) peer: Party,
    /// Under which key.
    pub(crate) subject: PublicKey,
    /// What it opens.
    pub(crate) sessions: SessionSet,
    /// What may be done.
    pub(crate) capabilities: Vec<Capability>,
    /// Until when it can be claimed, by the node's wall clock.
    pub(crate) expires: WallTime,
    /// Its number.
    pub(crate) nonce: String,
    /// It was claimed, or taken back for good.
    pub(crate) over: bool,
    /// It is being taken back: a crash may bring it back.
    pub(crate) leaving: Option<CommandId>,
}

/// The books of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// Its permissions.
    pub(crate) grants: Vec<Entry>,
    /// Its invites.
    pub(crate) invites: Vec<Invited>,
}

/// Whose keys are whose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    owners: Map<PublicKey, Party>,
}

impl Keys {
    /// A key and its owner.
    pub(crate) fn add(&mut self, key: PublicKey, owner: Party) {
        self.owners.insert(key, owner);
    }

    /// Whose key this is.
    #[must_use]
    pub(crate) fn owner(&self, key: &PublicKey) -> Option<Party> {
        self.owners.get(key).copied()
    }
}

impl Books {
    /// The owner orders a permission.
    pub(crate) fn order(
        &mut self,
        command: CommandId,
        peer: Party,
        sessions: SessionSet,
        cap: Capability,
        ends: Option<WallTime>,
    ) {
        self.grants.push(Entry {
            peer,
            id: None,
            sessions,
            except: BTreeSet::new(),
            leaving: BTreeMap::new(),
            capabilities: vec![cap],
            expires: ends,
            state: State::Ordered(command),
            over: None,
            ever_over: false,
        });
    }

    /// An order ended well: what the node says must be what was ordered.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(crate) fn granted(&mut self, command: CommandId, grant: &Grant) -> Result<(), String> {
        let entry = self.grants.iter_mut().find(|entry| entry.state == State::Ordered(command));
        let entry = entry.ok_or_else(|| format!("grant {} holds although it was taken back before", grant.id))?;
        if entry.sessions != grant.sessions
            || entry.capabilities != grant.capabilities
            || entry.expires != grant.expires
        {
            return Err(format!("grant {} is not what was ordered", grant.id));
        }
        entry.id = Some(grant.id.to_string());
        entry.state = State::InForce;
        Ok(())
    }

    /// An order failed.
    pub(crate) fn not_granted(&mut self, command: CommandId) {
        self.grants.retain(|entry| entry.state != State::Ordered(command));
    }

    /// The owner takes everything of a peer back. It holds from now on; what was only ordered must not come any more. An
    /// invite for another key than these is not known to be the same peer's.
    pub(crate) fn revoke_peer(&mut self, command: CommandId, peer: Party, keys: &[PublicKey]) {
        for entry in self.grants.iter_mut().filter(|entry| entry.peer == peer) {
            entry.state = State::Revoking(command);
        }
        for invite in self.invites.iter_mut().filter(|invite| keys.contains(&invite.subject) && !invite.over) {
            invite.leaving = Some(command);
        }
    }

    /// The owner takes one permission back.
    pub(crate) fn revoke_grant(&mut self, command: CommandId, id: &str) {
        for entry in self.grants.iter_mut().filter(|entry| entry.id.as_deref() == Some(id)) {
            entry.state = State::Revoking(command);
        }
    }

    /// The owner takes a session from a peer.
    pub(crate) fn narrow(&mut self, command: CommandId, peer: Party, session: &SessionName) {
        for entry in self.grants.iter_mut().filter(|entry| entry.peer == peer && !entry.is_leaving()) {
            entry.leaving.insert(session.clone(), command);
        }
    }

    /// What this order took back is durable.
    pub(crate) fn revoked(&mut self, command: CommandId) {
        self.grants.retain(|entry| entry.state != State::Revoking(command));
        for entry in &mut self.grants {
            let gone = entry.leaving.iter().filter(|(_, by)| **by == command).map(|(session, _)| session.clone());
            entry.except.extend(gone);
            entry.leaving.retain(|_, by| *by != command);
        }
        for invite in self.invites.iter_mut().filter(|invite| invite.leaving == Some(command)) {
            (invite.over, invite.leaving) = (true, None);
        }
    }

    /// This order took nothing back: the invite was claimed before.
    pub(crate) fn not_revoked(&mut self, command: CommandId) {
        for invite in self.invites.iter_mut().filter(|invite| invite.leaving == Some(command)) {
            invite.leaving = None;
        }
    }

    /// Whether the owner has ordered this and not heard of it yet.
    #[must_use]
    pub(crate) fn is_ordered(&self, peer: Party, sessions: &SessionSet) -> bool {
        let ordered = |entry: &Entry| matches!(entry.state, State::Ordered(_));
        self.grants.iter().any(|entry| ordered(entry) && entry.peer == peer && entry.sessions == *sessions)
    }

    /// A peer claimed an invite: there must be one.
    ///
    /// # Errors
    /// In words, why there is none.
    pub(crate) fn claimed(
        &mut self,
        peer: Party,
        id: &str,
        sessions: &SessionSet,
        now: WallTime,
    ) -> Result<(), String> {
        let fits = |invite: &&mut Invited| {
            invite.peer == peer
                && invite.sessions == *sessions
                && !invite.over
                && invite.leaving.is_none()
                && now <= invite.expires
        };
        let Some(invite) = self.invites.iter_mut().find(fits) else {
            return Err(format!("grant {id} for {peer:?} comes from no open invite"));
        };
        invite.over = true;
        let capabilities = invite.capabilities.clone();
        self.adopt(peer, id, sessions.clone(), capabilities, None);
        Ok(())
    }

    fn adopt(&mut self, peer: Party, id: &str, sessions: SessionSet, caps: Vec<Capability>, ends: Option<WallTime>) {
        self.grants.push(Entry {
            peer,
            id: Some(id.to_owned()),
            sessions,
            except: BTreeSet::new(),
            leaving: BTreeMap::new(),
            capabilities: caps,
            expires: ends,
            state: State::InForce,
            over: None,
            ever_over: false,
        });
    }

    /// Whether a peer may, at this moment of the node's wall clock.
    #[must_use]
    pub(crate) fn may(&self, peer: Party, session: &SessionName, needs: Needs, now: WallTime) -> bool {
        self.grants.iter().any(|entry| {
            entry.peer == peer
                && entry.state == State::InForce
                && entry.expires.is_none_or(|end| now < end)
                && entry.covers(session)
                && entry.allows(needs)
        })
    }

    /// The permissions by which a peer may, and which nothing but an order can end for a long time.
    #[must_use]
    pub(crate) fn lasting(&self, peer: Party, session: &SessionName, needs: Needs, now: WallTime) -> Vec<String> {
        let fits = |entry: &&Entry| {
            entry.peer == peer
                && entry.state == State::InForce
                && !entry.ever_over
                && entry.expires.is_none_or(|end| now + LONG < end)
                && entry.covers(session)
                && entry.allows(needs)
        };
        self.grants.iter().filter(fits).filter_map(|entry| entry.id.clone()).collect()
    }

    /// Looks at the clocks: what has ended by itself, long enough for the node to see it, is gone for good.
    pub(crate) fn watch(&mut self, now: Now) {
        for entry in &mut self.grants {
            if entry.expires.is_some_and(|end| end <= now.wall) {
                entry.over.get_or_insert(now.mono);
                entry.ever_over = true;
            } else if entry.over.is_some_and(|since| now.mono.since(since) < SEEN) {
                entry.over = None;
            }
        }
        self.grants.retain(|entry| entry.over.is_none_or(|since| now.mono.since(since) < SEEN));
    }

    /// The node started again and says which grants it has. Whatever was confirmed must be there, nothing that was
    /// taken back may be, and of what was under way either.
    ///
    /// # Errors
    /// In words, what is lost or came back.
    pub(crate) fn restarted(&mut self, grants: &[(Party, &Grant)], now: WallTime) -> Result<(), String> {
        let mut after: Vec<Entry> = Vec::new();
        for (peer, grant) in grants {
            let id = grant.id.to_string();
            let known = self.grants.iter().position(|entry| entry.id.as_deref() == Some(id.as_str()));
            let known = known.or_else(|| self.unconfirmed(*peer, grant));
            if let Some(known) = known {
                let mut entry = self.grants.remove(known);
                if entry.except.iter().any(|session| grant.covers(session)) {
                    return Err(format!("grant {id} covers a session again that was taken out"));
                }
                // What was being taken out may be out now, or not.
                entry
                    .except
                    .extend(core::mem::take(&mut entry.leaving).into_keys().filter(|session| !grant.covers(session)));
                (entry.id, entry.state) = (Some(id), State::InForce);
                after.push(entry);
            } else {
                self.claimed(*peer, &id, &grant.sessions, WallTime::default())
                    .map_err(|why| format!("something came back, or from nowhere: {why}"))?;
                after.extend(self.grants.pop());
            }
        }
        let lost = self.grants.iter().find(|entry| {
            let narrowed_away =
                names(&entry.sessions).is_some_and(|names| names.iter().all(|name| !entry.covers(name)));
            entry.state == State::InForce && entry.expires.is_none_or(|end| now < end) && !narrowed_away
        });
        if let Some(lost) = lost {
            return Err(format!("grant {:?} for {:?} was confirmed and is lost", lost.id, lost.peer));
        }
        self.grants = after;
        for invite in &mut self.invites {
            // Whether it is back shows when it is claimed; both are right.
            invite.leaving = None;
        }
        Ok(())
    }

    /// An ordered permission that a crash left without an answer.
    fn unconfirmed(&self, peer: Party, grant: &Grant) -> Option<usize> {
        self.grants.iter().position(|entry| {
            entry.peer == peer
                && entry.id.is_none()
                && entry.capabilities == grant.capabilities
                && entry.expires == grant.expires
                && entry.state != State::InForce
        })
    }
}

fn names(sessions: &SessionSet) -> Option<&BTreeSet<SessionName>> {
    match sessions {
        SessionSet::All => None,
        SessionSet::Named(names) => Some(names),
    }
}
