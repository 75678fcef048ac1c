//! How the network looks from here: can the DHT be reached, and how do others see us?

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use peeroxide_dht::hyperdht_messages::FIREWALL_CONSISTENT;
use tokio::time::Instant;

use super::nat::{sample, settled};
use super::rpc::{Call, Patience, RpcSocket, address};
use super::{NAT_NODES, Shared};
use crate::net::{NatKind, Surroundings};

/// Looks, through a socket of its own. Nothing is known where no node answers.
pub(super) async fn look(shared: Arc<Shared>) -> Surroundings {
    if !shared.dht.bootstrap().await {
        return Surroundings::default();
    }
    let Ok((socket, _arrived)) = RpcSocket::bind(shared.host).await else {
        return Surroundings::default();
    };
    let nodes = shared.dht.known(NAT_NODES);
    let began = Instant::now();
    let round_trip = match nodes.first() {
        Some(node) => socket.request(*node, Call::PING, Patience::SHORT).await.ok().map(|_| began.elapsed()),
        None => None,
    };
    let nat = settled(&mut sample(&socket, nodes)).await;
    let local: Vec<SocketAddrV4> = shared.local_addresses(socket.port()).iter().filter_map(address).collect();
    let kind = match nat.addresses.first() {
        Some(seen) if local.contains(seen) => NatKind::Open,
        _ if nat.is_random() => NatKind::Random,
        _ if nat.firewall == FIREWALL_CONSISTENT => NatKind::Consistent,
        _ => NatKind::Unknown,
    };
    Surroundings {
        nodes: shared.dht.known(usize::MAX).len(),
        nat: kind,
        addresses: nat.addresses.into_iter().map(SocketAddr::from).collect(),
        local: local.into_iter().map(SocketAddr::from).collect(),
        round_trip,
    }
}
