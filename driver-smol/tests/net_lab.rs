//! Our network and the reference's, in every placement: does it connect, and how soon does the first byte come?
//!
//! Needs root, iproute2, nftables, node and npm; says clearly when it skips, and never skips in CI. The reference is
//! pinned in `tests/npm/package-lock.json`. `cargo test --test net_lab -- --nocapture` shows the times.

#[path = "../../cli/tests/support/lab.rs"]
#[allow(dead_code)]
mod lab;
#[path = "support/peers.rs"]
#[allow(dead_code)]
mod peers;
#[path = "../../cli/tests/support/place.rs"]
#[allow(dead_code)]
mod place;
#[path = "../examples/swarm_peer.rs"]
#[allow(dead_code)]
mod swarm_peer;
#[path = "../examples/swarm_speed.rs"]
#[allow(dead_code)]
mod swarm_speed;

use std::time::Duration;

use lab::{Lab, Plan, Ports};
use peers::{BOOT, DHT_PORT, Kind, PLACEMENTS, dht, dialled, first_byte, install_reference, npm, ours, peer, topic};

/// Without a random NAT nothing waits for a retransmission, and the shortest of those timers is a second.
const SOON: f64 = 900.0;

/// Not a test of its own: the peer that the others start, in its own process.
#[test]
fn peer_process() {
    peers::serve();
}

#[test]
fn ours_and_the_reference_reach_each_other_in_every_placement() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    if !install_reference() {
        return;
    }
    let _dht = dht(&lab, Kind::Npm, 6);
    let mut failures = Vec::new();
    let mut number = 0;
    let mut totals = [[0.0; 2]; 2];
    for (server, client) in
        [(Kind::Npm, Kind::Npm), (Kind::Ours, Kind::Ours), (Kind::Npm, Kind::Ours), (Kind::Ours, Kind::Npm)]
    {
        for (place, at, from) in PLACEMENTS {
            number += 1;
            let what = format!("server {server}, client {client}, {place}");
            match first_byte(&lab, (server, at), (client, from), number) {
                Ok(took) => {
                    println!("{what}: first byte after {took:.0} ms");
                    totals[usize::from(server == Kind::Ours)][usize::from(client == Kind::Ours)] += took;
                    if took > SOON {
                        failures.push(format!("{what}: {took:.0} ms"));
                    }
                }
                Err(reason) => failures.push(format!("{what}: {reason}")),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    // In sum over all placements, with some room for a busy machine. Ours takes about half in a debug build.
    let (npm, ours) = (totals[0][0], totals[1][1]);
    assert!(ours <= 1.2 * npm + 50.0, "ours takes {ours:.0} ms where the reference takes {npm:.0} ms");
}

#[test]
fn a_line_that_loses_every_tenth_packet_is_no_obstacle() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let _dht = dht(&lab, Kind::Ours, 6);
    lab.lose("nata", 10);
    lab.lose("natb", 10);
    let mut sides = vec![(Kind::Ours, Kind::Ours); 3];
    if install_reference() {
        // What is lost on the way has to be made up for in both directions, and each side is told of it by the other.
        sides.extend([(Kind::Npm, Kind::Ours), (Kind::Ours, Kind::Npm)]);
    }
    for (number, (server, client)) in sides.into_iter().enumerate() {
        // The peers also exchange a long message, which has to come back whole.
        let took = first_byte(&lab, (server, "a"), (client, "b"), 300 + number as u32).unwrap();
        println!(
            "NAT to other NAT, each losing a tenth, server {server}, client {client}: first byte after {took:.0} ms"
        );
    }
}

#[test]
fn a_single_node_of_our_own_is_dht_enough_for_two_nats() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let _dht = dht(&lab, Kind::Ours, 1);
    for (number, (place, at, from)) in PLACEMENTS.into_iter().enumerate() {
        let took = first_byte(&lab, (Kind::Ours, at), (Kind::Ours, from), 100 + number as u32).unwrap();
        println!("one node, {place}: first byte after {took:.0} ms");
        assert!(took < SOON, "{place}: {took:.0} ms");
    }
}

#[test]
fn a_random_nat_on_one_side_is_seen_and_is_no_obstacle() {
    let Some(lab) = Lab::build(Plan { nat_a: Ports::Random, ..Plan::default() }) else { return };
    let _dht = dht(&lab, Kind::Ours, 6);
    for (host, nat) in [("h1", "nat: Open"), ("a", "nat: Random"), ("b", "nat: Consistent")] {
        let said = ours(&lab, host, &format!("check 0.0.0.0 {BOOT}")).says("nat: ").unwrap();
        assert!(said.starts_with(nat), "{host}: {said}");
    }
    let placements = [("random NAT to public", "a", "h2"), ("public to random NAT", "h1", "a")];
    let punched = [("random NAT to NAT", "a", "b"), ("NAT to random NAT", "b", "a"), ("same random NAT", "a", "a2")];
    for (number, (place, at, from)) in placements.into_iter().chain(punched).enumerate() {
        let took = first_byte(&lab, (Kind::Ours, at), (Kind::Ours, from), 200 + number as u32).unwrap();
        println!("{place}: first byte after {took:.0} ms");
    }
}

#[test]
fn two_random_nats_meet_at_a_relay_and_nowhere_else() {
    let Some(lab) = Lab::build(Plan { nat_a: Ports::Random, nat_b: Ports::Random, ..Plan::default() }) else { return };
    if !install_reference() {
        return;
    }
    let _dht = dht(&lab, Kind::Npm, 6);
    let arguments = format!("{} {DHT_PORT} {BOOT}", lab.host("h1").address);
    let relay = npm(&lab, "h1", "relay.js", &arguments);
    let said = relay.says("ready ").unwrap();
    let key = said.trim_start_matches("ready ");
    let nobody = "07".repeat(32);
    let check = ours(&lab, "a", &format!("check 0.0.0.0 relay={key} relay={nobody} {BOOT}"));
    let found: Vec<bool> =
        check.says("[RelayTried").unwrap().split("took: ").skip(1).map(|s| s.starts_with("Some")).collect();
    assert_eq!(found, [true, false], "which of the two relays is there");
    let kinds = [Kind::Npm, Kind::Ours];
    let mut failures = Vec::new();
    for (number, (server, client)) in kinds.into_iter().flat_map(|s| kinds.map(|c| (s, c))).enumerate() {
        let topic = topic(400 + number as u32);
        let listener = peer(&lab, server, "a", "listen", &topic, Some(key));
        listener.says("ready").unwrap();
        let dialler = peer(&lab, client, "b", "dial", &topic, Some(key));
        let what = format!("random NATs and a relay, server {server}, client {client}");
        match dialled(&dialler, Duration::from_secs(90)) {
            Ok(took) => println!("{what}: first byte after {took:.0} ms"),
            Err(reason) => failures.push(format!("{what}: {reason}")),
        }
        // The relay says it once for each side.
        failures.extend((0..2).filter_map(|_| relay.says("paired").err()));
    }
    // What neither of the two can do without one.
    for (number, kind) in kinds.into_iter().enumerate() {
        let topic = topic(410 + number as u32);
        let listener = peer(&lab, kind, "a", "listen", &topic, None);
        listener.says("ready").unwrap();
        let dialler = peer(&lab, kind, "b", "dial", &topic, None);
        match dialled(&dialler, Duration::from_secs(10)) {
            Ok(took) => failures.push(format!("{kind} connects two random NATs without a relay, after {took:.0} ms")),
            Err(_) => println!("random NATs and no relay, {kind} to {kind}: no connection within 10 s"),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
