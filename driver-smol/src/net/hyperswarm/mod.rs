//! Nodes meet on the DHT of Hyperswarm and connect straight to each other, through NATs where there are any.
//!
//! The DHT's messages, the Noise handshake and the secretstream cipher are those of the crate `peeroxide-dht`; how
//! connections are made and the UDX transport are ours, after the reference. The crate needs tokio: all of it runs on
//! the runtime that `async-compat` keeps, and only channels lead out of this folder.
//!
//! * A dial: `dial` searches for the listeners of a topic, and `connect` opens a stream to one of them. `rounds` is what
//!   it says through relays before it punches.
//! * Being dialled: `announce` makes us found, `server` answers handshakes, and a `session` leads each to a stream.
//! * Both: `nat` tells what is before a socket, `punch` sends the probes, `relay` is the last resort, and `way` names the
//!   path that came of it.
//! * A stream: `armed` waits for its first packet; `carry` moves its messages, through `secret` (cipher) and `udx`
//!   (transport).
//! * Below all of it: `rpc` is the socket, and `dht` asks the nodes of the DHT. `check` is the look around for netcheck.

mod announce;
mod armed;
mod carry;
mod check;
mod connect;
mod dht;
mod dial;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod nat;
mod punch;
mod relay;
mod rounds;
mod rpc;
mod secret;
mod server;
mod session;
mod udx;
mod way;

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};

use async_compat::CompatExt as _;
use peeroxide_dht::holepuncher::Holepuncher;
use peeroxide_dht::hyperdht::DEFAULT_BOOTSTRAP;
use peeroxide_dht::hyperdht_messages::{ERROR_NONE, FIREWALL_UNKNOWN, NoisePayload, SecretStreamInfo, UdxInfo};
use peeroxide_dht::messages::Ipv4Peer;
use smol::channel::{Receiver, Sender, bounded};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinHandle};

use self::announce::{Listener, Progress, announce};
use self::dht::Dht;
use self::punch::Turns;
use self::rpc::{RpcSocket, peer};
use super::lan::Lan;
use super::{Dial, Incoming, NetError, Network, RelayTried, RemoteKey, Surroundings, Task, Topic};

/// Nodes that may be asked about our NAT.
const NAT_NODES: usize = 12;
/// Relays that are gone to at the same time; whoever dials us may name one.
const RELAYING: usize = 8;
/// Accepted streams that wait for the driver.
const ACCEPTED: usize = 16;

/// What a [`Hyperswarm`] network has to know.
#[derive(Clone, Debug)]
pub struct HyperswarmConfig {
    /// Nodes of the DHT to start from, as `HOST:PORT` or `IP@HOST:PORT`; empty for the public ones.
    pub bootstrap: Vec<String>,
    /// The address of the interface to use: `0.0.0.0` for all, `127.0.0.1` to stay on this machine.
    pub host: Ipv4Addr,
    /// Whether listeners on our own networks are found without the DHT, by multicast DNS, and can find us.
    pub lan: bool,
    /// Nodes to meet others at where the NATs leave no other way: the public keys of the reference's blind relays.
    pub relays: Vec<RemoteKey>,
}

impl Default for HyperswarmConfig {
    fn default() -> Self {
        Self { bootstrap: Vec::new(), host: Ipv4Addr::UNSPECIFIED, lan: true, relays: Vec::new() }
    }
}

/// The network of Hyperswarm.
pub struct Hyperswarm {
    runtime: Handle,
    shared: Arc<Shared>,
    accepted: Receiver<Incoming>,
    listening: Mutex<HashMap<Topic, Listening>>,
    server: AbortHandle,
}

struct Listening {
    /// Dropping it takes the announcement back.
    stop: watch::Sender<()>,
    progress: watch::Receiver<Progress>,
    announcing: JoinHandle<()>,
    target: [u8; 32],
}

