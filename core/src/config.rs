//! Every bound and delay of a node, with the seed's defaults.

use core::fmt;
use core::time::Duration;

use crate::chain::Chain;
use crate::discovery::DiscoveryConfig;
use crate::gateway::Gateway;
use crate::outbox::OutboxConfig;
use crate::rate::RateConfig;
use crate::replay::ReplayConfig;
use crate::rotation::RotationReason;

/// The bounds and delays of a [`Node`](crate::Node).
///
/// Worst-case memory is about `max_streams × (max_payload × 4/3 + 68 KiB)` for what is being received, if every stream
/// is held by a peer with a grant and sends the longest message; strangers get at most 64 KiB a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The longest `payload` member of a message, in bytes of its base64 text, both ways.
    pub max_payload: usize,
    /// How often a peer may do what.
    pub rates: RateConfig,
    /// How far a message's time may be from ours, and how many nonces are remembered.
    pub replay: ReplayConfig,
    /// How long a channel may be used after its handshake.
    pub ephemeral_ttl: Duration,
    /// How long a rotated key of ours, or of a peer, goes on to count. A peer may ask for less, never for more.
    pub rotation_grace: Duration,
    /// The same for a key that somebody else may have, if that is shorter.
    pub rotation_grace_compromise: Duration,
    /// The lowest protocol version that is spoken: 1 or 2.
    pub min_version: u8,
    /// From a stream's opening to the end of its handshake.
    pub handshake_timeout: Duration,
    /// After which a stream on which nothing happens is closed; by its dialler after three quarters of that, so that it
    /// sends nothing into a stream that is about to end.
    pub idle_timeout: Duration,
    /// How often a peer is looked for before it counts as offline.
    pub dial_attempts: u32,
    /// From a failed search to the next; doubled each time.
    pub dial_backoff: Duration,
    /// The most streams open at once.
    pub max_streams: usize,
    /// How many of them may belong to strangers; beyond, the oldest stranger's is closed.
    pub max_stranger_streams: usize,
    /// The most streams from one transport key, and of one peer; a peer's oldest makes room for its newest.
    pub max_streams_per_remote: usize,
    /// The most requests of a peer being worked on in one stream.
    pub max_requests_per_stream: usize,
    /// The most questions with the AI at once, over all sessions.
    pub max_asks: usize,
    /// The most commands of the owner under way at once.
    pub max_commands: usize,
    /// The most changes of access waiting for the disk.
    pub max_pending_changes: usize,
    /// The most grants.
    pub max_grants: usize,
    /// The most known peers.
    pub max_peers: usize,
    /// The most invites remembered.
    pub max_invites: usize,
    /// Where untrusted peers arrive; without it they reach nothing.
    pub gateway: Option<Gateway>,
    /// How peers are met on topics, and what they get.
    pub discovery: DiscoveryConfig,
    /// The most questions in a chain, from the first asker to us: 1 to [`Chain::MAX_LEN`](crate::chain::Chain::MAX_LEN).
    pub max_chain: usize,
    /// Messages that wait for their peers.
    pub outbox: OutboxConfig,
    /// The bug that this node has, for the simulator to notice.
    #[cfg(wopr_planted)]
    pub planted: Option<crate::Bug>,
}

impl Config {
    /// The longest line before the other side has proved to be a peer with a grant: room for a claim.
    pub const MAX_STRANGER_LINE: usize = 64 * 1024;
    /// What a message may have beside its payload (the seed's "protocol overhead").
    pub const MESSAGE_OVERHEAD: usize = 4096;

    /// The longest line from a peer with a grant.
    #[must_use]
    pub const fn max_line(&self) -> usize {
        self.max_payload + Self::MESSAGE_OVERHEAD
    }

    /// How long a key that was given up for this reason goes on to count at most.
    #[must_use]
    pub fn grace(&self, reason: RotationReason) -> Duration {
        match reason {
            RotationReason::Compromise => self.rotation_grace.min(self.rotation_grace_compromise),
            RotationReason::Scheduled | RotationReason::Upgrade => self.rotation_grace,
        }
    }

    /// Checks that the values make sense together.
    ///
    /// # Errors
    /// Names the first field that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("replay.max_nonces", self.replay.max_nonces),
            ("max_streams", self.max_streams),
            ("max_stranger_streams", self.max_stranger_streams),
            ("max_streams_per_remote", self.max_streams_per_remote),
            ("max_requests_per_stream", self.max_requests_per_stream),
            ("max_asks", self.max_asks),
            ("max_commands", self.max_commands),
            ("max_pending_changes", self.max_pending_changes),
            ("max_grants", self.max_grants),
            ("max_peers", self.max_peers),
            ("max_invites", self.max_invites),
            ("discovery.max_topics", self.discovery.max_topics),
            ("discovery.max_streams", self.discovery.max_streams),
            ("discovery.max_streams_per_remote", self.discovery.max_streams_per_remote),
            ("discovery.max_found", self.discovery.max_found),
            ("discovery.max_requests", self.discovery.max_requests),
        ];
        if let Some((field, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError { field, accepted: "at least 1" });
        }
        if !(64..=64 << 20).contains(&self.max_payload) {
            return Err(ConfigError { field: "max_payload", accepted: "64 bytes to 64 MiB" });
        }
        if !(1..=2).contains(&self.min_version) {
            return Err(ConfigError { field: "min_version", accepted: "1 or 2" });
        }
        if self.rotation_grace > Duration::from_secs(7 * 24 * 3600) {
            return Err(ConfigError { field: "rotation_grace", accepted: "at most 7 days" });
        }
        if self.dial_attempts == 0 {
            return Err(ConfigError { field: "dial_attempts", accepted: "at least 1" });
        }
        if !(1..=Chain::MAX_LEN).contains(&self.max_chain) {
            return Err(ConfigError { field: "max_chain", accepted: "1 to 16" });
        }
        self.outbox.validate()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_payload: 1 << 20,
            rates: RateConfig::default(),
            replay: ReplayConfig::default(),
            ephemeral_ttl: Duration::from_secs(3600),
            rotation_grace: Duration::from_secs(24 * 3600),
            rotation_grace_compromise: Duration::from_secs(3600),
            min_version: 1,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            dial_attempts: 3,
            dial_backoff: Duration::from_millis(500),
            max_streams: 512,
            max_stranger_streams: 256,
            max_streams_per_remote: 16,
            max_requests_per_stream: 16,
            max_asks: 32,
            max_commands: 256,
            max_pending_changes: 64,
            max_grants: 100_000,
            max_peers: 10_000,
            max_invites: 10_000,
            gateway: None,
            discovery: DiscoveryConfig::default(),
            max_chain: 8,
            outbox: OutboxConfig::default(),
            #[cfg(wopr_planted)]
            planted: None,
        }
    }
}

/// A value of the config that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Which field.
    pub field: &'static str,
    /// What it may be.
    pub accepted: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.field, self.accepted)
    }
}

impl core::error::Error for ConfigError {}
