//! Who is known, and by what name.

use crate::support::conversation::{claim, invite};
use crate::world::{World, has, list, short_id};

pub(crate) fn peers(world: &mut World, line: &str) {
    if list(&world.me, &["peers"], "peers").is_empty() {
        claim(&world.me, &invite(&world.alice, &world.me, "main", &[]));
    }
    has(&world.run(line, &[]).ok(), &[&short_id(&world.alice)]);
}

pub(crate) fn name(world: &mut World, line: &str) {
    world.run(line, &[("<peer-id>", &short_id(&world.alice))]).ok();
    let peers = list(&world.me, &["peers"], "peers");
    assert!(peers.iter().any(|peer| peer["name"] == "alice" && peer["publicKey"] == *world.alice_key), "{peers:?}");
}

pub(crate) fn find(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["alice", &short_id(&world.alice)]);
}

pub(crate) fn find_by_id(world: &mut World, line: &str) {
    has(&world.run(line, &[("<short-id>", &short_id(&world.alice))]).ok(), &["alice"]);
}

pub(crate) fn find_by_key(world: &mut World, line: &str) {
    has(&world.run(line, &[("<public-key>", &world.alice_key)]).ok(), &["alice"]);
}

pub(crate) fn name_the_laptop(world: &mut World, line: &str) {
    world.run(line, &[("<nodeB-shortId>", &short_id(&world.bob))]).ok();
    has(&world.me.p2p(&["peers"]).ok(), &["my-laptop"]);
}

pub(crate) fn peers_verbose(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["alice", &world.alice_key, "my-laptop", &world.bob_key, "openedToMe"]);
}

pub(crate) fn status_of_a_peer(world: &mut World, line: &str) {
    let id = short_id(&world.alice);
    has(&world.run(line, &[("<peer-id>", &id)]).ok(), &["alice", &world.alice_key]);
    // Bob has logged: his limits are in use.
    has(&world.me.p2p(&["status", "--peer", "my-laptop"]).ok(), &["logs", "of 10", "of 100", "free"]);
}
