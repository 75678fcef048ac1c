//! Opening a way through two NATs: who sends probes where, and how often.
//!
//! A probe that reaches its goal proves the way. The initiator takes the first one it gets; the other side answers
//! every probe. Between a consistent and a random NAT one side tries random ports and the other many sockets, until two
//! of them happen to match; between two random ones nothing helps.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::hyperdht_messages::{FIREWALL_CONSISTENT, FIREWALL_OPEN, FIREWALL_RANDOM};
use peeroxide_dht::messages::{Ipv4Peer, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::nat::Nat;
use super::rpc::{Arrival, RpcSocket, address};
use crate::net::NetError;

/// Rounds of probes between consistent NATs, and their pause.
const TRIES: u32 = 10;
const TRY_PAUSE: Duration = Duration::from_secs(1);
/// Probes while one of the NATs is random (about 35 seconds), and their pause.
const RANDOM_TRIES: u32 = 1750;
const RANDOM_PAUSE: Duration = Duration::from_millis(20);
/// Sockets opened behind a random NAT, and the pause after the first probes of all of them.
const SOCKETS: usize = 256;
const BURST_PAUSE: Duration = Duration::from_millis(100);
/// Ports below are not given out by NATs.
const LOWEST_PORT: u16 = 1000;
/// Addresses of the other side that are tried.
const MAX_ADDRESSES: usize = 8;

/// What the other side told about itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Remote {
    pub(super) firewall: u64,
    /// It is ready to punch.
    pub(super) punching: bool,
    pub(super) addresses: Vec<SocketAddrV4>,
    /// The hosts that proved to be the other side.
    verified: Vec<Ipv4Addr>,
}

impl Remote {
    /// Takes what a message says; `verified` is the host that it proved.
    pub(super) fn update(
        &mut self,
        firewall: u64,
        punching: bool,
        addresses: Option<&[Ipv4Peer]>,
        verified: Option<Ipv4Addr>,
    ) {
        self.firewall = firewall;
        self.punching = punching;
        self.addresses = addresses.unwrap_or(&[]).iter().take(MAX_ADDRESSES).filter_map(host_and_port).collect();
        self.verified.extend(verified.filter(|host| !self.verified.contains(host)));
        self.verified.truncate(MAX_ADDRESSES);
    }

    fn is_verified(&self, address: SocketAddrV4) -> bool {
        self.verified.contains(address.ip())
    }
}

/// Like [`address`], but a random NAT gives port 0.
fn host_and_port(peer: &Ipv4Peer) -> Option<SocketAddrV4> {
    let port = peer.port;
    let usable = address(&Ipv4Peer { host: peer.host.clone(), port: port.max(1) })?;
    Some(SocketAddrV4::new(*usable.ip(), port))
}

/// What happened on one of the puncher's sockets.
#[derive(Debug)]
pub(super) enum Event {
    /// A probe came through, on the socket with this number.
    Probe(usize, SocketAddrV4),
    /// A request came.
    Request(SocketAddrV4, Request),
    /// What is known about our NAT changed.
    Nat,
    /// All probes are sent, and it was in vain.
    GaveUp,
}

enum Schedule {
    Idle,
    /// Probes to the known addresses.
    Known {
        done: u32,
    },
    /// Probes to random ports of this host.
    RandomPorts {
        host: Ipv4Addr,
        left: u32,
    },
    /// Probes to this address from many sockets, one after the other; the first two turns only open our own NAT.
    ManySockets {
        to: SocketAddrV4,
        sent: u32,
    },
}

/// The sockets and the schedule of one attempt.
pub(super) struct Puncher {
    host: Ipv4Addr,
    sockets: BTreeMap<usize, Arc<RpcSocket>>,
    arrivals: mpsc::Receiver<(usize, Arrival)>,
    merge: mpsc::Sender<(usize, Arrival)>,
    nat: watch::Receiver<Nat>,
    /// The verdict may still change.
    sampling: bool,
    pub(super) remote: Remote,
    schedule: Schedule,
    due: Instant,
    /// Held while one of the NATs is random.
    turn: Option<OwnedSemaphorePermit>,
}

/// Attempts with a random NAT take many sockets and packets, so there is one at a time.
pub(super) type Turns = Arc<Semaphore>;

/// How punching can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Probes are on their way.
    Punching,
    /// These two NATs leave no way.
    NoWay,
    /// Another attempt with a random NAT is going on.
    Busy,
}

impl Puncher {
    /// Works with this socket, on which these things arrive, behind this NAT.
    pub(super) fn new(
        host: Ipv4Addr,
        socket: Arc<RpcSocket>,
        arrived: mpsc::Receiver<Arrival>,
        nat: watch::Receiver<Nat>,
    ) -> Self {
        let (merge, arrivals) = mpsc::channel(64);
        let mut puncher = Self {
            host,
            sockets: BTreeMap::new(),
            arrivals,
            merge,
            nat,
            sampling: true,
            remote: Remote::default(),
            schedule: Schedule::Idle,
            due: Instant::now(),
            turn: None,
        };
        puncher.add(socket, arrived);
        puncher
    }

    fn add(&mut self, socket: Arc<RpcSocket>, mut arrived: mpsc::Receiver<Arrival>) {
        let (number, merge) = (self.sockets.len(), self.merge.clone());
        self.sockets.insert(number, socket);
        // Ends with the socket, whose reading task holds the other end.
        tokio::spawn(async move {
            while let Some(arrival) = arrived.recv().await {
                if merge.send((number, arrival)).await.is_err() {
                    break;
                }
            }
        });
    }

