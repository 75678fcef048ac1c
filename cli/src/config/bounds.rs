//! How much a node takes on: the bounds that an owner can set, each with its default in the core.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::file::some_time;

/// How far back a message is told apart from its replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Replay {
    /// How far a message's time may be from ours.
    #[serde(deserialize_with = "some_time")]
    pub(crate) window: Option<Duration>,
    /// How many messages are remembered.
    pub(crate) max_nonces: Option<NonZeroU32>,
}

/// The messages that wait for their peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Outbox {
    /// How many, for all peers together.
    pub(crate) max_messages: Option<NonZeroU32>,
    /// How many for one peer.
    pub(crate) max_per_peer: Option<NonZeroU32>,
    /// Their texts together, in bytes.
    pub(crate) max_bytes: Option<NonZeroU32>,
    /// From the first failed attempt to the next.
    #[serde(deserialize_with = "some_time")]
    pub(crate) first_retry: Option<Duration>,
    /// The longest time from one attempt to the next.
    #[serde(deserialize_with = "some_time")]
    pub(crate) last_retry: Option<Duration>,
}

/// What waits for the owner's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Requests {
    /// The most connection requests, and the most held messages.
    pub(crate) max_waiting: Option<NonZeroU32>,
    /// The most held messages of one peer.
    pub(crate) max_per_peer: Option<NonZeroU32>,
    /// The texts of held messages together, in bytes.
    pub(crate) max_bytes: Option<NonZeroU32>,
    /// How long they wait.
    #[serde(deserialize_with = "some_time")]
    pub(crate) expire: Option<Duration>,
}

/// How many there may be of what takes memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Limits {
    /// Streams open at once.
    pub(crate) max_streams: Option<NonZeroU32>,
    /// Of them, those of strangers.
    pub(crate) max_stranger_streams: Option<NonZeroU32>,
    /// Of them, those of one peer or one transport key.
    pub(crate) max_streams_per_peer: Option<NonZeroU32>,
    /// Requests of a peer being worked on in one stream.
    pub(crate) max_requests_per_stream: Option<NonZeroU32>,
    /// Questions with the AI at once.
    pub(crate) max_questions: Option<NonZeroU32>,
    /// Grants.
    pub(crate) max_grants: Option<NonZeroU32>,
    /// Known peers.
    pub(crate) max_peers: Option<NonZeroU32>,
    /// Invites remembered.
    pub(crate) max_invites: Option<NonZeroU32>,
    /// Topics joined.
    pub(crate) max_topics: Option<NonZeroU32>,
    /// Discovered peers remembered.
    pub(crate) max_discovered: Option<NonZeroU32>,
    /// After which a stream on which nothing happens is closed.
    #[serde(deserialize_with = "some_time")]
    pub(crate) idle_timeout: Option<Duration>,
    /// From a stream's opening to the end of its handshake.
    #[serde(deserialize_with = "some_time")]
    pub(crate) handshake_timeout: Option<Duration>,
}
