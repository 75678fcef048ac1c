//! Two nodes behind NATs that are cut off from each other and reconnected, again and again, while both go on logging:
//! every message is delivered once and in order, and nothing piles up.
//!
//! Three short cycles as a test. `WOPR_SOAK_MINUTES=60 cargo test -p wopr --test soak -- --nocapture` does it for an
//! hour, one cycle a minute, and prints what the nodes had in use at the end of each (docs/soak.md). Needs root, `ip`
//! and `nft`; says when it skips, and in CI never skips.
#![cfg(target_os = "linux")]

mod support;

use std::fmt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::conversation::{claim, invite};
use support::gauge::Gauge;
use support::home::Home;
use support::lab::{Host, Lab, Plan};
use support::node::{Daemon, Dht};
use support::program::run;

/// How long a command may wait for its message to be delivered; after that it is queued.
const PATIENCE: &str = "2s";
/// How long the last messages may take to be delivered.
const LAST: Duration = Duration::from_secs(300);

/// How long and how often.
struct Course {
    cycles: usize,
    period: Duration,
    /// How long the nodes are apart, in turn: a stream may live through it or not.
    apart: [Duration; 3],
    /// From one message to the next.
    pace: Duration,
}

impl Course {
    fn wanted() -> Course {
        let minutes = std::env::var("WOPR_SOAK_MINUTES").ok();
        let minutes = minutes.map(|text| text.parse().unwrap_or_else(|e| panic!("WOPR_SOAK_MINUTES={text}: {e}")));
        let seconds = |list: [u64; 3]| list.map(Duration::from_secs);
        match minutes {
            Some(cycles) => Course {
                cycles,
                period: Duration::from_secs(60),
                apart: seconds([15, 30, 50]),
                pace: Duration::from_secs(5),
            },
            None => Course {
                cycles: 3,
                period: Duration::from_secs(12),
                apart: seconds([3, 6, 6]),
                pace: Duration::from_secs(1),
            },
        }
    }
}

/// One of the two: a running node that logs to the other.
struct Side {
    home: Home,
    daemon: Daemon,
    key: String,
    sent: usize,
}

impl Side {
    fn start(home: Home) -> Side {
        let key = home.public_key();
        Side { daemon: Daemon::start(&home), home, key, sent: 0 }
    }

    /// Logs the next message to the node with this key; it may have to wait.
    fn log(&mut self, to: &str) {
        let text = message(self.sent);
        let said =
            self.home.p2p(&["--json", "log", to, "--session", "main", "--message", &text, "--timeout", PATIENCE]);
        said.ok();
        self.sent += 1;
    }

    fn waiting(&self) -> usize {
        let list = self.home.p2p(&["--json", "outbox", "list"]).ok().json();
        list["outbox"].as_array().expect("a list").len()
    }

    fn received(&self) -> Vec<Value> {
        self.home.session("main").into_iter().map(|line| line["content"].clone()).collect()
    }

    fn gauge(&self) -> Row {
        let mut status = self.home.command();
        status.args(["daemon", "status", "--json"]);
        let status = run(status, "", Duration::from_secs(60)).ok().json();
        let tasks = status["tasks"].as_u64().expect("a number");
        Row { gauge: Gauge::of(self.daemon.pid()), tasks }
    }
}

fn message(number: usize) -> String {
    format!("message {number}")
}

/// What a node has in use.
#[derive(Clone, Copy)]
struct Row {
    gauge: Gauge,
    tasks: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gauge { rss, files, udp, threads } = self.gauge;
        write!(f, "{rss} | {files} | {udp} | {} | {threads}", self.tasks)
    }
}

/// Two gateways that can be cut off: one loses its cable and so forgets its connections, the other only drops all.
struct Wires {
    hosts: [Host; 2],
}

impl Wires {
    fn cut(&self, cycle: usize) {
        if cycle.is_multiple_of(2) {
            self.do_at(0, &["ip", "link", "set", "eth0", "down"], "");
        } else {
            let drop = "table ip cut { chain off { type filter hook forward priority -1; policy drop; }; }";
            self.do_at(1, &["nft", "-f", "-"], drop);
        }
    }

    fn join(&self, cycle: usize) {
        if cycle.is_multiple_of(2) {
            self.do_at(0, &["ip", "link", "set", "eth0", "up"], "");
        } else {
            self.do_at(1, &["nft", "delete", "table", "ip", "cut"], "");
        }
    }

    fn do_at(&self, gateway: usize, words: &[&str], input: &str) {
        let mut command: Command = self.hosts[gateway].place().command(words[0]);
        command.args(&words[1..]);
        run(command, input, Duration::from_secs(10)).ok();
    }
}

