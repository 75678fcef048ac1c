//! What was said once is not heard twice: flaw 14.

use std::time::Duration;

use serde_json::Value;
use wopr_p2p_core::Config;
use wopr_p2p_core::replay::ReplayConfig;
use wopr_p2p_core::time::WallTime;

use crate::A;
use crate::original::{Channel, Original};
use crate::world::World;

/// The bytes of a protocol 1 log, which is bound to no handshake: sent once, they can be sent again.
fn logged_in_protocol_1(world: &mut World, peer: &Original, text: &str) -> String {
    let stream = world.open_raw(A, 7);
    let mut channel = Channel::hello(world, A, stream, peer, &[1]);
    let line = channel.log(world, "main", text);
    assert_eq!(channel.send(world, &line)[0]["type"], "ack");
    world.close_raw(A, stream);
    line
}

fn replay(world: &mut World, peer: &Original, line: &str) -> Vec<Value> {
    let stream = world.open_raw(A, 7);
    Channel::hello(world, A, stream, peer, &[1]).send(world, line)
}

#[test]
fn flaw_14_a_replay_is_refused_after_a_restart_too() {
    let peer = Original::made(40);
    let mut world = World::with_peer(peer.key());
    let line = logged_in_protocol_1(&mut world, &peer, "once");
    assert!(replay(&mut world, &peer, &line).is_empty());
    world.restart(A, Config::default());
    assert!(replay(&mut world, &peer, &line).is_empty());
    assert_eq!(world.hosts[A].texts("main"), ["once"]);
}

#[test]
fn flaw_14_filling_the_table_lets_no_replay_in() {
    let (peer, flooder) = (Original::made(40), Original::made(41));
    let mut config = Config { replay: ReplayConfig { max_nonces: 8, ..ReplayConfig::default() }, ..Config::default() };
    (config.rates.logs.per_minute, config.rates.logs.per_hour) = (1000, 1000);
    let mut world = World::with_config(1, &config);
    for granted in [&peer, &flooder] {
        world.grants(A, granted.key());
    }
    let line = logged_in_protocol_1(&mut world, &peer, "once");
    for number in 0..50 {
        world.sleep(Duration::from_millis(1));
        logged_in_protocol_1(&mut world, &flooder, &number.to_string());
    }
    assert!(replay(&mut world, &peer, &line).is_empty());
    world.restart(A, config);
    assert!(replay(&mut world, &peer, &line).is_empty());
    assert_eq!(world.hosts[A].texts("main").iter().filter(|text| **text == "once").count(), 1);
}

#[test]
fn flaw_14_strangers_do_not_fill_the_table() {
    let (peer, config) = (
        Original::made(40),
        Config { replay: ReplayConfig { max_nonces: 4, ..ReplayConfig::default() }, ..Config::default() },
    );
    let mut world = World::with_config(1, &config);
    world.grants(A, peer.key());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let early = channel.log(&world, "main", "written before the flood");
    world.sleep(Duration::from_secs(1));
    for stranger in 100..120 {
        let identity = Original::made(stranger);
        let mut flood = Channel::dial(&mut world, A, &identity, stranger);
        let line = flood.log(&world, "main", "flood");
        assert_eq!(flood.send(&mut world, &line)[0]["reason"], "unauthorized");
    }
    // A full table would refuse what is older than its contents.
    assert_eq!(channel.send(&mut world, &early)[0]["type"], "ack");
}

#[test]
fn flaw_14_a_message_without_a_time_is_refused() {
    let peer = Original::made(40);
    let mut world = World::with_peer(peer.key());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.log(&world, "main", "when?");
    let ts = format!(",\"ts\":{}", world.now.wall.as_millis());
    let untimed = peer.sign_again(line.trim_end(), &line.trim_end().replace(&ts, ""));
    assert!(channel.send(&mut world, &format!("{untimed}\n")).is_empty());
    assert!(channel.is_closed(&world) && world.hosts[A].sessions.is_empty());
}

#[test]
fn flaw_14_the_window_has_two_ends() {
    for (offset, kind) in [(-300_001_i64, "reject"), (-300_000, "ack"), (300_000, "ack"), (300_001, "reject")] {
        let peer = Original::made(40);
        let mut world = World::with_peer(peer.key());
        let mut channel = Channel::dial(&mut world, A, &peer, 7);
        let now = world.now;
        world.now.wall = WallTime::from_millis(now.wall.as_millis().saturating_add_signed(offset));
        let line = channel.log(&world, "main", "when?");
        world.now = now;
        assert_eq!(channel.send(&mut world, &line)[0]["type"], kind, "{offset} ms");
    }
}
