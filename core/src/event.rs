//! What the owner may want to know, as it happens. No event holds a message's text or a secret.

use alloc::string::String;

use crate::access::{SessionName, SessionSet};
use crate::discovery::PendingId;
use crate::keys::{Nonce, PublicKey};
use crate::node::TransportKey;
use crate::profile::TopicName;
use crate::rotation::RotationReason;
use crate::time::WallTime;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A handshake ended well: the other side has shown its identity.
    PeerConnected {
        /// Who.
        peer: PublicKey,
        /// The negotiated protocol version.
        version: u8,
        /// Whether we dialled.
        dialled: bool,
    },
    /// A stream was refused before its other side had shown an identity.
    PeerRejected {
        /// The transport's key.
        remote: TransportKey,
        /// Why.
        reason: RejectReason,
    },
    /// A message was refused.
    MessageRejected {
        /// Whose: known since the handshake.
        peer: PublicKey,
        /// For which session, if it named one.
        session: Option<SessionName>,
        /// Why.
        reason: RejectReason,
    },
    /// A text of a peer is in a session's file.
    MessageDelivered {
        /// Whose.
        peer: PublicKey,
        /// Where.
        session: SessionName,
    },
    /// A message of ours waits for its peer.
    MessageQueued {
        /// Its id.
        id: Nonce,
        /// For whom.
        peer: PublicKey,
        /// For which of the peer's sessions.
        session: SessionName,
    },
    /// A message that waited is in the peer's session.
    QueuedDelivered {
        /// Its id.
        id: Nonce,
        /// Whose session.
        peer: PublicKey,
        /// Which.
        session: SessionName,
    },
    /// A message that waited is given up.
    QueuedFailed {
        /// Its id.
        id: Nonce,
        /// For whom.
        peer: PublicKey,
        /// For which of the peer's sessions.
        session: SessionName,
        /// Why; it can hold a peer's words.
        reason: String,
    },
    /// A question of a peer was answered.
    QuestionAnswered {
        /// Whose.
        peer: PublicKey,
        /// In which session.
        session: SessionName,
    },
    /// A peer has new access.
    GrantCreated {
        /// Whose.
        peer: PublicKey,
        /// The grant's id.
        grant: String,
        /// What it opens.
        sessions: SessionSet,
    },
    /// A peer has lost access.
    GrantRevoked {
        /// Whose.
        peer: PublicKey,
        /// The grant's id.
        grant: String,
    },
    /// A peer follows a new key.
    KeyRotated {
        /// The key before.
        old: PublicKey,
        /// The key from now on.
        new: PublicKey,
        /// Why, as the peer says.
        reason: RotationReason,
        /// Until when the old key still counts.
        grace_until: WallTime,
    },
    /// Somebody holds a key that was already rotated to another: one of the two is a thief.
    RotationConflict {
        /// The key with two successors.
        old: PublicKey,
        /// The successor that counts: the first.
        known: PublicKey,
        /// The successor that was refused.
        refused: PublicKey,
    },
    /// We have new keys.
    OwnKeyRotated {
        /// The key before.
        old: PublicKey,
        /// The key from now on.
        new: PublicKey,
    },
    /// A peer has heard of our new key.
    RotationTold {
        /// Who.
        peer: PublicKey,
    },
    /// A peer was away until two rotations had come into force: no statement is left that it could follow.
    RotationMissed {
        /// Who: it needs a new invite, and so may we.
        peer: PublicKey,
        /// The key of ours that it knows.
        old: PublicKey,
    },
    /// Somebody showed itself on a topic for the first time, or proved its key.
    PeerDiscovered {
        /// The key it names.
        peer: PublicKey,
        /// Whether it proved it.
        proven: bool,
        /// Where we met.
        topic: TopicName,
    },
    /// Somebody met on a topic asks for access: the owner decides.
    ConnectRequested {
        /// The key it names.
        peer: PublicKey,
        /// Whether it proved it.
        proven: bool,
        /// What to approve or deny it by.
        request: PendingId,
    },
    /// A connection request of ours was decided.
    ConnectAnswered {
        /// By whom.
        peer: PublicKey,
        /// Whether we may use something of theirs.
        accepted: bool,
    },
    /// A text of an untrusted peer waits for the owner.
    MessageHeld {
        /// Whose.
        peer: PublicKey,
        /// For which session.
        session: SessionName,
        /// What to approve or deny it by.
        request: PendingId,
    },
    /// A change could not be stored; the text says what that means.
    StoreFailed {
        /// The document or session file.
        what: String,
        /// The operating system's reason.
        reason: String,
    },
}

