//! Two networks on a private DHT on loopback: no root, no other machine, nothing reachable outside.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use peeroxide_dht::hyperdht_messages::{HyperPeer, LookupRawReply, encode_lookup_raw_reply_to_bytes};
use peeroxide_dht::messages::{Ipv4Peer, Message, Response, decode_message, encode_response_to_bytes};
use peeroxide_dht::peer::peer_id;
use smol::Timer;
use smol::future::FutureExt as _;
use wopr_p2p_smol::net::{
    Answer, Bootstrap, Dial, DialEnd, DialEvent, Hyperswarm, HyperswarmConfig, Incoming, NatKind, NetError, Network,
    Path, SendError, Stream, StreamReader, StreamWriter, Tcp, TcpConfig,
};

const TOPIC: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [9; 32];
/// What no step may take longer than. A limit for hanging, not a measurement.
const LIMIT: Duration = Duration::from_secs(20);

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let late = async {
        Timer::after(LIMIT).await;
        panic!("{what}: not done after {LIMIT:?}");
    };
    work.or(late).await
}

async fn private_dht() -> Bootstrap {
    Bootstrap::run(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), Vec::new()).await.unwrap()
}

async fn node(dht: &Bootstrap) -> Hyperswarm {
    node_of(&[dht.address().to_string()]).await
}

async fn node_of(bootstrap: &[String]) -> Hyperswarm {
    let config = HyperswarmConfig {
        bootstrap: bootstrap.to_vec(),
        host: Ipv4Addr::LOCALHOST,
        lan: false,
        ..HyperswarmConfig::default()
    };
    Hyperswarm::open(config).await.unwrap()
}

/// A node that also takes part in multicast DNS, on loopback alone.
async fn lan_node(bootstrap: SocketAddr) -> Hyperswarm {
    let config = HyperswarmConfig {
        bootstrap: vec![bootstrap.to_string()],
        host: Ipv4Addr::LOCALHOST,
        lan: true,
        ..HyperswarmConfig::default()
    };
    Hyperswarm::open(config).await.unwrap()
}

async fn opened(dial: &mut Dial) -> Stream {
    match in_time("dial", dial.next()).await {
        Some(DialEvent::Opened(stream)) => stream,
        other => panic!("expected a stream, got {other:?}"),
    }
}

async fn ended(dial: &mut Dial) -> DialEnd {
    match in_time("end of the dial", dial.next()).await {
        Some(DialEvent::Ended(end)) => end,
        other => panic!("expected the end, got {other:?}"),
    }
}

async fn accepted(network: &impl Network) -> Incoming {
    in_time("accept", network.accept()).await.unwrap()
}

async fn pair(server: &impl Network, client: &impl Network) -> (Stream, Stream) {
    in_time("listen", server.listen(TOPIC)).await.unwrap();
    let theirs = opened(&mut client.dial(TOPIC)).await;
    let ours = accepted(server).await;
    assert_eq!(ours.topics, [TOPIC], "an incoming stream tells the topic it came for");
    (ours.stream, theirs)
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8).wrapping_add(seed)).collect()
}

const SIZES: [usize; 7] = [1, 2, 1000, 1200, 64 * 1024, 1_400_000, 3];

async fn send_all(writer: &StreamWriter, seed: u8) {
    for size in SIZES {
        writer.send(pattern(size, seed)).await.unwrap();
    }
}

async fn receive_all(reader: &mut StreamReader, seed: u8) {
    for size in SIZES {
        let message = in_time("message", reader.recv()).await.expect("the stream is open");
        assert_eq!(message.len(), size, "one write is one message");
        assert!(message == pattern(size, seed), "a message of {size} bytes arrives as it was sent");
    }
}

