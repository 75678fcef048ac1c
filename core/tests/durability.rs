//! Nothing is acknowledged before it is durable, what could not be stored has not happened, and what is taken away is
//! gone before the disk knows.

#[path = "support/original.rs"]
mod original;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use original::{Channel, Original};
use serde_json::Value;
use wopr_p2p_core::invite::InviteState;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, Config, Event, Reply};
use world::{World, grant, inject, invite, log};

const A: usize = 0;
const B: usize = 1;

/// A node that granted an original the session `main`.
fn with_peer(peer: &Original) -> World {
    let mut world = World::new(1);
    assert!(world.done(A, grant(peer.key(), &["main"], "inject")).is_ok());
    world
}

fn hold(world: &mut World) {
    world.hosts[A].holds_writes = true;
}

/// A node whose writes are held, with one under way already, behind which others queue, if so wanted.
fn holding(one_under_way: bool) -> World {
    let mut world = World::new(1);
    hold(&mut world);
    if one_under_way {
        world.command(A, grant(Original::made(41).key(), &["other"], "inject"));
    }
    world
}

fn held(world: &World) -> Vec<&str> {
    world.hosts[A].held.iter().map(|write| write.name()).collect()
}

fn store_failed(world: &World) -> bool {
    world.hosts[A].events.iter().any(|event| matches!(event, Event::StoreFailed { .. }))
}

#[test]
fn a_log_is_acknowledged_when_its_nonce_and_its_text_are_durable() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer);
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    hold(&mut world);
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
        let mut world = with_peer(&peer);
        let mut channel = Channel::dial(&mut world, A, &peer, 7);
        hold(&mut world);
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
    let mut world = with_peer(&peer);
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    hold(&mut world);
    world.hosts[A].answers = false;
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    for step in ["replay.log", "main"] {
        assert!(world.hosts[A].asked.is_empty());
        assert_eq!(world.let_through(A), step);
    }
    let (id, _) = world.hosts[A].asked.pop().expect("the question");
    world.input(A, wopr_p2p_core::Input::Answered { id, result: Ok("because".to_owned()) });
    assert!(channel.received(&mut world).is_empty());
    assert_eq!(world.let_through(A), "main");
    assert_eq!(channel.answer_of(&channel.received(&mut world)[0]).as_deref(), Some("because"));
}

#[test]
fn an_answer_that_cannot_be_stored_is_not_given() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer);
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    hold(&mut world);
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    world.let_through(A);
    world.let_through(A);
    world.fail_held(A);
    assert_eq!(channel.received(&mut world)[0]["reason"], "inject failed");
    assert_eq!(world.hosts[A].texts("main"), ["why?"]);
}

/// A stream of a peer with an invite, and the line that claims it.
fn claiming<'a>(world: &mut World, peer: &'a Original) -> (Channel<'a>, String) {
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(peer.key(), &["main"])) else {
        panic!("no invite");
    };
    let mut channel = Channel::dial(world, A, peer, 7);
    let line = channel.claim(world, &token);
    (channel, line)
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
        let token = original::parse(line.as_bytes())["token"].as_str().expect("a token").to_owned();
        let again = channel.claim(&world, &token);
        assert_eq!(channel.send(&mut world, &again)[0]["type"], "ack", "step {step}");
    }
}

#[test]
fn a_peers_rotation_is_acknowledged_when_it_is_durable() {
    let (old, new) = (Original::made(40), Original::made(41));
    for fails in [false, true] {
        let mut world = with_peer(&old);
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
fn our_new_key_is_used_when_it_is_durable() {
    for fails in [false, true] {
        let mut world = World::new(1);
        let old = world.key(A);
        hold(&mut world);
        let timeout = Duration::from_secs(5);
        let rotate = Command::RotateKeys { reason: RotationReason::Upgrade, notify_all: false, timeout };
        let id = world.command(A, rotate);
        assert_eq!((held(&world), world.key(A)), (vec!["identity.json"], old));
        assert_eq!(world.hosts[A].topics, [old.topic()]);
        if fails {
            world.fail_held(A);
            let result = world.hosts[A].finished.remove(&id);
            assert!(matches!(result, Some(Err(CommandError::NotStored(_)))), "{result:?}");
            assert_eq!((world.key(A), world.hosts[A].topics.len()), (old, 1));
        } else {
            world.let_through(A);
            assert_eq!(world.hosts[A].topics, [old.topic(), world.key(A).topic()]);
            assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(Reply::Rotated { .. }))));
        }
    }
}

