//! The documents a node keeps, and how they change.

use alloc::vec::Vec;

use zeroize::Zeroizing;

/// The documents a node keeps, each a file of its own under `p2p/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Document {
    /// `identity.json`: private keys, and those of the grace period.
    Identity,
    /// `access.json`: grants and issued invites.
    Access,
    /// `peers.json`: known peers, their key history, what they opened to us.
    Peers,
    /// `limits.json`: bans and counters.
    Limits,
    /// `replay.log`: nonces of accepted messages, a line each.
    Replay,
    /// `discovery.json`: our profile and topics, connection requests, texts that wait for the owner.
    Discovery,
    /// `outbox.jsonl`: messages that wait for their peers, and what became of them.
    Outbox,
}

impl Document {
    /// Every document.
    pub const ALL: [Self; 7] =
        [Self::Identity, Self::Access, Self::Peers, Self::Limits, Self::Replay, Self::Discovery, Self::Outbox];

    /// The file's name in the `p2p` folder.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Identity => "identity.json",
            Self::Access => "access.json",
            Self::Peers => "peers.json",
            Self::Limits => "limits.json",
            Self::Replay => "replay.log",
            Self::Discovery => "discovery.json",
            Self::Outbox => "outbox.jsonl",
        }
    }
}

/// How a document changes. The bytes may hold private keys: they are wiped when dropped.
pub enum DocumentWrite {
    /// The whole document, put in place atomically.
    Replace(Zeroizing<Vec<u8>>),
    /// Whole lines at its end.
    Append(Vec<u8>),
}
