//! The attacker. Mallory sees every byte, stands in the middle of streams, runs peers with valid keys and holds stolen
//! ones. Every attack has a name and runs from the seed like everything else.

use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{PublicKey, Topic};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{StreamId, TransportKey};

use crate::clock::START;
use crate::net::{Party, Piece};
use crate::rng::Rng;
use crate::world::World;

/// The attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Lines that are no messages.
    Junk,
}

impl Kind {
    /// Every attack.
    pub const ALL: [Self; 1] = [Self::Junk];
}

/// The attacker.
pub struct Mallory {
    kind: Kind,
    rng: Rng,
    identity: Identity,
    next: u64,
}

impl Mallory {
    /// An attacker with one way to attack.
    #[must_use]
    pub fn new(kind: Kind, mut rng: Rng) -> Self {
        let mut keys = wopr_p2p_core::rng::Rng::new(rng.seed());
        let identity = Identity::generate(&mut keys, WallTime::from_millis(START));
        Self { kind, rng, identity, next: 0 }
    }

    /// The key that others may know.
    #[must_use]
    pub const fn key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// A stream of the attacker's and its transport key.
    pub fn new_stream(&mut self) -> (StreamId, TransportKey) {
        self.next += 1;
        (StreamId(self.next), TransportKey([0x66; 32]))
    }
}

impl World {
    pub(crate) fn mallory_acts(&mut self) {}
    pub(crate) fn mallory_hears(&mut self, _stream: StreamId, _piece: Piece) {}
    pub(crate) fn mallory_visited(&mut self, _stream: StreamId, _topic: Topic, _from: Option<Party>) {}
    pub(crate) fn mallory_taps(&mut self, _from: Party, _to: Option<Party>, _line: &[u8]) {}
    pub(crate) fn mallory_reads(&mut self, _token: &str) {}
    pub(crate) fn repelled(&mut self) {}
}