#[test]
fn a_failed_rotation_does_not_stand_in_the_way_of_the_next() {
    let mut world = World::new(1);
    let timeout = Duration::from_secs(5);
    let rotate = || Command::RotateKeys { reason: RotationReason::Upgrade, notify_all: true, timeout };
    world.hosts[A].disk_full = true;
    assert!(matches!(world.done(A, rotate()), Err(CommandError::NotStored(_))));
    world.hosts[A].disk_full = false;
    assert!(matches!(world.done(A, rotate()), Ok(Reply::Rotated { .. })));
}

#[test]
fn what_is_noted_of_earlier_keys_does_not_take_the_place_of_new_ones() {
    // A has told B of its second key, and hears of that while its third is on its way to the disk.
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["main"], "inject")).is_ok());
    assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
    world.hosts[B].holds_writes = true;
    let timeout = Duration::from_secs(300);
    let rotate = || Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: false, timeout };
    assert!(world.done(A, rotate()).is_ok());
    hold(&mut world);
    let third = world.command(A, rotate());
    assert_eq!(held(&world), ["identity.json"]);
    world.let_all_through(B);
    world.let_all_through(A);
    assert!(matches!(world.hosts[A].finished.remove(&third), Some(Ok(Reply::Rotated { .. }))));
    let (key, grace) = (world.key(A), world.hosts[A].node.snapshot().grace);
    assert_eq!(grace[0].told, [b], "B was told of the second key");
    world.restart(A, Config::default());
    assert_eq!((world.key(A), world.hosts[A].node.snapshot().grace), (key, grace));
}

#[test]
fn two_rotations_at_once_do_not_give_one_key_two_successors() {
    let mut world = World::new(1);
    hold(&mut world);
    let timeout = Duration::from_secs(5);
    let rotate = || Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: false, timeout };
    let (first, second) = (world.command(A, rotate()), world.command(A, rotate()));
    world.let_all_through(A);
    assert!(matches!(world.hosts[A].finished.remove(&first), Some(Ok(Reply::Rotated { .. }))));
    assert!(matches!(world.hosts[A].finished.remove(&second), Some(Err(CommandError::LimitReached(_)))));
}

#[test]
fn the_owners_commands_finish_when_their_changes_are_durable() {
    let peer = Original::made(40);
    type Case = (fn(&Original) -> Command, &'static [&'static str]);
    let commands: [Case; 3] = [
        (|peer| grant(peer.key(), &["more"], "inject"), &["peers.json", "access.json"]),
        (|peer| invite(peer.key(), &["more"]), &["access.json"]),
        (|peer| Command::NamePeer { peer: PeerRef::Key(peer.key()), name: "al".into() }, &["peers.json"]),
    ];
    for (command, documents) in commands {
        for failing in 0..=documents.len() {
            let mut world = with_peer(&peer);
            let before = world.hosts[A].node.snapshot();
            hold(&mut world);
            let id = world.command(A, command(&peer));
            for document in documents.iter().take(failing) {
                assert!(!world.hosts[A].finished.contains_key(&id), "{document} is not durable yet");
                assert_eq!(world.let_through(A), *document);
            }
            if failing < documents.len() {
                world.fail_held(A);
                let result = world.hosts[A].finished.remove(&id);
                assert!(matches!(result, Some(Err(CommandError::NotStored(_)))), "{documents:?}: {result:?}");
                let after = world.hosts[A].node.snapshot();
                assert_eq!((after.grants, after.peers), (before.grants, before.peers), "{documents:?}");
                assert_eq!(after.invites, before.invites, "{documents:?}");
            } else {
                assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(_))), "{documents:?}");
            }
        }
    }
}

fn revoke(peer: &Original) -> Command {
    Command::RevokePeer { peer: PeerRef::Key(peer.key()), session: None }
}

#[test]
fn a_revocation_holds_before_it_is_durable_and_even_if_it_never_is() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer);
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    hold(&mut world);
    let id = world.command(A, revoke(&peer));
    let line = channel.log(&world, "main", "too late");
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "unauthorized");
    assert!(!world.hosts[A].finished.contains_key(&id), "finished before it is durable");
    world.fail_held(A);
    assert!(matches!(world.hosts[A].finished.remove(&id), Some(Err(CommandError::NotStored(_)))));
    let line = channel.log(&world, "main", "still too late");
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "unauthorized");
}

