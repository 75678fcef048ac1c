//! Why a command of the owner did not succeed, by blame: the owner's input, the peer's verdict, the network, our disk.

use alloc::string::String;
use core::fmt;

use crate::access::AccessError;
use crate::invite::{InviteError, RevokeRefused};
use crate::keys::{KeyError, PublicKey};
use crate::peer::{AddError, ResolveError, SetNameError};
use crate::profile::{ProfileError, TopicName};
use crate::time::WallTime;

/// Why a command did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The text names no peer, or several.
    Unresolved(ResolveError),
    /// The peer cannot be added.
    NotAdded(AddError),
    /// The key in the command cannot be used.
    BadKey(KeyError),
    /// The peer is this node itself.
    OwnKey,
    /// The name cannot be given.
    NotNamed(SetNameError),
    /// A word of access is wrong.
    BadAccess(AccessError),
    /// The token cannot be read.
    BadInvite(InviteError),
    /// The token could be claimed until then.
    InviteExpired(WallTime),
    /// The token is for somebody else's key.
    InviteForAnother(PublicKey),
    /// The token is our own.
    OwnInvite,
    /// No grant has this id, or this peer has none that covers the session.
    NoSuchGrant,
    /// The invite cannot be taken back.
    NotRevoked(RevokeRefused),
    /// The message is longer than the peer would take.
    PayloadTooLarge {
        /// Its encrypted, encoded length in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A bound of the config is reached: its field.
    LimitReached(&'static str),
    /// Our network is down, or discovery cannot be reached.
    NetworkDown,
    /// Nobody with this key was found in time.
    PeerOffline(PublicKey),
    /// The peer took the request but did not answer in time; it may have acted on it.
    NoAnswer(PublicKey),
    /// The peer speaks none of our protocol versions.
    VersionMismatch(PublicKey),
    /// The peer says we are not authorised.
    Unauthorized(PublicKey),
    /// The peer says we ask too often.
    RateLimited(PublicKey),
    /// The peer refused for another reason, in its words (text from a remote peer).
    Rejected {
        /// Who.
        peer: PublicKey,
        /// Its words.
        reason: String,
    },
    /// The peer's answer cannot be read.
    BadAnswer(PublicKey),
    /// It could not be stored: the reason. Nothing was changed, unless access was taken away: that holds until the
    /// node restarts.
    NotStored(String),
    /// We are not on this topic.
    NotJoined(TopicName),
    /// The text is no profile.
    BadProfile(ProfileError),
    /// Nothing waits under this name.
    NoSuchRequest,
    /// There is no gateway that an approved peer could be let into.
    NoGateway,
    /// The peer waits for the answer to the question that this command is part of: it would ask itself.
    Loop(PublicKey),
    /// The question is part of a chain that is as long as a chain may be: so many questions.
    ChainTooLong(usize),
    /// No message with this id waits.
    NoSuchMessage,
    /// The message has waited as long as it was to.
    Expired,
    /// The owner stopped waiting.
    Cancelled,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(error) => error.fmt(f),
            Self::NotAdded(error) => error.fmt(f),
            Self::BadKey(error) => error.fmt(f),
            Self::OwnKey => f.write_str("this is the node's own key"),
            Self::NotNamed(error) => error.fmt(f),
            Self::BadAccess(error) => error.fmt(f),
            Self::BadInvite(error) => error.fmt(f),
            Self::InviteExpired(_) => f.write_str("the token has expired"),
            Self::InviteForAnother(subject) => write!(f, "the token is for {}, not for this node", subject.short_id()),
            Self::OwnInvite => f.write_str("the token was issued by this node"),
            Self::NoSuchGrant => f.write_str("there is no such grant"),
            Self::NotRevoked(error) => error.fmt(f),
            Self::PayloadTooLarge { size, limit } => {
                write!(f, "payload too large: {size} bytes exceeds {limit} limit")
            }
            Self::LimitReached(field) => write!(f, "a limit of this node is reached: {field}"),
            Self::NetworkDown => f.write_str("the network cannot be reached"),
            Self::PeerOffline(peer) => write!(f, "{} cannot be reached", peer.short_id()),
            Self::NoAnswer(peer) => write!(f, "{} did not answer in time", peer.short_id()),
            Self::VersionMismatch(peer) => write!(f, "{} speaks none of our protocol versions", peer.short_id()),
            Self::Unauthorized(peer) => write!(f, "{} has not granted this", peer.short_id()),
            Self::RateLimited(peer) => write!(f, "{} says we ask too often", peer.short_id()),
            Self::Rejected { peer, reason } => write!(f, "{} refused: {reason}", peer.short_id()),
            Self::BadAnswer(peer) => write!(f, "the answer of {} cannot be read", peer.short_id()),
            Self::NotStored(reason) => write!(f, "it could not be stored: {reason}"),
            Self::NotJoined(topic) => write!(f, "this node is not on the topic {topic:?}", topic = topic.as_str()),
            Self::BadProfile(error) => error.fmt(f),
            Self::NoSuchRequest => f.write_str("nothing waits for the owner under this id or key"),
            Self::NoGateway => f.write_str("no gateway session is configured that the peer could be let into"),
            Self::Loop(peer) => {
                write!(f, "{} waits for the answer to this very question: it cannot be asked", peer.short_id())
            }
            Self::ChainTooLong(limit) => write!(f, "a chain of questions has {limit} questions at most"),
            Self::NoSuchMessage => f.write_str("no message with this id waits"),
            Self::Expired => f.write_str("the message has waited for too long"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl core::error::Error for CommandError {}

impl From<AddError> for CommandError {
    fn from(error: AddError) -> Self {
        Self::NotAdded(error)
    }
}

impl From<SetNameError> for CommandError {
    fn from(error: SetNameError) -> Self {
        Self::NotNamed(error)
    }
}
