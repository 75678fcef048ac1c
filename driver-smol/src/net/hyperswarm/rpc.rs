//! A UDP socket that speaks the DHT's requests and responses, and on which streams and punches arrive.
//!
//! The address a node is seen under belongs to one socket, so whatever depends on it (handshakes, punching, sampling
//! the NAT, the stream in the end) has to be said from that socket.
//!
//! Bytes from strangers: a response is looked at only if a request to that very address waits for it, everything else
//! goes into a bounded queue and is dropped when that is full.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peeroxide_dht::messages::{
    Ipv4Peer, Message, Request, Response, decode_message, encode_request_to_bytes, encode_response_to_bytes,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::udx::stream_id;
use crate::net::NetError;

/// Arrivals that may wait to be looked at.
const ARRIVALS: usize = 256;
/// Packets of a stream that may wait to be looked at.
pub(super) const STREAM_PACKETS: usize = 1024;
/// The largest packet that is of any use: paths carry 1500 bytes at most.
const LARGEST_PACKET: usize = 2048;
/// The pause after the system could not receive.
const RECEIVE_PAUSE: Duration = Duration::from_millis(20);
/// The single byte that opens a way through a NAT.
const PROBE: &[u8] = &[0];
/// Hops a packet makes that shall open our own NAT and go no further than the other one.
const LOW_TTL: u32 = 5;
/// Hops of all other packets.
const NORMAL_TTL: u32 = 64;
/// In a message's first byte: the version of the protocol and whether it is a response.
const RESPONSE: u8 = 0b0001_0011;

/// What to ask of a node.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) internal: bool,
    pub(super) command: u64,
    pub(super) target: Option<[u8; 32]>,
    pub(super) token: Option<[u8; 32]>,
    pub(super) value: Option<Vec<u8>>,
}

impl Call {
    /// An internal `PING`.
    pub(super) const PING: Self = Self { internal: true, command: 0, target: None, token: None, value: None };

    /// A command of HyperDHT about `target`.
    pub(super) fn new(command: u64, target: [u8; 32]) -> Self {
        Self { internal: false, command, target: Some(target), token: None, value: None }
    }

    pub(super) fn with_value(self, value: Vec<u8>) -> Self {
        Self { value: Some(value), ..self }
    }
}

/// How long to wait for an answer. The question is repeated after pauses that double: packets get lost, and a question
/// that arrives twice does no harm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until it is asked again for the first time.
    pub(super) first: Duration,
    /// In all.
    pub(super) total: Duration,
}

impl Patience {
    /// For questions that the next node can answer as well.
    pub(super) const SHORT: Self = Self { first: Duration::from_millis(400), total: Duration::from_millis(2000) };
    /// For what only this node can do.
    pub(super) const LONG: Self = Self { first: Duration::from_millis(300), total: Duration::from_millis(4500) };
}

/// No usable answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// Something that arrived unasked.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A punch: somebody's single byte.
    Probe(SocketAddrV4),
    /// A request.
    Request(SocketAddrV4, Request),
}

struct Waiting {
    from: SocketAddrV4,
    answer: oneshot::Sender<Response>,
}

/// A packet of a stream.
#[derive(Debug)]
pub(super) struct Packet {
    /// The socket it came on, as numbered by whoever made the route.
    pub(super) socket: usize,
    pub(super) from: SocketAddrV4,
    pub(super) data: Vec<u8>,
}

/// Where the packets of a stream go.
struct Destination {
    packets: mpsc::Sender<Packet>,
    socket: usize,
}

type Pending = Arc<Mutex<HashMap<u16, Waiting>>>;
type Routes = Arc<Mutex<HashMap<u32, Destination>>>;

/// The socket. It is closed when the last one who holds it drops it.
pub(super) struct RpcSocket {
    udp: Arc<UdpSocket>,
    port: u16,
    pending: Pending,
    routes: Routes,
    reader: AbortHandle,
}

