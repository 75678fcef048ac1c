//! Why the table of peers refuses something; after a refusal it is as it was.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{NameError, PeerRef};
use crate::keys::PublicKey;

/// Why a peer could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The table holds as many peers as it may.
    Full {
        /// How many that are.
        max: usize,
    },
    /// The key is a former one.
    PastKey {
        /// What the same peer's key is now.
        current: PublicKey,
    },
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { max } => {
                write!(f, "there are already {max} peers, which is the limit: revoke and forget some first")
            }
            Self::PastKey { current } => write!(f, "that key was given up by its owner: its key is now {current}"),
        }
    }
}

impl core::error::Error for AddError {}

/// Why a [`PeerRef`] stands for no peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// No peer is known by it.
    Unknown(PeerRef),
    /// Several have this short id.
    Ambiguous {
        /// The short id.
        short_id: String,
        /// The keys of those who have it.
        keys: Vec<PublicKey>,
    },
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(who) => write!(f, "no peer is known as {who}: `wopr p2p peers` lists those that are"),
            Self::Ambiguous { short_id, keys } => {
                write!(f, "several peers have the short id {short_id}: give the full key of one of them")?;
                keys.iter().try_for_each(|key| write!(f, "\n  {key}"))
            }
        }
    }
}

impl core::error::Error for ResolveError {}

/// Why a peer was not given a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetNameError {
    /// It cannot be a name.
    Name(NameError),
    /// Another peer has it.
    Taken {
        /// Who.
        by: PublicKey,
    },
    /// No such peer.
    Unknown,
}

impl fmt::Display for SetNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Taken { by } => {
                write!(
                    f,
                    "that name belongs to another peer, {} ({by}): give that one another name first",
                    by.short_id()
                )
            }
            Self::Unknown => f.write_str("no such peer: `wopr p2p peers` lists those that are known"),
        }
    }
}

impl core::error::Error for SetNameError {}

/// Why a rotation was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotateRefused {
    /// The old key is no peer's.
    UnknownKey,
    /// The new key is or was some peer's.
    KeyInUse {
        /// The current key of that peer.
        by: PublicKey,
    },
    /// The old key already has another successor: two parties hold its private key. Tell the owner.
    Conflict {
        /// The successor that came first and stays.
        known: PublicKey,
    },
    /// This rotation was done, and its new key has been given up since.
    Superseded {
        /// What the peer's key is now.
        by: PublicKey,
    },
    /// The owner revoked the peer.
    Revoked,
}

impl fmt::Display for RotateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => f.write_str("the old key is not a known peer's"),
            Self::KeyInUse { by } => write!(f, "the new key is or was that of the peer {by}"),
            Self::Conflict { known } => {
                write!(f, "the old key was already replaced by {known}: somebody else may hold it")
            }
            Self::Superseded { by } => write!(f, "the new key has itself been replaced by {by}"),
            Self::Revoked => f.write_str("the peer has been revoked"),
        }
    }
}

impl core::error::Error for RotateRefused {}
