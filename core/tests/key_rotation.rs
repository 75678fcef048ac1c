//! Rotations over time: who hears of them, in which order, until when the old keys count.

#[path = "support/original.rs"]
mod original;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use original::{Channel, Original};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, Config, Document, Event, Reply};
use world::{World, grant, inject, invite, log};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn rotate(world: &mut World, host: usize) -> (Vec<PublicKey>, Vec<PublicKey>) {
    let timeout = Duration::from_secs(20);
    let reason = RotationReason::Scheduled;
    match world.done(host, Command::RotateKeys { reason, notify_all: true, timeout }) {
        Ok(Reply::Rotated { told, untold, .. }) => (told, untold),
        other => panic!("{other:?}"),
    }
}

/// By which keys `host` knows its peers.
fn known_to(world: &World, host: usize) -> Vec<PublicKey> {
    world.hosts[host].node.snapshot().peers.iter().map(|peer| peer.key).collect()
}

#[test]
fn a_peer_that_is_offline_is_reported_and_told_when_it_is_back() {
    let mut world = World::friends(3);
    let (b, c) = (world.key(B), world.key(C));
    world.hosts[C].online = false;
    assert_eq!(rotate(&mut world, A), (vec![b], vec![c]));
    world.hosts[C].online = true;
    world.sleep(Duration::from_secs(120));
    assert!(known_to(&world, C).contains(&world.key(A)));
    assert!(world.hosts[A].events.contains(&Event::RotationTold { peer: c }));
    let told = &world.hosts[A].node.snapshot().grace[0].told;
    assert!(told.contains(&b) && told.contains(&c));
}

#[test]
fn a_peer_that_comes_by_itself_is_told_at_once() {
    let mut world = World::friends(2);
    let a = world.key(A);
    world.hosts[B].online = false;
    rotate(&mut world, A);
    world.sleep(Duration::from_secs(3600));
    world.hosts[B].online = true;
    // It knows the old key only.
    assert_eq!(world.done(B, log(a, "main", "I am back")), Ok(Reply::Logged));
    world.sleep(Duration::from_secs(1));
    assert_eq!(known_to(&world, B), [world.key(A)]);
}

#[test]
fn a_restart_forgets_nobody_who_has_to_be_told() {
    let mut world = World::friends(3);
    let (b, c) = (world.key(B), world.key(C));
    world.hosts[C].online = false;
    rotate(&mut world, A);
    world.restart(A, Config::default());
    world.hosts[C].online = true;
    world.hosts[A].events.clear();
    world.sleep(Duration::from_secs(120));
    assert!(known_to(&world, C).contains(&world.key(A)));
    // Nobody is told twice.
    assert!(!world.hosts[A].events.contains(&Event::RotationTold { peer: b }));
    assert!(world.hosts[A].events.contains(&Event::RotationTold { peer: c }));
}

#[test]
fn a_peer_hears_of_all_rotations_in_their_order() {
    let mut world = World::friends(2);
    let first = world.key(A);
    world.hosts[B].online = false;
    let mut keys = vec![first];
    for _ in 0..5 {
        rotate(&mut world, A);
        keys.push(world.key(A));
    }
    world.hosts[B].online = true;
    // It comes by itself: now all of them are due.
    assert_eq!(world.done(B, log(first, "main", "I am back")), Ok(Reply::Logged));
    world.sleep(Duration::from_secs(1));
    let snapshot = world.hosts[B].node.snapshot();
    let history: Vec<_> = snapshot.peers[0].history.iter().map(|past| past.key).collect();
    assert_eq!((snapshot.peers[0].key, history.as_slice()), (keys[5], &keys[..5]));
    let refused = |event: &Event| matches!(event, Event::MessageRejected { .. });
    assert!(!world.hosts[B].events.iter().any(refused), "told of a rotation before the one it follows");
    assert_eq!(world.done(A, log(world.key(B), "main", "last key")), Ok(Reply::Logged));
    assert_eq!(world.done(B, log(first, "main", "first name")), Ok(Reply::Logged));
}

#[test]
fn a_peer_that_missed_two_rotations_beyond_the_grace_is_reported_once_and_comes_back_by_an_invite() {
    let mut world = World::friends(3);
    let (first, b) = (world.key(A), world.key(B));
    world.sleep(Duration::from_secs(60));
    world.hosts[B].online = false;
    let missed = |world: &World| {
        let missed = |event: &&Event| matches!(event, Event::RotationMissed { .. });
        world.hosts[A].events.iter().filter(missed).cloned().collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(missed(&world), []);
        rotate(&mut world, A);
        world.sleep(2 * DAY);
    }
    assert_eq!(missed(&world), [Event::RotationMissed { peer: b, old: first }]);
    world.hosts[B].online = true;
    assert_eq!(world.done(B, log(first, "main", "who are you now?")), Err(CommandError::PeerOffline(first)));
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(b, &["main"])) else { panic!("no invite") };
    assert!(world.done(B, Command::Claim { token, timeout: Duration::from_secs(20) }).is_ok());
    assert_eq!(world.done(B, log(world.key(A), "main", "here again")), Ok(Reply::Logged));
}

