//! Answers the handshakes of those who dial us, as the reference's `server.js` does.
//!
//! A client sends one and the same handshake through several relays at once. It is one handshake: the first makes a
//! session, all get the same answer. The streams are there before the answer leaves, so the first packet finds one.
//! Sessions are bounded, in all and for each host, because anybody can start one.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::crypto::hash;
use peeroxide_dht::hyperdht_messages::{
    ERROR_NONE, FIREWALL_OPEN, FIREWALL_UNKNOWN, HandshakeMessage, HolepunchInfo, HolepunchMessage, MODE_FROM_CLIENT,
    MODE_FROM_RELAY, MODE_FROM_SECOND_RELAY, MODE_FROM_SERVER, MODE_REPLY, NoisePayload, PEER_HANDSHAKE,
    PEER_HOLEPUNCH, SecretStreamInfo, UdxInfo, decode_handshake_from_bytes, decode_holepunch_msg_from_bytes,
    encode_handshake_to_bytes,
};
use peeroxide_dht::messages::{Command, Request};
use peeroxide_dht::noise::Keypair;
use peeroxide_dht::noise_wrap::{NoiseWrap, NoiseWrapResult};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::announce::Listener;
use super::armed::{Armed, Wire};
use super::carry::carry;
use super::nat::sample;
use super::punch::Puncher;
use super::rpc::{Arrival, Call, RpcSocket, address};
use super::session::{Question, Session};
use super::{NAT_NODES, Shared};
use crate::net::Incoming;

/// Sessions that may be open at the same time, in all and for clients on one host.
const MAX_SESSIONS: usize = 128;
const MAX_PER_HOST: usize = 16;
/// How long the answer to a handshake is kept, to be given again.
const KEEP_ANSWER: Duration = Duration::from_secs(15);

/// Answers what arrives on the main socket until the network is closed.
pub(super) async fn serve(shared: Arc<Shared>, mut arrivals: mpsc::Receiver<Arrival>) {
    let mut server = Server { shared, answers: HashMap::new(), sessions: HashMap::new() };
    while let Some(arrival) = arrivals.recv().await {
        if let Arrival::Request(from, request) = arrival {
            server.request(from, request).await;
        }
    }
}

struct Server {
    shared: Arc<Shared>,
    /// Answers given, by the hash of the handshake.
    answers: HashMap<[u8; 32], Answer>,
    sessions: HashMap<u64, Running>,
}

struct Answer {
    /// `None` if the handshake is refused.
    noise: Option<Vec<u8>>,
    /// Where to answer from; the main socket if there is none.
    socket: Option<Arc<RpcSocket>>,
    until: Instant,
}

struct Running {
    questions: mpsc::Sender<Question>,
    client: Ipv4Addr,
}