/// Sends messages of all sizes both ways at the same time, then closes from the client's side.
async fn exchange(server: Stream, client: Stream) {
    let (mut server_reader, server_writer) = server.split();
    let (mut client_reader, client_writer) = client.split();
    let server_side = async {
        smol::future::zip(send_all(&server_writer, 1), receive_all(&mut server_reader, 2)).await;
    };
    let client_side = async {
        smol::future::zip(send_all(&client_writer, 2), receive_all(&mut client_reader, 1)).await;
    };
    in_time("exchange", smol::future::zip(server_side, client_side)).await;

    client_writer.send(b"the last word".to_vec()).await.unwrap();
    in_time("close", client_writer.close()).await;
    assert_eq!(in_time("last message", server_reader.recv()).await.unwrap(), b"the last word");
    assert_eq!(in_time("end", server_reader.recv()).await, None, "closing is reported");
    in_time("closed for sending", async {
        while server_writer.send(vec![0]).await != Err(SendError::Closed) {
            Timer::after(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[test]
fn messages_of_all_sizes_keep_their_boundaries_in_both_directions() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (server, client) = (node(&dht).await, node(&dht).await);
        let (ours, theirs) = pair(&server, &client).await;
        exchange(ours, theirs).await;
        in_time("close", smol::future::zip(server.close(), client.close())).await;
        dht.close().await;
    });
}

#[test]
fn tcp_keeps_the_same_promises() {
    smol::block_on(async {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Tcp::open(TcpConfig { bind, key: [1; 32], addresses: Default::default() }).await.unwrap();
        let addresses = [(TOPIC, vec![server.local_addr()]), (OTHER, vec![server.local_addr()])].into();
        let client = Tcp::open(TcpConfig { bind, key: [2; 32], addresses }).await.unwrap();
        let (ours, theirs) = pair(&server, &client).await;
        assert_eq!((ours.remote(), theirs.remote()), ([2; 32], [1; 32]));
        exchange(ours, theirs).await;
        assert_eq!(ended(&mut client.dial(OTHER)).await, DialEnd::Exhausted, "nobody listens on this topic");
        server.unlisten(TOPIC).await;
        assert_eq!(ended(&mut client.dial(TOPIC)).await, DialEnd::Exhausted);
        server.close().await;
        assert!(server.accept().await.is_none());
    });
}

#[test]
fn a_dial_finds_each_listener_once_and_then_ends() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (a, b, client) = (node(&dht).await, node(&dht).await, node(&dht).await);
        in_time("listen", a.listen(TOPIC)).await.unwrap();
        in_time("listen", b.listen(TOPIC)).await.unwrap();
        let mut dial = client.dial(TOPIC);
        let (one, two) = (opened(&mut dial).await, opened(&mut dial).await);
        assert_ne!(one.remote(), two.remote());
        assert_eq!(ended(&mut dial).await, DialEnd::Exhausted);
        assert!(dial.next().await.is_none());
    });
}

#[test]
fn a_listener_does_not_dial_itself() {
    smol::block_on(async {
        let dht = private_dht().await;
        let only = node(&dht).await;
        in_time("listen", only.listen(TOPIC)).await.unwrap();
        assert_eq!(ended(&mut only.dial(TOPIC)).await, DialEnd::Exhausted);
    });
}

#[test]
fn an_incoming_stream_tells_for_which_topic_it_came() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (server, client) = (node(&dht).await, node(&dht).await);
        in_time("listen", server.listen(TOPIC)).await.unwrap();
        in_time("listen", server.listen(OTHER)).await.unwrap();
        for topic in [OTHER, TOPIC] {
            let stream = opened(&mut client.dial(topic)).await;
            let (_, writer) = stream.split();
            writer.send(b"hello".to_vec()).await.unwrap();
            assert_eq!(accepted(&server).await.topics, [topic]);
        }
    });
}

#[test]
fn who_no_longer_listens_is_not_found() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (server, client) = (node(&dht).await, node(&dht).await);
        let (ours, theirs) = pair(&server, &client).await;
        in_time("unlisten", server.unlisten(TOPIC)).await;

        let began = Instant::now();
        let late = node(&dht).await;
        assert_eq!(ended(&mut late.dial(TOPIC)).await, DialEnd::Exhausted);
        assert!(began.elapsed() < Duration::from_secs(2), "no time is lost on a listener that left: nothing is found");
        // What was open stays open.
        exchange(ours, theirs).await;
        // And listening again works.
        in_time("listen", server.listen(TOPIC)).await.unwrap();
        opened(&mut late.dial(TOPIC)).await;
    });
}

#[test]
fn closing_takes_the_announcements_back_and_ends_accepting() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (server, client) = (node(&dht).await, node(&dht).await);
        in_time("listen", server.listen(TOPIC)).await.unwrap();
        in_time("close", server.close()).await;
        assert!(server.accept().await.is_none());
        assert_eq!(ended(&mut client.dial(TOPIC)).await, DialEnd::Exhausted);
    });
}

