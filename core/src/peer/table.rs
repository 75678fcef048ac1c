//! The table of peers: found by key, former key, short id or name, and moved from key to key.

use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{
    AddError, KeyStatus, Opened, PastKey, Peer, PeerRef, ResolveError, RotateRefused, Rotation, SetNameError,
    check_name,
};
use crate::error::{MemberFault, StateError};
use crate::keys::{EncryptKey, PublicKey};
use crate::time::WallTime;

/// The document these peers are kept in.
const DOCUMENT: &str = "peers.json";

/// What a rotation changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotateOutcome {
    /// The peer has its new key.
    Moved,
    /// It had it already: the same statement came twice.
    AlreadyDone,
}

/// All peers, at most a given number.
#[derive(Clone, Debug)]
pub struct Peers {
    max: usize,
    by_key: BTreeMap<PublicKey, Peer>,
    /// From each former key to the current key of the same peer.
    past: BTreeMap<PublicKey, PublicKey>,
}

impl Peers {
    /// No peers yet, and never more than `max`.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max, by_key: BTreeMap::new(), past: BTreeMap::new() }
    }

    /// The peers that `peers.json` held, even if they are more than `max`: the limit is for new ones.
    ///
    /// # Errors
    /// Something that this table never writes: a key of two peers, or twice in one; a name that is none, or of two
    /// peers; a history that is too long.
    pub fn load(max: usize, peers: impl IntoIterator<Item = Peer>) -> Result<Self, StateError> {
        let mut table = Self::new(max);
        for peer in peers {
            let faulty = |member, fault| StateError::Member { document: DOCUMENT, member, fault };
            table.check_loaded(&peer).map_err(|(member, fault)| faulty(member, fault))?;
            table.past.extend(peer.history.iter().map(|past| (past.key, peer.key)));
            table.by_key.insert(peer.key, peer);
        }
        Ok(table)
    }

    fn check_loaded(&self, peer: &Peer) -> Result<(), (&'static str, MemberFault)> {
        let past = || peer.history.iter().map(|past| past.key);
        let distinct: BTreeSet<PublicKey> = past().chain([peer.key]).collect();
        if self.holder(&peer.key).is_some() {
            return Err(("publicKey", MemberFault::Contradicts("publicKey")));
        }
        if distinct.len() <= peer.history.len() || past().any(|key| self.holder(&key).is_some()) {
            return Err(("keyHistory", MemberFault::Contradicts("publicKey")));
        }
        if peer.history.len() > Peer::MAX_HISTORY {
            return Err(("keyHistory", MemberFault::Unreadable));
        }
        match &peer.name {
            Some(name) if check_name(name) != Ok(name) => Err(("name", MemberFault::Unreadable)),
            Some(name) if self.named(name).is_some() => Err(("name", MemberFault::Contradicts("name"))),
            _ => Ok(()),
        }
    }

    /// Makes a key known. A peer that is known stays as it is.
    ///
    /// # Errors
    /// The table is full, or the key is a former one.
    pub fn add(&mut self, key: PublicKey, now: WallTime) -> Result<&Peer, AddError> {
        if let Some(current) = self.past.get(&key) {
            return Err(AddError::PastKey { current: *current });
        }
        if self.by_key.len() >= self.max && !self.by_key.contains_key(&key) {
            return Err(AddError::Full { max: self.max });
        }
        Ok(self.by_key.entry(key).or_insert_with(|| Peer {
            key,
            encrypt_key: None,
            name: None,
            added: now,
            key_since: now,
            last_seen: None,
            opened: None,
            revoked: None,
            history: Vec::new(),
        }))
    }

    /// The peer whose current key this is.
    #[must_use]
    pub fn get(&self, key: &PublicKey) -> Option<&Peer> {
        self.by_key.get(key)
    }

    /// The peer that the owner means; a former key or its short id counts as well.
    ///
    /// # Errors
    /// Nobody or several are known by it.
    pub fn resolve(&self, who: &PeerRef) -> Result<&Peer, ResolveError> {
        let found = match who {
            PeerRef::Key(key) => self.holder(key),
            PeerRef::Name(name) => self.named(name),
            PeerRef::ShortId(id) => {
                let mut having = self.iter().filter(|peer| peer.has_short_id(id));
                let first = having.next();
                let others: Vec<PublicKey> = having.map(|peer| peer.key).collect();
                if let (Some(first), false) = (first, others.is_empty()) {
                    let keys = core::iter::once(first.key).chain(others).collect();
                    return Err(ResolveError::Ambiguous { short_id: id.clone(), keys });
                }
                first
            }
        };
        found.ok_or_else(|| ResolveError::Unknown(who.clone()))
    }

    /// For whom a key acts now; `None` for a stranger's.
    #[must_use]
    pub fn current_of(&self, key: &PublicKey, now: WallTime) -> Option<KeyStatus<'_>> {
        if let Some(peer) = self.by_key.get(key) {
            return Some(KeyStatus::Current(peer));
        }
        let peer = self.by_key.get(self.past.get(key)?)?;
        let past = peer.history.iter().find(|past| past.key == *key)?;
        if past.expired || past.valid_until <= now {
            return Some(KeyStatus::Expired);
        }
        Some(KeyStatus::Grace { peer, until: past.valid_until })
    }

    /// Gives a peer a name, without the space around it.
    ///
    /// # Errors
    /// It is not a name, or another peer has it, or there is no such peer.
    pub fn set_name(&mut self, key: &PublicKey, name: &str) -> Result<&Peer, SetNameError> {
        let name = check_name(name).map_err(SetNameError::Name)?;
        if let Some(other) = self.named(name).filter(|other| other.key != *key) {
            return Err(SetNameError::Taken { by: other.key });
        }
        let peer = self.by_key.get_mut(key).ok_or(SetNameError::Unknown)?;
        peer.name = Some(name.to_owned());
        Ok(peer)
    }

    /// The peer with this current key proved it just now; whether there is one.
    pub fn saw(&mut self, key: &PublicKey, now: WallTime) -> bool {
        self.change(key, |peer| peer.last_seen = Some(now))
    }

    /// Sets the encryption key that the peer signed with its current key; whether there is such a peer.
    pub fn set_encrypt_key(&mut self, key: &PublicKey, encrypt_key: EncryptKey) -> bool {
        self.change(key, |peer| peer.encrypt_key = Some(encrypt_key))
    }

    /// Notes what the peer opened to us, next to what it opened before; whether there is such a peer.
    pub fn open(&mut self, key: &PublicKey, opened: Opened) -> bool {
        self.change(key, |peer| {
            peer.opened = Some(match &peer.opened {
                Some(before) => before.merged(opened),
                None => opened,
            });
        })
    }

    /// Notes that the owner revoked the peer: its key, name and history stay known, its rotations are refused. Its
    /// grants are ended by [`Grants::remove_peer`](crate::grant::Grants::remove_peer). Whether there is such a peer.
    pub fn revoke(&mut self, key: &PublicKey, now: WallTime) -> bool {
        self.change(key, |peer| peer.revoked = Some(now))
    }

    /// Takes a revocation back, because the owner granted something anew; whether there is such a peer.
    pub fn restore(&mut self, key: &PublicKey) -> bool {
        self.change(key, |peer| peer.revoked = None)
    }

    /// Forgets a peer with its history.
    pub fn forget(&mut self, key: &PublicKey) -> Option<Peer> {
        let peer = self.by_key.remove(key)?;
        for past in &peer.history {
            self.past.remove(&past.key);
        }
        Some(peer)
    }

    /// Moves a peer to its next key. A key has one successor: the first that came. The grants are moved by
    /// [`Grants::rekey`](crate::grant::Grants::rekey).
    ///
    /// # Errors
    /// See [`RotateRefused`].
    pub fn rotate(&mut self, rotation: &Rotation, now: WallTime) -> Result<RotateOutcome, RotateRefused> {
        let Rotation { old, new, new_encrypt, reason, valid_until } = *rotation;
        let holder = self.holder(&old).ok_or(RotateRefused::UnknownKey)?;
        if holder.revoked.is_some() {
            return Err(RotateRefused::Revoked);
        }
        if let Some(index) = holder.history.iter().position(|past| past.key == old) {
            return repeated(holder, index, new, new_encrypt);
        }
        if let Some(by) = self.holder(&new) {
            return Err(RotateRefused::KeyInUse { by: by.key });
        }
        let Some(mut peer) = self.by_key.remove(&old) else { return Err(RotateRefused::UnknownKey) };
        let (encrypt_key, valid_from) = (peer.encrypt_key, peer.key_since);
        peer.history.push(PastKey { key: old, encrypt_key, valid_from, valid_until, reason, expired: false });
        if peer.history.len() > Peer::MAX_HISTORY {
            self.past.remove(&peer.history.remove(0).key);
        }
        (peer.key, peer.encrypt_key, peer.key_since) = (new, Some(new_encrypt), now);
        self.past.extend(peer.history.iter().map(|past| (past.key, new)));
        self.by_key.insert(new, peer);
        Ok(RotateOutcome::Moved)
    }

    /// Marks the former keys whose grace period is over; whether that changed anything. They stay, to tell conflicting
    /// rotations by.
    pub fn prune(&mut self, now: WallTime) -> bool {
        let mut changed = false;
        for past in self.by_key.values_mut().flat_map(|peer| &mut peer.history) {
            if !past.expired && past.valid_until <= now {
                past.expired = true;
                changed = true;
            }
        }
        changed
    }

    /// All peers, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.by_key.values()
    }

    /// How many peers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no peer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The peer that has or had this key.
    fn holder(&self, key: &PublicKey) -> Option<&Peer> {
        self.by_key.get(self.past.get(key).unwrap_or(key))
    }

    fn named(&self, name: &str) -> Option<&Peer> {
        self.iter().find(|peer| peer.name.as_deref() == Some(name))
    }

    fn change(&mut self, key: &PublicKey, with: impl FnOnce(&mut Peer)) -> bool {
        self.by_key.get_mut(key).map(with).is_some()
    }
}

/// What to say to a rotation away from a key that has been given up already.
fn repeated(
    peer: &Peer,
    index: usize,
    new: PublicKey,
    new_encrypt: EncryptKey,
) -> Result<RotateOutcome, RotateRefused> {
    let known = peer.successor(index);
    if known != new {
        Err(RotateRefused::Conflict { known })
    } else if new != peer.key {
        Err(RotateRefused::Superseded { by: peer.key })
    } else if peer.encrypt_key != Some(new_encrypt) {
        // The same signing key with another encryption key is a different statement, too.
        Err(RotateRefused::Conflict { known })
    } else {
        Ok(RotateOutcome::AlreadyDone)
    }
}

impl serde::Serialize for Peers {
    /// A list of peers; [`Peers::load`] takes it back.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
