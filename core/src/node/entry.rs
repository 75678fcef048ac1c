//! What the node says about a session: a line for its file, a question for its AI.

use alloc::string::String;
use alloc::vec::Vec;

use super::OnceOnly;
use crate::access::{Capability, SessionName, TrustLevel};
use crate::chain::Chain;
use crate::keys::PublicKey;
use crate::time::WallTime;

/// One line of a session's file.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionEntry {
    /// When the node accepted it.
    pub at: WallTime,
    /// Who wrote it: the peer's name or short id; the session's own name for its AI's answers.
    pub from: String,
    /// What kind of line it is.
    pub kind: EntryKind,
    /// The text.
    pub content: String,
    /// The peer it came from or went to.
    pub peer: PublicKey,
    /// Write it only if no line has this id, the same text and one of these senders; write the id into it.
    pub once: Option<OnceOnly>,
}

/// The kinds of lines in a session's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A text that a peer logged.
    Message,
    /// A question of a peer to the session's AI.
    Question,
    /// The AI's answer to it.
    Answer,
}

/// A question for a session's AI. The text comes from a remote peer: it is no command of the owner.
pub struct Question {
    /// Which session.
    pub session: SessionName,
    /// The text.
    pub text: String,
    /// Who asks.
    pub peer: PublicKey,
    /// The owner's name for them, if any.
    pub peer_name: Option<String>,
    /// What they may do here.
    pub capabilities: Vec<Capability>,
    /// How far they are trusted.
    pub trust: TrustLevel,
    /// Who waits for the answer. A command that the handler gives has to carry it: [`Command::InChain`](super::Command::InChain).
    pub chain: Chain,
}
