//! The peers we know: their keys then and now, the owner's names for them, what they opened to us.
//!
//! Only the owner's commands, claimed invites and rotations of peers already known write here; a stranger never gets
//! in. A key belongs to one peer at most, as its current key or in its history, and has one successor at most. What a
//! peer may use of ours is in [`grant`](crate::grant), never here.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::access::{Capability, SessionSet};
use crate::keys::{EncryptKey, PublicKey};
use crate::rotation::RotationReason;
use crate::time::WallTime;

mod reference;
mod refused;
mod table;
#[cfg(test)]
mod tests;

pub use reference::{MAX_NAME_LEN, NameError, PeerRef, PeerRefError, check_name};
pub use refused::{AddError, ResolveError, RotateRefused, SetNameError};
pub use table::{Peers, RotateOutcome};

/// A peer we know.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its current key.
    #[serde(rename = "publicKey")]
    pub key: PublicKey,
    /// Its current encryption key, once it proved one.
    #[serde(rename = "encryptPub", default, skip_serializing_if = "Option::is_none")]
    pub encrypt_key: Option<EncryptKey>,
    /// The owner's name for it; unique, see [`check_name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Since when it is known.
    pub added: WallTime,
    /// Since when [`Peer::key`] is its key.
    pub key_since: WallTime,
    /// When it last proved its key to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<WallTime>,
    /// What we may use of theirs, as far as they told us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<Opened>,
    /// When the owner revoked it, if it was not granted anything since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<WallTime>,
    /// Its former keys, oldest first, at most [`Peer::MAX_HISTORY`].
    #[serde(rename = "keyHistory", default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastKey>,
}

impl Peer {
    /// How many former keys of a peer are remembered.
    pub const MAX_HISTORY: usize = 16;

    /// The key that followed the one at `index` of the history.
    fn successor(&self, index: usize) -> PublicKey {
        self.history.get(index + 1).map_or(self.key, |next| next.key)
    }

    fn has_short_id(&self, id: &str) -> bool {
        self.key.short_id() == id || self.history.iter().any(|past| past.key.short_id() == id)
    }
}

/// A former key of a peer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastKey {
    /// The key.
    #[serde(rename = "publicKey")]
    pub key: PublicKey,
    /// The encryption key of that time, if it was known.
    #[serde(rename = "encryptPub", default, skip_serializing_if = "Option::is_none")]
    pub encrypt_key: Option<EncryptKey>,
    /// Since when it was the peer's key.
    pub valid_from: WallTime,
    /// The end of the grace period: from then on it acts for nobody.
    pub valid_until: WallTime,
    /// Why it was given up.
    #[serde(rename = "rotationReason")]
    pub reason: RotationReason,
    /// The grace period was seen to end: a wall clock that steps back does not bring the key back.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub expired: bool,
}

/// What a peer lets us use of theirs. The peer decides; this is what to show the owner.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Opened {
    /// Which of its sessions.
    pub sessions: SessionSet,
    /// What we may do there.
    #[serde(rename = "caps")]
    pub capabilities: Vec<Capability>,
    /// Since when.
    pub since: WallTime,
    /// Until when, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<WallTime>,
}

impl Opened {
    /// What both together open. If that names too many sessions, the newer one stands.
    fn merged(&self, newer: Self) -> Self {
        let names = self.sessions.names().into_iter().chain(newer.sessions.names());
        let Ok(sessions) = SessionSet::new(names) else { return newer };
        let capabilities: BTreeSet<&Capability> = self.capabilities.iter().chain(&newer.capabilities).collect();
        Self {
            sessions,
            capabilities: capabilities.into_iter().cloned().collect(),
            since: self.since.min(newer.since),
            expires: self.expires.zip(newer.expires).map(|(one, other)| one.max(other)),
        }
    }
}

/// For whom a key acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus<'a> {
    /// It is this peer's key (look at [`Peer::revoked`]).
    Current(&'a Peer),
    /// It is a former key of this peer and still acts for it.
    Grace {
        /// The peer, under its current key.
        peer: &'a Peer,
        /// When that ends.
        until: WallTime,
    },
    /// It is a former key whose grace period is over: it acts for nobody.
    Expired,
}

/// A peer's move from one key to the next, its statement already verified.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// The key it gives up; it signed the statement.
    pub old: PublicKey,
    /// Its new key.
    pub new: PublicKey,
    /// Its new encryption key.
    pub new_encrypt: EncryptKey,
    /// Why.
    pub reason: RotationReason,
    /// Until when the old key still acts for it, by our own bound.
    pub valid_until: WallTime,
}
