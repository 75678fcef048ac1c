//! Finding a peer and talking to it: searches that fail and are repeated, several listeners, peers of the original.

#[path = "support/original.rs"]
mod original;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use original::{Channel, Original, parse};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, CommandError, CommandId, Config, Event, Input, Reply, StreamId};
use world::{World, grant, inject, log};

const A: usize = 0;
const B: usize = 1;

#[test]
fn a_peer_that_comes_online_during_the_search_is_found() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].online = false;
    let id = world.command(B, log(a, "main", "patience"));
    world.sleep(Duration::from_millis(600));
    assert!(!world.hosts[B].finished.contains_key(&id));
    world.hosts[A].online = true;
    world.sleep(Duration::from_millis(1000));
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Ok(Reply::Logged)));
}

#[test]
fn a_search_ends_after_its_attempts() {
    let mut world = World::with_config(1, &Config { dial_attempts: 2, ..Config::default() });
    let nobody = Original::made(40);
    let id = world.command(A, log(nobody.key(), "main", "?"));
    world.sleep(Duration::from_millis(499));
    assert!(!world.hosts[A].finished.contains_key(&id));
    world.sleep(Duration::from_millis(1));
    assert_eq!(world.hosts[A].finished.remove(&id), Some(Err(CommandError::PeerOffline(nobody.key()))));
}

#[test]
fn of_several_listeners_one_is_used_and_the_others_are_let_go() {
    let peer = Original::made(40);
    let mut world = World::new(1);
    for remote in [7, 8, 9] {
        world.listen_raw(peer.key().topic(), remote);
    }
    let id = world.command(A, log(peer.key(), "main", "once"));
    let streams = world.dialled_raw(A);
    assert_eq!(streams.len(), 3);
    let mut channel = Channel::welcome(&mut world, A, streams[1], &peer, 2);
    assert_eq!(channel.received(&mut world).len(), 1);
    assert_eq!(world.dialled_raw(A), [streams[1]]);
    let line = channel.ack(&world, "");
    channel.send(&mut world, &line);
    assert_eq!(world.hosts[A].finished.remove(&id), Some(Ok(Reply::Logged)));
}

#[test]
fn an_impostor_that_says_the_wrong_version_does_not_end_the_search() {
    let mut world = World::granted();
    let (a, mallory) = (world.key(A), Original::made(66));
    world.hosts[A].online = false;
    world.listen_raw(a.topic(), 66);
    let id = world.command(B, log(a, "main", "hello"));
    let stream = world.dialled_raw(B)[0];
    let mut channel = Channel::on(B, stream, &mallory, x25519_dalek::StaticSecret::from([3; 32]));
    let line = channel.reject(&world, "no common protocol version");
    channel.send(&mut world, &line);
    world.hosts[A].online = true;
    world.stop_listening_raw();
    world.sleep(Duration::from_secs(2));
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Ok(Reply::Logged)));
}

/// Keeps A from being found and has B look for it; returns the stream that leads to an impostor, and the order.
fn led_astray(world: &mut World) -> (StreamId, CommandId) {
    let a = world.key(A);
    world.hosts[A].online = false;
    world.listen_raw(a.topic(), 66);
    let id = world.command(B, log(a, "main", "hello"));
    let stream = world.dialled_raw(B)[0];
    world.taken(B, stream);
    (stream, id)
}

/// The impostor says this; then A can be found again.
fn is_not_misled_by(world: &mut World, stream: StreamId, id: CommandId, line: &[u8]) {
    world.input(B, Input::Received { stream, bytes: line.to_vec() });
    assert!(world.taken(B, stream).is_empty() && world.is_closed(B, stream), "the impostor is believed");
    world.hosts[A].online = true;
    world.stop_listening_raw();
    world.sleep(Duration::from_secs(2));
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Ok(Reply::Logged)));
}

