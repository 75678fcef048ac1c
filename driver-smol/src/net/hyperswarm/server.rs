//! Answers the handshakes of those who dial us, as the reference's `server.js` does.
//!
//! A client sends one and the same handshake through several relays at once. It is one handshake: the first makes a
//! session, all get the same answer. The streams are there before the answer leaves, so the first packet finds one.
//!
//! Anybody can start a session, so those that have not come to a proven stream are bounded, in all and for each host. A
//! new one takes the place of the oldest: an honest client needs its place for a moment only, a flood cannot hold any.
//! The host that counts is whoever really sent the handshake. Only the nodes that relay to us are believed when they
//! say for whom: else anybody could crowd out any client by claiming to pass on its handshakes.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::crypto::hash;
use peeroxide_dht::hyperdht_messages::{
    ERROR_NONE, FIREWALL_OPEN, HandshakeMessage, HolepunchInfo, HolepunchMessage, MODE_FROM_CLIENT, MODE_FROM_RELAY,
    MODE_FROM_SECOND_RELAY, MODE_FROM_SERVER, MODE_REPLY, NoisePayload, PEER_HANDSHAKE, PEER_HOLEPUNCH,
    RelayThroughInfo, decode_handshake_from_bytes, decode_holepunch_msg_from_bytes, encode_handshake_to_bytes,
};
use peeroxide_dht::messages::{Command, Ipv4Peer, Request};
use peeroxide_dht::noise::Keypair;
use peeroxide_dht::noise_wrap::{NoiseWrap, NoiseWrapResult};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::announce::Listener;
use super::armed::{Armed, Wire};
use super::carry::{Unproven, accept};
use super::nat::sample;
use super::punch::Puncher;
use super::relay::{Meeting, invent};
use super::rpc::{Arrival, Call, RpcSocket, address};
use super::session::{Question, Session};
use super::way::Way;
use super::{NAT_NODES, Shared};

/// Sessions without a proven stream that may be open at the same time, in all and of one host.
const MAX_SESSIONS: usize = 128;
const MAX_PER_HOST: usize = 32;
/// Answers that are kept, and for how long, to be given again.
const MAX_ANSWERS: usize = 256;
const KEEP_ANSWER: Duration = Duration::from_secs(15);
/// How often the old ones are let go: each may hold a socket.
const SWEEP: Duration = Duration::from_secs(1);

/// Answers what arrives on the main socket until the network is closed.
pub(super) async fn serve(shared: Arc<Shared>, mut arrivals: mpsc::Receiver<Arrival>) {
    let mut server = Server { shared, sessions: VecDeque::new() };
    loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(Arrival::Request(from, request)) => server.request(from, request).await,
                Some(Arrival::Probe(_)) => {}
                None => return,
            },
            () = sleep(SWEEP), if !server.sessions.is_empty() => server.sweep(),
        }
    }
}

struct Server {
    shared: Arc<Shared>,
    /// The oldest first.
    sessions: VecDeque<Running>,
}

struct Running {
    id: u64,
    /// The hash of the handshake.
    key: [u8; 32],
    /// Our answer to it.
    noise: Vec<u8>,
    /// Where to answer from; the main socket if there is none.
    socket: Option<Arc<RpcSocket>>,
    /// Whom it counts against.
    sender: Ipv4Addr,
    /// Closed by the other end when there is a proven stream, or none will come. Dropping it ends the session.
    questions: mpsc::Sender<Question>,
    until: Instant,
}

impl Running {
    /// There is no proven stream yet, but there may be.
    fn is_half_open(&self) -> bool {
        !self.questions.is_closed()
    }
}

/// A handshake as it came.
struct Handshake {
    listener: Arc<Listener>,
    noise: Vec<u8>,
    /// Its hash.
    key: [u8; 32],
    client: SocketAddrV4,
    sender: Ipv4Addr,
    /// The address under which the sender of the request sees us.
    own: Option<SocketAddrV4>,
    /// It came straight from the client.
    direct: bool,
}

