//! Whose rotation is followed, and how far: flaw 11.

use std::time::Duration;

use serde_json::Value;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, Event, Input};

use crate::original::{Channel, Original, parse};
use crate::world::{World, grant, revoke};
use crate::{A, B};

const DAY_MS: u64 = 86_400_000;

/// Tells a node of a rotation, under the handshake of `teller`.
fn tell(world: &mut World, teller: &Original, old: &Original, statement: &str) -> Vec<Value> {
    let mut channel = Channel::dial(world, A, teller, 7);
    let line = channel.rotation(world, old, statement);
    channel.send(world, &line)
}

fn peers(world: &World) -> Vec<String> {
    world.hosts[A].node.snapshot().peers.iter().map(|peer| peer.key.to_string()).collect()
}

#[test]
fn flaw_11_an_honest_rotation_moves_the_grants() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = World::with_peer(old.key());
    let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), DAY_MS);
    assert_eq!(tell(&mut world, &new, &old, &statement)[0]["type"], "ack");
    assert_eq!(peers(&world), [new.public()]);
    let mut channel = Channel::dial(&mut world, A, &new, 7);
    let line = channel.log(&world, "main", "new key");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}

#[test]
fn flaw_11_a_rotation_needs_a_handshake_under_the_new_key() {
    let (old, new, mallory) = (Original::made(40), Original::made(41), Original::made(66));
    for teller in [&old, &mallory] {
        let mut world = World::with_peer(old.key());
        let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), DAY_MS);
        let answers = tell(&mut world, teller, &old, &statement);
        assert_eq!(answers[0]["reason"], "invalid key rotation");
        assert_eq!(peers(&world), [old.public()]);
    }
}

#[test]
fn flaw_11_between_nodes_of_ours_the_new_key_signs_the_statement_too() {
    // B's notice to A, with its proof taken out: the rest is as B sent it.
    let mut world = World::friends(2);
    let (a, b) = (world.key(A), world.key(B));
    world.hosts[A].online = false;
    world.listen_raw(a.topic(), 66);
    let reason = RotationReason::Scheduled;
    world.command(B, Command::RotateKeys { reason, notify_all: false, timeout: Duration::from_secs(5) });
    let near = world.dialled_raw(B)[0];
    let hello = world.taken(B, near).remove(0);
    let far = world.open_raw(A, 66);
    let ack = world.send_raw(A, far, &hello).remove(0);
    world.input(B, Input::Received { stream: near, bytes: ack });
    let notice = String::from_utf8(world.taken(B, near).remove(0)).expect("UTF-8");
    let (before, rest) = notice.split_once(",\"proof\":\"").expect("a proof");
    let (_, after) = rest.split_once('"').expect("its end");
    let answers = world.send_raw(A, far, format!("{before}{after}").as_bytes());
    assert_eq!(parse(&answers[0])["reason"], "invalid key rotation");
    assert_eq!(peers(&world), [b.to_string()]);
    assert_eq!(parse(&world.send_raw(A, far, notice.as_bytes())[0])["type"], "ack");
}

#[test]
fn flaw_11_nobody_takes_another_peers_key() {
    let (mallory, victim) = (Original::made(66), Original::made(40));
    let mut world = World::with_peer(victim.key());
    assert!(world.done(A, grant(mallory.key(), &["gateway"], "message")).is_ok());
    // Even the victim itself cannot join the two: one key has one owner.
    let statement = mallory.statement(&victim, "scheduled", world.now.wall.as_millis(), DAY_MS);
    assert_eq!(tell(&mut world, &victim, &mallory, &statement)[0]["reason"], "invalid key rotation");
    assert_eq!(peers(&world).len(), 2);
    // Nor does anybody take the node's own key.
    let us = world.key(A);
    assert!(!peers(&world).contains(&us.to_string()));
}

#[test]
fn flaw_11_a_statement_of_another_key_than_the_old_one_moves_nothing() {
    let (old, mallory) = (Original::made(40), Original::made(66));
    let mut world = World::with_peer(old.key());
    let statement = old.statement(&mallory, "scheduled", world.now.wall.as_millis(), DAY_MS);
    // The same words, signed by the thief.
    let (text, _) = statement.rsplit_once(",\"sig\"").expect("a signature");
    let forged = mallory.sign(&format!("{text}}}"));
    assert_eq!(tell(&mut world, &mallory, &old, forged.trim_end())[0]["reason"], "invalid key rotation");
    assert_eq!(peers(&world), [old.public()]);
}

#[test]
fn flaw_11_a_second_successor_is_refused_and_reported() {
    let (old, new, thief) = (Original::made(40), Original::made(41), Original::made(66));
    let mut world = World::with_peer(old.key());
    let now = world.now.wall.as_millis();
    assert_eq!(tell(&mut world, &new, &old, &old.statement(&new, "compromise", now, DAY_MS))[0]["type"], "ack");
    let stolen = old.statement(&thief, "scheduled", now, DAY_MS);
    assert_eq!(tell(&mut world, &thief, &old, &stolen)[0]["reason"], "invalid key rotation");
    let reported = |event: &Event| {
        matches!(event, Event::RotationConflict { old: of, known, refused }
            if (*of, *known, *refused) == (old.key(), new.key(), thief.key()))
    };
    assert!(world.hosts[A].events.iter().any(reported));
    assert_eq!(peers(&world), [new.public()]);
}

#[test]
fn flaw_11_the_grace_of_an_old_key_is_bounded_by_us() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = World::with_peer(old.key());
    let statement = old.statement(&new, "compromise", world.now.wall.as_millis(), DAY_MS * 365 * 100);
    assert_eq!(tell(&mut world, &new, &old, &statement)[0]["type"], "ack");
    let try_old = |world: &mut World| {
        let mut channel = Channel::dial(world, A, &old, 7);
        let line = channel.log(world, "main", "old key");
        channel.send(world, &line)[0]["type"].clone()
    };
    world.sleep(Duration::from_secs(3600 - 2));
    assert_eq!(try_old(&mut world), "ack");
    world.sleep(Duration::from_secs(2));
    assert_eq!(try_old(&mut world), "reject");
}

#[test]
fn flaw_11_a_rotation_from_the_future_is_refused() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = World::with_peer(old.key());
    let later = world.now.wall.as_millis() + 301_000;
    assert_eq!(tell(&mut world, &new, &old, &old.statement(&new, "scheduled", later, DAY_MS))[0]["type"], "reject");
    assert_eq!(peers(&world), [old.public()]);
}

#[test]
fn flaw_11_a_revoked_peer_does_not_rotate() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = World::with_peer(old.key());
    assert!(world.done(A, revoke(old.key())).is_ok());
    let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), DAY_MS);
    assert_eq!(tell(&mut world, &new, &old, &statement)[0]["type"], "reject");
}

#[test]
fn flaw_11_rotations_are_counted() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = World::with_peer(old.key());
    let mut channel = Channel::dial(&mut world, A, &new, 7);
    let mut reasons = Vec::new();
    for number in 0..7 {
        let statement = new.statement(&old, "scheduled", world.now.wall.as_millis() - number, DAY_MS);
        let line = channel.rotation(&world, &new, &statement);
        reasons.extend(channel.send(&mut world, &line).iter().map(|answer| answer["reason"].clone()));
    }
    assert_eq!(reasons[..5], ["invalid key rotation"; 5].map(Value::from));
    assert_eq!(reasons[5], "rate limited");
}
