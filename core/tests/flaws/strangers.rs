//! What a stranger or an impostor must not achieve: flaws 3 to 5, 15 to 17, 19 and 24.

use std::time::Duration;

use wopr_p2p_core::event::RejectReason;
use wopr_p2p_core::{CommandError, CommandId, Config, Event, Input, Reply, Stored, StreamId};
use x25519_dalek::StaticSecret;

use crate::original::{Channel, Original, parse, x25519_public};
use crate::world::{World, claim, grant, inject, log};
use crate::{A, B};

/// Lets a dialled stream be answered with a line, and returns what the dialler sent then.
fn answer(world: &mut World, stream: StreamId, line: &str) -> Vec<Vec<u8>> {
    world.taken(B, stream);
    world.input(B, Input::Received { stream, bytes: line.as_bytes().to_vec() });
    world.taken(B, stream)
}

/// A hello-ack that claims to be from `from` and is signed by `signer`.
fn hello_ack(world: &World, from: &str, signer: &Original) -> String {
    let ephemeral = x25519_public(&StaticSecret::from([5; 32]));
    let members = format!(r#""v":2,"type":"hello-ack","from":"{from}","version":2,"ephemeralPub":"{ephemeral}""#);
    signer.line(&members, "000102030405060708090a0b0c0d0e0f", world.now.wall.as_millis())
}

#[test]
fn flaw_03_whoever_announces_a_topic_gets_no_message() {
    for disguised in [false, true] {
        let mut world = World::granted();
        let (a, mallory) = (world.key(A), Original::made(66));
        world.hosts[A].online = false;
        world.listen_raw(a.topic(), 66);
        let id = world.command(B, log(a, "main", "secret"));
        let from = if disguised { a.to_string() } else { mallory.public() };
        while !world.hosts[B].finished.contains_key(&id) {
            for stream in world.dialled_raw(B) {
                let line = hello_ack(&world, &from, &mallory);
                assert!(answer(&mut world, stream, &line).is_empty(), "the impostor got a message");
                assert!(world.is_closed(B, stream));
            }
            world.sleep_until_timeout();
        }
        assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::PeerOffline(a))));
    }
}

#[test]
fn flaw_03_an_impostor_does_not_keep_a_dialler_from_its_peer() {
    let mut world = World::granted();
    let (a, mallory) = (world.key(A), Original::made(66));
    world.listen_raw(a.topic(), 66);
    // The impostor says nothing, or the wrong thing: the peer itself is found all the same.
    assert_eq!(world.done(B, log(a, "main", "one")), Ok(Reply::Logged));
    world.sleep(Duration::from_secs(300));
    let id = world.command(B, log(a, "main", "two"));
    for stream in world.dialled_raw(B) {
        let line = hello_ack(&world, &mallory.public(), &mallory);
        assert!(answer(&mut world, stream, &line).is_empty());
    }
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Ok(Reply::Logged)));
    assert_eq!(world.hosts[A].texts("main"), ["one", "two"]);
}

#[test]
fn flaw_03_a_hello_in_somebody_elses_name_is_not_answered() {
    let mut world = World::granted();
    let (b, mallory) = (world.key(B), Original::made(66));
    let stream = world.open_raw(A, 66);
    let ephemeral = x25519_public(&StaticSecret::from([5; 32]));
    let members = format!(r#""v":2,"type":"hello","from":"{b}","versions":[2,1],"ephemeralPub":"{ephemeral}""#);
    let line = mallory.line(&members, "000102030405060708090a0b0c0d0e0f", world.now.wall.as_millis());
    assert!(world.send_raw(A, stream, line.as_bytes()).is_empty());
    assert!(world.is_closed(A, stream));
}

/// A node that claims a token of an original, up to the answer.
fn claiming<'a>(world: &mut World, issuer: &'a Original) -> (CommandId, Channel<'a>) {
    let b = world.key(B);
    let index = world.add(Config::default(), issuer.stored());
    let token = world.token(index, b, &["main"]);
    // From here on the test is the issuer.
    world.hosts[index].online = false;
    world.listen_raw(issuer.key().topic(), 7);
    let id = world.command(B, claim(&token));
    let stream = world.dialled_raw(B)[0];
    let channel = Channel::welcome(world, B, stream, issuer, 2);
    assert_eq!(channel.received(world)[0]["type"], "claim");
    (id, channel)
}