impl Server {
    async fn request(&mut self, from: SocketAddrV4, request: Request) {
        let socket = &self.shared.dht.socket;
        match request.command {
            command if request.internal && command == Command::Ping as u64 => socket.reply(from, request.tid, None),
            _ if request.internal => {}
            PEER_HANDSHAKE => self.handshake(from, request).await,
            PEER_HOLEPUNCH => {
                let message = request.value.as_deref().and_then(|v| decode_holepunch_msg_from_bytes(v).ok());
                if let Some(message) = message
                    && let Some(session) = self.sessions.iter().find(|session| session.id == message.id)
                    && let Some(question) = question(from, request.tid, message)
                {
                    // A session that is flooded may lose some of it, like any packet.
                    drop(session.questions.try_send(question));
                }
            }
            _ => {}
        }
    }

    async fn handshake(&mut self, from: SocketAddrV4, request: Request) {
        let Some(listener) = request.target.and_then(|target| self.shared.listener(&target)) else {
            return;
        };
        let message = request.value.as_deref().and_then(|value| decode_handshake_from_bytes(value).ok());
        let Some(HandshakeMessage { mode, noise, peer_address, relay_address }) = message else {
            return;
        };
        let direct = mode == MODE_FROM_CLIENT;
        let claimed = peer_address.as_ref().and_then(address);
        let Some(client) = (if direct { Some(from) } else { claimed }) else {
            return;
        };
        // Where the answer goes, and in which mode.
        let (to, mode) = match mode {
            MODE_FROM_CLIENT => (from, MODE_REPLY),
            MODE_FROM_RELAY => (from, MODE_FROM_SERVER),
            MODE_FROM_SECOND_RELAY => match relay_address.as_ref().and_then(address) {
                Some(relay) => (relay, MODE_FROM_SERVER),
                None => return,
            },
            _ => return,
        };
        let sender = if listener.is_relay(from) { *client.ip() } else { *from.ip() };
        let key = hash(&noise);
        self.sweep();
        if self.sessions.iter().all(|session| session.key != key) {
            let own = address(&request.to);
            let handshake = Handshake { listener, noise, key, client, sender, own, direct };
            let Some(session) = self.open(handshake).await else {
                return;
            };
            self.make_room(sender);
            self.sessions.push_back(session);
        }
        let Some(Running { noise, socket, .. }) = self.sessions.iter().find(|session| session.key == key) else {
            return;
        };
        let peer_address = peer_address.filter(|_| !direct);
        let reply = HandshakeMessage { mode, noise: noise.clone(), peer_address, relay_address: None };
        let Ok(value) = encode_handshake_to_bytes(&reply) else {
            return;
        };
        let main = &self.shared.dht.socket;
        if direct {
            main.reply(to, request.tid, Some(value));
        } else if let Some(target) = request.target {
            let call = Call::new(PEER_HANDSHAKE, target).with_value(value);
            socket.as_deref().unwrap_or(main).relay(to, request.tid, call);
        }
    }

    /// Forgets answers that nobody can be waiting for, but no session that is still on its way.
    fn sweep(&mut self) {
        let now = Instant::now();
        self.sessions.retain(|session| session.until > now || session.is_half_open());
    }

    /// Ends the oldest sessions where one more would be too many.
    fn make_room(&mut self, sender: Ipv4Addr) {
        let half_open = Running::is_half_open;
        let of_sender = |session: &Running| half_open(session) && session.sender == sender;
        self.limit(MAX_PER_HOST, of_sender);
        self.limit(MAX_SESSIONS, half_open);
        self.limit(MAX_ANSWERS, |_| true);
    }

    fn limit(&mut self, most: usize, counts: impl Fn(&Running) -> bool) {
        if self.sessions.iter().filter(|session| counts(session)).count() >= most
            && let Some(oldest) = self.sessions.iter().position(counts)
        {
            drop(self.sessions.remove(oldest));
        }
    }