impl Event {
    /// The event's name, as the seed writes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PeerConnected { .. } => "p2p.peer.connected",
            Self::PeerRejected { .. } => "p2p.peer.rejected",
            Self::MessageRejected { .. } => "p2p.message.rejected",
            Self::MessageDelivered { .. } => "p2p.message.delivered",
            Self::MessageQueued { .. } => "p2p.outbox.queued",
            Self::QueuedDelivered { .. } => "p2p.outbox.delivered",
            Self::QueuedFailed { .. } => "p2p.outbox.failed",
            Self::QuestionAnswered { .. } => "p2p.question.answered",
            Self::GrantCreated { .. } => "p2p.grant.created",
            Self::GrantRevoked { .. } => "p2p.grant.revoked",
            Self::KeyRotated { .. } => "p2p.key.rotated",
            Self::RotationConflict { .. } => "p2p.key.conflict",
            Self::OwnKeyRotated { .. } => "p2p.identity.rotated",
            Self::RotationTold { .. } => "p2p.identity.told",
            Self::RotationMissed { .. } => "p2p.identity.missed",
            Self::PeerDiscovered { .. } => "p2p.peer.discovered",
            Self::ConnectRequested { .. } => "p2p.connect.requested",
            Self::ConnectAnswered { .. } => "p2p.connect.answered",
            Self::MessageHeld { .. } => "p2p.message.held",
            Self::StoreFailed { .. } => "p2p.store.failed",
        }
    }
}

/// Why something of a peer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// Not a message: bad framing, JSON, members or version.
    Malformed,
    /// A line longer than this side of the stream may send.
    TooLong,
    /// The payload is larger than our limit.
    PayloadTooLarge,
    /// The signature is not that of the key in `from`.
    BadSignature,
    /// Meant for another stream, or written by ourselves.
    NotForUs,
    /// Somebody looks for another node: discovery, which anybody can feed, may have led it here.
    Misdirected,
    /// The message's time is too far from ours.
    OutsideWindow,
    /// Seen before.
    Replayed,
    /// Too many: from a sender, who is banned for a while, or to a session in one day.
    RateLimited,
    /// No grant covers it.
    Unauthorized,
    /// The payload cannot be decrypted.
    Undecryptable,
    /// The invite token cannot be claimed.
    BadToken,
    /// The rotation is not acceptable.
    BadRotation,
    /// No protocol version in common.
    VersionMismatch,
    /// No handshake in time, or too many streams.
    Crowded,
    /// Sent to a key of ours that somebody else may have, and that is given up for that.
    KeyGivenUp,
    /// It waits for the owner's approval.
    Held,
    /// The owner refused it, or did not decide in time.
    Denied,
    /// The node is being stopped.
    Stopping,
    /// A question that comes back to somebody who waits for its answer, or whose chain is too long.
    Loop,
    /// We could not store or answer it.
    Failed,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 21] = [
        Self::Malformed,
        Self::TooLong,
        Self::PayloadTooLarge,
        Self::BadSignature,
        Self::NotForUs,
        Self::Misdirected,
        Self::OutsideWindow,
        Self::Replayed,
        Self::RateLimited,
        Self::Unauthorized,
        Self::Undecryptable,
        Self::BadToken,
        Self::BadRotation,
        Self::VersionMismatch,
        Self::Crowded,
        Self::KeyGivenUp,
        Self::Held,
        Self::Denied,
        Self::Stopping,
        Self::Loop,
        Self::Failed,
    ];

    /// A word for logs and `--json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too long",
            Self::PayloadTooLarge => "payload too large",
            Self::BadSignature => "bad signature",
            Self::NotForUs => "not for us",
            Self::Misdirected => "misdirected",
            Self::OutsideWindow => "outside time window",
            Self::Replayed => "replayed",
            Self::RateLimited => "rate limited",
            Self::Unauthorized => "unauthorized",
            Self::Undecryptable => "undecryptable",
            Self::BadToken => "bad token",
            Self::BadRotation => "bad rotation",
            Self::VersionMismatch => "version mismatch",
            Self::Crowded => "crowded",
            Self::KeyGivenUp => "key given up",
            Self::Held => "held",
            Self::Denied => "denied",
            Self::Stopping => "stopping",
            Self::Loop => "loop",
            Self::Failed => "failed",
        }
    }
}