#[test]
fn without_a_dht_the_network_is_down_and_not_exhausted() {
    smol::block_on(async {
        // A socket that never answers.
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let lonely = node_of(&[silent.local_addr().unwrap().to_string()]).await;
        assert!(matches!(in_time("listen", lonely.listen(TOPIC)).await, Err(NetError::Unreachable)));
        assert_eq!(ended(&mut lonely.dial(TOPIC)).await, DialEnd::NetworkDown);
        in_time("close", lonely.close()).await;
    });
}

#[test]
fn listening_succeeds_later_when_the_dht_comes_up_late() {
    smol::block_on(async {
        let reserved = UdpSocket::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(address) = reserved.local_addr().unwrap() else { unreachable!("bound to IPv4") };
        drop(reserved);
        let (server, client) = (node_of(&[address.to_string()]).await, node_of(&[address.to_string()]).await);
        assert!(matches!(in_time("listen", server.listen(TOPIC)).await, Err(NetError::Unreachable)));
        let _dht = Bootstrap::run(address, Vec::new()).await.unwrap();
        in_time("found after the DHT came up", async {
            while !matches!(client.dial(TOPIC).next().await, Some(DialEvent::Opened(_))) {
                Timer::after(Duration::from_millis(100)).await;
            }
        })
        .await;
    });
}

#[test]
fn a_listener_whose_relays_are_gone_is_found_again_through_others() {
    smol::block_on(async {
        let first = private_dht().await;
        let mut others = Vec::new();
        for _ in 0..3 {
            let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
            others.push(Bootstrap::run(at, vec![first.address().to_string()]).await.unwrap());
        }
        let server = node(&first).await;
        in_time("listen", server.listen(TOPIC)).await.unwrap();
        // Three of the four nodes relay to it; at least two of these go.
        for other in others {
            other.close().await;
        }
        let client = node(&first).await;
        in_time("found again", async {
            while !matches!(client.dial(TOPIC).next().await, Some(DialEvent::Opened(_))) {
                Timer::after(Duration::from_millis(100)).await;
            }
        })
        .await;
        let again = node(&first).await;
        opened(&mut again.dial(TOPIC)).await;
    });
}

#[test]
fn garbage_from_strangers_does_not_disturb() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (server, client) = (node(&dht).await, node(&dht).await);
        let (ours, theirs) = pair(&server, &client).await;
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ports: Vec<u16> = [format!("{server:?}"), format!("{client:?}")]
            .iter()
            .map(|text| text.trim_end_matches(')').rsplit(':').next().unwrap().parse().unwrap())
            .collect();
        let mut state = 0x9e37_79b9_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..20_000 {
            let mut packet: Vec<u8> = (0..random() % 120).map(|_| random() as u8).collect();
            // Most of them look like something: a request, a response, a UDX packet.
            if let Some(first) = packet.first_mut() {
                *first = [0x03, 0x13, 0xff, *first][random() % 4];
            }
            stranger.send_to(&packet, ("127.0.0.1", ports[random() % 2])).unwrap();
        }
        exchange(ours, theirs).await;
        opened(&mut client.dial(TOPIC)).await;
    });
}

#[test]
fn the_surroundings_say_how_others_see_us_or_that_nobody_does() {
    smol::block_on(async {
        let dht = private_dht().await;
        let found = in_time("look", node(&dht).await.surroundings()).await;
        assert_eq!((found.nat, found.nodes), (NatKind::Open, 1));
        assert_eq!(found.addresses, found.local);
        assert!(found.round_trip.is_some());
        dht.close().await;
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let lonely = node_of(&[silent.local_addr().unwrap().to_string()]).await;
        let seen = in_time("look", lonely.surroundings()).await;
        assert_eq!((seen.nodes, seen.nat, seen.addresses, seen.round_trip), (0, NatKind::Unknown, Vec::new(), None));
        assert_eq!(seen.entries[0].answer, Answer::Silence);
    });
}

