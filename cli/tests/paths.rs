//! How a node says which way it reaches another, and what is in its way; and that it is reachable again after what
//! happens to machines: another address, and sleep. On a private internet of network namespaces. Needs root, `ip` and
//! `nft`; says when it skips, and in CI never skips.
#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use support::conversation::{ANSWERING, claim, invite};
use support::home::Home;
use support::lab::{Host, Lab, Plan};
use support::node::{Daemon, Dht};
use support::shape::has_shape;

const OFFLINE: i32 = 1;
const PEER_OFFLINE: i32 = 6;
/// How long a node may take to be reachable again. The relays are looked at every four seconds.
const BACK_AGAIN: Duration = Duration::from_secs(45);

fn home(name: &str, at: &Host, dht: &Dht) -> Home {
    Home::new(name, &at.place(), &[dht.address])
}

fn ping(from: &Home, key: &str) -> Value {
    let pings = from.p2p(&["ping", key, "--count", "2", "--json"]).ok().json();
    has_shape("p2p ping", &pings);
    assert_eq!(pings["answers"], 2, "{pings}");
    pings
}

/// Pings until an answer comes, as long as one may take.
fn is_back(from: &Home, key: &str, after: &str) {
    let began = Instant::now();
    loop {
        let tried = from.p2p(&["ping", key, "--count", "1", "--timeout", "5s"]);
        let took = began.elapsed();
        if tried.code == Some(0) {
            return eprintln!("reachable {} ms after {after}", took.as_millis());
        }
        assert!(took < BACK_AGAIN, "not reachable {took:?} after {after}: {}", tried.stderr);
    }
}

#[test]
fn ping_and_status_tell_the_way_that_packets_take() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let dht = Dht::on_host(&lab.host("boot"), &[]);
    let [a, a2, b, h2] = ["a", "a2", "b", "h2"].map(|name| lab.host(name));
    let alice = home("alice", &a, &dht);
    alice.answer_with("main", ANSWERING);
    let daemon = Daemon::start(&alice);

    for (from, path) in [(&b, "punched"), (&h2, "direct"), (&a2, "lan")] {
        let pings = ping(&home("pinging", from, &dht), &daemon.public_key);
        assert_eq!(pings["tries"][0]["path"], path, "{pings}");
    }

    // Bob stays connected: both see each other, and which way.
    let bob = home("bob", &b, &dht);
    let _bobs = Daemon::start(&bob);
    claim(&bob, &invite(&alice, &bob, "main", &[]));
    let seen = bob.p2p(&["status", "--json"]).ok().json();
    has_shape("p2p status", &seen);
    assert_eq!(seen["connections"][0]["paths"], serde_json::json!(["punched"]), "{seen}");
    let listed = bob.p2p(&["peers", "--verbose", "--json"]).ok().json();
    has_shape("p2p peers", &listed);
    assert_eq!(listed["peers"][0]["paths"], serde_json::json!(["punched"]), "{listed}");
    assert!(bob.p2p(&["peers", "--verbose"]).ok().stdout.contains("punched"));

    let looked = alice.p2p(&["netcheck", "--json"]).ok().json();
    has_shape("p2p netcheck", &looked);
    assert_eq!((&looked["dhtReachable"], &looked["nat"]), (&true.into(), &"consistent".into()), "{looked}");
    assert_eq!(looked["bootstrap"][0]["answer"], "given", "{looked}");
    let everywhere = ["public", "nat", "randomNat"].map(|who| looked["reachableFrom"][who].as_bool());
    assert_eq!(everywhere, [Some(true); 3], "{looked}");
}

#[test]
fn netcheck_says_clearly_when_udp_is_blocked() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let dht = Dht::on_host(&lab.host("boot"), &[]);
    let [h1, h2] = ["h1", "h2"].map(|name| lab.host(name));
    let [dropped, refused] = [home("dropped", &h1, &dht), home("refused", &h2, &dht)];
    let open = dropped.p2p(&["netcheck", "--json"]).ok().json();
    assert_eq!(
        (&open["nat"], &open["trouble"], &open["daemon"]),
        (&"open".into(), &Value::Null, &false.into()),
        "{open}"
    );

    let nobody = json!({ "plugins": { "data": { "p2p": { "relayThrough": ["07".repeat(32)] } } } });
    std::fs::write(dropped.folder().join("config.json"), nobody.to_string()).expect("the home is writable");
    let relays = dropped.p2p(&["netcheck", "--json"]).ok().json();
    has_shape("p2p netcheck", &relays);
    assert_eq!(relays["relayThrough"][0]["reached"], false, "{relays}");

    h1.block_udp("input");
    let blocked = dropped.p2p(&["netcheck"]);
    assert_eq!(blocked.code, Some(OFFLINE), "{}", blocked.stdout);
    assert!(blocked.stderr.contains("UDP seems to be blocked"), "{}", blocked.stderr);
    assert!(blocked.stdout.contains("silent"), "{}", blocked.stdout);

    h2.block_udp("output");
    let blocked = refused.p2p(&["netcheck", "--json"]);
    assert_eq!(blocked.code, Some(OFFLINE), "{}", blocked.stdout);
    assert_eq!(blocked.json()["trouble"], "cannot-send", "{}", blocked.stdout);
}

#[test]
fn a_node_is_reachable_again_after_a_change_of_address_and_after_sleep() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let dht = Dht::on_host(&lab.host("boot"), &[]);
    let (mut h1, b) = (lab.host("h1"), lab.host("b"));
    let alice = home("alice", &h1, &dht);
    let daemon = Daemon::start(&alice);
    let bob = home("bob", &b, &dht);
    ping(&bob, &daemon.public_key);

    h1.readdress(21);
    is_back(&bob, &daemon.public_key, "the change of address");

    // Asleep for as long as it takes until nobody reaches it.
    daemon.signal(Signal::STOP);
    let asleep = bob.p2p(&["ping", &daemon.public_key, "--count", "1", "--timeout", "20s"]);
    assert_eq!(asleep.code, Some(PEER_OFFLINE), "{} {}", asleep.stdout, asleep.stderr);
    daemon.signal(Signal::CONT);
    is_back(&bob, &daemon.public_key, "sleep");
}
