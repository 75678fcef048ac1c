//! Finds listeners on this machine and on the networks it is on, without any node of the DHT: by multicast DNS.
//!
//! Who looks for a topic asks who is there, and every listener answers with its port and its sealed key (`seal.rs`).
//! Nothing is said unasked and nothing is remembered, so a stranger's answers fill no table. A listener is at the
//! address its answer came from, and only an address on one of our own networks counts: nobody can make us write to a
//! host elsewhere.

mod message;
mod seal;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{broadcast, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::message::{Announced, Heard, answer, question, read};
use super::near::{Network, is_on, networks};
use super::{LanState, RemoteKey, Topic};

/// Where all of multicast DNS meets.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// Packets go no further than the network anyhow; this value is the standard's.
const TTL: u32 = 255;
/// The largest packet that is looked at.
const LARGEST_PACKET: usize = 1500;
/// The pause after the system could not receive.
const RECEIVE_PAUSE: Duration = Duration::from_millis(20);
/// Answers follow after a pause by chance, so that not all come at once, and one serves for several questions.
const ANSWER_DELAY: (u64, u64) = (10, 40);
const ANSWER_GAP: Duration = Duration::from_millis(250);
/// Questions of several searches are one.
const QUESTION_GAP: Duration = Duration::from_millis(100);
/// How long a search listens: longer than both gaps and the delay.
const SEARCH: Duration = Duration::from_millis(500);
/// How often our networks are looked at again.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// Listeners that may be announced, and answers that may wait for a search; a flood makes some be missed.
const MAX_LISTENERS: usize = 64;
const MAX_HEARD: usize = 64;

/// A listener's answer, and where it came from.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    from: Ipv4Addr,
    announced: Announced,
}

/// What can be found here, by the key of the listener.
type Listeners = Arc<Mutex<BTreeMap<RemoteKey, Topic>>>;

/// Our part in the multicast DNS of our networks.
pub(super) struct Lan {
    listeners: Listeners,
    heard: broadcast::Sender<Sighting>,
    ask: mpsc::Sender<()>,
    running: Option<AbortHandle>,
    state: LanState,
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.close();
    }
}

impl Lan {
    /// Takes part on the networks of this address, or on all for the unspecified one. `port` is where handshakes come.
    /// Where that cannot be, nothing is found: [`Lan::state`] says why.
    pub(super) fn open(host: Ipv4Addr, port: u16) -> Self {
        let (heard, _) = broadcast::channel(MAX_HEARD);
        let (ask, asked) = mpsc::channel(1);
        let listeners = Listeners::default();
        let (running, state) = match bind() {
            Ok(socket) => {
                let member = Member {
                    socket,
                    host,
                    port,
                    networks: Vec::new(),
                    listeners: listeners.clone(),
                    heard: heard.clone(),
                    answer: Due::new(ANSWER_GAP),
                    question: Due::new(QUESTION_GAP),
                };
                (Some(tokio::spawn(member.run(asked)).abort_handle()), LanState::Active)
            }
            Err(reason) => (None, LanState::Failed(format!("cannot use UDP port {PORT}: {reason}"))),
        };
        Self { listeners, heard, ask, running, state }
    }

    /// Takes no part.
    pub(super) fn off() -> Self {
        let (heard, ask) = (broadcast::channel(1).0, mpsc::channel(1).0);
        Self { listeners: Listeners::default(), heard, ask, running: None, state: LanState::Off }
    }

    /// Whether we take part.
    pub(super) fn state(&self) -> LanState {
        self.state.clone()
    }

