//! A stranger floods a running daemon with garbage, a thousand packets a second: whoever has access goes on unharmed,
//! old connections as well as new ones, and nothing piles up.
//!
//! Some seconds as a test; `WOPR_FLOOD_SECONDS=60 cargo test -p wopr --test flood -- --nocapture` for a minute, with the
//! figures (docs/soak.md). Needs root, `ip` and `nft`; says when it skips, and in CI never skips.
#![cfg(target_os = "linux")]

#[path = "support/stranger.rs"]
mod stranger;
mod support;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use wopr_p2p_core::keys::PublicKey;

use stranger::Stranger;
use support::conversation::{claim, invite};
use support::gauge::{Gauge, udp_ports};
use support::home::Home;
use support::lab::{Lab, Plan};
use support::node::{Daemon, Dht};

const RATE: u32 = 1000;
/// Sessions of strangers are bounded at 128, each with a socket; a few are let go at any moment.
const SOCKETS: u64 = 140;
/// How long it may take until the sockets of the flood are closed. The longest a session may last is 40 s.
const RECOVERY: Duration = Duration::from_secs(90);
/// Memory may grow until all tables are full, and no further.
const MEMORY_KIB: u64 = 24 * 1024;

fn home(lab: &Lab, name: &str, host: &str, dht: &Dht) -> Home {
    let home = Home::new(name, &lab.host(host).place(), &[dht.address]);
    let limits = json!({ "logs": { "maxPerMinute": 1000, "maxPerHour": 100_000 } });
    let config = json!({ "plugins": { "data": { "p2p": { "rateLimit": limits } } } });
    std::fs::write(home.folder().join("config.json"), config.to_string()).expect("the home is writable");
    home
}

/// Logs messages one after the other until told to stop; the milliseconds that each took.
fn log_until(from: &Home, key: &str, stop: &AtomicBool, pause: Duration) -> Vec<u128> {
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let text = format!("{} {}", from.name(), took.len());
        let outcome = from.p2p(&["log", key, "--session", "main", "--message", &text, "--no-queue"]).ok();
        took.push(outcome.took.as_millis());
        sleep(pause);
    }
    took
}

fn median(mut numbers: Vec<u128>) -> u128 {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[test]
fn a_thousand_garbage_packets_a_second_do_not_keep_a_peer_from_its_business() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let seconds = std::env::var("WOPR_FLOOD_SECONDS").ok();
    let seconds = seconds.map_or(10, |text| text.parse().unwrap_or_else(|e| panic!("WOPR_FLOOD_SECONDS={text}: {e}")));
    let dht = Dht::on_host(&lab.host("boot"), &[]);
    let [alice, bob, carol] =
        [("alice", "h1"), ("bob", "h2"), ("carol", "n6")].map(|(name, host)| home(&lab, name, host, &dht));
    let daemon = Daemon::start(&alice);
    let bobs = Daemon::start(&bob);
    for guest in [&bob, &carol] {
        claim(guest, &invite(&alice, guest, "main", &[]));
    }
    let key = daemon.public_key.clone();
    let topic = key.parse::<PublicKey>().expect("a key").topic().0;
    let attacker = lab.host("n5");
    let socket = attacker.enter(|| UdpSocket::bind((attacker.address, 0)).expect("a free port"));
    let mut stranger = Stranger::new(socket, dht.address, topic);

    let before = Gauge::of(daemon.pid());
    println!("before: {before:?}");
    let stop = AtomicBool::new(false);
    let (sent, gauges, old, new) = std::thread::scope(|scope| {
        let (victim, pid, stop) = (lab.host("h1").address, daemon.pid(), &stop);
        // Bob's daemon has a connection, Carol's command makes one each time.
        let old = scope.spawn(|| log_until(&bob, &key, stop, Duration::from_millis(200)));
        let new = scope.spawn(|| log_until(&carol, &key, stop, Duration::from_millis(500)));
        let gauges = scope.spawn(move || {
            let mut gauges = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                gauges.push(Gauge::of(pid));
                sleep(Duration::from_secs(1));
            }
            gauges
        });
        let sent = stranger.flood(victim, || udp_ports(pid), RATE, Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        let joined = "the thread ends well";
        (sent, gauges.join().expect(joined), old.join().expect(joined), new.join().expect(joined))
    });

    println!("{sent} packets in {seconds} s");
    assert!(sent >= u64::from(RATE) * seconds * 9 / 10, "the flood was none: {sent} packets");
    for (second, gauge) in gauges.iter().enumerate().step_by(1.max(gauges.len() / 12)) {
        println!("after {second} s: {gauge:?}");
    }
    println!("{} messages on an open connection, median {} ms", old.len(), median(old.clone()));
    println!("{} messages each on a new connection, median {} ms", new.len(), median(new.clone()));
    for (guest, count) in [(&bob, old.len()), (&carol, new.len())] {
        for number in 0..count {
            assert_eq!(alice.count_in_session("main", &format!("{} {number}", guest.name())), 1);
        }
    }
    let most = |figure: fn(&Gauge) -> u64| gauges.iter().map(figure).max().unwrap_or(0);
    assert!(most(|gauge| gauge.udp) <= SOCKETS, "{} UDP sockets", most(|gauge| gauge.udp));
    let rss = most(|gauge| gauge.rss);
    assert!(rss <= before.rss + MEMORY_KIB, "memory grew from {} to {rss} KiB", before.rss);

    let deadline = Instant::now() + RECOVERY;
    while Gauge::of(daemon.pid()).udp > before.udp + 2 {
        assert!(Instant::now() < deadline, "still {:?} after {RECOVERY:?}", Gauge::of(daemon.pid()));
        sleep(Duration::from_millis(500));
    }
    println!("afterwards: {:?}", Gauge::of(daemon.pid()));
    drop(bobs);
}
