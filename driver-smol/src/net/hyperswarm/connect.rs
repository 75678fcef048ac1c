//! Opens a stream to a listener, as the reference's `connect.js` does.
//!
//! The handshake goes through several relays at once, always as the same message; the first good answer counts. Then
//! the ways are tried side by side: the listener's address if it is open, its address on our own network, and punching.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::crypto::hash;
use peeroxide_dht::holepuncher::match_address;
use peeroxide_dht::hyperdht::KeyPair;
use peeroxide_dht::hyperdht_messages::{
    ERROR_NONE, FIND_PEER, FIREWALL_OPEN, HandshakeMessage, MODE_FROM_CLIENT, MODE_REPLY, NoisePayload, PEER_HANDSHAKE,
    RelayThroughInfo, decode_handshake_from_bytes, encode_handshake_to_bytes,
};
use peeroxide_dht::messages::Ipv4Peer;
use peeroxide_dht::noise::{Keypair, generate_keypair};
use peeroxide_dht::noise_wrap::{NoiseWrap, NoiseWrapResult};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::armed::Wire;
use super::carry::carry;
use super::nat::{Nat, sample};
use super::punch::{Event, Puncher, Start};
use super::relay::{Meeting, RELAY_AFTER, invent};
use super::rounds::{Relays, Rounds};
use super::rpc::{Arrival, Call, Patience, RpcSocket, address};
use super::way::Way;
use super::{NAT_NODES, Shared};
use crate::net::{RemoteKey, Stream};

/// How long all of it may take. Punching through a random NAT takes up to about 36 seconds.
const LIMIT: Duration = Duration::from_secs(45);
/// Nodes the handshake is sent through.
const MAX_RELAYS: usize = 6;
/// The relays that the listener named get this much time before others are searched.
const HEAD_START: Duration = Duration::from_millis(300);

/// Why no stream opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectError {
    /// No node relayed our handshake, or the listener did not answer it: it is gone, most likely.
    NoAnswer,
    /// The listener refused, or speaks another version.
    Refused,
    /// The two NATs leave no way.
    NoWay,
    /// It took too long.
    TimedOut,
    /// We have no socket.
    Socket,
}

/// Who takes the handshake to the listener.
#[derive(Clone, Debug)]
pub(super) enum Through {
    /// Nodes of the DHT; some that it named itself.
    Relays(Vec<SocketAddrV4>),
    /// Nobody: it is on a network of ours, at this address.
    Itself(SocketAddrV4),
}

/// Opens a stream to the listener with this key.
pub(super) async fn connect(
    shared: Arc<Shared>,
    keys: KeyPair,
    remote: [u8; 32],
    through: Through,
) -> Result<Stream, ConnectError> {
    let work = async {
        let (mut attempt, arrived) = Attempt::new(shared, keys, remote).await?;
        attempt.proposal = invent(&attempt.shared.relays);
        let met = attempt.shake_hands(through).await?;
        attempt.reach(&met, arrived).await
    };
    timeout(LIMIT, work).await.unwrap_or(Err(ConnectError::TimedOut))
}

/// Opens a stream to a relay, which needs no relay itself; tells the socket and the address that it lives at.
pub(super) async fn reach_relay(
    shared: Arc<Shared>,
    keys: KeyPair,
    relay: RemoteKey,
) -> Result<(Stream, Arc<RpcSocket>, SocketAddrV4), ConnectError> {
    let (attempt, arrived) = Attempt::new(shared, keys, relay).await?;
    let met = attempt.shake_hands(Through::Relays(Vec::new())).await?;
    let wire = attempt.reach_straight(&met, arrived).await?;
    let (socket, address) = (wire.socket.clone(), wire.remote);
    Ok((attempt.open(&met, wire), socket, address))
}

