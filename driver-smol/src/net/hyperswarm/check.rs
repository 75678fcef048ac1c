//! How the network looks from here: can the DHT be reached, and how do others see us?

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::hyperdht_messages::FIREWALL_CONSISTENT;
use tokio::time::Instant;

use super::nat::{sample, settled};
use super::rpc::{Call, Patience, RpcSocket, address};
use super::{NAT_NODES, Shared};
use crate::net::NetError;

/// How our address is translated on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// Not at all: others see an address of this machine.
    None,
    /// Every destination sees the same address and port: anybody can connect, by punching.
    Consistent,
    /// Every destination sees another port: those behind such a NAT themselves cannot connect.
    Random,
    /// Too few nodes of the DHT answered.
    Unknown,
}

/// What [`Hyperswarm::check`](super::Hyperswarm::check) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetCheck {
    /// How our address is translated.
    pub nat: NatKind,
    /// Our address as others see it; with a random NAT the port means nothing and is 0.
    pub seen_as: Option<SocketAddrV4>,
    /// Our addresses on our own network.
    pub local: Vec<SocketAddrV4>,
    /// Nodes of the DHT that are known to answer.
    pub dht_nodes: usize,
    /// How long the last of them that answered took for one question.
    pub round_trip: Option<Duration>,
}

/// Looks.
pub(super) async fn check(shared: Arc<Shared>) -> Result<NetCheck, NetError> {
    if !shared.dht.bootstrap().await {
        return Err(NetError::Unreachable);
    }
    let (socket, _arrived) = RpcSocket::bind(shared.host).await?;
    let nodes = shared.dht.known(NAT_NODES);
    let began = Instant::now();
    let round_trip = match nodes.first() {
        Some(node) => socket.request(*node, Call::PING, Patience::SHORT).await.ok().map(|_| began.elapsed()),
        None => None,
    };
    let nat = settled(&mut sample(&socket, nodes)).await;
    let local: Vec<_> = shared.local_addresses(socket.port()).iter().filter_map(address).collect();
    let seen_as = nat.addresses.first().copied();
    let kind = match seen_as {
        Some(seen) if local.contains(&seen) => NatKind::None,
        _ if nat.is_random() => NatKind::Random,
        _ if nat.firewall == FIREWALL_CONSISTENT => NatKind::Consistent,
        _ => NatKind::Unknown,
    };
    Ok(NetCheck { nat: kind, seen_as, local, dht_nodes: shared.dht.known(usize::MAX).len(), round_trip })
}