#[test]
fn a_revocation_during_a_claim_wins() {
    for step in 0..2 {
        let peer = Original::made(40);
        let mut world = World::new(1);
        let (channel, line) = claiming(&mut world, &peer);
        hold(&mut world);
        channel.send(&mut world, &line);
        for _ in 0..step {
            world.let_through(A);
        }
        let id = world.command(A, revoke(&peer));
        world.let_all_through(A);
        assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized", "step {step}");
        assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(_))), "step {step}");
        assert!(world.hosts[A].node.snapshot().grants.is_empty(), "step {step}");
        world.restart(A, Config::default());
        assert!(world.hosts[A].node.snapshot().grants.is_empty(), "step {step}: back after a restart");
    }
}

#[test]
fn a_revocation_during_a_grant_wins() {
    let peer = Original::made(40);
    for queued in [false, true] {
        let mut world = holding(queued);
        let granted = world.command(A, grant(peer.key(), &["main"], "inject"));
        world.command(A, revoke(&peer));
        world.let_all_through(A);
        assert_eq!(world.hosts[A].finished.remove(&granted), Some(Err(CommandError::Cancelled)), "queued: {queued}");
        let grants = world.hosts[A].node.snapshot().grants;
        assert!(grants.iter().all(|grant| grant.peer != peer.key()), "queued: {queued}");
    }
}

#[test]
fn a_revocation_during_an_invite_wins() {
    let peer = Original::made(40);
    for queued in [false, true] {
        let mut world = holding(queued);
        world.command(A, invite(peer.key(), &["main"]));
        let revoked = world.command(A, revoke(&peer));
        world.let_all_through(A);
        assert!(matches!(world.hosts[A].finished.remove(&revoked), Some(Ok(_))), "queued: {queued}");
        for restarted in [false, true] {
            let invites = world.hosts[A].node.snapshot().invites;
            let open = invites.iter().any(|invite| invite.state == InviteState::Open);
            assert!(!open, "queued: {queued}, restarted: {restarted}");
            world.restart(A, Config::default());
        }
    }
}

#[test]
fn a_revocation_before_the_text_is_stored_keeps_it_out() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer);
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    hold(&mut world);
    let line = channel.log(&world, "main", "too late");
    channel.send(&mut world, &line);
    world.command(A, revoke(&peer));
    world.let_all_through(A);
    assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized");
    assert!(world.hosts[A].sessions.is_empty());
}

#[test]
fn a_revocation_stops_the_ai_and_withholds_its_answer() {
    let peer = Original::made(40);
    // While the AI thinks.
    let mut world = with_peer(&peer);
    world.hosts[A].answers = false;
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    assert!(world.done(A, revoke(&peer)).is_ok());
    assert_eq!((world.hosts[A].cancelled.len(), world.hosts[A].asked.len()), (1, 1));
    assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized");
    // While its answer is being stored.
    let mut world = with_peer(&peer);
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    hold(&mut world);
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    world.let_through(A);
    world.let_through(A);
    world.command(A, revoke(&peer));
    world.let_all_through(A);
    assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized");
}

/// The kill at every step: what was written stays, what waited is lost, and the peer sends the very same bytes again.
/// Protocol 1, because there a message is bound to no handshake and could be replayed.
#[test]
fn after_a_crash_at_any_step_a_log_is_in_the_session_once_if_it_was_acknowledged() {
    let peer = Original::made(40);
    for steps in 0..=2 {
        let mut world = with_peer(&peer);
        hold(&mut world);
        let stream = world.open_raw(A, 7);
        let mut channel = Channel::hello(&mut world, A, stream, &peer, &[1]);
        let line = channel.log(&world, "main", "hello");
        let mut answers = channel.send(&mut world, &line);
        for _ in 0..steps {
            world.let_through(A);
            answers.extend(channel.received(&mut world));
        }
        let acknowledged = !answers.is_empty();
        world.hosts[A].holds_writes = false;
        world.restart(A, Config::default());
        let stored = world.hosts[A].texts("main").len();
        assert!(stored == 1 || !acknowledged, "step {steps}: acknowledged and lost");
        assert_eq!(acknowledged, steps == 2);
        let stream = world.open_raw(A, 7);
        let again = Channel::hello(&mut world, A, stream, &peer, &[1]).send(&mut world, &line);
        let twice = world.hosts[A].texts("main").len();
        assert!(twice <= 1, "step {steps}: delivered twice");
        // Before its nonce was durable it counts as never received.
        assert_eq!(again.first().map(|answer| answer["type"].clone()), (steps == 0).then(|| Value::from("ack")));
    }
}