/// A node's home, with limits that leave room for more messages than the usual ones.
fn home(lab: &Lab, name: &str, host: &str, dht: &[Dht]) -> Home {
    let home = Home::new(name, &lab.host(host).place(), &[dht[0].address]);
    let limits = json!({ "logs": { "maxPerMinute": 1000, "maxPerHour": 100_000 } });
    let config = json!({ "plugins": { "data": { "p2p": { "rateLimit": limits } } } });
    std::fs::write(home.folder().join("config.json"), config.to_string()).expect("the home is writable");
    home
}

/// Both let the other in.
fn acquaint(alice: &Side, bob: &Side) {
    claim(&bob.home, &invite(&alice.home, &bob.home, "main", &[]));
    bob.home.p2p(&["grant", &alice.key, "main"]).ok();
}

#[test]
fn nodes_that_are_cut_off_again_and_again_deliver_every_message_once_and_nothing_piles_up() {
    let Some(lab) = Lab::build(Plan::default()) else { return };
    let course = Course::wanted();
    let dht = Dht::on_six_hosts(&lab);
    let mut alice = Side::start(home(&lab, "alice", "a", &dht));
    let mut bob = Side::start(home(&lab, "bob", "b", &dht));
    acquaint(&alice, &bob);
    let wires = Wires { hosts: [lab.host("nata"), lab.host("natb")] };

    let columns = "RSS (KiB) | files | UDP sockets | tasks | threads";
    println!("| cycle | waiting | Alice: {columns} | Bob: {columns} |");
    let mut rows: [Vec<Row>; 2] = Default::default();
    for cycle in 0..course.cycles {
        let began = Instant::now();
        wires.cut(cycle);
        let apart = course.apart[cycle % course.apart.len()];
        talk(&mut alice, &mut bob, course.pace, began + apart);
        wires.join(cycle);
        talk(&mut alice, &mut bob, course.pace, began + course.period);
        let waiting = alice.waiting() + bob.waiting();
        for (rows, side) in rows.iter_mut().zip([&alice, &bob]) {
            rows.push(side.gauge());
        }
        println!("| {} | {waiting} | {} | {} |", cycle + 1, rows[0][cycle], rows[1][cycle]);
    }

    let deadline = Instant::now() + LAST;
    while alice.waiting() + bob.waiting() > 0 {
        assert!(Instant::now() < deadline, "still waiting after {LAST:?}: {} and {}", alice.waiting(), bob.waiting());
        sleep(Duration::from_millis(500));
    }
    for (to, from) in [(&alice, &bob), (&bob, &alice)] {
        let sent: Vec<Value> = (0..from.sent).map(|number| message(number).into()).collect();
        assert_eq!(to.received(), sent, "{} has each message of {} once", to.home.name(), from.home.name());
        println!("{} messages of {} were delivered, each once and in order", from.sent, from.home.name());
    }
    for (name, rows) in ["Alice", "Bob"].into_iter().zip(&rows) {
        is_flat(name, rows);
    }
}

/// Both log at this pace until then.
fn talk(alice: &mut Side, bob: &mut Side, pace: Duration, until: Instant) {
    while Instant::now() < until {
        let next = Instant::now() + pace;
        let (to_bob, to_alice) = (bob.key.clone(), alice.key.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| alice.log(&to_bob));
            scope.spawn(|| bob.log(&to_alice));
        });
        sleep(next.min(until).saturating_duration_since(Instant::now()));
    }
}

/// What a node has in use does not grow: its last third is no more than its first, with room for what is under way.
fn is_flat(name: &str, rows: &[Row]) {
    let third = (rows.len() / 3).max(1);
    let (first, last) = (&rows[..third], &rows[rows.len() - third..]);
    let mean = |rows: &[Row], figure: fn(&Row) -> u64| rows.iter().map(figure).sum::<u64>() / rows.len() as u64;
    type Figure = fn(&Row) -> u64;
    let figures: [(&str, Figure, u64); 5] = [
        ("KiB of memory", |row| row.gauge.rss, 4096),
        ("open files", |row| row.gauge.files, 10),
        ("UDP sockets", |row| row.gauge.udp, 10),
        ("tasks", |row| row.tasks, 30),
        ("threads", |row| row.gauge.threads, 4),
    ];
    for (what, figure, room) in figures {
        let (before, after) = (mean(first, figure), mean(last, figure));
        println!("{name}: {what}: {before} in the first third, {after} in the last");
        assert!(after <= before + room, "{name}: {what} grew from {before} to {after}");
    }
}