#[test]
fn what_a_node_says_to_an_original_answers_nobody_elses_hello() {
    // An original's hello names nobody: the answers are a hello-ack, a refusal, and one after the handshake.
    let asks: [(&[u64], bool); 3] = [(&[2, 1], false), (&[99], false), (&[2, 1], true)];
    for (versions, stranger_logs) in asks {
        let (mut world, mallory) = (World::granted(), Original::made(66));
        let stream = world.open_raw(A, 66);
        let mut channel = Channel::on(A, stream, &mallory, x25519_dalek::StaticSecret::from([3; 32]));
        let hello = channel.hello_line(&world, versions);
        let mut said = world.send_raw(A, stream, hello.as_bytes()).remove(0);
        if stranger_logs {
            channel.welcomed(&[parse(&said)]);
            let line = channel.log(&world, "main", "let me in");
            said = world.send_raw(A, stream, line.as_bytes()).remove(0);
        }
        let (stream, id) = led_astray(&mut world);
        is_not_misled_by(&mut world, stream, id, &said);
    }
}

#[test]
fn a_date_that_the_peer_did_not_sign_does_not_end_the_search() {
    let (mut world, mallory) = (World::granted(), Original::made(66));
    let (stream, id) = led_astray(&mut world);
    let from = world.key(A);
    let members = format!(r#""v":2,"type":"hello-ack","from":"{from}","version":2"#);
    let line = mallory.line(&members, "000102030405060708090a0b0c0d0e0f", world.now.wall.as_millis() - 3_600_000);
    is_not_misled_by(&mut world, stream, id, line.as_bytes());
}

#[test]
fn an_answer_of_an_hour_ago_ends_no_search_but_explains_its_end() {
    let original = Original::made(40);
    let mut world = World::new(1);
    world.listen_raw(original.key().topic(), 7);
    let id = world.command(A, log(original.key(), "main", "hello"));
    let members = format!(r#""v":2,"type":"hello-ack","from":"{}","version":2"#, original.public());
    let mut attempts = 0;
    while !world.hosts[A].finished.contains_key(&id) {
        for stream in world.dialled_raw(A) {
            let an_hour_ago = world.now.wall.as_millis() - 3_600_000;
            let line = original.line(&members, "000102030405060708090a0b0c0d0e0f", an_hour_ago);
            world.input(A, Input::Received { stream, bytes: line.into_bytes() });
            attempts += 1;
        }
        world.sleep_until_timeout();
    }
    assert_eq!(attempts, Config::default().dial_attempts);
    let ended = world.hosts[A].finished.remove(&id);
    assert!(
        matches!(&ended, Some(Err(CommandError::Rejected { reason, .. })) if reason.contains("clock")),
        "{ended:?}"
    );
}

#[test]
fn an_original_gets_one_message_at_a_time() {
    let peer = Original::made(40);
    let mut world = World::new(1);
    world.listen_raw(peer.key().topic(), 7);
    let ids: Vec<_> = ["one", "two", "three"].map(|text| world.command(A, log(peer.key(), "main", text))).into();
    let stream = world.dialled_raw(A)[0];
    let mut channel = Channel::welcome(&mut world, A, stream, &peer, 2);
    for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
        let requests = channel.received(&mut world);
        assert_eq!(requests.len(), 1, "{text}: the original reads the first line of what is there");
        assert_eq!(channel.text_of(&requests[0]).as_deref(), Some(text));
        assert!(!world.hosts[A].finished.contains_key(&ids[number]));
        let line = channel.ack(&world, "");
        world.input(A, Input::Received { stream, bytes: line.into_bytes() });
        assert_eq!(world.hosts[A].finished.remove(&ids[number]), Some(Ok(Reply::Logged)));
    }
}

#[test]
fn a_peer_of_ours_gets_messages_while_others_wait_for_their_answers() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].answers = false;
    let slow = world.command(B, inject(a, "main", "slow?"));
    assert_eq!(world.done(B, log(a, "main", "quick")), Ok(Reply::Logged));
    assert!(!world.hosts[B].finished.contains_key(&slow));
}

