//! How the network looks from here: can the DHT be reached, and how do others see us?

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use peeroxide_dht::hyperdht::KeyPair;
use peeroxide_dht::hyperdht_messages::FIREWALL_CONSISTENT;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::connect::reach_relay;
use super::nat::{Nat, sample, settled};
use super::rpc::{Call, Patience, RpcSocket, address, encode, response_tid};
use super::{NAT_NODES, Shared};
use crate::net::{Answer, Entry, NatKind, RelayTried, RemoteKey, Surroundings};

/// How long to wait for an entry node after each time that it is asked.
const WAITS: [Duration; 3] = [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1100)];
/// How long to wait for a relay. It has to be found in the DHT, and maybe punched.
const RELAY_WAIT: Duration = Duration::from_secs(8);

/// Looks, through sockets of its own. Little is known where no node answers.
pub(super) async fn look(shared: Arc<Shared>) -> Surroundings {
    let (entries, seen) = tokio::join!(try_entries(&shared), seen_as(&shared));
    let relays: BTreeSet<SocketAddrV4> = {
        let listeners = shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.values().flat_map(|listener| listener.relay_nodes()).collect()
    };
    let local: Vec<SocketAddrV4> = shared.local_addresses(seen.port).iter().filter_map(address).collect();
    let kind = match seen.nat.addresses.first() {
        Some(seen) if local.contains(seen) => NatKind::Open,
        _ if seen.nat.is_random() => NatKind::Random,
        _ if seen.nat.firewall == FIREWALL_CONSISTENT => NatKind::Consistent,
        _ => NatKind::Unknown,
    };
    Surroundings {
        nodes: if seen.answered { shared.dht.known(usize::MAX).len() } else { 0 },
        nat: kind,
        addresses: seen.nat.addresses.into_iter().map(SocketAddr::from).collect(),
        local: local.into_iter().map(SocketAddr::from).collect(),
        round_trip: seen.round_trip,
        entries,
        relays: relays.into_iter().map(SocketAddr::from).collect(),
        lan: shared.lan.state(),
    }
}

/// What the nodes of the DHT say about a socket of ours.
struct Seen {
    answered: bool,
    port: u16,
    nat: Nat,
    round_trip: Option<Duration>,
}

async fn seen_as(shared: &Shared) -> Seen {
    let unseen = |port| Seen { answered: false, port, nat: Nat::UNKNOWN, round_trip: None };
    let Ok((socket, _arrived)) = RpcSocket::bind(shared.host).await else {
        return unseen(0);
    };
    if !shared.dht.bootstrap().await {
        return unseen(socket.port());
    }
    let nodes = shared.dht.known(NAT_NODES);
    let began = Instant::now();
    let round_trip = match nodes.first() {
        Some(node) => socket.request(*node, Call::PING, Patience::SHORT).await.ok().map(|_| began.elapsed()),
        None => None,
    };
    Seen { answered: true, port: socket.port(), nat: settled(&mut sample(&socket, nodes)).await, round_trip }
}

/// Goes to every relay that is configured, in their order.
pub(super) async fn try_relays(shared: Arc<Shared>) -> Vec<RelayTried> {
    all(shared.relays.iter().map(|relay| try_relay(shared.clone(), *relay))).await
}

async fn try_relay(shared: Arc<Shared>, key: RemoteKey) -> RelayTried {
    let began = Instant::now();
    let reached = timeout(RELAY_WAIT, reach_relay(shared, KeyPair::generate(), key)).await;
    RelayTried { key, took: matches!(reached, Ok(Ok(_))).then(|| began.elapsed()) }
}

/// Asks every node that the DHT is entered by, in their order.
async fn try_entries(shared: &Shared) -> Vec<Entry> {
    let host = shared.host;
    let question = |node: &SocketAddrV4| {
        let node = *node;
        async move { Entry { address: node.into(), answer: ask(host, node).await } }
    };
    all(shared.dht.entries().iter().map(question)).await
}

/// Does all of this at the same time; gives what comes of it in the same order.
async fn all<T: Send + 'static>(work: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let mut under_way = JoinSet::new();
    for (number, one) in work.enumerate() {
        under_way.spawn(async move { (number, one.await) });
    }
    let mut done = under_way.join_all().await;
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, one)| one).collect()
}

async fn ask(host: Ipv4Addr, node: SocketAddrV4) -> Answer {
    match exchange(host, node).await {
        Ok(took) => Answer::Given(took),
        Err(error) => match error.kind() {
            io::ErrorKind::TimedOut => Answer::Silence,
            io::ErrorKind::ConnectionRefused => Answer::Refused,
            _ => Answer::Unsent(error.to_string()),
        },
    }
}

/// One question and its answer, on a connected socket: that one hears what hosts and routers say of its packets.
async fn exchange(host: Ipv4Addr, node: SocketAddrV4) -> io::Result<Duration> {
    let udp = UdpSocket::bind((host, 0)).await?;
    udp.connect(node).await?;
    let tid = rand::random();
    let question = encode(node, tid, Call::PING).ok_or(io::ErrorKind::InvalidInput)?;
    let mut buffer = [0; 1024];
    for wait in WAITS {
        let began = Instant::now();
        udp.send(&question).await?;
        // Something else than the answer counts as nothing.
        if let Ok(received) = timeout(wait, udp.recv(&mut buffer)).await
            && response_tid(&buffer[..received?]) == Some(tid)
        {
            return Ok(began.elapsed());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}
