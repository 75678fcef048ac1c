use peeroxide_dht::hyperdht_messages::{FIREWALL_UNKNOWN, SecretStreamInfo, UdxInfo};
use peeroxide_dht::noise::generate_keypair;

use super::*;
use crate::net::hyperswarm::rpc::{Patience, peer};
use crate::net::{Bootstrap, DialEvent, Hyperswarm, HyperswarmConfig, Network};

const TOPIC: [u8; 32] = [3; 32];

async fn node(dht: &Bootstrap) -> Hyperswarm {
    let config = HyperswarmConfig {
        bootstrap: vec![dht.address().to_string()],
        host: Ipv4Addr::LOCALHOST,
        lan: false,
        ..HyperswarmConfig::default()
    };
    Hyperswarm::open(config).await.unwrap()
}

/// A node that listens on a DHT of its own: both, its listener, and the address of its main socket.
async fn listening() -> (Bootstrap, Hyperswarm, Arc<Listener>, SocketAddrV4) {
    let dht = Bootstrap::run(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), Vec::new()).await.unwrap();
    let server = node(&dht).await;
    server.listen(TOPIC).await.unwrap();
    let listener = server.shared.listeners.lock().unwrap().values().next().unwrap().clone();
    let main = SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.shared.dht.socket.port());
    (dht, server, listener, main)
}

/// A well-made first message of a client that will never come back.
fn first_message(server: [u8; 32]) -> Vec<u8> {
    let payload = NoisePayload {
        version: 1,
        error: ERROR_NONE,
        firewall: FIREWALL_UNKNOWN,
        holepunch: None,
        addresses4: Vec::new(),
        addresses6: Vec::new(),
        udx: Some(UdxInfo { version: 1, reusable_socket: false, id: 5, seq: 0 }),
        secret_stream: Some(SecretStreamInfo { version: 1 }),
        relay_through: None,
        relay_addresses: None,
    };
    NoiseWrap::new_initiator(generate_keypair(), server).send(&payload).unwrap()
}

fn call(target: [u8; 32], noise: Vec<u8>) -> Call {
    let message = HandshakeMessage { mode: MODE_FROM_CLIENT, noise, peer_address: None, relay_address: None };
    Call::new(PEER_HANDSHAKE, target).with_value(encode_handshake_to_bytes(&message).unwrap())
}

/// The sockets that this process has open.
fn open_sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn a_flood_of_handshakes_keeps_no_honest_client_out() {
    smol::block_on(async_compat::Compat::new(async {
        let (dht, server, listener, main) = listening().await;
        let client = node(&dht).await;
        let (flooder, _arrived) = RpcSocket::bind(Ipv4Addr::LOCALHOST).await.unwrap();
        let before = open_sockets();
        for i in 0..5 * MAX_SESSIONS {
            let good = first_message(listener.keys.public_key);
            let garbage = vec![i as u8; 90];
            for noise in [good, garbage] {
                flooder.relay(main, i as u16, call(listener.target, noise));
            }
            if i % 8 == 0 {
                // So that the packets are looked at and do not just overflow the queue.
                sleep(Duration::from_millis(2)).await;
            }
        }
        // Each session has a socket. Tests beside this one have a few, too.
        let more = open_sockets().saturating_sub(before);
        assert!(more <= MAX_ANSWERS + MAX_SESSIONS, "{more} more sockets");
        // A lookup may fail on a machine that is busy with the flood's leftovers; a node dials again, too.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !matches!(client.dial(TOPIC).next().await, Some(DialEvent::Opened(_))) {
            assert!(Instant::now() < deadline, "the honest client connects");
        }
        assert_eq!(server.accept().await.unwrap().topics, [TOPIC]);
    }));
}

#[test]
fn half_open_handshakes_count_against_whoever_sent_them_and_not_whom_they_name() {
    smol::block_on(async_compat::Compat::new(async {
        let (_dht, _server, listener, main) = listening().await;
        // Another host than the one that relays to the server.
        let (honest, _arrived) = RpcSocket::bind(Ipv4Addr::new(127, 0, 0, 3)).await.unwrap();
        let (flooder, _arrived) = RpcSocket::bind(Ipv4Addr::new(127, 0, 0, 2)).await.unwrap();
        let call_of = |noise| call(listener.target, noise);
        let honest_noise = first_message(listener.keys.public_key);
        let ask = || honest.request(main, call_of(honest_noise.clone()), Patience::SHORT);
        let first = ask().await.unwrap().value;

        let before = open_sockets();
        let client = Some(peer(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 3), honest.port())));
        for i in 0..3 * MAX_PER_HOST {
            let noise = first_message(listener.keys.public_key);
            let message =
                HandshakeMessage { mode: MODE_FROM_RELAY, noise, peer_address: client.clone(), relay_address: None };
            let value = encode_handshake_to_bytes(&message).unwrap();
            flooder.relay(main, i as u16, Call::new(PEER_HANDSHAKE, listener.target).with_value(value));
            // A question that is answered: the packets before it were looked at.
            flooder.request(main, Call::PING, Patience::LONG).await.unwrap();
        }
        let more = open_sockets().saturating_sub(before);
        // Tests beside this one have sockets, too; without the limit there would be three times as many.
        assert!(more <= 2 * MAX_PER_HOST, "{more} more sockets");
        assert_eq!(ask().await.unwrap().value, first, "the honest client still has its session");
    }));
}

#[test]
fn the_same_handshake_gets_the_same_answer_and_a_changed_one_none() {
    smol::block_on(async_compat::Compat::new(async {
        let (_dht, _server, listener, main) = listening().await;
        let (asker, _arrived) = RpcSocket::bind(Ipv4Addr::LOCALHOST).await.unwrap();
        let noise = first_message(listener.keys.public_key);
        let ask = || asker.request(main, call(listener.target, noise.clone()), Patience::SHORT);
        let (one, two) = (ask().await.unwrap(), ask().await.unwrap());
        assert!(one.value.is_some() && one.value == two.value);

        let mut changed = noise.clone();
        changed[40] ^= 1;
        let once = Patience { first: Duration::from_millis(100), total: Duration::from_millis(100) };
        assert!(asker.request(main, call(listener.target, changed), once).await.is_err());
        let unknown = call([1; 32], noise.clone());
        assert!(asker.request(main, unknown, once).await.is_err(), "nobody listens under this target");
    }));
}

#[test]
fn an_unproven_stream_is_not_handed_over() {
    smol::block_on(async_compat::Compat::new(async {
        let (_dht, server, listener, main) = listening().await;
        let (asker, _arrived) = RpcSocket::bind(Ipv4Addr::LOCALHOST).await.unwrap();
        let call = call(listener.target, first_message(listener.keys.public_key));
        asker.request(main, call, Patience::SHORT).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(300), server.accept()).await;
        assert!(waiting.is_err(), "a handshake alone is no stream");
    }));
}
