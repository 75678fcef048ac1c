//! What a sender must not suffer or do: flaws 20 to 23 and 26.

use std::time::Duration;

use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, CommandId, Config, DialEnd, Event, Input, Reply, Stored, StreamId};
use x25519_dalek::StaticSecret;

use crate::original::{self, Channel, Original, parse};
use crate::world::{World, inject, log, session};
use crate::{A, B};

/// A node that knows the original `peer`, played by the test.
fn alone(peer: &Original) -> World {
    let mut world = World::with_peer(peer.key());
    world.listen_raw(peer.key().topic(), 7);
    world
}

#[test]
fn flaw_20_what_follows_the_first_line_is_not_lost() {
    // The listener's part: a hello and a claim in one write.
    let peer = Original::made(40);
    let mut world = World::new(1);
    let token = world.token(A, peer.key(), &["main"]);
    let stream = world.open_raw(A, 7);
    let mut channel = Channel::on(A, stream, &peer, StaticSecret::from([3; 32]));
    channel.version = 1;
    let from = peer.public();
    let hello = channel.line(&world, &format!(r#""v":2,"type":"hello","from":"{from}","versions":[1]"#));
    let claim = channel.claim(&world, &token);
    let kinds: Vec<_> = channel.send(&mut world, &(hello + &claim)).iter().map(|it| it["type"].clone()).collect();
    assert_eq!(kinds, ["hello-ack", "ack"]);
}

#[test]
fn flaw_20_an_answer_that_comes_with_the_hello_ack_in_pieces_is_read() {
    let peer = Original::made(40);
    let mut world = alone(&peer);
    let id = world.command(A, log(peer.key(), "main", "hi"));
    let stream = world.dialled_raw(A)[0];
    let hello = parse(&world.taken(A, stream).remove(0));
    let mut channel = Channel::on(A, stream, &peer, StaticSecret::from([3; 32]));
    (channel.version, channel.theirs) = (2, hello["ephemeralPub"].as_str().expect("a key").to_owned());
    let (hello_ack, ack) = (channel.hello_ack(&world), channel.ack(&world, ""));
    let (first, rest) = ack.split_at(100);
    world.input(A, Input::Received { stream, bytes: (hello_ack + first).into_bytes() });
    world.input(A, Input::Received { stream, bytes: rest.as_bytes().to_vec() });
    assert_eq!(world.hosts[A].finished.remove(&id), Some(Ok(Reply::Logged)));
}

#[test]
fn flaw_20_a_refused_handshake_is_a_version_mismatch_and_not_silence() {
    let peer = Original::made(40);
    let mut world = alone(&peer);
    let id = world.command(A, log(peer.key(), "main", "hi"));
    let stream = world.dialled_raw(A)[0];
    let mut channel = Channel::on(A, stream, &peer, StaticSecret::from([3; 32]));
    let line = channel.reject(&world, "no common protocol version");
    channel.send(&mut world, &line);
    assert_eq!(world.hosts[A].finished.remove(&id), Some(Err(CommandError::VersionMismatch(peer.key()))));
}

#[test]
fn flaw_20_nodes_without_a_common_version_say_so() {
    // A peer that speaks protocol 1 only, towards a node that does not.
    let peer = Original::made(40);
    let config = Config { min_version: 2, ..Config::default() };
    let mut world = World::with_config(1, &config);
    let stream = world.open_raw(A, 7);
    let mut channel = Channel::on(A, stream, &peer, StaticSecret::from([3; 32]));
    let from = peer.public();
    let hello = channel.line(&world, &format!(r#""v":2,"type":"hello","from":"{from}","versions":[1]"#));
    let answers = channel.send(&mut world, &hello);
    assert_eq!(answers[0]["reason"], "no common protocol version");
}

/// How far a conversation comes before the other side falls silent.
#[derive(Clone, Copy, Debug)]
enum Until {
    NobodyIsFound,
    TheStreamOpens,
    HalfAHelloAck,
    TheHelloAck,
    HalfAnAnswer,
}

const PHASES: [Until; 5] =
    [Until::NobodyIsFound, Until::TheStreamOpens, Until::HalfAHelloAck, Until::TheHelloAck, Until::HalfAnAnswer];

/// Every command that needs a peer, with a time of ten seconds.
fn commands(world: &mut World, peer: &Original) -> Vec<Command> {
    let timeout = Duration::from_secs(10);
    let issuer = world.add(Config::default(), peer.stored());
    let us = world.key(A);
    let token = world.token(issuer, us, &["main"]);
    world.hosts[issuer].online = false;
    let (key, text) = (PeerRef::Key(peer.key()), "hi".to_owned());
    vec![
        Command::Log { peer: key.clone(), session: session("main"), text: text.clone(), timeout },
        Command::Inject { peer: key, session: session("main"), text, timeout },
        Command::Claim { token, timeout },
        Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: true, timeout },
    ]
}

/// Gives a command and plays the peer until the phase; the streams that are open then.
fn play(world: &mut World, peer: &Original, command: Command, until: Until) -> (CommandId, Vec<StreamId>) {
    if matches!(until, Until::NobodyIsFound) {
        world.stop_listening_raw();
    }
    let id = world.command(A, command);
    let streams = world.dialled_raw(A);
    for stream in &streams {
        let hello = parse(&world.taken(A, *stream).remove(0));
        let mut channel = Channel::on(A, *stream, peer, StaticSecret::from([3; 32]));
        (channel.version, channel.theirs) = (2, hello["ephemeralPub"].as_str().expect("a key").to_owned());
        let (hello_ack, ack) = (channel.hello_ack(world), channel.ack(world, ""));
        let bytes = match until {
            Until::NobodyIsFound | Until::TheStreamOpens => String::new(),
            Until::HalfAHelloAck => hello_ack[..50].to_owned(),
            Until::TheHelloAck => hello_ack,
            Until::HalfAnAnswer => hello_ack + &ack[..50],
        };
        world.input(A, Input::Received { stream: *stream, bytes: bytes.into_bytes() });
    }
    (id, streams)
}

/// Each command, with a peer that was played until each phase: the world, the command's number and open streams, and
/// what it is called.
fn in_every_phase(peer: &Original, mut look: impl FnMut(&mut World, CommandId, Vec<StreamId>, &str)) {
    for until in PHASES {
        for number in 0..4 {
            let mut world = alone(peer);
            let command = commands(&mut world, peer).swap_remove(number);
            let what = format!("{until:?}, {command:?}");
            let (id, streams) = play(&mut world, peer, command, until);
            look(&mut world, id, streams, &what);
        }
    }
}

#[test]
fn flaw_21_every_command_ends_in_time_if_the_peer_falls_silent() {
    let peer = Original::made(40);
    in_every_phase(&peer, |world, id, _, what| {
        // Retries find the same silence.
        world.sleep(Duration::from_secs(10));
        let result = world.hosts[A].finished.remove(&id).unwrap_or_else(|| panic!("{what}: never ended"));
        match result {
            Ok(Reply::Rotated { told, .. }) => assert!(told.is_empty(), "{what}"),
            Err(CommandError::PeerOffline(of) | CommandError::NoAnswer(of)) => assert_eq!(of, peer.key(), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    });
}

#[test]
fn flaw_21_every_command_ends_when_its_stream_dies() {
    in_every_phase(&Original::made(40), |world, id, streams, what| {
        world.stop_listening_raw();
        for stream in streams {
            world.close_raw(A, stream);
        }
        // Only the searches that are left take time, half a second and one.
        world.sleep(Duration::from_secs(2));
        assert!(world.hosts[A].finished.contains_key(&id), "{what}: still waiting");
    });
}

#[test]
fn flaw_21_an_answer_that_comes_too_late_is_no_answer_to_the_next_question() {
    let peer = Original::made(40);
    let mut world = alone(&peer);
    let timeout = Duration::from_secs(10);
    let first = world.command(
        A,
        Command::Log { peer: PeerRef::Key(peer.key()), session: session("main"), text: "first".into(), timeout },
    );
    let stream = world.dialled_raw(A)[0];
    let mut channel = Channel::welcome(&mut world, A, stream, &peer, 2);
    let late = channel.ack(&world, "");
    world.sleep(timeout);
    assert_eq!(world.hosts[A].finished.remove(&first), Some(Err(CommandError::NoAnswer(peer.key()))));
    // The original names no message in its answers: only a new stream tells the two apart.
    assert!(world.is_closed(A, stream));
    let second = world.command(A, log(peer.key(), "main", "second"));
    channel.send(&mut world, &late);
    assert!(!world.hosts[A].finished.contains_key(&second));
}

#[test]
fn flaw_21_a_network_that_is_down_is_told_apart_from_a_peer_that_is() {
    let mut world = World::new(1);
    let peer = Original::made(40);
    world.ends_dials_with(DialEnd::NetworkDown);
    assert_eq!(world.done(A, log(peer.key(), "main", "?")), Err(CommandError::NetworkDown));
}

#[test]
fn flaw_22_one_question_is_one_run_of_the_ai_whoever_listens() {
    // The same identity on two machines: both are found on the topic.
    let mut world = World::granted();
    let (a, b) = (world.key(A), world.key(B));
    let stored = Stored {
        identity: world.hosts[A].documents.get(&wopr_p2p_core::Document::Identity).cloned().map(Into::into),
        ..Stored::default()
    };
    let twin = world.add(Config::default(), stored);
    assert_eq!(world.key(twin), a);
    world.grants(twin, b);
    assert!(matches!(world.done(B, inject(a, "main", "once?")), Ok(Reply::Answer(_))));
    let texts: Vec<_> = [A, twin].iter().flat_map(|host| world.hosts[*host].texts("main")).collect();
    assert_eq!(texts, ["once?", "re: once?"]);
}

#[test]
fn flaw_22_a_question_is_not_asked_again_after_its_stream_died() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].answers = false;
    let id = world.command(B, inject(a, "main", "once?"));
    assert_eq!(world.hosts[A].asked.len(), 1);
    world.restart(A, Config::default());
    // It may have been asked: only its sender can know whether to ask again.
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::NoAnswer(a))));
    world.sleep(Duration::from_secs(300));
    assert_eq!(world.hosts[A].texts("main"), ["once?"]);
}

