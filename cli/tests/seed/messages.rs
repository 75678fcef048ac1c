//! What is said to others, and what the owner can hear of it all.

use std::time::{Duration, Instant};

use crate::support::program::Running;
use crate::world::{LIMIT, World, has};

pub(crate) fn log(world: &mut World, line: &str) {
    world.run(line, &[]).ok();
    assert_eq!(world.alice.count_in_session("main", "FYI: deployment complete"), 1);
}

pub(crate) fn inject(world: &mut World, line: &str) {
    assert_eq!(world.run(line, &[]).ok().stdout, "answer to: What's the status of the build?\n");
}

pub(crate) fn inject_with_timeout(world: &mut World, line: &str) {
    assert_eq!(world.run(line, &[]).ok().stdout, "answer to: Analyze this code\n");
    assert_eq!(world.alice.count_in_session("main", "Analyze this code"), 1);
}

pub(crate) fn send(world: &mut World, line: &str) {
    world.run(line, &[]).ok();
    assert_eq!(world.alice.count_in_session("main", "test"), 1);
}

pub(crate) fn events_follow(world: &mut World, line: &str) {
    let follower = Running::start("events", world.me.shell(line));
    let began = Instant::now();
    while !follower.line_within(Duration::from_millis(200)).is_some_and(|said| said.contains("p2p.grant.created")) {
        assert!(began.elapsed() < LIMIT, "nothing is heard of a grant");
        world.me.p2p(&["grant", "alice", "followed"]).ok();
    }
}

pub(crate) fn logs(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["p2p.peer.connected", "p2p.grant.created", "p2p.message.rejected"]);
}

pub(crate) fn logs_filtered(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    has(&said, &["p2p.message.rejected", "p2p.grant.revoked"]);
    let fits = |line: &str| ["rejected", "revoked", "rotated"].iter().any(|word| line.contains(word));
    assert!(said.stdout.lines().all(fits), "{}", said.stdout);
}