/// The stolen key counts for an hour only, and ends before the one before it, which has a day.
#[test]
fn a_key_that_ends_before_the_one_before_it_is_told_of_all_the_same() {
    let mut world = World::friends(2);
    world.sleep(Duration::from_secs(60));
    let b = world.key(B);
    assert_eq!(rotate(&mut world, A), (vec![b], vec![]));
    world.hosts[B].online = false;
    let reason = RotationReason::Compromise;
    let timeout = Duration::from_secs(20);
    assert!(world.done(A, Command::RotateKeys { reason, notify_all: true, timeout }).is_ok());
    world.sleep(Duration::from_secs(2 * 3600));
    world.hosts[B].online = true;
    world.sleep(DAY);
    assert_eq!(known_to(&world, B), [world.key(A)]);
    assert_eq!(world.done(B, log(world.key(A), "main", "I know")), Ok(Reply::Logged));
}

#[test]
fn a_node_sleeps_between_its_attempts_to_tell_a_peer_of_two_rotations() {
    let mut world = World::friends(2);
    world.sleep(Duration::from_secs(300));
    world.hosts[B].online = false;
    rotate(&mut world, A);
    rotate(&mut world, A);
    world.sleep(Duration::from_secs(30));
    let (at, why) = world.hosts[A].node.poll_timeout().expect("a timer");
    assert!(at > world.now.mono, "{why:?} is due for ever");
}

#[test]
fn two_peers_that_rotate_at_the_same_time_find_each_other() {
    let mut world = World::friends(2);
    let (a, b) = (world.key(A), world.key(B));
    world.hosts[A].online = false;
    world.hosts[B].online = false;
    rotate(&mut world, A);
    rotate(&mut world, B);
    world.hosts[A].online = true;
    world.hosts[B].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!((known_to(&world, A), known_to(&world, B)), (vec![world.key(B)], vec![world.key(A)]));
    assert_eq!(world.done(A, log(b, "main", "hello")), Ok(Reply::Logged));
    assert_eq!(world.done(B, log(a, "main", "hello")), Ok(Reply::Logged));
}

#[test]
fn when_the_grace_is_over_the_old_keys_are_wiped_and_not_listened_to() {
    let mut world = World::friends(2);
    let old = world.key(A);
    rotate(&mut world, A);
    let topics = |world: &World| world.hosts[A].topics.contains(&old.topic());
    let private = |world: &World| {
        let json =
            String::from_utf8_lossy(&world.hosts[A].documents[&Document::Identity]).matches("privateKey").count();
        (json, world.hosts[A].node.snapshot().grace.len())
    };
    assert_eq!((topics(&world), private(&world)), (true, (2, 1)));
    world.sleep(DAY + Duration::from_secs(61));
    assert_eq!((topics(&world), private(&world)), (false, (1, 0)));
    // Nor after a restart.
    world.restart(A, Config::default());
    assert_eq!((topics(&world), private(&world)), (false, (1, 0)));
}

#[test]
fn a_restart_after_the_grace_does_not_listen_to_the_old_key_first() {
    let mut world = World::friends(2);
    let old = world.key(A);
    rotate(&mut world, A);
    world.now.wall = world.now.wall + DAY;
    world.restart(A, Config::default());
    assert_eq!(world.hosts[A].topics, [world.key(A).topic()]);
    assert!(!world.hosts[A].topics.contains(&old.topic()));
}

#[test]
fn streams_under_an_old_key_end_with_it() {
    let mut world = World::friends(2);
    let (old, peer) = (world.key(A), Original::made(40));
    assert!(world.done(A, grant(peer.key(), &["main"], "inject")).is_ok());
    let stream = world.open_raw(A, 7);
    let mut channel = Channel::hello(&mut world, A, stream, &peer, &[2, 1]);
    rotate(&mut world, A);
    // The stream's own keys go on to count: it was opened before.
    let line = channel.log(&world, "main", "in the grace period");
    assert_eq!(channel.send(&mut world, &line)[0]["from"], old.to_string());
    for _ in 0..DAY.as_secs() / 50 + 2 {
        world.sleep(Duration::from_secs(50));
        if channel.is_closed(&world) {
            return;
        }
    }
    panic!("a stream under the old key is open after the grace period");
}

/// Its acknowledgement of the new key was lost. Protocol 1 encrypts for the static key, and its hello does not name it.
#[test]
fn an_original_is_read_under_either_key_in_the_grace_period() {
    let mut world = World::friends(2);
    let peer = Original::made(40);
    assert!(world.done(A, grant(peer.key(), &["main"], "inject")).is_ok());
    let (_, untold) = rotate(&mut world, A);
    assert_eq!(untold, [peer.key()]);
    let stream = world.open_raw(A, 7);
    let mut channel = Channel::hello(&mut world, A, stream, &peer, &[1]);
    let line = channel.log(&world, "main", "under the new key");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
    assert_eq!(world.hosts[A].texts("main"), ["under the new key"]);
}

