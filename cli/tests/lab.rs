//! Nodes behind gateways, on a private internet of network namespaces: whoever is public and whoever is behind a NAT,
//! the two meet, are let in, and talk. Needs root, `ip` and `nft`; says when it skips, and in CI never skips.
#![cfg(target_os = "linux")]

mod support;

use std::time::Instant;

use support::conversation::{ANSWERING, claim, invite, log_and_ask};
use support::home::Home;
use support::lab::{Host, Lab, Plan};
use support::node::{Daemon, Dht};

/// A node that lets others in and answers them.
struct Answering {
    daemon: Daemon,
    home: Home,
}

impl Answering {
    fn start(name: &str, at: &Host, dht: &[Dht]) -> Answering {
        let home = Home::new(name, &at.place(), &[dht[0].address]);
        home.answer_with("main", ANSWERING);
        Answering { daemon: Daemon::start(&home), home }
    }

    /// Somebody new at `place` is invited, claims, logs and asks.
    fn is_reached_from(&self, name: &str, at: &Host, dht: &[Dht]) {
        let guest = Home::new(name, &at.place(), &[dht[0].address]);
        let token = invite(&self.home, &guest, "main", &[]);
        let started = Instant::now();
        claim(&guest, &token);
        let claimed = started.elapsed();
        log_and_ask(&guest, &self.home, &self.daemon.public_key, "main");
        let all = started.elapsed();
        eprintln!("{name}: claimed after {} ms, all after {} ms", claimed.as_millis(), all.as_millis());
    }
}

#[test]
fn nodes_meet_and_talk_whoever_is_behind_a_nat() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let dht = Dht::on_six_hosts(&lab);
    let [h1, h2, a, b] = ["h1", "h2", "a", "b"].map(|name| lab.host(name));

    let public = Answering::start("public", &h1, &dht);
    public.is_reached_from("nat-to-public", &b, &dht);
    drop(public);

    let behind_nat = Answering::start("behind-nat", &a, &dht);
    behind_nat.is_reached_from("public-to-nat", &h2, &dht);
    behind_nat.is_reached_from("nat-to-nat", &b, &dht);
}
