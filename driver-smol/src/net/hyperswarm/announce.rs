//! Keeps one listener announced: its key (so that nodes near the key relay handshakes to it) and its topic.
//!
//! Whoever relays for us must see us under the same address all the time, so the relays are pinged every few seconds,
//! which also keeps our NAT open for them. Leaving takes every record back that was placed.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peeroxide_dht::crypto::{NS_ANNOUNCE, NS_UNANNOUNCE, ann_signable, hash, sign_detached};
use peeroxide_dht::hyperdht::KeyPair;
use peeroxide_dht::hyperdht_messages::{
    ANNOUNCE, AnnounceMessage, FIND_PEER, HyperPeer, LOOKUP, RelayInfo, UNANNOUNCE, encode_announce_to_bytes,
    encode_hyper_peer_to_bytes,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::dht::{Dht, Reply};
use super::rpc::{Call, Patience, address, peer};
use crate::net::Topic;

/// Nodes that relay handshakes to us; the reference names as many.
const RELAYS: usize = 3;
/// How often they are pinged.
const PING: Duration = Duration::from_secs(4);
/// How long an announcement is left as it is while its relays answer. The DHT forgets records after 20 minutes.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// Pauses between attempts while no node of the DHT answers.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How long taking the records back may take.
const LEAVE: Duration = Duration::from_secs(4);

/// How the first announcement went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not known yet.
    Trying,
    /// Done.
    Announced,
    /// No node of the DHT answered so far.
    Failed,
}

/// A topic we listen on, with a key pair of its own: an incoming stream shows by it for which topic it came.
pub(super) struct Listener {
    pub(super) topic: Topic,
    pub(super) keys: KeyPair,
    /// The hash of the key, under which handshakes come.
    pub(super) target: [u8; 32],
    relays: Mutex<Vec<Relay>>,
}

/// A node that relays to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Relay {
    node: SocketAddrV4,
    /// Our own address as this node sees it.
    own: SocketAddrV4,
}

impl Listener {
    pub(super) fn new(topic: Topic) -> Self {
        let keys = KeyPair::generate();
        let target = hash(&keys.public_key);
        Self { topic, keys, target, relays: Mutex::default() }
    }

    /// The relays as a handshake names them.
    pub(super) fn relays(&self) -> Vec<RelayInfo> {
        let relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        relays.iter().map(|r| RelayInfo { relay_address: peer(r.node), peer_address: peer(r.own) }).collect()
    }

    /// Whether this node relays to us.
    pub(super) fn is_relay(&self, node: SocketAddrV4) -> bool {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|relay| relay.node == node)
    }

    /// Whether this node still relays to us, and still sees us at the same address.
    fn relays_as(&self, relay: Relay) -> bool {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).contains(&relay)
    }

    /// The nodes that relay to us.
    pub(super) fn relay_nodes(&self) -> Vec<SocketAddrV4> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|relay| relay.node).collect()
    }
}

/// Nodes at which records were placed.
#[derive(Default)]
struct Nodes {
    key: BTreeSet<SocketAddrV4>,
    topic: BTreeSet<SocketAddrV4>,
}

/// Where records were placed in this round and in the one before; older ones are forgotten by the nodes themselves.
#[derive(Default)]
struct Placed {
    now: Nodes,
    before: Nodes,
}