/// What all tasks of a network share.
struct Shared {
    host: Ipv4Addr,
    dht: Arc<Dht>,
    lan: Lan,
    /// By the target under which their handshakes come.
    listeners: Mutex<HashMap<[u8; 32], Arc<Listener>>>,
    accepted: Sender<Incoming>,
    turns: Turns,
    relays: Vec<RemoteKey>,
    relaying: Semaphore,
    /// Tells the streams that the network is closed.
    closed: watch::Sender<()>,
}

impl Shared {
    fn listener(&self, target: &[u8; 32]) -> Option<Arc<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned()
    }

    /// Whether this is one of our own listeners.
    fn is_own(&self, key: &RemoteKey) -> bool {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.values().any(|listener| listener.keys.public_key == *key)
    }

    /// What our part of any handshake says: where we are on our own network, and the number of our stream.
    fn payload(&self, port: u16, stream: u32) -> NoisePayload {
        NoisePayload {
            version: 1,
            error: ERROR_NONE,
            firewall: FIREWALL_UNKNOWN,
            holepunch: None,
            addresses4: self.local_addresses(port),
            addresses6: Vec::new(),
            udx: Some(UdxInfo { version: 1, reusable_socket: false, id: u64::from(stream), seq: 0 }),
            secret_stream: Some(SecretStreamInfo { version: 1 }),
            relay_through: None,
            relay_addresses: None,
        }
    }

    /// Where we are on our own network, with this port.
    fn local_addresses(&self, port: u16) -> Vec<Ipv4Peer> {
        if self.host.is_unspecified() {
            Holepuncher::local_addresses(port)
        } else {
            vec![peer(SocketAddrV4::new(self.host, port))]
        }
    }
}

impl Hyperswarm {
    /// Opens the main socket. The DHT is reached in the background.
    ///
    /// # Errors
    /// [`NetError::Bind`] if the socket cannot be opened, [`NetError::Address`] if a bootstrap node's name cannot be
    /// read or resolved.
    pub async fn open(config: HyperswarmConfig) -> Result<Self, NetError> {
        async move {
            let bootstrap = resolve(&config.bootstrap).await?;
            let (socket, arrivals) = RpcSocket::bind(config.host).await?;
            let lan = if config.lan { Lan::open(config.host, socket.port()) } else { Lan::off() };
            let dht = Dht::new(socket, bootstrap);
            let (accept, accepted) = bounded(ACCEPTED);
            let shared = Arc::new(Shared {
                host: config.host,
                dht: dht.clone(),
                lan,
                listeners: Mutex::default(),
                accepted: accept,
                turns: Arc::new(Semaphore::new(1)),
                relays: config.relays,
                relaying: Semaphore::new(RELAYING),
                closed: watch::Sender::new(()),
            });
            let server = tokio::spawn(server::serve(shared.clone(), arrivals)).abort_handle();
            tokio::spawn(async move { dht.bootstrap().await });
            let listening = Mutex::default();
            Ok(Self { runtime: Handle::current(), shared, accepted, listening, server })
        }
        .compat()
        .await
    }

    fn start_listening(&self, topic: Topic) -> Listening {
        let listener = Arc::new(Listener::new(topic));
        let target = listener.target;
        self.shared.lan.announce(topic, listener.keys.public_key);
        self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).insert(target, listener.clone());
        let (stop, stopped) = watch::channel(());
        let (report, progress) = watch::channel(Progress::Trying);
        let announcing = self.runtime.spawn(announce(self.shared.dht.clone(), listener, report, stopped));
        Listening { stop, progress, announcing, target }
    }
}

