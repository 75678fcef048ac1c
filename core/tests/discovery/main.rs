//! Discovery: who is met, what is shown and proved, and that nothing said there gives anybody anything.

#[path = "../support/stranger.rs"]
mod stranger;
#[path = "../support/world.rs"]
mod world;

mod meeting;
mod requests;
mod strangers;

use std::time::Duration;

use wopr_p2p_core::discovery::{Discovered, PendingRequest};
use wopr_p2p_core::gateway::Gateway;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, Config};

use world::{World, session};

fn join(topic: &str) -> Command {
    Command::JoinTopic { topic: topic.parse().expect("a topic") }
}

fn leave(topic: &str) -> Command {
    Command::LeaveTopic { topic: topic.parse().expect("a topic") }
}

fn connect(peer: impl Into<PeerRef>) -> Command {
    Command::Connect { peer: peer.into(), timeout: Duration::from_secs(30) }
}

fn approve(request: impl ToString) -> Command {
    Command::Approve { request: request.to_string() }
}

fn deny(request: impl ToString) -> Command {
    Command::Deny { request: request.to_string() }
}

fn with_gateway() -> Config {
    let capabilities = vec!["inject.limited".parse().expect("a capability")];
    let gateway = Gateway { session: session("public"), capabilities, approval: false };
    Config { gateway: Some(gateway), ..Config::default() }
}

/// Nodes that are all on the topic "lobby" and have met.
fn lobby(count: usize, config: &Config) -> World {
    let mut world = World::with_config(count, config);
    for host in 0..count {
        world.done(host, join("lobby")).expect("joined");
    }
    world.sleep(Duration::from_secs(10));
    world
}

fn discovered(world: &World, host: usize) -> Vec<Discovered> {
    world.hosts[host].node.snapshot().discovered
}

fn requests(world: &World, host: usize) -> Vec<PendingRequest> {
    world.hosts[host].node.snapshot().requests
}

/// Nothing was granted, opened or learnt about keys.
fn nothing_is_given(world: &World, host: usize) {
    let snapshot = world.hosts[host].node.snapshot();
    assert_eq!(snapshot.grants, []);
    assert_eq!(snapshot.peers, []);
}
