//! Who may use which of our sessions: the grants.
//!
//! Every grant stands on its own: two grants of one peer are never merged, so taking one away leaves exactly the other.
//! What is not granted by a grant in force at that moment is refused.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;

use crate::access::{Capability, SessionName, SessionSet, TrustLevel};
use crate::keys::{Nonce, PublicKey};
use crate::time::WallTime;

#[cfg(test)]
mod tests;

/// What tells one grant from every other: 16 random bytes, 32 hex digits as text.
pub type GrantId = Nonce;

/// A permission of one peer to use some of our sessions.
///
/// As JSON it refuses members it does not know: one that a later version adds may narrow the grant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What the owner names it by when it is to end.
    pub id: GrantId,
    /// Who may.
    #[serde(rename = "peerKey")]
    pub peer: PublicKey,
    /// Which sessions.
    pub sessions: SessionSet,
    /// Sessions taken out of [`Grant::sessions`] again; only a grant on `*` has any, at most [`Grant::MAX_EXCEPT`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<SessionName>,
    /// What may be done there.
    #[serde(rename = "caps")]
    pub capabilities: Vec<Capability>,
    /// How far the peer is trusted there.
    pub trust: TrustLevel,
    /// Since when.
    pub created: WallTime,
    /// From when on no longer; `None` is until revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<WallTime>,
    /// The nonce of the invite it came from, if it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<Nonce>,
}

impl Grant {
    /// The most sessions that can be taken out of a grant on `*`.
    pub const MAX_EXCEPT: usize = 256;

    /// Whether it has not ended by itself.
    #[must_use]
    pub fn in_force(&self, now: WallTime) -> bool {
        self.expires.is_none_or(|end| now < end)
    }

    /// Whether it is about this session.
    #[must_use]
    pub fn covers(&self, session: &SessionName) -> bool {
        self.sessions.contains(session) && !self.except.contains(session)
    }

    /// Whether one of its capabilities suffices.
    #[must_use]
    pub fn allows(&self, needs: Needs) -> bool {
        self.capabilities.iter().any(|capability| needs.met_by(capability))
    }

    /// What the better of two grants has more of: trust, then the full `inject`, then capabilities; the lower id ends
    /// a tie.
    fn rank(&self, needs: Needs) -> (TrustLevel, bool, usize, Reverse<GrantId>) {
        let full = self.capabilities.contains(&Capability::inject());
        let width = self.capabilities.iter().filter(|capability| needs.met_by(capability)).count();
        (self.trust, full, width, Reverse(self.id))
    }

    /// Takes a session out.
    fn without(&mut self, session: &SessionName) -> Without {
        if !self.covers(session) {
            return Without::Untouched;
        }
        match &mut self.sessions {
            SessionSet::Named(names) => {
                names.remove(session);
                if names.is_empty() { Without::NothingLeft } else { Without::Narrower }
            }
            SessionSet::All if self.except.len() >= Self::MAX_EXCEPT => Without::NothingLeft,
            SessionSet::All => {
                self.except.insert(session.clone());
                Without::Narrower
            }
        }
    }
}

/// What is left of a grant after a session was taken out.
enum Without {
    Untouched,
    Narrower,
    NothingLeft,
}

/// What a peer wants to do with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Append a message: `message` or `inject`.
    Log,
    /// Ask the AI: `inject` or one of its refinements.
    Inject,
}

impl Needs {
    /// Whether a capability suffices for it.
    pub(crate) fn met_by(self, capability: &Capability) -> bool {
        match self {
            Self::Log => capability.allows_log(),
            Self::Inject => capability.allows_inject(),
        }
    }
}

/// The table holds as many grants as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantsFull {
    /// How many that are.
    pub max: usize,
}

impl fmt::Display for GrantsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are already {} grants, which is the limit: revoke some that are no longer needed", self.max)
    }
}

impl core::error::Error for GrantsFull {}

/// What [`Grants::narrow`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Grants that ended, as they were.
    pub removed: Vec<Grant>,
    /// Grants that go on, as they are now.
    pub narrowed: Vec<Grant>,
}

/// All grants, at most a given number.
#[derive(Clone, Debug)]
pub struct Grants {
    max: usize,
    by_peer: BTreeMap<(PublicKey, GrantId), Grant>,
    peer_of: BTreeMap<GrantId, PublicKey>,
}