    /// Lets this listener be found.
    pub(super) fn announce(&self, topic: Topic, key: RemoteKey) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.len() < MAX_LISTENERS {
            listeners.insert(key, topic);
        }
    }

    /// Lets it no longer be found.
    pub(super) fn withdraw(&self, key: &RemoteKey) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Leaves.
    pub(super) fn close(&self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }

    /// Names the listeners on this topic that answer.
    pub(super) async fn search(&self, topic: Topic, mut found: impl FnMut(RemoteKey, SocketAddrV4)) {
        if self.running.is_none() {
            return;
        }
        let (mut heard, mut named) = (self.heard.subscribe(), BTreeSet::new());
        // A question that waits to be sent is ours as well.
        self.ask.try_send(()).ok();
        let listening = async {
            loop {
                match heard.recv().await {
                    Ok(Sighting { from, announced }) => {
                        let at = SocketAddrV4::new(from, announced.port);
                        if let Some(key) = seal::open(&topic, &announced.sealed)
                            && named.len() < MAX_LISTENERS
                            && named.insert((key, at))
                        {
                            found(key, at);
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        };
        // It ends by the clock: nobody can say that there are no others.
        drop(timeout(SEARCH, listening).await);
    }
}

/// A socket that shares the port with the other programs of this machine.
fn bind() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Programs on this machine shall hear each other.
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(TTL)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    UdpSocket::from_std(socket.into())
}

/// When something is to be done next, with a shortest time between two turns.
struct Due {
    gap: Duration,
    at: Option<Instant>,
    earliest: Instant,
}

impl Due {
    fn new(gap: Duration) -> Self {
        Self { gap, at: None, earliest: Instant::now() }
    }

    /// Has it done after this delay, if it is not to be done already.
    fn plan(&mut self, delay: Duration) {
        self.at.get_or_insert((Instant::now() + delay).max(self.earliest));
    }

    fn done(&mut self) {
        self.at = None;
        self.earliest = Instant::now() + self.gap;
    }

    async fn wait(&self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// The task that has the socket.
struct Member {
    socket: UdpSocket,
    host: Ipv4Addr,
    port: u16,
    networks: Vec<Network>,
    listeners: Listeners,
    heard: broadcast::Sender<Sighting>,
    answer: Due,
    question: Due,
}

impl Member {
    async fn run(mut self, mut asked: mpsc::Receiver<()>) {
        let mut buffer = vec![0; LARGEST_PACKET];
        self.look_around();
        let mut look_around = Instant::now() + LOOK_AROUND;
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, SocketAddr::V4(from))) => self.hear(*from.ip(), &buffer[..length]),
                    Ok(_) => {}
                    // The network may be down for a while.
                    Err(_) => sleep(RECEIVE_PAUSE).await,
                },
                search = asked.recv() => match search {
                    Some(()) => self.question.plan(Duration::ZERO),
                    None => return,
                },
                () = self.question.wait() => {
                    self.question.done();
                    // Whoever came home with its machine since the last look shall be asked too.
                    self.look_around();
                    self.ask().await;
                }
                () = self.answer.wait() => {
                    self.answer.done();
                    self.answer().await;
                }
                () = sleep_until(look_around) => {
                    self.look_around();
                    look_around = Instant::now() + LOOK_AROUND;
                }
            }
        }
    }

    fn hear(&mut self, from: Ipv4Addr, packet: &[u8]) {
        if !is_on(&self.networks, from) {
            return;
        }
        match read(packet) {
            Some(Heard::Question) if !self.listeners().is_empty() => {
                let (least, most) = ANSWER_DELAY;
                let delay = least + rand::random::<u64>() % (most - least);
                self.answer.plan(Duration::from_millis(delay));
            }
            // Refused when nobody searches.
            Some(Heard::Listener(announced)) => drop(self.heard.send(Sighting { from, announced })),
            _ => {}
        }
    }

    fn listeners(&self) -> Vec<(RemoteKey, Topic)> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().map(|(key, topic)| (*key, *topic)).collect()
    }

    /// Joins the group on every network that we are on.
    fn look_around(&mut self) {
        self.networks = networks();
        if !self.host.is_unspecified() {
            self.networks.retain(|network| network.address == self.host);
        }
        for network in &self.networks {
            // Refused where we are in already, and where there is no multicast.
            drop(self.socket.join_multicast_v4(GROUP, network.address));
        }
    }

    async fn ask(&self) {
        if let Ok(question) = question() {
            for network in &self.networks {
                self.send(&question, network).await;
            }
        }
    }

    async fn answer(&self) {
        for (key, topic) in self.listeners() {
            let announced = Announced { port: self.port, sealed: seal::seal(&topic, &key, rand::random()) };
            for network in &self.networks {
                if let Ok(packet) = answer(&announced, network.address, rand::random()) {
                    self.send(&packet, network).await;
                }
            }
        }
    }

    /// An error is one more lost packet.
    async fn send(&self, packet: &[u8], on: &Network) {
        if SockRef::from(&self.socket).set_multicast_if_v4(&on.address).is_ok() {
            drop(self.socket.send_to(packet, (GROUP, PORT)).await);
        }
    }
}