#[test]
fn an_invite_of_the_old_key_can_be_claimed_in_the_grace_period() {
    let mut world = World::new(2);
    let b = world.key(B);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(b, &["main"])) else { panic!("no invite") };
    rotate(&mut world, A);
    let claim = Command::Claim { token, timeout: Duration::from_secs(10) };
    assert!(matches!(world.done(B, claim), Ok(Reply::Claimed { .. })));
    // And the new peer hears of the new key by itself.
    world.sleep(Duration::from_secs(1));
    let a = world.key(A);
    assert_eq!(known_to(&world, B), [a]);
    assert_eq!(world.done(B, log(a, "main", "hello")), Ok(Reply::Logged));
}

#[test]
fn an_invite_for_the_old_key_can_be_claimed_in_the_grace_period() {
    let mut world = World::new(2);
    let b = world.key(B);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(b, &["main"])) else { panic!("no invite") };
    rotate(&mut world, B);
    let claim = Command::Claim { token, timeout: Duration::from_secs(10) };
    assert!(matches!(world.done(B, claim), Ok(Reply::Claimed { .. })));
    // A knows the old key only; the grant must reach the new one.
    world.sleep(Duration::from_secs(120));
    let a = world.key(A);
    assert_eq!(world.done(B, log(a, "main", "hello")), Ok(Reply::Logged));
}

#[test]
fn a_revoked_peer_is_not_told() {
    let mut world = World::friends(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, Command::RevokePeer { peer: PeerRef::Key(b), session: None }).is_ok());
    assert_eq!(rotate(&mut world, A), (vec![], vec![]));
    assert_eq!(known_to(&world, B), [a]);
}

#[test]
fn a_peer_that_was_added_after_a_rotation_is_not_told_of_it() {
    let mut world = World::new(2);
    rotate(&mut world, A);
    world.sleep(Duration::from_secs(1));
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["main"], "inject")).is_ok());
    assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
    world.sleep(Duration::from_secs(3600));
    assert!(!world.hosts[A].events.iter().any(|event| matches!(event, Event::RotationTold { .. })));
    assert!(world.done(B, inject(a, "main", "?")).is_ok());
}

#[test]
fn in_the_grace_period_a_peer_may_use_both_keys_and_after_it_only_the_new_one() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = World::new(1);
    assert!(world.done(A, grant(old.key(), &["main"], "inject")).is_ok());
    let mut channel = Channel::dial(&mut world, A, &new, 7);
    let statement = old.statement(&new, "upgrade", world.now.wall.as_millis(), 3_600_000);
    let line = channel.rotation(&world, &old, &statement);
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
    let try_both = |world: &mut World| -> Vec<bool> {
        let keys = [&old, &new].into_iter();
        keys.map(|identity| {
            let mut channel = Channel::dial(world, A, identity, 7);
            let line = channel.log(world, "main", "hello");
            channel.send(world, &line)[0]["type"] == "ack"
        })
        .collect()
    };
    assert_eq!(try_both(&mut world), [true, true]);
    world.sleep(Duration::from_secs(3600));
    assert_eq!(try_both(&mut world), [false, true]);
    // The same statement again changes nothing, and brings nothing back.
    let mut channel = Channel::dial(&mut world, A, &new, 8);
    let line = channel.rotation(&world, &old, &statement);
    channel.send(&mut world, &line);
    assert_eq!(try_both(&mut world), [false, true]);
    // Nor does a wall clock that steps back, once the end was seen.
    world.sleep(Duration::from_secs(61));
    let wall = world.now.wall;
    world.now.wall = wopr_p2p_core::time::WallTime::from_millis(wall.as_millis() - 3_000_000);
    assert_eq!(try_both(&mut world), [false, true]);
}

#[test]
fn a_peer_is_found_under_the_key_it_had() {
    let mut world = World::friends(2);
    let b = world.key(B);
    rotate(&mut world, B);
    // The owner of A goes on to use the key, or the short id, that is in its notes.
    for peer in [PeerRef::Key(b), b.short_id().parse().expect("a short id")] {
        let Command::Log { session, text, timeout, .. } = log(b, "main", "hello") else { unreachable!() };
        assert_eq!(world.done(A, Command::Log { peer, session, text, timeout }), Ok(Reply::Logged));
    }
    assert!(world.done(A, Command::RevokePeer { peer: PeerRef::Key(b), session: None }).is_ok());
    let a = world.key(A);
    assert_eq!(world.done(B, log(a, "main", "out")), Err(CommandError::Unauthorized(a)));
}