struct Attempt {
    shared: Arc<Shared>,
    socket: Arc<RpcSocket>,
    keys: KeyPair,
    /// Fixed for the attempt, so the handshake can be tried with another relay's answer.
    ephemeral: Keypair,
    remote: [u8; 32],
    /// The number of our stream.
    stream: u32,
    nat: watch::Receiver<Nat>,
    /// Where we propose to meet if there is no other way.
    proposal: Option<RelayThroughInfo>,
}

/// A relay's answer.
struct Relayed {
    relay: SocketAddrV4,
    /// Our address as the relay sees it.
    own: Option<SocketAddrV4>,
    /// The listener's address as the relay sees it; `None` if the "relay" is the listener itself.
    server: Option<SocketAddrV4>,
    noise: Vec<u8>,
}

/// The handshake is done.
struct Met {
    relayed: Relayed,
    theirs: NoisePayload,
    /// The number of their stream.
    stream: u32,
    keys: NoiseWrapResult,
}

impl Attempt {
    /// An attempt, and what arrives on its socket unasked.
    async fn new(
        shared: Arc<Shared>,
        keys: KeyPair,
        remote: RemoteKey,
    ) -> Result<(Self, mpsc::Receiver<Arrival>), ConnectError> {
        let (socket, arrived) = RpcSocket::bind(shared.host).await.map_err(|_| ConnectError::Socket)?;
        // Known by the time it is needed.
        let nat = sample(&socket, shared.dht.known(NAT_NODES));
        let (ephemeral, stream) = (generate_keypair(), rand::random());
        Ok((Self { shared, socket, keys, ephemeral, remote, stream, nat, proposal: None }, arrived))
    }

    async fn shake_hands(&self, through: Through) -> Result<Met, ConnectError> {
        let (_, request) = self.start().ok_or(ConnectError::Refused)?;
        let message =
            HandshakeMessage { mode: MODE_FROM_CLIENT, noise: request, peer_address: None, relay_address: None };
        let value = encode_handshake_to_bytes(&message).map_err(|_| ConnectError::Refused)?;
        let call = Call::new(PEER_HANDSHAKE, hash(&self.remote)).with_value(value);
        // Whoever answers at an address near us may not send us to another one.
        let only_itself = matches!(through, Through::Itself(_));
        let mut relays = self.relays(through);
        let mut asked = Vec::new();
        let mut answers = JoinSet::new();
        let mut refused = false;
        loop {
            tokio::select! {
                relay = relays.recv(), if !relays.is_closed() || !relays.is_empty() => {
                    let Some(relay) = relay else { continue };
                    if asked.len() < MAX_RELAYS && !asked.contains(&relay) {
                        asked.push(relay);
                        answers.spawn(ask(self.socket.clone(), relay, call.clone()));
                    }
                }
                answer = answers.join_next(), if !answers.is_empty() => {
                    if let Some(Ok(Some(relayed))) = answer
                        && (relayed.server.is_none() || !only_itself)
                    {
                        match self.finish(relayed) {
                            Some(Ok(met)) => return Ok(met),
                            Some(Err(_)) => refused = true,
                            None => {}
                        }
                    }
                }
                else => return Err(if refused { ConnectError::Refused } else { ConnectError::NoAnswer }),
            }
        }
    }

    /// Nodes that may relay, the named ones first. The channel closes when there are no more.
    fn relays(&self, through: Through) -> mpsc::Receiver<SocketAddrV4> {
        let (found, relays) = mpsc::channel(64);
        let hints = match through {
            Through::Relays(hints) => hints,
            Through::Itself(address) => {
                // There is room, and the receiver is right here.
                found.try_send(address).ok();
                return relays;
            }
        };
        let (dht, target) = (self.shared.dht.clone(), hash(&self.remote));
        tokio::spawn(async move {
            let any = !hints.is_empty();
            for hint in hints {
                if found.send(hint).await.is_err() {
                    return;
                }
            }
            if any {
                tokio::select! {
                    () = sleep(HEAD_START) => {}
                    () = found.closed() => return,
                }
            }
            let search = dht.query(Call::new(FIND_PEER, target), target, |reply| {
                // There is room for more than are tried.
                let _full = reply.value.is_some() && found.try_send(reply.from).is_err();
            });
            tokio::select! {
                _ = search => {}
                () = found.closed() => {}
            }
        });
        relays
    }

