//! Our own networks: which addresses are ours, and which are next to us.

use std::net::Ipv4Addr;

use if_addrs::{IfAddr, get_if_addrs};

/// Bits of the largest network that counts as one: that of the loopback.
const SMALLEST_PREFIX: u32 = 8;

/// One of our IPv4 addresses, and the network it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) address: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Network {
    fn has(&self, address: Ipv4Addr) -> bool {
        // A tunnel may claim half of the internet: that is nothing near.
        self.mask.to_bits().leading_ones() >= SMALLEST_PREFIX && address & self.mask == self.address & self.mask
    }
}

/// The networks we are on, loopback among them; none if the system does not tell.
pub(super) fn networks() -> Vec<Network> {
    let interfaces = get_if_addrs().unwrap_or_default();
    let networks = interfaces.into_iter().filter_map(|interface| match interface.addr {
        IfAddr::V4(address) => Some(Network { address: address.ip, mask: address.netmask }),
        IfAddr::V6(_) => None,
    });
    networks.collect()
}

/// Whether an address is on this machine or on one of our networks: no router stands between.
pub(super) fn is_near(address: Ipv4Addr) -> bool {
    is_on(&networks(), address)
}

/// Whether an address is on this machine or on one of these networks.
pub(super) fn is_on(networks: &[Network], address: Ipv4Addr) -> bool {
    address.is_loopback() || networks.iter().any(|network| network.has(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_what_no_router_stands_before() {
        let home = Network { address: Ipv4Addr::new(192, 168, 1, 7), mask: Ipv4Addr::new(255, 255, 255, 0) };
        for (address, near) in [
            ([192, 168, 1, 200], true),
            ([192, 168, 1, 7], true),
            ([127, 0, 0, 1], true),
            ([192, 168, 2, 7], false),
            ([10, 0, 0, 1], false),
            ([198, 51, 100, 7], false),
        ] {
            assert_eq!(is_on(&[home], Ipv4Addr::from(address)), near, "{address:?}");
        }
        let tunnel = Network { address: Ipv4Addr::new(10, 0, 0, 1), mask: Ipv4Addr::new(128, 0, 0, 0) };
        assert!(!is_on(&[tunnel], Ipv4Addr::new(8, 8, 8, 8)), "a tunnel's half of the internet is not near");
        assert!(is_near(Ipv4Addr::LOCALHOST));
    }
}