#[test]
fn after_a_crash_at_any_step_a_claim_can_be_repeated_or_has_been_acknowledged() {
    let peer = Original::made(40);
    for steps in 0..=2 {
        let mut world = World::new(1);
        let (channel, line) = claiming(&mut world, &peer);
        hold(&mut world);
        let mut answers = channel.send(&mut world, &line);
        for _ in 0..steps {
            world.let_through(A);
            answers.extend(channel.received(&mut world));
        }
        world.hosts[A].holds_writes = false;
        world.restart(A, Config::default());
        let granted = world.hosts[A].node.snapshot().grants.len();
        assert_eq!((answers.len(), granted), if steps == 2 { (1, 1) } else { (0, 0) }, "step {steps}");
        let token = original::parse(line.as_bytes())["token"].as_str().expect("a token").to_owned();
        let mut channel = Channel::dial(&mut world, A, &peer, 7);
        let again = channel.claim(&world, &token);
        let kind = channel.send(&mut world, &again)[0]["type"].clone();
        assert_eq!(kind, if steps == 2 { "reject" } else { "ack" }, "step {steps}");
        assert_eq!(world.hosts[A].node.snapshot().grants.len(), 1, "step {steps}");
    }
}

#[test]
fn after_a_crash_at_any_step_a_peers_rotation_can_be_told_again() {
    let (old, new) = (Original::made(40), Original::made(41));
    for steps in 0..=2 {
        let mut world = with_peer(&old);
        let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), 3_600_000);
        let mut channel = Channel::dial(&mut world, A, &new, 7);
        hold(&mut world);
        let line = channel.rotation(&world, &old, &statement);
        channel.send(&mut world, &line);
        for _ in 0..steps {
            world.let_through(A);
        }
        assert_eq!(channel.received(&mut world).len(), usize::from(steps == 2), "step {steps}");
        world.hosts[A].holds_writes = false;
        world.restart(A, Config::default());
        let mut channel = Channel::dial(&mut world, A, &new, 7);
        let line = channel.rotation(&world, &old, &statement);
        assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack", "step {steps}");
        let line = channel.log(&world, "main", "new key");
        assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack", "step {steps}");
    }
}

#[test]
fn after_a_crash_at_any_step_a_node_has_the_key_that_it_told() {
    for steps in 0..=1 {
        let mut world = World::new(2);
        let (a, b) = (world.key(A), world.key(B));
        assert!(world.done(A, grant(b, &["main"], "inject")).is_ok());
        assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
        hold(&mut world);
        let timeout = Duration::from_secs(5);
        world.command(A, Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: true, timeout });
        for _ in 0..steps {
            world.let_through(A);
        }
        let told = world.hosts[B].node.snapshot().peers[0].key;
        world.hosts[A].holds_writes = false;
        world.restart(A, Config::default());
        assert_eq!(world.key(A), told, "step {steps}");
        assert_eq!(world.done(B, log(a, "main", "x")), Ok(Reply::Logged), "step {steps}");
        assert_eq!(told != a, steps == 1);
    }
}

#[test]
fn changes_that_wait_for_the_disk_are_bounded() {
    let config = Config { max_pending_changes: 2, ..Config::default() };
    let mut world = World::with_config(1, &config);
    hold(&mut world);
    let ids: Vec<_> =
        (1..=4).map(|seed| world.command(A, grant(Original::made(seed).key(), &["x"], "inject"))).collect();
    let refused = CommandError::LimitReached("max_pending_changes");
    assert_eq!(world.hosts[A].finished.get(&ids[3]), Some(&Err(refused)));
    assert!(ids[..3].iter().all(|id| !world.hosts[A].finished.contains_key(id)));
    // Taking away always has room.
    let id = world.command(A, revoke(&Original::made(2)));
    world.let_all_through(A);
    assert!(matches!(world.hosts[A].finished.get(&id), Some(Ok(_))));
    assert_eq!(world.hosts[A].node.snapshot().grants.len(), 2);
}

#[test]
fn a_full_disk_stops_nothing_but_what_needs_it() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer);
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

#[test]
fn a_claim_of_ours_is_done_when_what_it_opened_is_durable() {
    let mut world = World::new(2);
    let a = world.key(A);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(B, invite(a, &["main"])) else { panic!("no invite") };
    hold(&mut world);
    let id = world.command(A, Command::Claim { token, timeout: Duration::from_secs(10) });
    assert!(!world.hosts[A].finished.contains_key(&id));
    assert_eq!(world.let_through(A), "peers.json");
    assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(Reply::Claimed { .. }))));
    world.hosts[A].holds_writes = false;
    let b = world.key(B);
    assert!(world.done(A, inject(b, "main", "?")).is_ok());
}
