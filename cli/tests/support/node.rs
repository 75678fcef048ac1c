//! The programs that stay: DHT nodes and daemons. Each is ready, by its own word, when `start` returns.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::home::{Home, wopr};
use super::lab::{Host, Lab};
use super::program::{Place, Running};

/// How long a program may take to say that it is ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// The port of every DHT node of a lab.
const DHT_PORT: u16 = 49737;

/// A node of a private DHT: `wopr p2p dht`.
pub(crate) struct Dht {
    pub(crate) address: SocketAddr,
    running: Running,
}

impl Dht {
    /// Port 0: any free port. `bootstrap` empty: the first node of a new network.
    pub(crate) fn start(place: &Place, listen: SocketAddr, bootstrap: &[SocketAddr]) -> Dht {
        let mut command = wopr(place);
        command.args(["p2p", "dht", "--json", "--listen", &listen.to_string()]);
        if !bootstrap.is_empty() {
            let list = bootstrap.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
            command.env("WOPR_P2P_BOOTSTRAP", list);
        }
        let running = Running::start(&format!("dht {listen}"), command);
        let ready = ready_line(&running);
        let address = ready["listen"].as_str().and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("dht: no address in {ready}"));
        Dht { address, running }
    }

    /// On a host of a lab.
    pub(crate) fn on_host(host: &Host, bootstrap: &[SocketAddr]) -> Dht {
        Dht::start(&host.place(), host.at(DHT_PORT), bootstrap)
    }

    /// On six public addresses: from fewer, a node cannot tell what kind of NAT it is behind.
    pub(crate) fn on_six_hosts(lab: &Lab) -> Vec<Dht> {
        let mut nodes = vec![Dht::on_host(&lab.host("boot"), &[])];
        for name in ["n2", "n3", "n4", "n5", "n6"] {
            nodes.push(Dht::on_host(&lab.host(name), &[nodes[0].address]));
        }
        nodes
    }

    pub(crate) fn on_loopback() -> Dht {
        Dht::start(&Place::here(), SocketAddr::from(([127, 0, 0, 1], 0)), &[])
    }
}

/// A node in the foreground: `wopr daemon run`.
pub(crate) struct Daemon {
    pub(crate) public_key: String,
    running: Running,
}

impl Daemon {
    pub(crate) fn start(home: &Home) -> Daemon {
        let mut command = home.command();
        command.args(["daemon", "run", "--json"]);
        let running = Running::start(&format!("daemon {}", home.name()), command);
        let ready = ready_line(&running);
        let public_key = ready["publicKey"].as_str().unwrap_or_else(|| panic!("daemon: no key in {ready}"));
        Daemon { public_key: public_key.to_owned(), running }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }
}

/// Ends the daemon in the background of a home, if one runs when this is dropped.
pub(crate) struct Background {
    stop: Command,
}

impl Background {
    pub(crate) fn of(home: &Home) -> Background {
        let mut stop = home.command();
        stop.args(["daemon", "stop"]);
        Background { stop }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Err(e) = self.stop.output() {
            eprintln!("{:?}: {e}", self.stop);
        }
    }
}

fn ready_line(running: &Running) -> Value {
    let line = running.next_line(READY_LIMIT);
    let value: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("not JSON: {e}: {line}"));
    assert_eq!(value["ready"], true, "{line}");
    value
}
