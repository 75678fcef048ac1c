//! Ways in for the fuzzer: bytes from strangers, given straight to what takes them in. Only with the feature `fuzzing`,
//! which no build of ours but the fuzzer's has. Each function panics when a rule is broken.

use std::sync::LazyLock;

use peeroxide_dht::hyperdht_messages::{
    decode_handshake_from_bytes, decode_holepunch_msg_from_bytes, decode_holepunch_payload_from_bytes,
    decode_noise_payload_from_bytes,
};
use peeroxide_dht::messages::{Ipv4Peer, Request, Response};
use peeroxide_dht::noise_wrap::NoiseWrapResult;

use super::dial::{MAX_LISTENERS, listeners};
use super::rpc::{address, fuzzing as rpc};
use super::secret::both_sides::keys;
use super::secret::{Corrupt, Opener, Sealer};
use super::server::question;

pub use super::udx::fuzzing::{hostile_packets as udx_hostile_packets, lossy_line as udx_lossy_line};

/// A packet on the DHT's socket, by whoever sent it: a request, or a response to a request that waits.
pub fn dht_packet(packet: &[u8]) {
    let (request, response) = rpc::take(packet);
    if let Some(request) = request {
        asked(&request);
    }
    if let Some(response) = response {
        answered(response);
    }
}

/// What a request carries, as our server reads it.
fn asked(request: &Request) {
    let Some(value) = request.value.as_deref() else { return };
    if let Ok(message) = decode_holepunch_msg_from_bytes(value) {
        drop(question(rpc::STRANGER, request.tid, message));
    }
    if let Ok(message) = decode_handshake_from_bytes(value) {
        sendable(message.peer_address.iter().chain(&message.relay_address));
    }
    inside(value);
}

/// What an answer carries, as a search and a dial read it.
fn answered(response: Response) {
    sendable([&response.to]);
    let Some(value) = super::dht::fuzzing::answered(response) else { return };
    let found = listeners(&value);
    assert!(found.len() <= MAX_LISTENERS);
    for peer in &found {
        sendable(&peer.relay_addresses);
    }
    if let Ok(message) = decode_handshake_from_bytes(&value) {
        sendable(&message.peer_address);
    }
    if let Ok(message) = decode_holepunch_msg_from_bytes(&value) {
        sendable(&message.peer_address);
    }
    inside(&value);
}

/// What comes encrypted in handshakes and in messages about punching: any client, and any listener, can write it.
fn inside(value: &[u8]) {
    if let Ok(payload) = decode_noise_payload_from_bytes(value) {
        sendable(&payload.addresses4);
        sendable(payload.relay_addresses.iter().flatten());
    }
    if let Ok(payload) = decode_holepunch_payload_from_bytes(value) {
        sendable(payload.addresses.iter().flatten().chain(&payload.remote_address));
    }
}

/// Addresses that strangers name lead to single hosts, or nowhere.
fn sendable<'a>(peers: impl IntoIterator<Item = &'a Ipv4Peer>) {
    for to in peers.into_iter().filter_map(address) {
        assert!(to.port() != 0 && !to.ip().is_multicast() && !to.ip().is_broadcast(), "packets would go to {to}");
    }
}

/// The keys of both sides of one handshake.
static KEYS: LazyLock<(NoiseWrapResult, NoiseWrapResult)> = LazyLock::new(keys);

/// An encrypted stream whose bytes are cut and changed on the way. What comes out is what went in, in order, up to the
/// first change.
///
/// The script is a list of steps: a byte that says what, one that says how much, and as many bytes as it says.
pub fn secret_stream(mut script: &[u8]) {
    let (ours, theirs) = &*KEYS;
    let (mut sealer, mut line) = Sealer::new(ours);
    let mut opener = Opener::new(theirs);
    let (mut sent, mut got, mut honest) = (Vec::new(), 0, true);
    while let [what, much, rest @ ..] = script {
        let much = usize::from(*much);
        let (bytes, rest) = rest.split_at(much.min(rest.len()));
        script = rest;
        match what % 5 {
            0 => {
                line.extend(sealer.seal(bytes));
                // Empty messages are nobody's.
                sent.extend(Some(bytes.to_vec()).filter(|bytes| !bytes.is_empty()));
            }
            1 => {
                honest &= bytes.is_empty();
                line.extend_from_slice(bytes);
            }
            2 => {
                let at = usize::from(bytes.first().copied().unwrap_or(0)) % line.len().max(1);
                if let Some(byte) = line.get_mut(at) {
                    *byte ^= what;
                    honest &= *what == 0;
                }
            }
            _ => {
                let rest = line.split_off(much.min(line.len()));
                match opener.open(&std::mem::replace(&mut line, rest)) {
                    Ok(messages) => {
                        for message in messages {
                            assert_eq!(sent.get(got), Some(&message), "another message than the one that was sent");
                            got += 1;
                        }
                    }
                    Err(Corrupt) => return assert!(!honest, "an unchanged stream ends"),
                }
            }
        }
    }
}
