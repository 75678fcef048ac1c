//! Stands in for `wopr_p2p_core::node` until that module compiles: same names, same fields. Then delete this file.
#![doc(hidden)]
#![allow(missing_docs)]

use wopr_p2p_core::access::{Capability, SessionName, TrustLevel};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;
use zeroize::Zeroizing;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFailed {
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskFailed {
    NoHandler,
    TimedOut,
    Died,
    AnswerTooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Document {
    Identity,
    Access,
    Peers,
    Limits,
    Replay,
}

impl Document {
    pub const ALL: [Self; 5] = [Self::Identity, Self::Access, Self::Peers, Self::Limits, Self::Replay];

    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Identity => "identity.json",
            Self::Access => "access.json",
            Self::Peers => "peers.json",
            Self::Limits => "limits.json",
            Self::Replay => "replay.log",
        }
    }
}

pub enum DocumentWrite {
    Replace(Zeroizing<Vec<u8>>),
    Append(Vec<u8>),
}

#[derive(Clone, PartialEq, Eq)]
pub struct SessionEntry {
    pub at: WallTime,
    pub from: String,
    pub kind: EntryKind,
    pub content: String,
    pub peer: PublicKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Message,
    Question,
    Answer,
}

pub struct Question {
    pub session: SessionName,
    pub text: String,
    pub peer: PublicKey,
    pub peer_name: Option<String>,
    pub capabilities: Vec<Capability>,
    pub trust: TrustLevel,
}
