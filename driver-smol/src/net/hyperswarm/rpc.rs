//! A UDP socket that speaks the DHT's requests and responses, and on which UDX streams and punches arrive.
//!
//! The address a node is seen under belongs to one socket, so whatever depends on it (handshakes, punching, sampling
//! the NAT) has to be said from that socket: the DHT node of the library has only its own.
//!
//! Bytes from strangers: a response is looked at only if a request to that very address waits for it, everything else
//! goes into a bounded queue and is dropped when that is full.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libudx::{Datagram, UdxRuntime, UdxSocket, UdxStream};
use peeroxide_dht::messages::{
    Ipv4Peer, Message, Request, Response, decode_message, encode_request_to_bytes, encode_response_to_bytes,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::net::NetError;

/// Arrivals that may wait to be looked at.
const ARRIVALS: usize = 256;
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

/// How long to wait for an answer, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) attempts: u32,
    pub(super) each: Duration,
}

impl Patience {
    /// For questions that the next node can answer as well.
    pub(super) const SHORT: Self = Self { attempts: 2, each: Duration::from_millis(1000) };
    /// For what only this node can do.
    pub(super) const LONG: Self = Self { attempts: 3, each: Duration::from_millis(1500) };
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

type Pending = Arc<Mutex<HashMap<u16, Waiting>>>;

/// The socket. Its reading task ends with it; streams hold the UDP socket themselves.
pub(super) struct RpcSocket {
    udp: UdxSocket,
    port: u16,
    pending: Pending,
    reader: AbortHandle,
}

impl Drop for RpcSocket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl RpcSocket {
    /// Opens a socket on a free port of this address; gives what arrives on it unasked.
    pub(super) async fn bind(host: Ipv4Addr) -> Result<(Self, mpsc::Receiver<Arrival>), NetError> {
        Self::bind_to(SocketAddrV4::new(host, 0)).await
    }

    /// Opens a socket on this address.
    pub(super) async fn bind_to(address: SocketAddrV4) -> Result<(Self, mpsc::Receiver<Arrival>), NetError> {
        let failed = |reason| NetError::Bind { address: address.into(), reason: std::io::Error::other(reason) };
        let udp = runtime().and_then_socket().await.map_err(failed)?;
        udp.bind(address.into()).await.map_err(failed)?;
        let port = udp.local_addr().await.map_err(failed)?.port();
        let datagrams = udp.recv_start().map_err(failed)?;
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let pending = Pending::default();
        let reader = tokio::spawn(read(datagrams, pending.clone(), arrivals)).abort_handle();
        Ok((Self { udp, port, pending, reader }, arrived))
    }

    /// The local port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The socket itself, for streams.
    pub(super) fn udp(&self) -> &UdxSocket {
        &self.udp
    }

    /// Asks a node; repeats the question with the same number until an answer comes or patience ends.
    pub(super) async fn request(&self, to: SocketAddrV4, call: Call, patience: Patience) -> Result<Response, NoAnswer> {
        let (answer, mut answered) = oneshot::channel();
        let slot = Slot::take(&self.pending, Waiting { from: to, answer }).ok_or(NoAnswer)?;
        let bytes = encode(to, slot.tid, call).ok_or(NoAnswer)?;
        for _ in 0..patience.attempts {
            self.send(&bytes, to);
            if let Ok(response) = timeout(patience.each, &mut answered).await {
                return response.map_err(|_| NoAnswer);
            }
        }
        Err(NoAnswer)
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
    pub(super) async fn open_session(&self, to: SocketAddrV4) {
        // The library sends in a task of its own and knows no hop limit for a single packet. Should the task be late,
        // the packet goes further than needed: no harm in most networks.
        self.limit_hops(true);
        self.probe(to);
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.limit_hops(false);
    }

    /// Whether packets of this socket shall get only just out of our own network.
    pub(super) fn limit_hops(&self, low: bool) {
        // Where the system refuses it, probes go further than needed: no harm in most networks.
        drop(self.udp.set_ttl(if low { LOW_TTL } else { NORMAL_TTL }));
    }

    /// UDP may lose any packet, so an error here is one more lost packet.
    fn send(&self, bytes: &[u8], to: SocketAddrV4) {
        drop(self.udp.send_to(bytes, to.into()));
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

async fn read(mut datagrams: mpsc::UnboundedReceiver<Datagram>, pending: Pending, arrivals: mpsc::Sender<Arrival>) {
    while let Some(Datagram { data, addr }) = datagrams.recv().await {
        let SocketAddr::V4(from) = addr else { continue };
        if data.len() <= PROBE.len() {
            drop(arrivals.try_send(Arrival::Probe(from)));
        } else if data[0] == RESPONSE {
            answer(&pending, from, &data);
        } else if let Ok(Message::Request(request)) = decode_message(&data) {
            drop(arrivals.try_send(Arrival::Request(from, request)));
        }
    }
}

/// Hands a response to the request that waits for it.
fn answer(pending: &Pending, from: SocketAddrV4, data: &[u8]) {
    let [_, _, low, high, ..] = *data else { return };
    let tid = u16::from_le_bytes([low, high]);
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

fn encode(to: SocketAddrV4, tid: u16, call: Call) -> Option<Vec<u8>> {
    let Call { internal, command, target, token, value } = call;
    encode_request_to_bytes(&Request { tid, to: peer(to), id: None, token, internal, command, target, value }).ok()
}

/// Makes UDX sockets and streams; it holds nothing.
pub(super) struct Runtime(Result<UdxRuntime, libudx::UdxError>);

pub(super) fn runtime() -> Runtime {
    Runtime(UdxRuntime::new())
}

impl Runtime {
    async fn and_then_socket(self) -> Result<UdxSocket, libudx::UdxError> {
        self.0?.create_socket().await
    }

    /// A stream with this number, not connected yet.
    pub(super) async fn stream(self, id: u32) -> Result<UdxStream, libudx::UdxError> {
        self.0?.create_stream(id).await
    }
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