#[test]
fn flaw_22_a_question_takes_no_longer_than_its_sender_says() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].answers = false;
    let timeout = Duration::from_secs(3);
    let id = world.command(
        B,
        Command::Inject { peer: PeerRef::Key(a), session: session("main"), text: "quick?".into(), timeout },
    );
    world.sleep(timeout);
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::NoAnswer(a))));
    assert_eq!(world.hosts[A].cancelled.len(), 1, "the AI goes on although nobody waits");
}

#[test]
fn flaw_22_a_static_answer_is_read() {
    let peer = Original::made(40);
    let mut world = alone(&peer);
    // The peer's static key is known from what it wrote before.
    let identity = Original::made(40);
    let stored = original::granted(Stored::default(), &identity, &["main"].into(), &["inject"].into());
    let node = world.add(Config::default(), stored);
    world.hosts[A].online = false;
    let id = world.command(node, inject(peer.key(), "main", "static?"));
    let stream = world.dialled_raw(node)[0];
    let mut channel = Channel::welcome(&mut world, node, stream, &peer, 1);
    let request = channel.received(&mut world).remove(0);
    assert_eq!(channel.text_of(&request).as_deref(), Some("static?"));
    let line = channel.static_response(&world, &request, "yes");
    channel.send(&mut world, &line);
    assert_eq!(world.hosts[node].finished.remove(&id), Some(Ok(Reply::Answer("yes".to_owned()))));
}

