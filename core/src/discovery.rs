//! The words of discovery: its settings, who was found, and what waits for the owner's decision.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::access::{Capability, SessionName, SessionSet, TrustLevel};
use crate::keys::{EncryptKey, Nonce, PublicKey};
use crate::profile::TopicName;
use crate::time::WallTime;

/// How a node meets others on topics.
///
/// Worst-case memory is about `max_streams × 16 KiB + max_found × 20 KiB + max_requests × 32 KiB + max_held_bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// Whether the node is on its topics now; otherwise it only remembers them.
    pub active: bool,
    /// The trust that an approved peer gets. It reaches the gateway only, whichever it is.
    pub trust: TrustLevel,
    /// Whether peers that prove their key get that without being approved, and only that.
    pub auto_accept: bool,
    /// The most topics.
    pub max_topics: usize,
    /// The most streams on all topics together.
    pub max_streams: usize,
    /// The most of them that one transport key may open.
    pub max_streams_per_remote: usize,
    /// The most discovered peers remembered.
    pub max_found: usize,
    /// The most connection requests, ours and theirs each, and the most held messages.
    pub max_requests: usize,
    /// The most held messages of one peer.
    pub max_held_per_peer: usize,
    /// The most bytes of text in held messages together.
    pub max_held_bytes: usize,
    /// How long a request or a held message waits for the owner.
    pub request_expiry: Duration,
    /// How long a denial is remembered: until then asking again gets the same answer.
    pub denial_memory: Duration,
    /// From one search for members of a topic to the next at first; doubled each time.
    pub first_redial: Duration,
    /// The longest such time while nobody is met.
    pub lonely_redial: Duration,
    /// The time while somebody is met.
    pub redial: Duration,
    /// How often the other side of a stream is pinged.
    pub ping: Duration,
    /// How long the other side may be silent.
    pub silence: Duration,
    /// How long a discovered peer is remembered after its last stream closed.
    pub memory: Duration,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            active: true,
            trust: TrustLevel::Untrusted,
            auto_accept: false,
            max_topics: 32,
            max_streams: 128,
            max_streams_per_remote: 4,
            max_found: 1024,
            max_requests: 64,
            max_held_per_peer: 8,
            max_held_bytes: 1 << 20,
            request_expiry: DAY * 7,
            denial_memory: DAY,
            first_redial: Duration::from_secs(2),
            lonely_redial: Duration::from_secs(60),
            redial: Duration::from_secs(600),
            ping: Duration::from_secs(30),
            silence: Duration::from_secs(90),
            memory: Duration::from_secs(600),
        }
    }
}

/// A peer that showed itself on a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// The key it named.
    pub key: PublicKey,
    /// Whether it proved on its stream that the key is its own. Otherwise anybody may be behind it.
    pub proven: bool,
    /// What it shows: JSON text of a remote peer.
    pub content: String,
    /// The topics of ours on which we met it.
    pub topics: BTreeSet<TopicName>,
    /// When it was heard last.
    pub last_seen: WallTime,
    /// Whether there is a stream to it now.
    pub connected: bool,
}

/// What an owner names a waiting request by: random, so that nobody can choose to look like another. 8 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PendingId(pub u32);

impl fmt::Display for PendingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Not 8 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingIdError;

impl fmt::Display for PendingIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request's id has 8 hex digits")
    }
}

impl core::error::Error for PendingIdError {}

impl FromStr for PendingId {
    type Err = PendingIdError;

    fn from_str(text: &str) -> Result<Self, PendingIdError> {
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PendingIdError);
        }
        u32::from_str_radix(text, 16).map(Self).map_err(|_| PendingIdError)
    }
}

impl serde::Serialize for PendingId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PendingId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Something that waits for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRequest {
    /// What to approve or deny it by.
    pub id: PendingId,
    /// Whose it is, or says it is.
    pub peer: PublicKey,
    /// Since when it waits.
    pub since: WallTime,
    /// Until when it waits at most.
    pub expires: WallTime,
    /// What it is.
    pub what: PendingWhat,
}

/// What can wait for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingWhat {
    /// Somebody met on a topic wants to use the gateway.
    Connection {
        /// Whether the key was proven. Approving is safe either way: only the key's owner can use the grant.
        proven: bool,
        /// The topic.
        topic: TopicName,
        /// What it shows: JSON text of a remote peer.
        content: String,
    },
    /// An untrusted peer's text for the gateway session.
    Message {
        /// The session.
        session: SessionName,
        /// The text of the remote peer.
        text: String,
        /// Whether the session's AI is asked; its peer waits for the answer.
        question: bool,
    },
}

/// What became of a connection request of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connected {
    /// We may use sessions of theirs.
    Accepted {
        /// Whose.
        peer: PublicKey,
        /// Whether it proved its key. If not, nothing was noted.
        proven: bool,
        /// Which, as far as it said so.
        sessions: Option<SessionSet>,
        /// What we may do there.
        capabilities: Vec<Capability>,
    },
    /// Its owner has yet to decide. The node asks again when it meets the peer the next time.
    Pending {
        /// Whose.
        peer: PublicKey,
    },
}

/// A connection request that somebody sent us.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ConnectRequest {
    pub(crate) id: PendingId,
    #[serde(rename = "publicKey")]
    pub(crate) key: PublicKey,
    pub(crate) proven: bool,
    /// From a proven profile only.
    #[serde(rename = "encryptPub", default, skip_serializing_if = "Option::is_none")]
    pub(crate) encrypt_key: Option<EncryptKey>,
    pub(crate) topic: TopicName,
    pub(crate) content: String,
    pub(crate) since: WallTime,
    /// When the owner denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) denied: Option<WallTime>,
}

/// A connection request that we sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Asked {
    /// Whom.
    #[serde(rename = "publicKey")]
    pub key: PublicKey,
    /// On which topic.
    pub topic: TopicName,
    /// When.
    pub since: WallTime,
}

/// A logged text that waits for the owner.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldLog {
    pub(crate) id: PendingId,
    pub(crate) peer: PublicKey,
    pub(crate) session: SessionName,
    pub(crate) text: String,
    pub(crate) since: WallTime,
    /// The sender's id of the message, or one of ours: it goes into the session once, and waits once.
    pub(crate) once: Nonce,
}