    /// Opens a session for a handshake that was not seen before.
    async fn open(&self, handshake: Handshake) -> Option<Running> {
        let Handshake { listener, noise, key, client, sender, own, direct } = handshake;
        let keys = Keypair { public_key: listener.keys.public_key, secret_key: listener.keys.secret_key };
        let mut exchange = NoiseWrap::new_responder(keys);
        let theirs = exchange.recv(&noise).ok()?;
        if theirs.version != 1 || theirs.error != ERROR_NONE {
            return None;
        }
        let remote_id = u32::try_from(theirs.udx.as_ref()?.id).ok()?;
        // Numbers that cannot be guessed: whoever knows one could put packets into the stream.
        let (id, local_id) = (u64::from(rand::random::<u32>()), rand::random());
        let ours = invent(&self.shared.relays);
        let meeting = Meeting::of(ours.as_ref(), theirs.relay_through.as_ref(), true);
        let reply = exchange.send(&self.payload(&listener, id, local_id, ours)).ok()?;
        let keys = exchange.finalize().ok()?;
        let door = Door { shared: self.shared.clone(), listener, keys, hosts: theirs.addresses4 };
        let (questions, asked) = mpsc::channel(16);
        let main = &self.shared.dht.socket;
        let until = Instant::now() + KEEP_ANSWER;
        let running = Running { id, key, noise: reply, socket: None, sender, questions, until };

        if theirs.firewall == FIREWALL_OPEN && !direct {
            // It waits for us to connect.
            let path = Way::Straight.path(&self.shared, client);
            door.deliver(Wire::new(local_id, main.clone(), client, remote_id, path), asked);
            return Some(running);
        }

        let (socket, arrived) = RpcSocket::bind(self.shared.host).await.ok()?;
        let mut armed = Armed::new(local_id, remote_id);
        armed.arm(main.clone());
        armed.arm(socket.clone());
        let nat = sample(&socket, self.shared.dht.known(NAT_NODES));
        let puncher = Puncher::new(self.shared.host, socket.clone(), arrived, nat);
        let meeting = meeting.map(|meeting| (meeting, local_id));
        tokio::spawn(Session::new(door, armed, puncher, meeting).run(asked));
        // A client on our own network is told the address of the main socket, which it may reach straight away.
        let same_network = direct || own.is_some_and(|own| own.ip() == client.ip());
        Some(Running { socket: (!same_network).then_some(socket), ..running })
    }

    fn payload(
        &self,
        listener: &Listener,
        session: u64,
        stream: u32,
        relay_through: Option<RelayThroughInfo>,
    ) -> NoisePayload {
        let relays = listener.relays();
        let relay_addresses: Vec<_> = relays.iter().map(|relay| relay.relay_address.clone()).collect();
        NoisePayload {
            holepunch: Some(HolepunchInfo { id: session, relays }),
            relay_through,
            relay_addresses: (!relay_addresses.is_empty()).then_some(relay_addresses),
            ..self.shared.payload(self.shared.dht.socket.port(), stream)
        }
    }
}

/// A holepunch message that a relay passed on to us.
pub(super) fn question(relay: SocketAddrV4, tid: u16, message: HolepunchMessage) -> Option<Question> {
    let client = address(message.peer_address.as_ref()?)?;
    (message.mode == MODE_FROM_RELAY).then_some(Question { relay, tid, client, payload: message.payload })
}

/// What a session needs to hand its stream to whoever accepts.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) listener: Arc<Listener>,
    pub(super) keys: NoiseWrapResult,
    /// Where the client is on its own network.
    pub(super) hosts: Vec<Ipv4Peer>,
}

impl Door {
    /// Hands the stream on this wire over as soon as the client has proven that our answer reached it. Until then it
    /// ends with the session's place.
    pub(super) fn deliver(self, wire: Wire, place: mpsc::Receiver<Question>) {
        let Self { shared, listener, keys, .. } = self;
        let unproven = Unproven { accepted: shared.accepted.clone(), topic: listener.topic, place };
        accept(wire, &keys, shared.closed.subscribe(), unproven);
    }
}

#[cfg(test)]
mod tests;