#[test]
fn flaw_04_an_encryption_key_in_a_wrongly_signed_ack_is_not_stored() {
    let (issuer, mallory) = (Original::made(40), Original::made(66));
    let mut world = World::new(2);
    let (id, mut channel) = claiming(&mut world, &issuer);
    let (from, evil) = (issuer.public(), mallory.encrypt_pub());
    let honest = channel.line(&world, &format!(r#""v":2,"type":"ack","from":"{from}","encryptPub":"{evil}""#));
    // The same text with a signature of somebody else.
    let (text, _) = honest.rsplit_once(",\"sig\"").expect("a signature");
    let forged = mallory.sign(&format!("{text}}}"));
    channel.send(&mut world, &forged);
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::NoAnswer(issuer.key()))));
    assert!(world.hosts[B].node.snapshot().peers.is_empty(), "the issuer is known by a forged ack");
}

#[test]
fn flaw_04_an_ack_of_the_issuer_itself_is_believed() {
    let issuer = Original::made(40);
    let mut world = World::new(2);
    let (id, mut channel) = claiming(&mut world, &issuer);
    let line = channel.ack(&world, &format!(r#","encryptPub":"{}""#, issuer.encrypt_pub()));
    channel.send(&mut world, &line);
    assert!(matches!(world.hosts[B].finished.remove(&id), Some(Ok(Reply::Claimed { .. }))));
    let snapshot = world.hosts[B].node.snapshot();
    assert_eq!(snapshot.peers[0].encrypt_key.map(|key| key.to_string()), Some(issuer.encrypt_pub()));
}

#[test]
fn flaw_04_a_forged_reject_or_response_is_not_believed() {
    for forged in ["reject", "response"] {
        let (peer, mallory) = (Original::made(40), Original::made(66));
        let mut world = World::new(2);
        world.listen_raw(peer.key().topic(), 7);
        let id = world.command(B, inject(peer.key(), "main", "?"));
        let stream = world.dialled_raw(B)[0];
        let mut channel = Channel::welcome(&mut world, B, stream, &peer, 2);
        let request = channel.received(&mut world).remove(0);
        let honest = match forged {
            "reject" => channel.reject(&world, "no"),
            _ => channel.response(&world, &request, "lies"),
        };
        let (text, _) = honest.rsplit_once(",\"sig\"").expect("a signature");
        channel.send(&mut world, &mallory.sign(&format!("{text}}}")));
        assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::NoAnswer(peer.key()))), "{forged}");
    }
}

/// Lines that ended the original's process.
const DEADLY: [&str; 10] = [
    "null",
    "{}",
    "5",
    "[]",
    "true",
    "\"x\"",
    r#"{"type":"hello","versions":2}"#,
    r#"{"type":"hello","versions":"21"}"#,
    r#"{"v":2,"type":"log","from":5,"session":"main","payload":"x","nonce":"n","ts":1,"sig":"s"}"#,
    r#"{"v":2,"type":"key-rotation","keyRotation":{}}"#,
];

#[test]
fn flaw_05_a_strangers_line_ends_no_more_than_its_stream() {
    for line in DEADLY {
        let mut world = World::granted();
        let a = world.key(A);
        let stream = world.open_raw(A, 66);
        assert!(world.send_raw(A, stream, format!("{line}\n").as_bytes()).is_empty(), "{line}");
        assert!(world.is_closed(A, stream), "{line}");
        assert_eq!(world.done(B, log(a, "main", "still there?")), Ok(Reply::Logged), "{line}");
    }
}

#[test]
fn flaw_05_a_line_after_the_handshake_ends_no_more_than_its_stream() {
    for line in DEADLY {
        let (mut world, stranger) = (World::granted(), Original::made(66));
        let a = world.key(A);
        let channel = Channel::dial(&mut world, A, &stranger, 66);
        assert_eq!(channel.version, 2);
        assert!(channel.send(&mut world, &format!("{line}\n")).is_empty(), "{line}");
        assert!(channel.is_closed(&world), "{line}");
        assert_eq!(world.done(B, log(a, "main", "still there?")), Ok(Reply::Logged), "{line}");
    }
}

