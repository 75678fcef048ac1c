//! Telling the peers of new keys while they cannot be reached.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, Reply};
use world::{World, invite};

#[test]
fn a_node_sleeps_between_its_attempts_to_tell_a_peer_of_two_rotations_and_tells_both_in_the_end() {
    let (a, b) = (0, 1);
    let mut world = World::new(2);
    let key = world.key(b);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(a, invite(key, &["main"])) else { panic!("no invite") };
    let timeout = Duration::from_secs(10);
    assert!(world.done(b, Command::Claim { token, timeout }).is_ok());
    world.sleep(Duration::from_secs(300));
    world.hosts[a].online = false;
    for _ in 0..2 {
        let reason = RotationReason::Scheduled;
        assert!(world.done(b, Command::RotateKeys { reason, notify_all: true, timeout }).is_ok());
    }
    world.sleep(Duration::from_secs(30));
    let (at, why) = world.hosts[b].node.poll_timeout().expect("a timer");
    assert!(at > world.now.mono, "{why:?} is due for ever");

    world.hosts[a].online = true;
    world.sleep(Duration::from_secs(3600));
    let untold: Vec<_> = world.hosts[b].node.snapshot().grace.into_iter().filter(|key| key.told.is_empty()).collect();
    assert!(untold.is_empty(), "{untold:?}");
}
