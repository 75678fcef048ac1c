//! Meeting through a third node where two NATs leave no other way: our side of the reference's `blind-relay`.
//!
//! Both sides connect to the relay and name the same token, which one of them made up and told the other in their
//! handshake. Whoever has relays configured proposes one in each handshake, because what kind of NAT the other side has
//! is not known then; ours go there only when there is no other way, or none opens soon. The relay then passes on the
//! packets of one stream. It sees them as any router does: what is in them is encrypted between the two sides, and a
//! packet that it changes ends the stream.

use std::net::SocketAddrV4;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::blind_relay::{MSG_TYPE_PAIR, PROTOCOL_NAME};
use peeroxide_dht::hyperdht::KeyPair;
use peeroxide_dht::hyperdht_messages::RelayThroughInfo;
use peeroxide_dht::protomux::{encode_message, encode_open};
use rand::seq::IndexedRandom as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::connect::{ConnectError, reach_relay};
use super::rpc::{Packet, Route, RpcSocket, STREAM_PACKETS};
use super::{AbortOnDrop, Shared};
use crate::net::{RemoteKey, StreamReader, StreamWriter};

/// How long a way without a relay is looked for before a relay is tried as well. Between NATs that can be punched it
/// takes a few round trips.
pub(super) const RELAY_AFTER: Duration = Duration::from_secs(2);
/// How long it may take until both sides have come to the relay. The reference waits as long.
pub(super) const PAIRING: Duration = Duration::from_secs(15);
/// Our only channel on the connection to the relay.
const CHANNEL: u64 = 1;

/// One of our relays, and a token for one meeting there.
pub(super) fn invent(relays: &[RemoteKey]) -> Option<RelayThroughInfo> {
    let public_key = *relays.choose(&mut rand::rng())?;
    Some(RelayThroughInfo { version: 1, public_key, token: rand::random() })
}

/// Where and how the two sides of one handshake can meet.
#[derive(Clone, Copy)]
pub(super) struct Meeting {
    relay: RemoteKey,
    token: [u8; 32],
    /// The token is ours.
    is_ours: bool,
}

impl Meeting {
    /// What the handshake named. The listener's proposal comes first.
    pub(super) fn of(
        listener: Option<&RelayThroughInfo>,
        client: Option<&RelayThroughInfo>,
        are_listener: bool,
    ) -> Option<Self> {
        let proposal = listener.or(client)?;
        let is_ours = listener.is_some() == are_listener;
        Some(Self { relay: proposal.public_key, token: proposal.token, is_ours })
    }

    /// Goes to the relay for the stream with this number, and waits there for the other side.
    pub(super) fn attend(self, shared: Arc<Shared>, stream: u32) -> Attending {
        Box::pin(async move {
            // A stranger can make us go to a relay, too.
            let _place = shared.relaying.acquire().await.map_err(|_| ConnectError::NoWay)?;
            timeout(PAIRING, self.pair(&shared, stream)).await.unwrap_or(Err(ConnectError::TimedOut))
        })
    }

    async fn pair(self, shared: &Arc<Shared>, stream: u32) -> Result<Passage, ConnectError> {
        let keys = KeyPair::generate();
        let id = keys.public_key;
        let (connection, socket, relay) = reach_relay(shared.clone(), keys, self.relay).await?;
        let (sender, packets) = mpsc::channel(STREAM_PACKETS);
        let route = socket.route(stream, sender, 0);
        let (mut reader, writer) = connection.split();
        let refused = |_| ConnectError::Refused;
        writer.send(encode_open(CHANNEL, PROTOCOL_NAME, Some(&id), None)).await.map_err(refused)?;
        writer.send(self.request(stream)).await.map_err(refused)?;
        let stream = loop {
            let message = reader.recv().await.ok_or(ConnectError::Refused)?;
            match Heard::in_message(&message) {
                Heard::Paired { token, stream } if token == self.token => break stream,
                Heard::Closed => return Err(ConnectError::Refused),
                Heard::Paired { .. } | Heard::Nothing => {}
            }
        };
        let stay = AbortOnDrop(tokio::spawn(stay(reader, writer, route)).abort_handle());
        Ok(Passage { socket, relay, stream, packets, stay: Stay { _task: stay } })
    }

    fn request(&self, stream: u32) -> Vec<u8> {
        let mut payload = vec![u8::from(self.is_ours)];
        payload.extend(self.token);
        payload.push(0xfe);
        payload.extend(stream.to_le_bytes());
        // The number of its first packet.
        payload.push(0);
        encode_message(CHANNEL, MSG_TYPE_PAIR.into(), &payload)
    }
}

/// Ends when both sides are at the relay.
pub(super) type Attending = Pin<Box<dyn Future<Output = Result<Passage, ConnectError>> + Send>>;

/// The way through a relay.
pub(super) struct Passage {
    pub(super) socket: Arc<RpcSocket>,
    pub(super) relay: SocketAddrV4,
    /// The number under which the relay takes our packets.
    pub(super) stream: u32,
    pub(super) packets: mpsc::Receiver<Packet>,
    pub(super) stay: Stay,
}

/// Our connection to the relay. The relay passes packets on for as long as it stands; when it ends, so do the packets.
pub(super) struct Stay {
    _task: AbortOnDrop,
}

/// Keeps the connection open. With it goes the route, and so the stream sees its end.
async fn stay(mut reader: StreamReader, _writer: StreamWriter, _route: Route) {
    while let Some(message) = reader.recv().await {
        if matches!(Heard::in_message(&message), Heard::Closed) {
            return;
        }
    }
}

/// What a relay's message says.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// The other side is there too.
    Paired { token: [u8; 32], stream: u32 },
    /// The channel was refused or closed.
    Closed,
    /// Nothing that concerns us.
    Nothing,
}

impl Heard {
    /// The library's own decoder of frames overflows on lengths that a relay may make up.
    fn in_message(message: &[u8]) -> Self {
        let mut rest = message;
        let (Some(channel), Some(kind)) = (number(&mut rest), number(&mut rest)) else {
            return Self::Nothing;
        };
        match (channel, kind) {
            // Control messages: a channel was rejected, or closed.
            (0, 2 | 3) => Self::Closed,
            (0, _) => Self::Nothing,
            (_, kind) if kind == u64::from(MSG_TYPE_PAIR) => Self::paired(rest).unwrap_or(Self::Nothing),
            _ => Self::Nothing,
        }
    }

    fn paired(mut rest: &[u8]) -> Option<Self> {
        // The only flag tells whose token it is; a token has one owner, so it tells nothing new.
        number(&mut rest)?;
        let (token, mut rest) = rest.split_first_chunk()?;
        Some(Self::Paired { token: *token, stream: number(&mut rest)?.try_into().ok()? })
    }
}

/// Takes a number off the front, as compact-encoding writes it.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let (first, after) = rest.split_first()?;
    let length = match first {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        small => {
            *rest = after;
            return Some((*small).into());
        }
    };
    let (digits, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

#[cfg(test)]
mod tests;