#[test]
fn flaw_15_nobody_is_banned_for_what_others_write_in_its_name() {
    let mut world = World::granted();
    let (a, b, mallory) = (world.key(A), world.key(B), Original::made(66));
    let mut turned_away = 0;
    for number in 0..20 {
        let stream = world.open_raw(A, 66);
        if world.is_closed(A, stream) {
            turned_away += 1;
            continue;
        }
        let members = format!(r#""v":2,"type":"hello","from":"{b}","versions":[2,1]"#);
        let line = mallory.line(&members, &format!("{number:032x}"), world.now.wall.as_millis());
        world.send_raw(A, stream, line.as_bytes());
    }
    // Three a minute are allowed; the fourth is a ban of the transport that sent them.
    assert_eq!(turned_away, 16);
    assert_eq!(world.done(B, log(a, "main", "not me")), Ok(Reply::Logged));
    assert!(world.hosts[A].node.standing(&b, world.now).iter().all(|standing| standing.banned.is_none()));
}

#[test]
fn flaw_15_logs_and_injects_do_not_share_their_limits() {
    let mut world = World::granted();
    let a = world.key(A);
    for number in 0..10 {
        assert_eq!(world.done(B, log(a, "main", &number.to_string())), Ok(Reply::Logged));
    }
    assert_eq!(world.done(B, log(a, "main", "one too many")), Err(CommandError::RateLimited(a)));
    assert!(matches!(world.done(B, inject(a, "main", "and yet?")), Ok(Reply::Answer(_))));
}

#[test]
fn flaw_15_strangers_with_ever_new_keys_fill_no_table() {
    let mut config = Config::default();
    config.rates.max_peers = 2;
    config.rates.max_transports = 4;
    let mut world = World::with_config(2, &config);
    let (a, b) = (world.key(A), world.key(B));
    world.grants(A, b);
    for number in 0..10 {
        assert_eq!(world.done(B, log(a, "main", &number.to_string())), Ok(Reply::Logged));
    }
    for stranger in 100..150 {
        let identity = Original::made(stranger);
        let mut channel = Channel::dial(&mut world, A, &identity, stranger);
        let line = channel.log(&world, "main", "let me in");
        assert_eq!(channel.send(&mut world, &line)[0]["reason"], "unauthorized");
    }
    // What the peer has done is still known.
    assert_eq!(world.done(B, log(a, "main", "one too many")), Err(CommandError::RateLimited(a)));
}

#[test]
fn flaw_16_all_lines_of_a_write_are_handled() {
    let mut world = World::new(1);
    let peer = Original::made(40);
    world.grants(A, peer.key());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let lines: String = ["one", "two", "three"].iter().map(|text| channel.log(&world, "main", text)).collect();
    let kinds: Vec<_> = channel.send(&mut world, &lines).iter().map(|answer| answer["type"].clone()).collect();
    assert_eq!(kinds, ["ack", "ack", "ack"]);
    assert_eq!(world.hosts[A].texts("main"), ["one", "two", "three"]);
}

#[test]
fn flaw_17_a_stranger_cannot_fill_memory_without_ending_a_line() {
    let mut world = World::new(1);
    let stream = world.open_raw(A, 66);
    for _ in 0..1000 {
        world.send_raw(A, stream, &[b'x'; 1000]);
        assert!(world.hosts[A].node.buffered() <= Config::MAX_STRANGER_LINE);
    }
    assert!(world.is_closed(A, stream));
    // After the handshake, too, as long as there is no grant.
    let stranger = Original::made(66);
    let channel = Channel::dial(&mut world, A, &stranger, 67);
    assert_eq!(channel.version, 2);
    for _ in 0..1000 {
        world.send_raw(A, channel.stream, &[b'x'; 1000]);
        assert!(world.hosts[A].node.buffered() <= Config::MAX_STRANGER_LINE);
    }
    assert!(channel.is_closed(&world));
}

#[test]
fn flaw_17_one_write_of_any_size_is_not_kept() {
    let mut world = World::new(1);
    let stream = world.open_raw(A, 66);
    world.send_raw(A, stream, &vec![b'x'; 64 << 20]);
    assert_eq!(world.hosts[A].node.buffered(), 0);
    assert!(world.is_closed(A, stream));
}

#[test]
fn flaw_19_nothing_works_without_a_handshake() {
    let peer = Original::made(40);
    for kind in ["log", "inject", "claim", "key-rotation"] {
        let mut world = World::new(1);
        assert!(world.done(A, grant(peer.key(), &["*"], "inject")).is_ok());
        let token = world.token(A, peer.key(), &["more"]);
        let outputs = world.hosts[A].documents.clone();
        // The lines of a stream with a handshake, on one without.
        let mut channel = Channel::dial(&mut world, A, &peer, 7);
        let line = match kind {
            "log" => channel.log(&world, "main", "hello"),
            "inject" => channel.inject(&world, "main", "hello", "r"),
            "claim" => channel.claim(&world, &token),
            _ => rotation_line(&mut channel, &world, &peer, &Original::made(41)),
        };
        let stream = world.open_raw(A, 8);
        assert!(world.send_raw(A, stream, line.as_bytes()).is_empty(), "{kind}");
        assert!(world.is_closed(A, stream), "{kind}");
        assert!(world.hosts[A].sessions.is_empty(), "{kind}");
        assert_eq!(world.hosts[A].documents, outputs, "{kind}");
    }
}

fn rotation_line(channel: &mut Channel<'_>, world: &World, old: &Original, new: &Original) -> String {
    let statement = old.statement(new, "scheduled", world.now.wall.as_millis(), 86_400_000);
    channel.rotation(world, old, &statement)
}

#[test]
fn flaw_19_a_message_cannot_choose_static_keys() {
    let peer = Original::made(40);
    let mut world = World::with_peer(peer.key());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    assert_eq!(channel.version, 2);
    // Protocol 1 in all but the handshake: v, static keys, no ephemeral key.
    channel.version = 1;
    let line = channel.log(&world, "main", "downgraded");
    let answers = channel.send(&mut world, &line);
    assert!(answers.iter().all(|answer| answer["type"] == "reject"), "{answers:?}");
    assert!(channel.is_closed(&world));
    assert!(world.hosts[A].sessions.is_empty());
}

#[test]
fn flaw_19_a_message_has_the_version_of_its_handshake() {
    let peer = Original::made(40);
    let mut world = World::with_peer(peer.key());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    // All is as it should be but the number.
    let line = channel.log(&world, "main", "v 1");
    let wrong = peer.sign_again(line.trim_end(), &line.trim_end().replace("{\"v\":2,", "{\"v\":1,"));
    let answers = channel.send(&mut world, &format!("{wrong}\n"));
    assert!(answers.iter().all(|answer| answer["type"] == "reject"), "{answers:?}");
    assert!(channel.is_closed(&world) && world.hosts[A].sessions.is_empty());
}

#[test]
fn flaw_19_static_keys_can_be_forbidden_altogether() {
    let peer = Original::made(40);
    let config = Config { min_version: 2, ..Config::default() };
    let mut world = World::with_config(1, &config);
    let stream = world.open_raw(A, 7);
    let channel = Channel::hello(&mut world, A, stream, &peer, &[1]);
    assert_eq!((channel.version, channel.is_closed(&world)), (0, true));
}

/// What B says first when it dials A, caught by somebody in between.
fn caught_hello(world: &mut World) -> (StreamId, Vec<u8>) {
    let a = world.key(A);
    world.hosts[A].online = false;
    world.listen_raw(a.topic(), 66);
    world.command(B, log(a, "main", "for A alone"));
    let stream = world.dialled_raw(B)[0];
    let hello = world.taken(B, stream).remove(0);
    (stream, hello)
}

#[test]
fn flaw_24_a_hello_cannot_be_passed_on_to_a_third_node() {
    let mut world = World::granted();
    let third = world.add(Config::default(), Stored::default());
    let (_, hello) = caught_hello(&mut world);
    let stream = world.open_raw(third, 66);
    assert!(world.send_raw(third, stream, &hello).is_empty());
    assert!(world.is_closed(third, stream));
}

#[test]
fn flaw_24_a_hello_without_a_recipient_leads_to_no_message_of_its_sender() {
    // Cutting the recipient out breaks the signature.
    let mut world = World::granted();
    let third = world.add(Config::default(), Stored::default());
    let (_, hello) = caught_hello(&mut world);
    let text = String::from_utf8(hello).expect("UTF-8");
    let to = format!(r#","to":"{}""#, world.key(A));
    assert!(text.contains(&to), "our hello names its recipient");
    let stream = world.open_raw(third, 66);
    assert!(world.send_raw(third, stream, text.replace(&to, "").as_bytes()).is_empty());
    assert!(world.is_closed(third, stream));
}

#[test]
fn flaw_24_a_nodes_own_words_are_not_taken_from_others() {
    let mut world = World::granted();
    let (stream, hello) = caught_hello(&mut world);
    // Back on the same stream, and on one that is opened to it.
    world.input(B, Input::Received { stream, bytes: hello.clone() });
    assert!(world.taken(B, stream).is_empty());
    assert!(world.is_closed(B, stream));
    let stream = world.open_raw(B, 66);
    assert!(world.send_raw(B, stream, &hello).is_empty());
    assert!(world.is_closed(B, stream));
}

#[test]
fn flaw_24_a_node_does_not_talk_to_its_own_key() {
    // The same identity on another machine, as an original says hello: without a recipient.
    let twin = Original::made(40);
    let mut world = World::new(0);
    world.add(Config::default(), twin.stored());
    let channel = Channel::dial(&mut world, A, &twin, 66);
    assert_eq!((channel.version, channel.is_closed(&world)), (0, true));
}

#[test]
fn flaw_24_a_message_is_worth_nothing_in_another_stream() {
    let mut world = World::granted();
    // Mallory carries the bytes of B and A to and fro, and keeps them.
    let (near, hello) = caught_hello(&mut world);
    let far = world.open_raw(A, 66);
    let hello_ack = world.send_raw(A, far, &hello).remove(0);
    world.input(B, Input::Received { stream: near, bytes: hello_ack });
    let message = world.taken(B, near).remove(0);
    assert_eq!(parse(&message)["type"], "log");
    // A new handshake with the same hello, but the message belongs to the first.
    let other = world.open_raw(A, 67);
    let answers = world.send_raw(A, other, &hello);
    assert_eq!(answers.len(), 1, "a hello changes nothing, so it may come twice");
    assert!(world.send_raw(A, other, &message).is_empty());
    assert!(world.is_closed(A, other));
    assert!(world.hosts[A].sessions.is_empty());
    let rejected = |event: &Event| matches!(event, Event::MessageRejected { reason: RejectReason::NotForUs, .. });
    assert!(world.hosts[A].events.iter().any(rejected));
    // In its own stream it counts, once.
    let ack = world.send_raw(A, far, &message).remove(0);
    assert_eq!(parse(&ack)["type"], "ack");
    assert!(world.send_raw(A, far, &message).is_empty());
    assert_eq!(world.hosts[A].texts("main"), ["for A alone"]);
}

#[test]
fn flaw_24_a_refusal_that_names_no_stream_is_not_believed_where_all_do() {
    // What A said to an original once, to everybody's knowledge, is put into a stream between nodes of ours.
    let mut world = World::granted();
    let original = Original::made(40);
    let mut channel = Channel::dial(&mut world, A, &original, 40);
    let line = channel.log(&world, "main", "let me in");
    let refusal = world.send_raw(A, channel.stream, line.as_bytes()).remove(0);
    assert_eq!(parse(&refusal)["reason"], "unauthorized");
    let a = world.key(A);
    let (near, hello) = caught_hello(&mut world);
    let far = world.open_raw(A, 66);
    let hello_ack = world.send_raw(A, far, &hello).remove(0);
    world.input(B, Input::Received { stream: near, bytes: hello_ack });
    assert_eq!(world.taken(B, near).len(), 1);
    world.input(B, Input::Received { stream: near, bytes: refusal });
    let results: Vec<_> = world.hosts[B].finished.values().collect();
    assert!(!results.contains(&&Err(CommandError::Unauthorized(a))), "{results:?}");
}

#[test]
fn flaw_24_the_answer_to_one_message_is_none_to_another() {
    let mut world = World::granted();
    let a = world.key(A);
    let (near, hello) = caught_hello(&mut world);
    let far = world.open_raw(A, 66);
    let hello_ack = world.send_raw(A, far, &hello).remove(0);
    world.input(B, Input::Received { stream: near, bytes: hello_ack });
    let first = world.taken(B, near).remove(0);
    let ack = world.send_raw(A, far, &first).remove(0);
    // A second message is under way in the same stream; its sender gets the first one's answer twice.
    let second = world.command(B, log(a, "main", "second"));
    assert_eq!(world.taken(B, near).len(), 1);
    world.input(B, Input::Received { stream: near, bytes: ack.clone() });
    world.input(B, Input::Received { stream: near, bytes: ack });
    assert!(!world.hosts[B].finished.contains_key(&second), "the second was never answered");
}