impl Drop for RpcSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Packets with this number go to a stream until this is dropped.
pub(super) struct Route {
    routes: Routes,
    id: u32,
}

impl Drop for Route {
    fn drop(&mut self) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl RpcSocket {
    /// Opens a socket on a free port of this address; gives what arrives on it unasked.
    pub(super) async fn bind(host: Ipv4Addr) -> Result<(Arc<Self>, mpsc::Receiver<Arrival>), NetError> {
        let address = SocketAddr::from((host, 0));
        let failed = |reason| NetError::Bind { address, reason };
        let udp = Arc::new(UdpSocket::bind(address).await.map_err(failed)?);
        let port = udp.local_addr().map_err(failed)?.port();
        // Until the runtime has seen this once, sending without waiting is refused.
        udp.writable().await.map_err(failed)?;
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let (pending, routes) = (Pending::default(), Routes::default());
        let reader = Reader { udp: udp.clone(), pending: pending.clone(), routes: routes.clone(), arrivals };
        let reader = tokio::spawn(reader.run()).abort_handle();
        Ok((Arc::new(Self { udp, port, pending, routes, reader }), arrived))
    }

    /// Sends packets of the stream with this number to `packets`, marked with `socket`.
    pub(super) fn route(&self, id: u32, packets: mpsc::Sender<Packet>, socket: usize) -> Route {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Destination { packets, socket });
        Route { routes: self.routes.clone(), id }
    }

    /// Sends a packet of a stream; waits while the system has no room for it.
    pub(super) async fn send_packet(&self, packet: &[u8], to: SocketAddrV4) {
        // An error is one more lost packet; a stream that never gets through is given up by its own timer.
        drop(self.udp.send_to(packet, to).await);
    }

    /// The local port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Asks a node; repeats the question with the same number until an answer comes or patience ends.
    pub(super) async fn request(&self, to: SocketAddrV4, call: Call, patience: Patience) -> Result<Response, NoAnswer> {
        let (answer, mut answered) = oneshot::channel();
        let slot = Slot::take(&self.pending, Waiting { from: to, answer }).ok_or(NoAnswer)?;
        let bytes = encode(to, slot.tid, call).ok_or(NoAnswer)?;
        let (mut left, mut pause) = (patience.total, patience.first);
        loop {
            self.send(&bytes, to);
            let wait = pause.min(left);
            if let Ok(response) = timeout(wait, &mut answered).await {
                return response.map_err(|_| NoAnswer);
            }
            left -= wait;
            pause *= 2;
            if left.is_zero() {
                return Err(NoAnswer);
            }
        }
    }

    /// Sends a request on its way under somebody else's number; the answer goes to them.
    pub(super) fn relay(&self, to: SocketAddrV4, tid: u16, call: Call) {
        if let Some(bytes) = encode(to, tid, call) {
            self.send(&bytes, to);
        }
    }

    /// Answers a request.
    pub(super) fn reply(&self, to: SocketAddrV4, tid: u16, value: Option<Vec<u8>>) {
        let response = Response { tid, to: peer(to), id: None, token: None, closer_nodes: Vec::new(), error: 0, value };
        if let Ok(bytes) = encode_response_to_bytes(&response) {
            self.send(&bytes, to);
        }
    }

    /// Sends a punch.
    pub(super) fn probe(&self, to: SocketAddrV4) {
        self.send(PROBE, to);
    }

    /// Opens our own NAT for packets from this address, without reaching it.
    pub(super) fn open_session(&self, to: SocketAddrV4) {
        self.limit_hops(true);
        self.probe(to);
        self.limit_hops(false);
    }

    /// Whether packets of this socket shall get only just out of our own network.
    pub(super) fn limit_hops(&self, low: bool) {
        // Where the system refuses it, probes go further than needed: no harm in most networks.
        drop(self.udp.set_ttl(if low { LOW_TTL } else { NORMAL_TTL }));
    }

