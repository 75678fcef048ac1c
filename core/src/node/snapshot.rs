//! What the owner can look at.

use alloc::vec::Vec;

use super::{Node, StreamId, TransportKey, Waiting};
use crate::channel::Side;
use crate::discovery::{Asked, Discovered, PendingRequest};
use crate::grant::Grant;
use crate::identity::FormerKey;
use crate::invite::InviteSummary;
use crate::keys::{EncryptKey, PublicKey};
use crate::peer::{Peer, PeerRef};
use crate::profile::{Profile, TopicName};
use crate::rate::{Ban, Standing, Subject};
use crate::rotation::RotationReason;
use crate::time::{Now, WallTime};

/// A node at one moment, without its secrets.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Our key.
    pub public_key: PublicKey,
    /// What is encrypted to us with.
    pub encrypt_key: EncryptKey,
    /// When our key was made.
    pub created: WallTime,
    /// The key before, if there was one.
    pub rotated_from: Option<PublicKey>,
    /// Keys of ours that were given up, and still count or are not known to be given up by everybody.
    pub grace: Vec<GraceKey>,
    /// Known peers, by key.
    pub peers: Vec<Peer>,
    /// Grants, by peer.
    pub grants: Vec<Grant>,
    /// Invites we issued.
    pub invites: Vec<InviteSummary>,
    /// Messages that wait for their peers, oldest first.
    pub outbox: Vec<Waiting>,
    /// Streams whose other side has shown who it is.
    pub streams: Vec<StreamInfo>,
    /// What we show on topics.
    pub profile: Profile,
    /// The topics we joined.
    pub topics: Vec<TopicName>,
    /// Who was met there, by key.
    pub discovered: Vec<Discovered>,
    /// What waits for the owner, the oldest first.
    pub requests: Vec<PendingRequest>,
    /// Connection requests of ours that are not decided.
    pub asked: Vec<Asked>,
}

/// A key of ours that was given up: in its grace period, or after it while peers can still be told of its successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraceKey {
    /// The key.
    pub public_key: PublicKey,
    /// Until when it counts.
    pub until: WallTime,
    /// Why it was given up.
    pub reason: RotationReason,
    /// Peers that know its successor.
    pub told: Vec<PublicKey>,
    /// Peers that knew it and have yet to hear of its successor.
    pub untold: Vec<PublicKey>,
}

/// A stream with a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its number.
    pub stream: StreamId,
    /// The peer.
    pub peer: PublicKey,
    /// The transport's key of the peer.
    pub remote: TransportKey,
    /// The protocol version.
    pub version: u8,
    /// Whether we dialled.
    pub dialled: bool,
}

/// How much a node holds: every table that others can make grow, against the bounds of the
/// [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Open streams.
    pub streams: usize,
    /// Those whose other side has not shown the key of a peer with a grant.
    pub strangers: usize,
    /// The most unread bytes of one stream.
    pub most_of_stream: usize,
    /// The most unread bytes of one stranger's stream.
    pub most_of_stranger: usize,
    /// Our requests to peers.
    pub requests: usize,
    /// Writes that are not confirmed.
    pub writes: usize,
    /// Questions with the AI.
    pub asks: usize,
    /// Peers that have yet to hear of a new key.
    pub notices: usize,
    /// Known peers.
    pub peers: usize,
    /// Grants.
    pub grants: usize,
    /// Messages remembered.
    pub nonces: usize,
    /// Peers and transports whose actions are counted.
    pub subjects: usize,
}

impl Node {
    /// How much this node holds.
    #[must_use]
    pub fn load(&self) -> Load {
        let (mut strangers, mut most_of_stream, mut most_of_stranger) = (0, 0, 0);
        for stream in self.streams.values() {
            let buffered = stream.lines.buffered();
            most_of_stream = buffered.max(most_of_stream);
            if !self.is_known(stream) {
                strangers += 1;
                most_of_stranger = buffered.max(most_of_stranger);
            }
        }
        Load {
            streams: self.streams.len(),
            strangers,
            most_of_stream,
            most_of_stranger,
            requests: self.requests.len(),
            writes: self.writes.len(),
            asks: self.asks.len(),
            notices: self.notices.len(),
            peers: self.access.peers.len(),
            grants: self.access.grants.len(),
            nonces: self.replay.len(),
            subjects: self.limits.len(),
        }
    }

    /// Our public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.identity.current.public_key()
    }

    /// Everything the owner can look at.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let current = &self.identity.current;
        let retired = self.identity.retired.iter().map(FormerKey::from);
        let grace = self.identity.former.as_deref().cloned().into_iter().chain(retired).map(|key| GraceKey {
            public_key: key.public_key,
            until: key.valid_until,
            reason: key.reason,
            told: key.told.iter().copied().collect(),
            untold: self.untold(&key.public_key),
        });
        let streams = self.streams.iter().filter_map(|(id, stream)| {
            let channel = stream.channel()?;
            let (peer, version) = (channel.remote().public(), channel.version());
            let dialled = channel.side() == Side::Dialler;
            Some(StreamInfo { stream: *id, peer, remote: stream.remote, version, dialled })
        });
        Snapshot {
            public_key: current.public_key(),
            encrypt_key: current.encrypt_key(),
            created: current.created(),
            rotated_from: current.rotated_from(),
            grace: grace.collect(),
            peers: self.access.peers.iter().cloned().collect(),
            grants: self.access.grants.iter().cloned().collect(),
            invites: self.access.invites.iter().cloned().collect(),
            outbox: self.waiting_messages(),
            streams: streams.collect(),
            profile: self.access.book.profile.clone(),
            topics: self.access.book.topics.iter().cloned().collect(),
            discovered: self.discovered(),
            requests: self.pending_requests(),
            asked: self.access.book.asked.clone(),
        }
    }

    /// What waits for the owner, the oldest first.
    fn pending_requests(&self) -> Vec<PendingRequest> {
        let mut requests: Vec<_> = self.pending_connections().chain(self.pending_messages()).collect();
        requests.sort_by_key(|request| (request.since, request.id));
        requests
    }

    /// Known peers, by key: those of the [`Snapshot`], where nothing else is wanted.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.access.peers.iter()
    }

    /// The peer that has or had this key.
    #[must_use]
    pub fn peer(&self, key: &PublicKey) -> Option<&Peer> {
        self.access.peers.resolve(&PeerRef::Key(*key)).ok()
    }

    /// How much of its limits a peer has used, and what it is banned from.
    #[must_use]
    pub fn standing(&self, peer: &PublicKey, now: Now) -> Vec<Standing> {
        self.standing_of(Subject::Peer(*peer), now)
    }

    /// The same for whatever actions are counted against: a peer's key, or the transport's of a stranger.
    #[must_use]
    pub fn standing_of(&self, subject: Subject, now: Now) -> Vec<Standing> {
        self.limits.status(subject, now).collect()
    }

    /// The bans in force, of peers and of transports.
    #[must_use]
    pub fn bans(&self, now: Now) -> Vec<Ban> {
        self.limits.bans(now).collect()
    }

    /// Bytes held for streams that have not ended their line yet: what strangers can make us keep.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.streams.values().map(|stream| stream.lines.buffered()).sum::<usize>() + self.discovery.buffered()
    }
}