/// A handshake as it came.
struct Handshake {
    listener: Arc<Listener>,
    noise: Vec<u8>,
    client: SocketAddrV4,
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
                    && let Some(session) = self.sessions.get(&message.id)
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
        let key = hash(&noise);
        self.clean_up();
        if !self.answers.contains_key(&key) {
            if self.is_full(client) {
                return;
            }
            let handshake = Handshake { listener, noise, client, own: address(&request.to), direct };
            let answer = self.open(handshake).await.unwrap_or(Answer { noise: None, socket: None, until: soon() });
            self.answers.insert(key, answer);
        }
        let Some(Answer { noise: Some(noise), socket, .. }) = self.answers.get(&key) else {
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

    fn clean_up(&mut self) {
        let now = Instant::now();
        self.answers.retain(|_, answer| answer.until > now);
        self.sessions.retain(|_, session| !session.questions.is_closed());
    }

    fn is_full(&self, client: SocketAddrV4) -> bool {
        let same_host = self.sessions.values().filter(|session| session.client == *client.ip()).count();
        // Refused handshakes count as well: each costs a key exchange.
        self.sessions.len() >= MAX_SESSIONS || self.answers.len() >= 4 * MAX_SESSIONS || same_host >= MAX_PER_HOST
    }

    /// Opens a session for a handshake that was not seen before.
    async fn open(&mut self, handshake: Handshake) -> Option<Answer> {
        let Handshake { listener, noise, client, own, direct } = handshake;
        let keys = Keypair { public_key: listener.keys.public_key, secret_key: listener.keys.secret_key };
        let mut exchange = NoiseWrap::new_responder(keys);
        let theirs = exchange.recv(&noise).ok()?;
        if theirs.version != 1 || theirs.error != ERROR_NONE {
            return None;
        }
        let remote_id = u32::try_from(theirs.udx.as_ref()?.id).ok()?;
        let host = self.shared.host;
        let (socket, arrived) = RpcSocket::bind(host).await.ok()?;
        // Numbers that cannot be guessed: whoever knows one could put packets into the stream.
        let (id, local_id) = (u64::from(rand::random::<u32>()), rand::random());
        let ours = self.payload(&listener, id, local_id);
        let reply = exchange.send(&ours).ok()?;
        let keys = exchange.finalize().ok()?;

        if theirs.firewall == FIREWALL_OPEN && !direct {
            // It waits for us to connect.
            let wire = Wire::new(local_id, self.shared.dht.socket.clone(), client);
            deliver(&self.shared, &listener, wire, remote_id, &keys).await;
            return Some(Answer { noise: Some(reply), socket: None, until: soon() });
        }

        let mut armed = Armed::new(local_id);
        armed.arm(self.shared.dht.socket.clone());
        armed.arm(socket.clone());
        let nat = sample(&socket, self.shared.dht.known(NAT_NODES));
        let puncher = Puncher::new(host, socket.clone(), arrived, nat);
        let (questions, asked) = mpsc::channel(16);
        let session = Session::new(self.shared.clone(), listener, keys, remote_id, armed, puncher);
        tokio::spawn(session.run(asked));
        self.sessions.insert(id, Running { questions, client: *client.ip() });
        // A client on our own network is told the address of the main socket, which it may reach straight away.
        let same_network = direct || own.is_some_and(|own| own.ip() == client.ip());
        Some(Answer { noise: Some(reply), socket: (!same_network).then_some(socket), until: soon() })
    }

    fn payload(&self, listener: &Listener, session: u64, stream: u32) -> NoisePayload {
        let relays = listener.relays();
        let relay_addresses: Vec<_> = relays.iter().map(|relay| relay.relay_address.clone()).collect();
        NoisePayload {
            version: 1,
            error: ERROR_NONE,
            firewall: FIREWALL_UNKNOWN,
            holepunch: Some(HolepunchInfo { id: session, relays }),
            addresses4: self.shared.local_addresses(self.shared.dht.socket.port()),
            addresses6: Vec::new(),
            udx: Some(UdxInfo { version: 1, reusable_socket: false, id: u64::from(stream), seq: 0 }),
            secret_stream: Some(SecretStreamInfo { version: 1 }),
            relay_through: None,
            relay_addresses: (!relay_addresses.is_empty()).then_some(relay_addresses),
        }
    }
}

fn soon() -> Instant {
    Instant::now() + KEEP_ANSWER
}

/// A holepunch message that a relay passed on to us.
pub(super) fn question(relay: SocketAddrV4, tid: u16, message: HolepunchMessage) -> Option<Question> {
    let client = address(message.peer_address.as_ref()?)?;
    (message.mode == MODE_FROM_RELAY).then_some(Question { relay, tid, client, payload: message.payload })
}

/// Hands a stream that is connected to whoever accepts.
pub(super) async fn deliver(shared: &Shared, listener: &Listener, wire: Wire, remote_id: u32, keys: &NoiseWrapResult) {
    let stream = carry(wire, remote_id, keys, shared.closed.subscribe());
    // Refused only when the network was closed: the stream closes with it.
    drop(shared.accepted.send(Incoming { stream, topics: vec![listener.topic] }).await);
}
