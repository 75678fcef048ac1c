//! What to call the way that a stream goes.

use std::net::SocketAddrV4;

use peeroxide_dht::messages::Ipv4Peer;

use super::Shared;
use super::nat::Nat;
use super::rpc::address;
use crate::net::Path;
use crate::net::near::is_near;

/// How an address was reached.
pub(super) enum Way<'a> {
    /// It was written to at once.
    Straight,
    /// A probe came from it.
    Probed {
        /// Our own NAT.
        nat: &'a Nat,
        /// Where the other side is on its own network.
        theirs: &'a [Ipv4Peer],
    },
}

impl Way<'_> {
    /// The path of a stream to this address.
    pub(super) fn path(&self, shared: &Shared, to: SocketAddrV4) -> Path {
        if is_near(*to.ip()) {
            return Path::Lan;
        }
        match self {
            Self::Straight => Path::Direct,
            Self::Probed { nat, theirs } => {
                let local = shared.local_addresses(to.port());
                let is_own = |own: &SocketAddrV4| local.iter().filter_map(address).any(|local| local.ip() == own.ip());
                let is_open = nat.addresses.iter().any(is_own);
                let are_open = theirs.iter().filter_map(address).any(|own| own.ip() == to.ip());
                if is_open || are_open { Path::Direct } else { Path::Punched }
            }
        }
    }
}