    /// Our side of the handshake and its first message, the same each time.
    fn start(&self) -> Option<(NoiseWrap, Vec<u8>)> {
        let keys = Keypair { public_key: self.keys.public_key, secret_key: self.keys.secret_key };
        let mut exchange = NoiseWrap::new_initiator(keys, self.remote);
        exchange.set_ephemeral(self.ephemeral.clone());
        let ours = self.shared.payload(self.socket.port(), self.stream);
        let ours = NoisePayload { relay_through: self.proposal.clone(), ..ours };
        let message = exchange.send(&ours).ok()?;
        Some((exchange, message))
    }

    /// Completes the handshake with this answer; `None` if it is not the listener's.
    fn finish(&self, relayed: Relayed) -> Option<Result<Met, ConnectError>> {
        let (mut exchange, _) = self.start()?;
        let theirs = exchange.recv(&relayed.noise).ok()?;
        let keys = exchange.finalize().ok()?;
        let stream = theirs.udx.as_ref().and_then(|udx| u32::try_from(udx.id).ok());
        Some(match stream {
            Some(stream) if theirs.version == 1 && theirs.error == ERROR_NONE => {
                Ok(Met { relayed, theirs, stream, keys })
            }
            _ => Err(ConnectError::Refused),
        })
    }

    /// Finds a way to the listener, by a relay if one was named and there is no other, and opens the stream on it.
    async fn reach(&self, met: &Met, arrived: mpsc::Receiver<Arrival>) -> Result<Stream, ConnectError> {
        let straight = self.reach_straight(met, arrived);
        let meeting = Meeting::of(met.theirs.relay_through.as_ref(), self.proposal.as_ref(), false);
        let wire = match meeting {
            Some(meeting) => self.reach_or_meet(straight, meeting).await?,
            None => straight.await?,
        };
        Ok(self.open(met, wire))
    }

    /// Goes to the relay when the straight way fails or takes long; then the first way that opens is taken.
    async fn reach_or_meet(
        &self,
        straight: impl Future<Output = Result<Wire, ConnectError>>,
        meeting: Meeting,
    ) -> Result<Wire, ConnectError> {
        let mut straight = std::pin::pin!(straight);
        let mut trying = match timeout(RELAY_AFTER, &mut straight).await {
            Ok(Ok(wire)) => return Ok(wire),
            Ok(Err(_)) => false,
            Err(_) => true,
        };
        let mut attending = meeting.attend(self.shared.clone(), self.stream);
        loop {
            tokio::select! {
                wire = &mut straight, if trying => match wire {
                    Ok(wire) => return Ok(wire),
                    Err(_) => trying = false,
                },
                passage = &mut attending => return match passage {
                    Ok(passage) => Ok(Wire::through(passage)),
                    Err(_) if trying => straight.await,
                    Err(error) => Err(error),
                },
            }
        }
    }