#[test]
fn flaw_22_a_static_question_is_answered_in_kind() {
    let peer = Original::made(40);
    let mut world = World::with_peer(peer.key());
    let stream = world.open_raw(A, 7);
    let mut channel = Channel::hello(&mut world, A, stream, &peer, &[1]);
    let line = channel.inject(&world, "main", "static?", "r1");
    let answer = channel.send(&mut world, &line).remove(0);
    assert_eq!((answer["requestId"].as_str(), answer.get("ephemeralPub")), (Some("r1"), None));
    // Sealed for the two static keys.
    let key = original::payload_key(peer.encrypt_secret(), answer["encryptPub"].as_str().expect("a key"));
    let payload = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        answer["payload"].as_str().expect("a payload"),
    );
    let text = original::open(&key.expect("a key"), &payload.expect("base64"));
    assert_eq!(text.as_deref(), Some(b"re: static?".as_slice()));
}

#[test]
fn flaw_23_the_next_message_uses_the_standing_stream() {
    let mut world = World::granted();
    let a = world.key(A);
    for number in 0..5 {
        assert_eq!(world.done(B, log(a, "main", &number.to_string())), Ok(Reply::Logged));
    }
    assert!(world.done(B, inject(a, "main", "and now?")).is_ok());
    let connected = world.hosts[B].events.iter().filter(|event| matches!(event, Event::PeerConnected { .. })).count();
    assert_eq!(connected, 1);
}

#[test]
fn flaw_23_messages_that_wait_share_one_search() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].online = false;
    let ids: Vec<_> = (0..3).map(|number| world.command(B, log(a, "main", &number.to_string()))).collect();
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(1));
    assert!(ids.iter().all(|id| world.hosts[B].finished.get(id) == Some(&Ok(Reply::Logged))));
    let connected = world.hosts[B].events.iter().filter(|event| matches!(event, Event::PeerConnected { .. })).count();
    assert_eq!((connected, world.hosts[A].texts("main").len()), (1, 3));
}

#[test]
fn flaw_26_unauthorized_is_an_error_of_its_own() {
    let mut world = World::new(2);
    let a = world.key(A);
    assert_eq!(world.done(B, log(a, "main", "?")), Err(CommandError::Unauthorized(a)));
    assert_eq!(world.done(B, inject(a, "main", "?")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_26_an_original_that_says_unauthorized_is_understood() {
    let peer = Original::made(40);
    let mut world = alone(&peer);
    let id = world.command(A, log(peer.key(), "main", "?"));
    let stream = world.dialled_raw(A)[0];
    let mut channel = Channel::welcome(&mut world, A, stream, &peer, 2);
    let line = channel.reject(&world, "unauthorized");
    channel.send(&mut world, &line);
    assert_eq!(world.hosts[A].finished.remove(&id), Some(Err(CommandError::Unauthorized(peer.key()))));
}