#[test]
fn protocol_1_needs_the_peers_static_key() {
    let peer = Original::made(40);
    let mut world = World::new(1);
    world.listen_raw(peer.key().topic(), 7);
    let id = world.command(A, log(peer.key(), "main", "?"));
    let stream = world.dialled_raw(A)[0];
    let channel = Channel::welcome(&mut world, A, stream, &peer, 1);
    assert!(channel.received(&mut world).is_empty());
    assert_eq!(world.hosts[A].finished.remove(&id), Some(Err(CommandError::VersionMismatch(peer.key()))));
}

#[test]
fn a_stream_carries_requests_of_its_dialler_only() {
    let mut world = World::granted();
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
    assert_eq!(world.done(B, log(a, "main", "there")), Ok(Reply::Logged));
    assert_eq!(world.done(A, log(b, "main", "and back")), Ok(Reply::Logged));
    let dialled = |world: &World, host: usize| {
        let events = world.hosts[host].events.iter();
        events.filter(|event| matches!(event, Event::PeerConnected { dialled: true, .. })).count()
    };
    assert_eq!((dialled(&world, A), dialled(&world, B)), (1, 1));
}

#[test]
fn a_listener_that_asks_something_of_its_dialler_is_not_heard() {
    let peer = Original::made(40);
    let mut world = World::new(1);
    assert!(world.done(A, grant(peer.key(), &["main"], "inject")).is_ok());
    world.listen_raw(peer.key().topic(), 7);
    let id = world.command(A, log(peer.key(), "main", "?"));
    let stream = world.dialled_raw(A)[0];
    let mut channel = Channel::welcome(&mut world, A, stream, &peer, 2);
    channel.received(&mut world);
    let line = channel.log(&world, "main", "the wrong way round");
    channel.send(&mut world, &line);
    assert!(world.hosts[A].sessions.is_empty());
    assert!(matches!(world.hosts[A].finished.remove(&id), Some(Err(_))));
}

fn ping(peer: PublicKey) -> Command {
    Command::Ping { peer: PeerRef::Key(peer), timeout: Duration::from_secs(10) }
}

#[test]
fn a_ping_is_a_handshake_and_peers_of_every_version_answer_it() {
    for version in [1, 2] {
        let peer = Original::made(40);
        let mut world = World::new(1);
        world.listen_raw(peer.key().topic(), 7);
        let id = world.command(A, ping(peer.key()));
        let stream = world.dialled_raw(A)[0];
        world.sleep(Duration::from_millis(30));
        let channel = Channel::welcome(&mut world, A, stream, &peer, version);
        assert!(channel.received(&mut world).is_empty(), "the hello was all");
        match world.hosts[A].finished.remove(&id) {
            Some(Ok(Reply::Pong { round_trip, .. })) => assert_eq!(round_trip, Duration::from_millis(30)),
            other => panic!("no pong: {other:?}"),
        }
        assert!(world.is_closed(A, stream), "it was opened for the ping alone");
    }
}

#[test]
fn a_ping_connects_anew_and_leaves_what_is_open_as_it_is() {
    let mut world = World::granted();
    let a = world.key(A);
    assert_eq!(world.done(B, log(a, "main", "before")), Ok(Reply::Logged));
    assert!(matches!(world.done(B, ping(a)), Ok(Reply::Pong { .. })));
    assert!(matches!(world.done(B, ping(a)), Ok(Reply::Pong { .. })));
    assert_eq!(world.done(B, log(a, "main", "after")), Ok(Reply::Logged));
    let connected = |event: &&Event| matches!(event, Event::PeerConnected { dialled: true, .. });
    assert_eq!(world.hosts[B].events.iter().filter(connected).count(), 3, "one for both messages, one for each ping");
}

#[test]
fn a_ping_that_nobody_answers_ends_with_its_time() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].online = false;
    let id = world.command(B, ping(a));
    world.sleep(Duration::from_secs(11));
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::PeerOffline(a))));
}
