//! Nodes that meet on their own networks: no node of a DHT, no way out, and for some not even a cable. Needs root, `ip`
//! and `nft`; says when it skips, and in CI never skips.
#![cfg(target_os = "linux")]

mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::conversation::{ANSWERING, claim, invite, log_and_ask};
use support::home::Home;
use support::lab::{Host, Lab, Plan};
use support::node::Daemon;
use support::shape::has_shape;

const OFFLINE: i32 = 1;

/// A node at `at` that lets others in, and one at `from` that is invited, claims, logs and asks.
fn meet(at: &Host, from: &Host) -> (Home, Daemon, Home) {
    let alice = Home::on_lan("alice", &at.place());
    alice.answer_with("main", ANSWERING);
    let daemon = Daemon::start(&alice);
    let bob = Home::on_lan("bob", &from.place());
    claim(&bob, &invite(&alice, &bob, "main", &[]));
    log_and_ask(&bob, &alice, &daemon.public_key, "main");
    (alice, daemon, bob)
}

#[test]
fn nodes_on_one_machine_meet_without_any_network() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let island = lab.island();
    let (_alice, daemon, bob) = meet(&island, &island);

    // Whatever else is said on that port, they go on meeting.
    let noisy = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| island.enter(|| make_noise(&noisy)));
        let pings = bob.p2p(&["ping", &daemon.public_key, "--count", "2", "--json"]);
        noisy.store(false, Ordering::Relaxed);
        assert_eq!(pings.ok().json()["answers"], 2);
    });
}

/// Packets that begin like those of multicast DNS, with claims and names that are not there.
fn make_noise(noisy: &AtomicBool) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port in a namespace of our own");
    let mut state = 0x9e37_79b9_u64;
    while noisy.load(Ordering::Relaxed) {
        let packet: Vec<u8> = (0..200)
            .map(|at| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Header fields are small numbers, and so are the lengths of labels.
                if at < 12 { (state >> 62) as u8 } else { (state >> 56) as u8 & 0xcf }
            })
            .collect();
        // Full queues lose it, as they would on a network.
        drop(socket.send_to(&packet, (Ipv4Addr::LOCALHOST, 5353)));
    }
}

#[test]
fn nodes_on_one_network_meet_without_a_way_out() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let [h1, h2] = ["h1", "h2"].map(|name| lab.host(name));
    let (alice, daemon, bob) = meet(&h1, &h2);

    let pings = bob.p2p(&["ping", &daemon.public_key, "--count", "2", "--json"]).ok().json();
    has_shape("p2p ping", &pings);
    assert_eq!((&pings["answers"], &pings["tries"][0]["path"]), (&2.into(), &"lan".into()), "{pings}");

    // The DHT is another matter: the check says that it is not there, and that our own network is.
    let looked = alice.p2p(&["netcheck", "--json"]);
    assert_eq!(looked.code, Some(OFFLINE));
    let looked = looked.json();
    has_shape("p2p netcheck", &looked);
    assert_eq!(
        (&looked["lan"]["state"], &looked["reachableFrom"]["lan"]),
        (&"active".into(), &true.into()),
        "{looked}"
    );
    assert_eq!((&looked["daemon"], &looked["reachableFrom"]["public"]), (&true.into(), &false.into()), "{looked}");

    // It is the local network that brings them together: without it nobody is found.
    let deaf = Home::without_dht("deaf", &h2.place());
    deaf.p2p(&["ping", &daemon.public_key, "--count", "1"]).refused(OFFLINE, &["network"]);
}