impl Network for Hyperswarm {
    fn listen(&self, topic: Topic) -> Task<Result<(), NetError>> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        let listening = listening.entry(topic).or_insert_with(|| self.start_listening(topic));
        let mut progress = listening.progress.clone();
        Box::pin(async move {
            match progress.wait_for(|progress| *progress != Progress::Trying).await.as_deref() {
                Ok(Progress::Announced) => Ok(()),
                Ok(_) => Err(NetError::Unreachable),
                Err(_) => Err(NetError::Closed),
            }
        })
    }

    fn unlisten(&self, topic: Topic) -> Task<()> {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).remove(&topic);
        let Some(Listening { stop, announcing, target, .. }) = listening else {
            return Box::pin(async {});
        };
        let listener = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(&target);
        if let Some(listener) = listener {
            self.shared.lan.withdraw(&listener.keys.public_key);
        }
        drop(stop);
        // The task ends by itself, in bounded time.
        Box::pin(async move { drop(announcing.await) })
    }

    fn dial(&self, topic: Topic) -> Dial {
        let (report, events) = bounded(1);
        let search = self.runtime.spawn(dial::search(self.shared.clone(), topic, report));
        Dial { events, _search: Box::new(AbortOnDrop(search.abort_handle())) }
    }

    fn accept(&self) -> Task<Option<Incoming>> {
        let accepted = self.accepted.clone();
        Box::pin(async move { accepted.recv().await.ok() })
    }

    fn surroundings(&self) -> Task<Surroundings> {
        let shared = self.shared.clone();
        let looking = self.runtime.spawn(check::look(shared));
        Box::pin(async move { looking.await.unwrap_or_default() })
    }

    fn try_relays(&self) -> Task<Vec<RelayTried>> {
        let trying = self.runtime.spawn(check::try_relays(self.shared.clone()));
        Box::pin(async move { trying.await.unwrap_or_default() })
    }

    fn close(&self) -> Task<()> {
        let topics: Vec<_> = self.listening.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        let leaving: Vec<_> = topics.into_iter().map(|topic| self.unlisten(topic)).collect();
        let (server, shared) = (self.server.clone(), self.shared.clone());
        Box::pin(async move {
            shared.accepted.close();
            for left in leaving {
                left.await;
            }
            shared.lan.close();
            shared.closed.send_replace(());
            server.abort();
        })
    }
}

impl Drop for Hyperswarm {
    fn drop(&mut self) {
        self.server.abort();
        self.shared.accepted.close();
        self.shared.lan.close();
        self.shared.closed.send_replace(());
    }
}

impl fmt::Debug for Hyperswarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hyperswarm({}:{})", self.shared.host, self.shared.dht.socket.port())
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The addresses of the bootstrap nodes.
async fn resolve(nodes: &[String]) -> Result<Vec<SocketAddrV4>, NetError> {
    let public = || DEFAULT_BOOTSTRAP.iter().map(|node| (*node).to_owned()).collect();
    let nodes: Vec<String> = if nodes.is_empty() { public() } else { nodes.to_vec() };
    let mut addresses = Vec::new();
    let mut failed = None;
    for node in nodes {
        // `IP@HOST:PORT` names the address that the host had when the name was written down.
        let known = node.split_once('@').and_then(|(ip, rest)| {
            let (_, port) = rest.rsplit_once(':')?;
            format!("{ip}:{port}").parse().ok()
        });
        let looked_up = match known {
            Some(address) => Some(address),
            None => look_up(node.split_once('@').map_or(node.as_str(), |(_, name)| name)).await,
        };
        match looked_up {
            Some(address) => addresses.push(address),
            None => failed = Some(node),
        }
    }
    match failed {
        // One good node is enough to begin with.
        Some(text) if addresses.is_empty() => {
            Err(NetError::Address { text, reason: "write it as HOST:PORT, with a host that has an IPv4 address" })
        }
        _ => Ok(addresses),
    }
}

async fn look_up(name: &str) -> Option<SocketAddrV4> {
    let found = tokio::net::lookup_host(name).await.ok()?.find(std::net::SocketAddr::is_ipv4)?;
    if let std::net::SocketAddr::V4(address) = found { Some(address) } else { None }
}