    /// UDP may lose any packet, so an error here is one more lost packet.
    fn send(&self, bytes: &[u8], to: SocketAddrV4) {
        drop(self.udp.try_send_to(bytes, to.into()));
    }
}

/// A number that stands for a waiting request; given back when dropped.
struct Slot<'a> {
    pending: &'a Pending,
    tid: u16,
}

impl<'a> Slot<'a> {
    fn take(pending: &'a Pending, waiting: Waiting) -> Option<Self> {
        let mut table = pending.lock().unwrap_or_else(PoisonError::into_inner);
        // Guessing the number is all a stranger elsewhere needs to forge an answer, so it is random.
        let tid = (0..32).map(|_| rand::random()).find(|tid| !table.contains_key(tid))?;
        table.insert(tid, waiting);
        Some(Self { pending, tid })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tid);
    }
}

/// Takes in what arrives and gives it to whom it is for.
struct Reader {
    udp: Arc<UdpSocket>,
    pending: Pending,
    routes: Routes,
    arrivals: mpsc::Sender<Arrival>,
}

impl Reader {
    async fn run(self) {
        let mut buffer = vec![0; LARGEST_PACKET];
        loop {
            match self.udp.recv_from(&mut buffer).await {
                Ok((length, SocketAddr::V4(from))) => self.take(from, &buffer[..length]),
                Ok(_) => {}
                // The network may be down for a while.
                Err(_) => sleep(RECEIVE_PAUSE).await,
            }
        }
    }

    fn take(&self, from: SocketAddrV4, data: &[u8]) {
        // Whatever finds no room is lost, as packets are.
        if data.len() <= PROBE.len() {
            drop(self.arrivals.try_send(Arrival::Probe(from)));
        } else if let Some(id) = stream_id(data) {
            if let Some(route) = self.routes.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
                let packet = Packet { socket: route.socket, from, data: data.to_vec() };
                drop(route.packets.try_send(packet));
            }
        } else if response_tid(data).is_some() {
            answer(&self.pending, from, data);
        } else if let Ok(Message::Request(request)) = decode_message(data) {
            drop(self.arrivals.try_send(Arrival::Request(from, request)));
        }
    }
}

/// The number of the request that a response answers; `None` if it is none.
pub(super) fn response_tid(data: &[u8]) -> Option<u16> {
    match *data {
        [RESPONSE, _, low, high, ..] => Some(u16::from_le_bytes([low, high])),
        _ => None,
    }
}

/// Hands a response to the request that waits for it.
fn answer(pending: &Pending, from: SocketAddrV4, data: &[u8]) {
    let Some(tid) = response_tid(data) else { return };
    let expected = |waiting: &Waiting| waiting.from == from;
    if !pending.lock().unwrap_or_else(PoisonError::into_inner).get(&tid).is_some_and(expected) {
        return;
    }
    if let Ok(Message::Response(response)) = decode_message(data)
        && let Some(waiting) = pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&tid)
    {
        // Nobody may wait any more.
        drop(waiting.answer.send(response));
    }
}

/// A request as it is sent.
pub(super) fn encode(to: SocketAddrV4, tid: u16, call: Call) -> Option<Vec<u8>> {
    let Call { internal, command, target, token, value } = call;
    encode_request_to_bytes(&Request { tid, to: peer(to), id: None, token, internal, command, target, value }).ok()
}

/// An address as the library writes it.
pub(super) fn peer(address: SocketAddrV4) -> Ipv4Peer {
    Ipv4Peer { host: address.ip().to_string(), port: address.port() }
}

/// An address of the library, if a packet can be sent to it.
pub(super) fn address(peer: &Ipv4Peer) -> Option<SocketAddrV4> {
    let host: Ipv4Addr = peer.host.parse().ok()?;
    let usable = peer.port != 0 && !host.is_unspecified() && !host.is_multicast() && !host.is_broadcast();
    usable.then(|| SocketAddrV4::new(host, peer.port))
}

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;
