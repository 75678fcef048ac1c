//! What strangers say without having a right to it, and floods: nothing comes of it.

use std::time::Duration;

use quickcheck::{QuickCheck, quickcheck};
use serde_json::json;
use wopr_p2p_core::discovery::{Connected, PendingWhat};
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{Nonce, Topic};
use wopr_p2p_core::rng::Rng;
use wopr_p2p_core::wire::discovery::{Answer, MAX_MESSAGE, Outgoing};
use wopr_p2p_core::{Config, Reply};

use crate::stranger::Stranger;
use crate::world::{grant, sessions};
use crate::{approve, connect, discovered, lobby, nothing_is_given, requests, with_gateway};

#[test]
fn flaw_01_an_unsolicited_acceptance_gives_nothing() {
    let mut world = lobby(1, &with_gateway());
    let accept = Answer::Accepted {
        sessions: Some(sessions(&["*"])),
        capabilities: vec!["inject".parse().expect("a capability")],
    };
    let grants = br#"{"type":"grant_update","grants":{"sessions":["*"]}}"#;
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.says(&mut world, &stranger.shows());
    stranger.says(&mut world, &Outgoing::connect_response(&accept));
    stranger.sends(&mut world, grants);
    nothing_is_given(&world, 0);
    // Proving its own key does not make it wanted.
    let proven = Stranger::meets(&mut world, 0, "lobby", 51);
    proven.proves(&mut world, &proven.shows());
    proven.proves(&mut world, &Outgoing::connect_response(&accept));
    nothing_is_given(&world, 0);
    assert!(discovered(&world, 0).iter().any(|found| found.key == proven.key() && found.proven));
    assert!(!world.is_closed(0, proven.stream));
}

#[test]
fn flaw_01_an_acceptance_from_another_than_was_asked_gives_nothing() {
    let mut world = lobby(2, &with_gateway());
    assert!(matches!(world.done(0, connect(world.key(1))), Ok(Reply::Connected(Connected::Pending { .. }))));
    let accept = Answer::Accepted { sessions: Some(sessions(&["*"])), capabilities: Vec::new() };
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.proves(&mut world, &stranger.shows());
    stranger.proves(&mut world, &Outgoing::connect_response(&accept));
    nothing_is_given(&world, 0);
}

#[test]
fn flaw_02_a_request_in_another_name_changes_nothing_about_the_named_peer() {
    let mut world = lobby(1, &with_gateway());
    let friend = Stranger::meets(&mut world, 0, "lobby", 50);
    world.done(0, grant(friend.key(), &["public"], "inject.limited")).expect("granted");
    let before = world.hosts[0].node.snapshot();
    // Another end, which names the friend's key and an encryption key of its own.
    let mut thief = Stranger::meets(&mut world, 0, "lobby", 51);
    let own = thief.identity.encrypt_key();
    thief.identity = Identity::generate(&mut Rng::new([50; 32]), world.now.wall);
    let request = Outgoing::connect_request(
        "lobby",
        thief.profile("{}").replace(&thief.identity.encrypt_key().to_string(), &own.to_string()),
    );
    thief.says(&mut world, &request);
    let after = world.hosts[0].node.snapshot();
    assert_eq!((after.peers, after.grants), (before.peers, before.grants));
}

#[test]
fn flaw_02_approving_an_unproven_request_gives_its_sender_no_key() {
    let mut world = lobby(1, &with_gateway());
    let thief = Stranger::meets(&mut world, 0, "lobby", 51);
    let answer = thief.says(&mut world, &thief.request());
    assert_eq!((&answer[0]["accept"], &answer[0]["pending"]), (&json!(false), &json!(true)));
    let request = requests(&world, 0).remove(0);
    assert!(matches!(request.what, PendingWhat::Connection { proven: false, .. }));
    world.done(0, approve(request.id)).expect("approved");
    let snapshot = world.hosts[0].node.snapshot();
    assert_eq!(snapshot.peers[0].encrypt_key, None);
    assert_eq!(snapshot.grants[0].peer, thief.key());
}

