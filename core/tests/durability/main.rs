//! Nothing is acknowledged before it is durable, what could not be stored has not happened, and what is taken away is
//! gone before the disk knows.

#[path = "../support/original.rs"]
mod original;
#[path = "../support/world.rs"]
mod world;

mod crash;
mod owner;
mod received;
mod revocation;

use original::{Channel, Original};
use world::World;

const A: usize = 0;
const B: usize = 1;

fn hold(world: &mut World) {
    world.hosts[A].holds_writes = true;
}

/// A node whose writes are held, and a stream of a peer with a grant.
fn dialled(peer: &Original) -> (World, Channel<'_>) {
    let mut world = World::with_peer(peer.key());
    let channel = Channel::dial(&mut world, A, peer, 7);
    hold(&mut world);
    (world, channel)
}

fn held(world: &World) -> Vec<&str> {
    world.hosts[A].held.iter().map(|write| write.name()).collect()
}

/// A stream of a peer with an invite, and the line that claims it.
fn claiming<'a>(world: &mut World, peer: &'a Original) -> (Channel<'a>, String) {
    let token = world.token(A, peer.key(), &["main"]);
    let mut channel = Channel::dial(world, A, peer, 7);
    let line = channel.claim(world, &token);
    (channel, line)
}