impl Grants {
    /// No grants yet, and never more than `max`.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max, by_peer: BTreeMap::new(), peer_of: BTreeMap::new() }
    }

    /// The grants that a document held, even if they are more than `max`: the limit is for new ones. Of two with one id
    /// the later counts.
    #[must_use]
    pub fn load(max: usize, grants: impl IntoIterator<Item = Grant>) -> Self {
        let mut table = Self::new(max);
        grants.into_iter().for_each(|grant| table.put(grant));
        table
    }

    /// Puts a grant in force. One with the same id is replaced.
    ///
    /// # Errors
    /// The table is full; nothing changed.
    pub fn insert(&mut self, grant: Grant) -> Result<(), GrantsFull> {
        if self.by_peer.len() >= self.max && !self.peer_of.contains_key(&grant.id) {
            return Err(GrantsFull { max: self.max });
        }
        self.put(grant);
        Ok(())
    }

    fn put(&mut self, grant: Grant) {
        self.remove(&grant.id);
        self.peer_of.insert(grant.id, grant.peer);
        self.by_peer.insert((grant.peer, grant.id), grant);
    }

    /// Ends one grant.
    pub fn remove(&mut self, id: &GrantId) -> Option<Grant> {
        let peer = self.peer_of.remove(id)?;
        self.by_peer.remove(&(peer, *id))
    }

    /// Ends every grant of a peer.
    pub fn remove_peer(&mut self, peer: &PublicKey) -> Vec<Grant> {
        self.ids_of(peer).iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Takes one session out of every grant of a peer; its other sessions stay. A grant that has no session left ends,
    /// and so does a grant on `*` that has [`Grant::MAX_EXCEPT`] exceptions already: too much is taken rather than too
    /// little.
    pub fn narrow(&mut self, peer: &PublicKey, session: &SessionName) -> Narrowed {
        let mut done = Narrowed::default();
        for id in self.ids_of(peer) {
            let Some(grant) = self.by_peer.get_mut(&(*peer, id)) else { continue };
            let before = grant.clone();
            match grant.without(session) {
                Without::Untouched => {}
                Without::Narrower => done.narrowed.push(grant.clone()),
                Without::NothingLeft => {
                    self.remove(&id);
                    done.removed.push(before);
                }
            }
        }
        done
    }

    /// The grant by which a peer may do this now: of several the one with most trust, then with the widest
    /// capabilities. `None` is a refusal.
    #[must_use]
    pub fn authorise(&self, peer: &PublicKey, session: &SessionName, needs: Needs, now: WallTime) -> Option<&Grant> {
        self.of_peer(peer)
            .filter(|grant| grant.in_force(now) && grant.covers(session) && grant.allows(needs))
            .max_by_key(|grant| grant.rank(needs))
    }

    /// Everything a peer may do in a session now, by all its grants together; for the session's handler.
    #[must_use]
    pub fn capabilities(&self, peer: &PublicKey, session: &SessionName, now: WallTime) -> Vec<Capability> {
        let grants = self.of_peer(peer).filter(|grant| grant.in_force(now) && grant.covers(session));
        let all: BTreeSet<&Capability> = grants.flat_map(|grant| &grant.capabilities).collect();
        all.into_iter().cloned().collect()
    }

    /// Gives all grants of `old` to `new`, which is the same peer's next key; how many.
    pub fn rekey(&mut self, old: &PublicKey, new: &PublicKey) -> usize {
        let ids = self.ids_of(old);
        for id in &ids {
            if let Some(mut grant) = self.by_peer.remove(&(*old, *id)) {
                grant.peer = *new;
                self.peer_of.insert(*id, *new);
                self.by_peer.insert((*new, *id), grant);
            }
        }
        ids.len()
    }

    /// Takes out the grants that have ended by themselves.
    pub fn prune_expired(&mut self, now: WallTime) -> Vec<Grant> {
        let ended: Vec<GrantId> = self.iter().filter(|grant| !grant.in_force(now)).map(|grant| grant.id).collect();
        ended.iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The grant with this id.
    #[must_use]
    pub fn get(&self, id: &GrantId) -> Option<&Grant> {
        self.by_peer.get(&(*self.peer_of.get(id)?, *id))
    }

    /// A peer's grants, also those that have ended by themselves, by id.
    pub fn of_peer(&self, peer: &PublicKey) -> impl Iterator<Item = &Grant> {
        let (first, last) = (Nonce([0; 16]), Nonce([0xff; 16]));
        self.by_peer.range((*peer, first)..=(*peer, last)).map(|(_, grant)| grant)
    }

    /// All grants, by peer and id.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.by_peer.values()
    }

    /// How many grants there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_peer.len()
    }

    /// Whether there is no grant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_peer.is_empty()
    }

    fn ids_of(&self, peer: &PublicKey) -> Vec<GrantId> {
        self.of_peer(peer).map(|grant| grant.id).collect()
    }
}

impl serde::Serialize for Grants {
    /// A list of grants; [`Grants::load`] takes it back.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