#[test]
fn flaw_18_messages_are_read_however_they_are_cut_or_joined() {
    let mut world = lobby(1, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    let two = b"{\"type\":\"ping\",\"ts\":1}\n{\"type\":\"ping\",\"ts\":2}";
    let pongs = [json!({"type": "pong", "ts": 1}), json!({"type": "pong", "ts": 2})];
    assert_eq!(stranger.sends(&mut world, two), pongs);
    let mut bytewise = Vec::new();
    for byte in two {
        bytewise.extend(stranger.sends(&mut world, &[*byte]));
    }
    assert_eq!(bytewise, pongs);
}

#[test]
fn flaw_18_a_proof_counts_on_one_stream_for_one_node_and_for_a_while() {
    let mut world = lobby(2, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    let shown = stranger.proven(&world, &stranger.shows());
    // Recorded there, played here: on another stream, and to another node.
    for host in [0, 1] {
        let replayer = Stranger::meets(&mut world, host, "lobby", 60 + u8::try_from(host).expect("small"));
        replayer.sends(&mut world, &shown);
        assert!(world.is_closed(host, replayer.stream), "host {host}");
        assert!(discovered(&world, host).iter().all(|found| found.key != stranger.key()));
    }
    // The right challenge, but for another node.
    let mut proof = stranger.proof(&world);
    proof.to = world.key(1);
    let bytes = stranger.shows().proven(&proof, |bytes| stranger.identity.sign(bytes));
    stranger.sends(&mut world, &bytes);
    assert!(world.is_closed(0, stranger.stream));
    // Signed by a clock that is far ahead.
    let late = Stranger::meets(&mut world, 0, "lobby", 52);
    let mut proof = late.proof(&world);
    proof.ts = world.now.wall + Duration::from_secs(301);
    let bytes = late.shows().proven(&proof, |bytes| late.identity.sign(bytes));
    late.sends(&mut world, &bytes);
    assert!(world.is_closed(0, late.stream));
    assert!(discovered(&world, 0).iter().all(|found| found.key == world.key(1)));
}

#[test]
fn flaw_18_somebody_between_two_nodes_can_only_pass_on_what_they_say() {
    let mut world = lobby(1, &with_gateway());
    let victim = Stranger::meets(&mut world, 0, "lobby", 50);
    victim.proves(&mut world, &victim.shows());
    // The one between writes on the same stream without the victim's key.
    let thief = Identity::generate(&mut Rng::new([51; 32]), world.now.wall);
    let mut proof = victim.proof(&world);
    let bytes = victim.request().proven(&proof, |bytes| thief.sign(bytes));
    victim.sends(&mut world, &bytes);
    assert!(world.is_closed(0, victim.stream));
    let again = Stranger::meets(&mut world, 0, "lobby", 50);
    again.proves(&mut world, &again.shows());
    proof = again.proof(&world);
    proof.from = thief.public_key();
    let bytes = again.request().proven(&proof, |bytes| thief.sign(bytes));
    again.sends(&mut world, &bytes);
    assert!(world.is_closed(0, again.stream));
    assert_eq!(requests(&world, 0), []);
}

#[test]
fn whoever_names_a_proven_key_does_not_describe_it() {
    let mut world = lobby(2, &Config::default());
    let mut liar = Stranger::meets(&mut world, 0, "lobby", 50);
    let theirs = world.key(1).to_string();
    let lie = json!({"type": "profile", "profile": {"publicKey": theirs, "content": {"name": "lie"}}});
    liar.sends(&mut world, lie.to_string().as_bytes());
    let found = discovered(&world, 0);
    assert_eq!((found.len(), found[0].proven, found[0].content.as_str()), (1, true, "{}"));
    // And our own key is nobody else's.
    liar = Stranger::meets(&mut world, 0, "lobby", 51);
    let ours = json!({"type": "profile", "profile": {"publicKey": world.key(0).to_string()}});
    liar.sends(&mut world, ours.to_string().as_bytes());
    assert!(world.is_closed(0, liar.stream));
}

#[test]
fn a_challenge_is_unlike_every_other() {
    let mut world = lobby(1, &Config::default());
    let challenges: Vec<Nonce> = (50..54).map(|seed| Stranger::meets(&mut world, 0, "lobby", seed).challenge).collect();
    assert!(challenges.iter().all(|one| challenges.iter().filter(|other| *other == one).count() == 1));
}

#[test]
fn a_flood_is_cut_off_and_counted_against_its_transport() {
    let mut world = lobby(1, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.sends(&mut world, &b"{\"type\":\"ping\"}".repeat(40));
    assert!(world.is_closed(0, stranger.stream));
    for _ in 0..3 {
        let long = Stranger::meets(&mut world, 0, "lobby", 50);
        long.sends(&mut world, &[b"{\"type\":\"", &[b'x'; MAX_MESSAGE][..]].concat());
        assert!(world.is_closed(0, long.stream));
    }
    let banned = world.open_raw_for(0, 50, vec![Topic::discovery("lobby")]);
    assert!(world.is_closed(0, banned));
    let other = world.open_raw_for(0, 51, vec![Topic::discovery("lobby")]);
    assert!(!world.is_closed(0, other));
}

#[test]
fn streams_are_bounded_at_the_cost_of_those_who_proved_nothing() {
    let mut config = Config::default();
    config.discovery.max_streams = 3;
    let mut world = lobby(1, &config);
    let proven = Stranger::meets(&mut world, 0, "lobby", 50);
    proven.proves(&mut world, &proven.shows());
    let first = Stranger::meets(&mut world, 0, "lobby", 51);
    for seed in 52..60 {
        Stranger::meets(&mut world, 0, "lobby", seed);
    }
    assert!(world.is_closed(0, first.stream));
    assert!(!world.is_closed(0, proven.stream));
    for _ in 0..4 {
        world.open_raw_for(0, 70, vec![Topic::discovery("lobby")]);
    }
    let mut config = Config::default();
    config.discovery.max_found = 2;
    let mut world = lobby(1, &config);
    for seed in 50..60 {
        let stranger = Stranger::meets(&mut world, 0, "lobby", seed);
        stranger.says(&mut world, &stranger.shows());
    }
    assert_eq!(discovered(&world, 0).len(), 2);
}

quickcheck! {
    fn random_bytes_on_a_discovery_stream_give_nothing_and_keep_nothing(chunks: Vec<Vec<u8>>) -> bool {
        let mut world = lobby(1, &with_gateway());
        let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
        for chunk in &chunks {
            stranger.sends(&mut world, chunk);
        }
        nothing_is_given(&world, 0);
        world.hosts[0].node.buffered() <= MAX_MESSAGE
    }
}

#[test]
fn changed_messages_give_nothing() {
    fn property(kind: u8, at: usize, byte: u8) -> bool {
        let mut config = with_gateway();
        config.discovery.auto_accept = true;
        let mut world = lobby(1, &config);
        let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
        let accepted = Answer::Accepted { sessions: Some(sessions(&["*"])), capabilities: Vec::new() };
        let message = match kind % 3 {
            0 => stranger.shows(),
            1 => stranger.request(),
            _ => Outgoing::connect_response(&accepted),
        };
        let mut bytes = stranger.proven(&world, &message);
        let at = at % bytes.len();
        let unchanged = bytes[at] == byte;
        bytes[at] = byte;
        stranger.sends(&mut world, &bytes);
        let snapshot = world.hosts[0].node.snapshot();
        unchanged || snapshot.grants.is_empty() && !snapshot.discovered.iter().any(|found| found.proven)
    }
    QuickCheck::new().tests(2000).quickcheck(property as fn(u8, usize, u8) -> bool);
}
