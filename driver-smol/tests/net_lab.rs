//! Our network and the reference's, in every placement: does it connect, and how soon does the first byte come?
//!
//! Needs root, iproute2, nftables, node and npm; says clearly when it skips, and never skips in CI. The reference is
//! pinned in `tests/npm/package-lock.json`. `cargo test --test net_lab -- --nocapture` shows the times.

#[path = "../../cli/tests/support/lab.rs"]
#[allow(dead_code)]
mod lab;
#[path = "../../cli/tests/support/place.rs"]
#[allow(dead_code)]
mod place;
#[path = "../examples/swarm_peer.rs"]
#[allow(dead_code)]
mod swarm_peer;

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use lab::{Lab, Plan, Ports};

/// Without a random NAT nothing waits for a retransmission, and the shortest of those timers is a second.
const SOON: f64 = 900.0;
/// What a program may take to say something.
const LIMIT: Duration = Duration::from_secs(40);
const DHT_PORT: u16 = 49737;
/// The first node of the DHT, in the lab's usual plan.
const BOOT: &str = "10.98.0.1:49737";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Npm,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Ours { "ours" } else { "npm" })
    }
}

/// A program in the lab; ended when dropped.
struct Program {
    child: Child,
    lines: Receiver<String>,
    shown: String,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let shown = format!("{command:?}");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (said, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        Self { child, lines, shown }
    }

    /// The rest of the next line that has this word, from the word on.
    fn says(&self, word: &str) -> Result<String, String> {
        loop {
            let line = self.lines.recv_timeout(LIMIT).map_err(|e| format!("{}: {e}", self.shown))?;
            if let Some(at) = line.find(word) {
                return Ok(line[at..].to_owned());
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(reason) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("{} was not ended: {reason}", self.shown);
        }
    }
}

/// Not a test of its own: the peer that the others start, in its own process.
#[test]
fn peer_process() {
    if let Ok(arguments) = std::env::var("WOPR_NET_PEER") {
        swarm_peer::run(&arguments.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap();
    }
}

fn ours(lab: &Lab, host: &str, arguments: &str) -> Program {
    let this = std::env::current_exe().unwrap();
    let mut command = lab.host(host).place().command(this);
    command.args(["--exact", "--nocapture", "peer_process"]).env("WOPR_NET_PEER", arguments);
    Program::start(command)
}

fn npm(lab: &Lab, host: &str, script: &str, arguments: &str) -> Program {
    let mut command = lab.host(host).place().command("node");
    command.arg(reference().join(script)).args(arguments.split(' '));
    Program::start(command)
}

fn reference() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/npm")
}

/// Installs the reference as the lock file says; `false` if there is no npm and it may be skipped.
fn install_reference() -> bool {
    let done =
        Command::new("npm").arg("ci").current_dir(reference()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let installed = reference().join("node_modules/hyperswarm").exists() && done.is_ok_and(|status| status.success());
    if !installed {
        assert!(std::env::var_os("CI").is_none(), "in CI the reference may not be skipped: 'npm ci' failed");
        let said = writeln!(std::io::stderr(), "\nSKIPPED, no reference: 'npm ci' failed in {}", reference().display());
        said.expect("stderr takes a line");
    }
    installed
}

/// A DHT of six nodes on six hosts, all of one kind.
fn dht(lab: &Lab, kind: Kind, nodes: usize) -> Vec<Program> {
    let hosts = ["boot", "n2", "n3", "n4", "n5", "n6"];
    let start = |(i, host): (usize, &&str)| {
        let bootstrap = if i == 0 { String::new() } else { format!(" {BOOT}") };
        let arguments = format!("{} {DHT_PORT}{bootstrap}", lab.host(host).address);
        let node = match kind {
            Kind::Ours => ours(lab, host, &format!("dht {arguments}")),
            Kind::Npm => npm(lab, host, "dht.js", &arguments),
        };
        node.says("ready").unwrap();
        node
    };
    hosts.iter().take(nodes).enumerate().map(start).collect()
}

fn peer(lab: &Lab, kind: Kind, host: &str, role: &str, topic: &str) -> Program {
    let arguments = format!("{role} {topic} 0.0.0.0 {BOOT}");
    match kind {
        Kind::Ours => ours(lab, host, &arguments),
        Kind::Npm => npm(lab, host, "peer.js", &arguments),
    }
}

/// Milliseconds from the dial to the first byte.
fn first_byte(lab: &Lab, server: (Kind, &str), client: (Kind, &str), number: u32) -> Result<f64, String> {
    // A topic of its own: a listener that was ended stays announced for a while.
    let topic = format!("{:064x}", 0x5eed_0000 + number);
    let listener = peer(lab, server.0, server.1, "listen", &topic);
    listener.says("ready")?;
    let dialler = peer(lab, client.0, client.1, "dial", &topic);
    let said = dialler.says("{\"opened\"")?;
    let value = said.split("\"firstByte\":").nth(1).and_then(|rest| rest.trim_end_matches('}').parse().ok());
    value.ok_or_else(|| format!("not understood: {said}"))
}

/// Who is where, server and client.
const PLACEMENTS: [(&str, &str, &str); 5] = [
    ("public to public", "h1", "h2"),
    ("public to NAT", "h1", "b"),
    ("NAT to public", "a", "h2"),
    ("NAT to other NAT", "a", "b"),
    ("same NAT", "a", "a2"),
];

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
    for number in 0..5 {
        // The peers also exchange a long message, which has to come back whole.
        let took = first_byte(&lab, (Kind::Ours, "a"), (Kind::Ours, "b"), 300 + number).unwrap();
        println!("NAT to other NAT, each losing a tenth: first byte after {took:.0} ms");
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
