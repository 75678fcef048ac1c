//! One whole handshake with nobody in between: what both sides of a stream have from it, for tests and the fuzzer.

use peeroxide_dht::hyperdht_messages::NoisePayload;
use peeroxide_dht::noise::generate_keypair;
use peeroxide_dht::noise_wrap::{NoiseWrap, NoiseWrapResult};

/// The keys of both sides, the initiator's first.
pub(crate) fn keys() -> (NoiseWrapResult, NoiseWrapResult) {
    let server = generate_keypair();
    let mut ours = NoiseWrap::new_initiator(generate_keypair(), server.public_key);
    let mut theirs = NoiseWrap::new_responder(server);
    let payload = NoisePayload {
        version: 1,
        error: 0,
        firewall: 0,
        holepunch: None,
        addresses4: Vec::new(),
        addresses6: Vec::new(),
        udx: None,
        secret_stream: None,
        relay_through: None,
        relay_addresses: None,
    };
    let request = ours.send(&payload).expect("a request");
    theirs.recv(&request).expect("a good request");
    let reply = theirs.send(&payload).expect("a reply");
    ours.recv(&reply).expect("a good reply");
    (ours.finalize().expect("keys"), theirs.finalize().expect("keys"))
}
