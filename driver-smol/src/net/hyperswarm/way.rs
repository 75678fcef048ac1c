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
        let near = is_near(*to.ip());
        match self {
            Self::Straight if near => Path::Lan,
            Self::Straight => Path::Direct,
            Self::Probed { nat, theirs } => {
                let is_among = |own: &SocketAddrV4, addresses: &[Ipv4Peer]| {
                    addresses.iter().filter_map(address).any(|address| address.ip() == own.ip())
                };
                let local = shared.local_addresses(to.port());
                let is_open = nat.addresses.iter().any(|seen| is_among(seen, &local));
                // Otherwise a gateway is there, even if that is near.
                let are_open = is_among(&to, theirs);
                match (are_open && near, is_open || are_open) {
                    (true, _) => Path::Lan,
                    (false, true) => Path::Direct,
                    (false, false) => Path::Punched,
                }
            }
        }
    }
}