    /// The numbers of all sockets.
    pub(super) fn sockets(&self) -> Vec<usize> {
        self.sockets.keys().copied().collect()
    }

    /// The socket with this number; number 0 is there from the beginning.
    pub(super) fn socket(&self, number: usize) -> Option<&Arc<RpcSocket>> {
        self.sockets.get(&number)
    }

    /// What is known about our NAT.
    pub(super) fn nat(&self) -> Nat {
        self.nat.borrow().clone()
    }

    /// Probes are being sent.
    pub(super) fn is_punching(&self) -> bool {
        !matches!(self.schedule, Schedule::Idle)
    }

    /// Begins to send probes; `first` is the pause before those between consistent NATs.
    pub(super) async fn start(&mut self, turns: &Turns, first: Duration) -> Result<Start, NetError> {
        if self.is_punching() {
            return Ok(Start::Punching);
        }
        let coerce = |firewall| {
            if firewall == FIREWALL_OPEN { FIREWALL_CONSISTENT } else { firewall }
        };
        let (local, remote) = (coerce(self.nat().firewall), coerce(self.remote.firewall));
        let verified = self.remote.addresses.iter().copied().find(|a| self.remote.is_verified(*a));
        if local.max(remote) >= FIREWALL_RANDOM {
            let Ok(turn) = turns.clone().try_acquire_owned() else { return Ok(Start::Busy) };
            self.turn = Some(turn);
        }
        self.schedule = match verified {
            _ if self.remote.addresses.is_empty() => return Ok(Start::NoWay),
            _ if local == FIREWALL_CONSISTENT && remote == FIREWALL_CONSISTENT => Schedule::Known { done: 0 },
            Some(to) if local == FIREWALL_CONSISTENT && remote >= FIREWALL_RANDOM => {
                Schedule::RandomPorts { host: *to.ip(), left: RANDOM_TRIES }
            }
            Some(to) if local >= FIREWALL_RANDOM && remote == FIREWALL_CONSISTENT => {
                while self.sockets.len() < SOCKETS {
                    let (socket, arrived) = RpcSocket::bind(self.host).await?;
                    socket.limit_hops(true);
                    self.add(socket, arrived);
                }
                Schedule::ManySockets { to, sent: 0 }
            }
            _ => return Ok(Start::NoWay),
        };
        let pause = if matches!(self.schedule, Schedule::Known { .. }) { first } else { Duration::ZERO };
        self.due = Instant::now() + pause;
        Ok(Start::Punching)
    }

    /// Sends no more probes.
    pub(super) fn stop(&mut self) {
        (self.schedule, self.turn) = (Schedule::Idle, None);
    }

    /// What happens next; sends the probes that are due meanwhile.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let punching = self.is_punching();
            tokio::select! {
                arrival = self.arrivals.recv() => match arrival {
                    Some((number, Arrival::Probe(from))) => return Event::Probe(number, from),
                    Some((_, Arrival::Request(from, request))) => return Event::Request(from, request),
                    // Cannot be: we hold the other end ourselves.
                    None => return Event::GaveUp,
                },
                changed = self.nat.changed(), if self.sampling => {
                    self.sampling = changed.is_ok();
                    return Event::Nat;
                }
                () = sleep_until(self.due), if punching => {
                    if !self.send_due() {
                        return Event::GaveUp;
                    }
                }
            }
        }
    }

    /// Sends one round of probes; `false` when there are no more.
    fn send_due(&mut self) -> bool {
        let Some(first) = self.sockets.get(&0) else {
            return false;
        };
        let pause = match &mut self.schedule {
            Schedule::Idle => return true,
            Schedule::Known { done } => {
                if *done == TRIES {
                    return false;
                }
                *done += 1;
                // Addresses that nobody proved get fewer probes: they may be anybody's.
                let turn_of_all = done.is_multiple_of(4);
                let addresses = self.remote.addresses.iter().filter(|a| turn_of_all || self.remote.is_verified(**a));
                addresses.filter(|a| a.port() != 0).for_each(|a| first.probe(*a));
                TRY_PAUSE
            }
            Schedule::RandomPorts { host, left } => {
                let Some(rest) = left.checked_sub(1) else {
                    return false;
                };
                *left = rest;
                let port = LOWEST_PORT + rand::random::<u16>() % (u16::MAX - LOWEST_PORT);
                first.probe(SocketAddrV4::new(*host, port));
                RANDOM_PAUSE
            }
            Schedule::ManySockets { to, sent: 0 } => {
                self.sockets.values().for_each(|socket| socket.probe(*to));
                self.schedule = Schedule::ManySockets { to: *to, sent: 1 };
                BURST_PAUSE
            }
            Schedule::ManySockets { sent: RANDOM_TRIES, .. } => return false,
            Schedule::ManySockets { to, sent } => {
                let (turn, number) = (*sent as usize / self.sockets.len(), *sent as usize % self.sockets.len());
                *sent += 1;
                if let Some(socket) = self.sockets.get(&number) {
                    socket.limit_hops(turn == 0);
                    socket.probe(*to);
                }
                RANDOM_PAUSE
            }
        };
        self.due = Instant::now() + pause;
        true
    }
}
