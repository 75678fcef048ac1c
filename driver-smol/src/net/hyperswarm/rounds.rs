//! What the two sides tell each other, through relays, before they punch: the initiator's half.
//!
//! The first round asks how the other side is reached and opens our NAT for it; if both sides are lucky its answer is
//! already a probe ("fast open"). The second round says that we punch now, and proves the other side's address.

use std::net::SocketAddrV4;
use std::time::Duration;

use peeroxide_dht::hyperdht_messages::{
    ERROR_ABORTED, ERROR_NONE, FIREWALL_RANDOM, FIREWALL_UNKNOWN, HolepunchMessage, HolepunchPayload, MODE_FROM_CLIENT,
    MODE_REPLY, NoisePayload, PEER_HOLEPUNCH, decode_holepunch_msg_from_bytes, encode_holepunch_msg_to_bytes,
};
use peeroxide_dht::noise_wrap::NoiseWrapResult;
use peeroxide_dht::secure_payload::SecurePayload;
use tokio::sync::watch;
use tokio::time::sleep;

use super::connect::ConnectError;
use super::nat::{Nat, settled};
use super::punch::Remote;
use super::rpc::{Call, Patience, RpcSocket, address, peer};

/// The other side gets this much time to find out about its NAT.
const GRACE: Duration = Duration::from_secs(1);

/// The relays that the handshake came through and that the listener named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relays {
    session: u64,
    /// The one we used.
    client: SocketAddrV4,
    /// The one the listener is connected to, and its address there.
    server: SocketAddrV4,
    server_sees: SocketAddrV4,
}

impl Relays {
    /// `None` if the listener named none: it cannot be punched.
    pub(super) fn of(theirs: &NoisePayload, client: SocketAddrV4) -> Option<Self> {
        let info = theirs.holepunch.as_ref()?;
        let named = info
            .relays
            .iter()
            .take(8)
            .filter_map(|relay| Some((address(&relay.relay_address)?, address(&relay.peer_address)?)));
        let named: Vec<_> = named.collect();
        let ours = named.iter().find(|(relay, _)| *relay == client);
        let (server, server_sees) = *ours.or(named.first())?;
        Some(Self { session: info.id, client, server, server_sees })
    }
}

/// The talk of one attempt.
pub(super) struct Rounds<'a> {
    socket: &'a RpcSocket,
    target: [u8; 32],
    payload: SecurePayload,
    server: SocketAddrV4,
    relays: Relays,
    nat: watch::Receiver<Nat>,
    round: u64,
    remote: Remote,
}

/// An answer of the other side.
struct Answer {
    /// Its address as the relay sees it.
    from: SocketAddrV4,
    said: HolepunchPayload,
}

impl<'a> Rounds<'a> {
    /// `server` is the listener's address as the first relay saw it.
    pub(super) fn new(
        socket: &'a RpcSocket,
        target: [u8; 32],
        keys: &NoiseWrapResult,
        server: SocketAddrV4,
        relays: Relays,
        nat: watch::Receiver<Nat>,
    ) -> Self {
        let payload = SecurePayload::new(keys.holepunch_secret);
        Self { socket, target, payload, server, relays, nat, round: 0, remote: Remote::default() }
    }

    /// Tells what is to be known to punch.
    pub(super) async fn run(mut self) -> Result<Remote, ConnectError> {
        let result = self.talk().await;
        if result == Err(ConnectError::NoWay) {
            let farewell = HolepunchPayload { error: ERROR_ABORTED, ..self.message(false) };
            if let Some(call) = self.call(self.relays.server_sees, &farewell) {
                // It need not be heard: the other side gives up by itself in time.
                let once = Patience { first: Duration::ZERO, total: Duration::ZERO };
                drop(self.socket.request(self.relays.server, call, once).await);
            }
        }
        result.map(|()| self.remote)
    }

