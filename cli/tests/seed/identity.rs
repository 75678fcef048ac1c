//! The program itself, the own key, and its rotation.

use crate::support::node::Background;
use crate::world::{World, has, list, mode, run_at};

pub(crate) fn plugin_install(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["built in"]);
}

pub(crate) fn plugin_enable(world: &mut World, line: &str) {
    world.run(line, &[]).ok();
    let plugins = run_at(&world.me, "wopr plugin list --json", &[]).ok().json();
    assert_eq!(plugins["plugins"][0]["enabled"], true);
}

/// "The plugin automatically creates a P2P identity on first use", with mode 0600.
pub(crate) fn first_status(world: &mut World, line: &str) {
    let identity = world.me.folder().join("p2p/identity.json");
    assert!(!identity.exists());
    has(&world.run(line, &[]).ok(), &["publicKey:", "MCowBQYDK2VwAy", "not running"]);
    assert_eq!(mode(&identity), 0o600);
    world.my_daemon = Some(Background::of(&world.me));
    run_at(&world.me, "wopr daemon start", &[]).ok();
}

pub(crate) fn status(world: &mut World, line: &str) {
    let key = world.me.public_key();
    has(&world.run(line, &[]).ok(), &[&format!("publicKey:    {key}"), "running"]);
}

pub(crate) fn status_of_bob(world: &mut World, line: &str) {
    has(&run_at(&world.bob, line, &[]).ok(), &[&format!("publicKey:    {}", world.bob_key)]);
}

pub(crate) fn identity_export(world: &mut World, line: &str) {
    let key = world.run(line, &[]).ok().stdout;
    let status = world.me.p2p(&["status", "--json"]).ok().json();
    assert_eq!(status["publicKey"], key.trim_end());
    assert_eq!(key.lines().count(), 1);
}

pub(crate) fn rotate_before_anybody_knows(world: &mut World, line: &str) {
    let before = world.me.public_key();
    has(&world.run(line, &[]).ok(), &[&before, "in 23h 59m"]);
    assert_ne!(world.me.public_key(), before);
}

pub(crate) fn rotate_and_tell_all(world: &mut World, line: &str) {
    let before = world.me.public_key();
    let said = world.run(line, &[]).ok();
    has(&said, &["alice", "my-laptop", "notToldYet:   nobody"]);
    followed(world, &before, "compromise");
    // At once, under the new key, and without a restart.
    let key = world.me.public_key();
    world.bob.p2p(&["log", &key, "--session", "docs", "--message", "to the new key"]).ok();
    assert_eq!(world.me.count_in_session("docs", "to the new key"), 1);
}

pub(crate) fn rotate_scheduled(world: &mut World, line: &str) {
    rotate(world, line, "scheduled");
}

pub(crate) fn rotate_compromise(world: &mut World, line: &str) {
    rotate(world, line, "compromise");
}

pub(crate) fn rotate_upgrade(world: &mut World, line: &str) {
    rotate(world, line, "upgrade");
}

fn rotate(world: &mut World, line: &str, reason: &str) {
    let before = world.me.public_key();
    world.run(line, &[]).ok();
    world.wait_until_all_are_told();
    followed(world, &before, reason);
}

/// Alice follows my new key, and keeps the one before in its history, in the form that users know.
fn followed(world: &World, before: &str, reason: &str) {
    let key = world.me.public_key();
    assert_ne!(key, before);
    let known = list(&world.alice, &["peers"], "peers");
    let me = known.iter().find(|peer| peer["publicKey"] == *key).unwrap_or_else(|| panic!("not followed: {known:?}"));
    let history = me["keyHistory"].as_array().unwrap();
    let past = history.iter().find(|past| past["publicKey"] == *before).unwrap();
    assert_eq!(past["rotationReason"], reason);
    let grace = past["validUntil"].as_u64().unwrap() - now();
    assert!(grace <= 24 * 3600 * 1000, "a grace period of 24 hours at most: {past}");
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is set");
    u64::try_from(since.as_millis()).expect("this century")
}