    /// Finds a way to the listener without a relay in between.
    async fn reach_straight(&self, met: &Met, arrived: mpsc::Receiver<Arrival>) -> Result<Wire, ConnectError> {
        let (Relayed { relay, own, server, .. }, nat) = (&met.relayed, self.nat.clone());
        let (relay, own, server) = (*relay, *own, *server);
        let Some(server) = server else {
            return Ok(self.wire(met, &self.socket, relay, Way::Straight));
        };
        let relays = Relays::of(&met.theirs, relay);
        if met.theirs.firewall == FIREWALL_OPEN {
            let public = met.theirs.addresses4.iter().filter_map(address).find(|a| is_public(*a.ip()));
            return Ok(self.wire(met, &self.socket, public.unwrap_or(server), Way::Straight));
        }
        let near = own.filter(|own| own.ip() == server.ip()).and_then(|_| self.near_address(&met.theirs.addresses4));
        let mut ping = std::pin::pin!(ping(self.socket.clone(), near));
        let mut pinging = near.is_some();
        let Some(relays) = relays else {
            return match (pinging, ping.await) {
                (true, Some(near)) => Ok(self.wire(met, &self.socket, near, Way::Straight)),
                _ => Err(ConnectError::NoWay),
            };
        };

        let mut puncher = Puncher::new(self.shared.host, self.socket.clone(), arrived, nat.clone());
        let rounds = Rounds::new(&self.socket, hash(&self.remote), &met.keys, server, relays, nat);
        let mut rounds = std::pin::pin!(rounds.run());
        let mut talking = true;
        while talking || pinging || puncher.is_punching() {
            tokio::select! {
                near = &mut ping, if pinging => {
                    pinging = false;
                    if let Some(near) = near {
                        return Ok(self.wire(met, &self.socket, near, Way::Straight));
                    }
                }
                remote = &mut rounds, if talking => {
                    talking = false;
                    match remote {
                        Ok(remote) => {
                            puncher.remote = remote;
                            let start = puncher.start(&self.shared.turns, Duration::ZERO).await;
                            if !matches!(start, Ok(Start::Punching)) && !pinging {
                                return Err(ConnectError::NoWay);
                            }
                        }
                        Err(error) if !pinging => return Err(error),
                        Err(_) => {}
                    }
                }
                event = puncher.next() => match event {
                    Event::Probe(number, from) => {
                        let socket = puncher.socket(number).cloned().ok_or(ConnectError::Socket)?;
                        let way = Way::Probed { nat: &puncher.nat(), theirs: &met.theirs.addresses4 };
                        return Ok(self.wire(met, &socket, from, way));
                    }
                    Event::GaveUp => return Err(ConnectError::NoWay),
                    Event::Nat | Event::Request(..) => {}
                },
            }
        }
        Err(ConnectError::NoWay)
    }

    /// The listener's address on our own network, if it may be on it.
    fn near_address(&self, theirs: &[Ipv4Peer]) -> Option<SocketAddrV4> {
        let ours = self.shared.local_addresses(self.socket.port());
        address(&match_address(&ours, theirs).or_else(|| theirs.first().cloned())?)
    }

    fn wire(&self, met: &Met, socket: &Arc<RpcSocket>, to: SocketAddrV4, way: Way<'_>) -> Wire {
        Wire::new(self.stream, socket.clone(), to, met.stream, way.path(&self.shared, to))
    }

    fn open(&self, met: &Met, wire: Wire) -> Stream {
        carry(wire, &met.keys, self.shared.closed.subscribe())
    }
}

async fn ask(socket: Arc<RpcSocket>, relay: SocketAddrV4, call: Call) -> Option<Relayed> {
    let response = socket.request(relay, call, Patience::LONG).await.ok()?;
    let message = decode_handshake_from_bytes(&response.value?).ok()?;
    let server = message.peer_address.as_ref().and_then(address);
    let good = message.mode == MODE_REPLY && !message.noise.is_empty();
    good.then(|| Relayed { relay, own: address(&response.to), server, noise: message.noise })
}

/// The address, if something answers there.
async fn ping(socket: Arc<RpcSocket>, near: Option<SocketAddrV4>) -> Option<SocketAddrV4> {
    let near = near?;
    socket.request(near, Call::PING, Patience::SHORT).await.is_ok().then_some(near)
}

fn is_public(host: Ipv4Addr) -> bool {
    let shared = host.octets()[0] == 100 && host.octets()[1] & 0xc0 == 64;
    !(host.is_private() || host.is_loopback() || host.is_link_local() || host.is_documentation() || shared)
}