#[test]
fn listeners_on_this_machine_are_found_without_a_dht() {
    smol::block_on(async {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let nowhere = silent.local_addr().unwrap();
        let (server, client) = (lan_node(nowhere).await, lan_node(nowhere).await);
        // It says that the DHT is not there; who is near can dial all the same.
        assert!(matches!(in_time("listen", server.listen(TOPIC)).await, Err(NetError::Unreachable)));
        let mut dial = client.dial(TOPIC);
        let theirs = opened(&mut dial).await;
        let ours = accepted(&server).await;
        assert_eq!((ours.topics.as_slice(), ours.stream.path(), theirs.path()), (&[TOPIC][..], Path::Lan, Path::Lan));
        exchange(ours.stream, theirs).await;
        assert_eq!(ended(&mut dial).await, DialEnd::Exhausted, "somebody was found: the network is not down");
        assert_eq!(ended(&mut client.dial(OTHER)).await, DialEnd::NetworkDown, "nobody listens there");
        in_time("unlisten", server.unlisten(TOPIC)).await;
        assert_eq!(ended(&mut client.dial(TOPIC)).await, DialEnd::NetworkDown, "nobody listens any more");
    });
}

#[test]
fn a_listener_that_is_found_in_both_ways_is_reached_once() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (server, client) = (lan_node(dht.address().into()).await, lan_node(dht.address().into()).await);
        in_time("listen", server.listen(TOPIC)).await.unwrap();
        let mut dial = client.dial(TOPIC);
        let stream = opened(&mut dial).await;
        assert_eq!(stream.path(), Path::Lan);
        assert_eq!(ended(&mut dial).await, DialEnd::Exhausted);
    });
}

#[test]
fn nodes_of_the_dht_that_lie_or_talk_nonsense_do_not_keep_peers_apart() {
    smol::block_on(async {
        let dht = private_dht().await;
        let liars: Vec<_> = (0..4).map(Liar::start).collect();
        let entries: Vec<_> =
            [dht.address().to_string()].into_iter().chain(liars.iter().map(|liar| liar.address.to_string())).collect();
        let (server, client) = (node_of(&entries).await, node_of(&entries).await);
        let (ours, theirs) = pair(&server, &client).await;
        exchange(ours, theirs).await;
        assert!(liars.iter().all(|liar| liar.asked.load(Ordering::Relaxed) > 0), "each of them was asked");
    });
}

/// A node that answers every question, and never with the truth.
struct Liar {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Liar {
    fn start(kind: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                counted.fetch_add(1, Ordering::Relaxed);
                if let Some(lie) = lie(kind, &buffer[..length], address, from) {
                    drop(socket.send_to(&lie, from));
                }
            }
        });
        Self { address, asked }
    }
}

fn lie(kind: usize, question: &[u8], own: SocketAddr, from: SocketAddr) -> Option<Vec<u8>> {
    let Ok(Message::Request(request)) = decode_message(question) else { return None };
    let at = |host: String, port| Ipv4Peer { host, port };
    let mut response = Response {
        tid: request.tid,
        to: at("192.0.2.1".to_owned(), 1),
        id: Some([7; 32]),
        token: Some([9; 32]),
        closer_nodes: Vec::new(),
        error: 0,
        value: None,
    };
    match kind {
        // Its right place in the DHT, and listeners that do not exist, through itself.
        0 => {
            response.id = Some(peer_id("127.0.0.1", own.port()));
            response.to = at(from.ip().to_string(), from.port());
            let relay = at("127.0.0.1".to_owned(), own.port());
            let peers = (0..20).map(|i| HyperPeer { public_key: [i; 32], relay_addresses: vec![relay.clone()] });
            response.value = encode_lookup_raw_reply_to_bytes(&LookupRawReply { peers: peers.collect(), bump: 0 }).ok();
        }
        // Ever more nodes, all of them nowhere.
        1 => response.closer_nodes = (1..=40).map(|i| at(format!("127.9.{i}.{}", request.tid % 250 + 1), 9)).collect(),
        // A value that claims billions of listeners.
        2 => response.value = Some(vec![0xff; 64]),
        // The beginning of an answer, and then anything.
        _ => return Some([&[0x13, 0xff], &request.tid.to_le_bytes()[..], &question[4..]].concat()),
    }
    encode_response_to_bytes(&response).ok()
}

#[test]
fn a_message_longer_than_the_limit_is_refused() {
    smol::block_on(async {
        let dht = private_dht().await;
        let (server, client) = (node(&dht).await, node(&dht).await);
        let (_ours, theirs) = pair(&server, &client).await;
        let (_, writer) = theirs.split();
        let too_long = vec![0; wopr_p2p_smol::net::MAX_MESSAGE + 1];
        assert_eq!(writer.send(too_long).await, Err(SendError::TooLong));
    });
}
