//! Our network beside the reference's, in one run on the same machine (docs/benchmarks-network.md).
//!
//! `cargo run --release -p wopr-p2p-smol --example net_bench [ROUNDS]` builds the private internet of the tests, with
//! DHT nodes of the reference, and measures from the dial to the first byte in all placements, and how fast 100 MB go
//! through one stream. Needs root, iproute2, nftables, node and npm.

#[path = "../../cli/tests/support/lab.rs"]
#[allow(dead_code, unreachable_pub)]
mod lab;
#[path = "../tests/support/peers.rs"]
#[allow(dead_code)]
mod peers;
#[path = "../../cli/tests/support/place.rs"]
#[allow(dead_code)]
mod place;
#[allow(dead_code)]
mod swarm_peer;
#[allow(dead_code)]
mod swarm_speed;

use lab::{Lab, Plan};
use peers::{BOOT, Kind, PLACEMENTS, Program, dht, first_byte, install_reference, npm, number_in, ours, topic};

/// Server (or receiver) and client (or sender).
const SIDES: [(Kind, Kind); 4] =
    [(Kind::Npm, Kind::Npm), (Kind::Ours, Kind::Ours), (Kind::Npm, Kind::Ours), (Kind::Ours, Kind::Npm)];
/// What goes through one stream, and in messages of which length.
const BYTES: u32 = 100_000_000;
const MESSAGE: u32 = 65_536;

fn main() {
    peers::serve();
    let rounds = std::env::args().nth(1).map_or(7, |rounds| rounds.parse().expect("a number of rounds"));
    let Some(lab) = Lab::build(Plan::default()) else { std::process::exit(1) };
    if !install_reference() {
        std::process::exit(1);
    }
    let _dht = dht(&lab, Kind::Npm, 6);
    let mut numbers = 1000..;
    println!("Milliseconds from the dial to the first byte, median of {rounds}; the ratio to npm's in brackets:\n");
    println!("| server, client |{}", PLACEMENTS.map(|(place, ..)| format!(" {place} |")).concat());
    println!("|---|{}", "---|".repeat(PLACEMENTS.len()));
    // All of a placement one after the other, round by round: whatever else the machine does concerns all.
    let mut took = vec![vec![Vec::new(); PLACEMENTS.len()]; SIDES.len()];
    for _ in 0..rounds {
        for (column, (place, at, from)) in PLACEMENTS.into_iter().enumerate() {
            for (row, (server, client)) in SIDES.into_iter().enumerate() {
                let number = numbers.next().expect("there are enough");
                match first_byte(&lab, (server, at), (client, from), number) {
                    Ok(milliseconds) => took[row][column].push(milliseconds),
                    Err(reason) => eprintln!("{server}, {client}, {place}: {reason}"),
                }
            }
        }
    }
    print(&took, false);

    println!(
        "\nMegabytes a second through one stream between two public hosts, {BYTES} bytes in messages of {MESSAGE},"
    );
    println!("median of {rounds}; the ratio to npm's in brackets:\n");
    println!("| receiver, sender | MB/s |\n|---|---|");
    let mut speeds = vec![vec![Vec::new()]; SIDES.len()];
    for _ in 0..rounds {
        for (row, (receiver, sender)) in SIDES.into_iter().enumerate() {
            match speed(&lab, receiver, sender, &topic(numbers.next().expect("there are enough"))) {
                Ok(megabytes) => speeds[row][0].push(megabytes),
                Err(reason) => eprintln!("{receiver}, {sender}: {reason}"),
            }
        }
    }
    print(&speeds, true);
}

/// The rows of a table: medians, and their ratio to those of the first row.
fn print(rows: &[Vec<Vec<f64>>], precise: bool) {
    for (row, (server, client)) in rows.iter().zip(SIDES) {
        let cells = row.iter().zip(&rows[0]).map(|(cell, reference)| {
            let (ours, npm) = (median(cell), median(reference));
            if precise {
                format!(" {ours:.1} ({:.2}) |", ours / npm)
            } else {
                format!(" {ours:.0} ({:.2}) |", ours / npm)
            }
        });
        println!("| {server}, {client} |{}", cells.collect::<String>());
    }
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn speed(lab: &Lab, receiver: Kind, sender: Kind, topic: &str) -> Result<f64, String> {
    let start = |kind, host: &str, role: &str| -> Program {
        let arguments = format!("{role} {topic} 0.0.0.0 {BYTES} {MESSAGE} {BOOT}");
        match kind {
            Kind::Ours => ours(lab, host, &format!("speed {arguments}")),
            Kind::Npm => npm(lab, host, "speed.js", &arguments),
        }
    };
    let listener = start(receiver, "h1", "listen");
    listener.says("ready")?;
    number_in(&start(sender, "h2", "send").says("{\"seconds\"")?, "megabytesPerSecond")
}