/// Announces until `stop` is closed, then takes the records back.
pub(super) async fn announce(
    dht: Arc<Dht>,
    listener: Arc<Listener>,
    progress: watch::Sender<Progress>,
    mut stop: watch::Receiver<()>,
) {
    let mut placed = Placed::default();
    let mut retry = FIRST_RETRY;
    let mut failures = 0_u32;
    let work = async {
        loop {
            if place(&dht, &listener, &mut placed).await {
                progress.send_replace(Progress::Announced);
                retry = FIRST_RETRY;
                watch_relays(&dht, &listener).await;
            } else {
                // A single round may fail on a bad line.
                failures += 1;
                if failures == 2 && *progress.borrow() == Progress::Trying {
                    progress.send_replace(Progress::Failed);
                }
                sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
    };
    tokio::select! {
        () = work => {}
        // Its end is the message.
        _ = stop.changed() => {}
    }
    drop(timeout(LEAVE, remove(&dht, &listener, placed)).await);
}

/// One round of announcements; tells whether the topic is announced anywhere.
async fn place(dht: &Arc<Dht>, listener: &Arc<Listener>, placed: &mut Placed) -> bool {
    // Both searches at once: only storing the topic needs the relays.
    let (near_key, near_topic) = tokio::join!(
        dht.query(Call::new(FIND_PEER, listener.target), listener.target, |_| {}),
        dht.query(Call::new(LOOKUP, listener.topic), listener.topic, |_| {}),
    );
    // Noted before anything is sent: what is interrupted on the way has to be taken back as well.
    let now = Nodes {
        key: near_key.iter().take(RELAYS).map(|reply| reply.from).collect(),
        topic: near_topic.iter().map(|reply| reply.from).collect(),
    };
    if !now.key.is_empty() || !now.topic.is_empty() {
        placed.before = std::mem::replace(&mut placed.now, now);
    }

    let mut tasks = JoinSet::new();
    for reply in near_key.into_iter().take(RELAYS) {
        let (dht, listener) = (dht.clone(), listener.clone());
        tasks.spawn(async move { become_relay(&dht, &listener, &reply).await });
    }
    let relays: Vec<Relay> = tasks.join_all().await.into_iter().flatten().collect();
    let hints: Vec<_> = relays.iter().map(|relay| peer(relay.node)).collect();
    *listener.relays.lock().unwrap_or_else(PoisonError::into_inner) = relays;

    let mut tasks = JoinSet::new();
    for reply in near_topic {
        let (dht, listener) = (dht.clone(), listener.clone());
        let record = HyperPeer { public_key: listener.keys.public_key, relay_addresses: hints.clone() };
        tasks.spawn(async move { store(&dht, &listener, listener.topic, &reply, record).await });
    }
    let stored = tasks.join_all().await.contains(&true);
    stored && !hints.is_empty()
}

/// Announces our key to a node, which makes it relay to us, and asks how it sees us.
async fn become_relay(dht: &Dht, listener: &Listener, reply: &Reply) -> Option<Relay> {
    let record = HyperPeer { public_key: listener.keys.public_key, relay_addresses: Vec::new() };
    let (stored, pong) = tokio::join!(
        store(dht, listener, listener.target, reply, record),
        dht.socket.request(reply.from, Call::PING, Patience::SHORT),
    );
    let own = address(&pong.ok()?.to)?;
    stored.then_some(Relay { node: reply.from, own })
}

async fn store(dht: &Dht, listener: &Listener, target: [u8; 32], reply: &Reply, record: HyperPeer) -> bool {
    let Some(call) = signed(ANNOUNCE, &NS_ANNOUNCE, &listener.keys, target, reply, record) else {
        return false;
    };
    dht.socket.request(reply.from, call, Patience::SHORT).await.is_ok_and(|response| response.error == 0)
}

/// An announcement (or its withdrawal) for the node that gave this reply.
fn signed(
    command: u64,
    namespace: &[u8; 32],
    keys: &KeyPair,
    target: [u8; 32],
    reply: &Reply,
    record: HyperPeer,
) -> Option<Call> {
    let (token, id) = (reply.token?, reply.id?);
    let encoded = encode_hyper_peer_to_bytes(&record).ok()?;
    let signature = sign_detached(&ann_signable(&target, &token, &id, &encoded, &[], namespace), &keys.secret_key);
    let message = AnnounceMessage { peer: Some(record), refresh: None, signature: Some(signature), bump: 0 };
    let value = encode_announce_to_bytes(&message).ok()?;
    Some(Call { token: Some(token), ..Call::new(command, target).with_value(value) })
}

/// Returns when the announcement has to be renewed: it is old, or a relay is lost or sees us somewhere else.
async fn watch_relays(dht: &Arc<Dht>, listener: &Listener) {
    let end = Instant::now() + REFRESH;
    while Instant::now() < end {
        sleep(PING).await;
        let mut pings = JoinSet::new();
        for node in listener.relay_nodes() {
            let dht = dht.clone();
            pings.spawn(async move { (node, dht.socket.request(node, Call::PING, Patience::SHORT).await) });
        }
        for (node, answer) in pings.join_all().await {
            let own = answer.ok().and_then(|response| address(&response.to));
            if own.is_none_or(|own| !listener.relays_as(Relay { node, own })) {
                return;
            }
        }
    }
}

/// Takes all records back.
async fn remove(dht: &Arc<Dht>, listener: &Arc<Listener>, placed: Placed) {
    let Placed { now, before } = placed;
    let of_key = now.key.union(&before.key).map(|node| (*node, FIND_PEER, listener.target));
    let of_topic = now.topic.union(&before.topic).map(|node| (*node, LOOKUP, listener.topic));
    let mut tasks = JoinSet::new();
    for (node, find, target) in of_key.chain(of_topic) {
        let (dht, listener) = (dht.clone(), listener.clone());
        tasks.spawn(async move {
            // The token that came with the announcement may be too old by now.
            let Ok(found) = dht.socket.request(node, Call::new(find, target), Patience::SHORT).await else {
                return;
            };
            let reply = Reply { from: node, id: found.id, token: found.token, value: None };
            let record = HyperPeer { public_key: listener.keys.public_key, relay_addresses: Vec::new() };
            if let Some(call) = signed(UNANNOUNCE, &NS_UNANNOUNCE, &listener.keys, target, &reply, record) {
                // A node that does not answer forgets the record by itself in time.
                drop(dht.socket.request(node, call, Patience::SHORT).await);
            }
        });
    }
    tasks.join_all().await;
}
