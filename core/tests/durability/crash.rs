//! A crash at any step: what was acknowledged is there, and what was not can be said again.

use std::time::Duration;

use serde_json::Value;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, Config, Reply};

use crate::original::{Channel, Original, parse};
use crate::world::{World, log};
use crate::{A, B, claiming, hold};

/// The kill at every step: what was written stays, what waited is lost, and the peer sends the very same bytes again.
/// Protocol 1, because there a message is bound to no handshake and could be replayed.
#[test]
fn after_a_crash_at_any_step_a_log_is_in_the_session_once_if_it_was_acknowledged() {
    let peer = Original::made(40);
    for steps in 0..=2 {
        let mut world = World::with_peer(peer.key());
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
        let token = parse(line.as_bytes())["token"].as_str().expect("a token").to_owned();
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
        let mut world = World::with_peer(old.key());
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
        let mut world = World::friends(2);
        let a = world.key(A);
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
