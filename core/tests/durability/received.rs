//! What peers send: acknowledged when it is stored, refused when it cannot be.

use wopr_p2p_core::invite::InviteState;
use wopr_p2p_core::{Config, Event, Input};

use crate::original::{Channel, Original, parse};
use crate::world::World;
use crate::{A, claiming, dialled, held, hold};

fn store_failed(world: &World) -> bool {
    world.hosts[A].events.iter().any(|event| matches!(event, Event::StoreFailed { .. }))
}

#[test]
fn a_log_is_acknowledged_when_its_nonce_and_its_text_are_durable() {
    let peer = Original::made(40);
    let (mut world, mut channel) = dialled(&peer);
    let line = channel.log(&world, "main", "hello");
    assert!(channel.send(&mut world, &line).is_empty());
    assert_eq!(world.let_through(A), "replay.log");
    assert!(channel.received(&mut world).is_empty());
    assert_eq!(world.let_through(A), "main");
    assert_eq!(channel.received(&mut world)[0]["type"], "ack");
    assert!(held(&world).is_empty());
}

#[test]
fn a_log_that_cannot_be_stored_is_refused_at_either_step() {
    for step in 0..2 {
        let peer = Original::made(40);
        let (mut world, mut channel) = dialled(&peer);
        let line = channel.log(&world, "main", "hello");
        channel.send(&mut world, &line);
        for _ in 0..step {
            world.let_through(A);
        }
        world.fail_held(A);
        let answers = channel.received(&mut world);
        assert_eq!((answers.len(), answers[0]["reason"].as_str()), (1, Some("log failed")), "step {step}");
        assert!(store_failed(&world) && world.hosts[A].sessions.is_empty(), "step {step}");
        // Sent anew, it arrives.
        world.let_all_through(A);
        let line = channel.log(&world, "main", "hello");
        assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack", "step {step}");
        assert_eq!(world.hosts[A].texts("main"), ["hello"], "step {step}");
    }
}

#[test]
fn a_question_is_asked_when_it_is_durable_and_answered_when_the_answer_is() {
    let peer = Original::made(40);
    let (mut world, mut channel) = dialled(&peer);
    world.hosts[A].answers = false;
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    for step in ["replay.log", "main"] {
        assert!(world.hosts[A].asked.is_empty());
        assert_eq!(world.let_through(A), step);
    }
    let (id, _) = world.hosts[A].asked.pop().expect("the question");
    world.input(A, Input::Answered { id, result: Ok("because".to_owned()) });
    assert!(channel.received(&mut world).is_empty());
    assert_eq!(world.let_through(A), "main");
    assert_eq!(channel.answer_of(&channel.received(&mut world)[0]).as_deref(), Some("because"));
}

#[test]
fn an_answer_that_cannot_be_stored_is_not_given() {
    let peer = Original::made(40);
    let (mut world, mut channel) = dialled(&peer);
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    world.let_through(A);
    world.let_through(A);
    world.fail_held(A);
    assert_eq!(channel.received(&mut world)[0]["reason"], "inject failed");
    assert_eq!(world.hosts[A].texts("main"), ["why?"]);
}

#[test]
fn a_claim_is_acknowledged_when_its_grant_is_durable() {
    let peer = Original::made(40);
    let mut world = World::new(1);
    let (channel, line) = claiming(&mut world, &peer);
    hold(&mut world);
    channel.send(&mut world, &line);
    for document in ["peers.json", "access.json"] {
        assert!(channel.received(&mut world).is_empty());
        assert!(world.hosts[A].node.snapshot().grants.is_empty(), "in force before it is durable");
        assert_eq!(world.let_through(A), document);
    }
    assert_eq!(channel.received(&mut world)[0]["type"], "ack");
    assert_eq!(world.hosts[A].node.snapshot().grants.len(), 1);
}

#[test]
fn a_claim_that_cannot_be_stored_leaves_the_invite_open() {
    for step in 0..2 {
        let peer = Original::made(40);
        let mut world = World::new(1);
        let (mut channel, line) = claiming(&mut world, &peer);
        hold(&mut world);
        channel.send(&mut world, &line);
        for _ in 0..step {
            world.let_through(A);
        }
        world.fail_held(A);
        assert_eq!(channel.received(&mut world)[0]["reason"], "claim failed", "step {step}");
        let snapshot = world.hosts[A].node.snapshot();
        assert!(snapshot.grants.is_empty() && snapshot.invites[0].state == InviteState::Open, "step {step}");
        world.let_all_through(A);
        let token = parse(line.as_bytes())["token"].as_str().expect("a token").to_owned();
        let again = channel.claim(&world, &token);
        assert_eq!(channel.send(&mut world, &again)[0]["type"], "ack", "step {step}");
    }
}

#[test]
fn a_peers_rotation_is_acknowledged_when_it_is_durable() {
    let (old, new) = (Original::made(40), Original::made(41));
    for fails in [false, true] {
        let mut world = World::with_peer(old.key());
        let mut channel = Channel::dial(&mut world, A, &new, 7);
        hold(&mut world);
        let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), 1000);
        let line = channel.rotation(&world, &old, &statement);
        channel.send(&mut world, &line);
        assert!(channel.received(&mut world).is_empty());
        assert_eq!(world.let_through(A), "access.json");
        assert!(channel.received(&mut world).is_empty());
        let (kind, key) = if fails {
            assert_eq!(world.fail_held(A), "peers.json");
            ("reject", old.key())
        } else {
            assert_eq!(world.let_through(A), "peers.json");
            ("ack", new.key())
        };
        assert_eq!(channel.received(&mut world)[0]["type"], kind);
        let snapshot = world.hosts[A].node.snapshot();
        assert_eq!((snapshot.peers[0].key, snapshot.grants[0].peer), (key, key));
    }
}

#[test]
fn a_full_disk_stops_nothing_but_what_needs_it() {
    let peer = Original::made(40);
    let mut world = World::with_peer(peer.key());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    world.hosts[A].disk_full = true;
    let line = channel.log(&world, "main", "no room");
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "log failed");
    let line = channel.inject(&world, "main", "no room?", "r");
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "inject failed");
    world.hosts[A].disk_full = false;
    let line = channel.log(&world, "main", "room");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
    assert_eq!(world.hosts[A].texts("main"), ["room"]);
    // The journal is whole again: a restart refuses the same bytes and takes new ones.
    world.restart(A, Config::default());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.log(&world, "main", "more room");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}