    async fn talk(&mut self) -> Result<(), ConnectError> {
        let mut answer = self.probe().await?;
        if self.remote.firewall == FIREWALL_UNKNOWN || answer.said.token.is_none() {
            if self.remote.firewall == FIREWALL_UNKNOWN {
                sleep(GRACE).await;
            }
            answer = self.probe().await?;
        }
        let nat = settled(&mut self.nat).await;
        let unknown = self.remote.firewall == FIREWALL_UNKNOWN || nat.firewall == FIREWALL_UNKNOWN;
        if unknown || (nat.is_random() && self.remote.firewall >= FIREWALL_RANDOM) {
            return Err(ConnectError::NoWay);
        }
        if self.relays.server == self.relays.client && self.server != answer.from {
            self.server = answer.from;
            self.socket.open_session(self.server);
        }
        self.announce_punching(answer.said.token).await
    }

    /// The first round.
    async fn probe(&mut self) -> Result<Answer, ConnectError> {
        self.socket.open_session(self.server);
        let message = HolepunchPayload { remote_address: Some(peer(self.server)), ..self.message(false) };
        let (relay, to) = (self.relays.server, self.relays.server_sees);
        let answer = self.exchange(relay, to, message).await?;
        self.heard(&answer, None);
        Ok(answer)
    }

    /// The second round.
    async fn announce_punching(&mut self, remote_token: Option<[u8; 32]>) -> Result<(), ConnectError> {
        let token = Some(self.payload.token(&self.server.ip().to_string()));
        let message = HolepunchPayload { token, remote_token, ..self.message(true) };
        let answer = self.exchange(self.relays.client, self.server, message).await?;
        self.heard(&answer, token);
        if self.remote.punching { Ok(()) } else { Err(ConnectError::Refused) }
    }

    fn heard(&mut self, answer: &Answer, token: Option<[u8; 32]>) {
        let said = &answer.said;
        let verified = (token.is_some() && said.remote_token == token).then(|| *self.server.ip());
        self.remote.update(said.firewall, said.punching, said.addresses.as_deref(), verified);
    }

    fn message(&self, punching: bool) -> HolepunchPayload {
        let nat = self.nat.borrow().clone();
        HolepunchPayload {
            error: ERROR_NONE,
            firewall: nat.firewall,
            round: self.round,
            connected: false,
            punching,
            addresses: Some(nat.addresses.into_iter().map(peer).collect()),
            remote_address: None,
            token: None,
            remote_token: None,
        }
    }

    fn call(&self, to: SocketAddrV4, said: &HolepunchPayload) -> Option<Call> {
        let payload = self.payload.encrypt(said).ok()?;
        let id = self.relays.session;
        let message = HolepunchMessage { mode: MODE_FROM_CLIENT, id, payload, peer_address: Some(peer(to)) };
        Some(Call::new(PEER_HOLEPUNCH, self.target).with_value(encode_holepunch_msg_to_bytes(&message).ok()?))
    }

    /// Sends a message to the other side at `to`, through this relay.
    async fn exchange(
        &mut self,
        relay: SocketAddrV4,
        to: SocketAddrV4,
        said: HolepunchPayload,
    ) -> Result<Answer, ConnectError> {
        self.round += 1;
        let call = self.call(to, &said).ok_or(ConnectError::Refused)?;
        let response = self.socket.request(relay, call, Patience::LONG).await.map_err(|_| ConnectError::NoAnswer)?;
        let message = response.value.and_then(|value| decode_holepunch_msg_from_bytes(&value).ok());
        let message = message.filter(|message| message.mode == MODE_REPLY).ok_or(ConnectError::NoAnswer)?;
        let said = self.payload.decrypt(&message.payload).map_err(|_| ConnectError::NoAnswer)?;
        if said.error != ERROR_NONE {
            return Err(ConnectError::Refused);
        }
        let from = message.peer_address.as_ref().and_then(address).unwrap_or(relay);
        Ok(Answer { from, said })
    }
}
