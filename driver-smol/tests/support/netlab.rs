//! A private internet of network namespaces: public hosts on one bridge, and two gateways with hosts behind them.
//!
//! ```text
//!  boot n2 … n6   h1 h2        nata ── a, a2      natb ── b
//!   .1  .2 … .6   .11 .12      .101  (10.1.0.x)   .102  (10.2.0.x)      on 10.96.0.0/24
//! ```
//!
//! What a lab made is gone with it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Hosts on the public network, and the last byte of their address.
const PUBLIC: [(&str, u8); 10] = [
    ("boot", 1),
    ("n2", 2),
    ("n3", 3),
    ("n4", 4),
    ("n5", 5),
    ("n6", 6),
    ("h1", 11),
    ("h2", 12),
    ("nata", 101),
    ("natb", 102),
];
/// Hosts behind a gateway: name, gateway, network, last byte.
const INNER: [(&str, &str, &str, u8); 3] =
    [("a", "nata", "10.1.0", 2), ("a2", "nata", "10.1.0", 3), ("b", "natb", "10.2.0", 2)];

/// How a gateway gives out ports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ports {
    /// The inner port where it is free.
    Preserved,
    /// Another one for each destination.
    Random,
}

pub(crate) struct Lab {
    prefix: String,
}

impl Lab {
    /// Builds a lab; says why it cannot and gives `None`. In CI it never skips.
    pub(crate) fn build(nat_a: Ports, nat_b: Ports) -> Option<Self> {
        match Self::try_build(nat_a, nat_b) {
            Ok(lab) => Some(lab),
            Err(reason) => {
                assert!(std::env::var_os("CI").is_none(), "in CI the lab may not be skipped: {reason}");
                // Straight to the stream: the harness hides what a passing test prints otherwise.
                let said = writeln!(std::io::stderr(), "\nSKIPPED, no lab: {reason}");
                said.expect("stderr takes a line");
                None
            }
        }
    }

    fn try_build(nat_a: Ports, nat_b: Ports) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let lab = Self { prefix: format!("nl{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)) };
        run(&["nft", "-v"], "").map_err(|e| format!("{e} (Debian's nftables is needed)"))?;
        lab.namespace("net").map_err(|e| format!("{e} (root and Debian's iproute2 are needed)"))?;
        lab.ip("net", "link add br0 type bridge")?;
        lab.ip("net", "link set br0 up")?;
        for (name, last) in PUBLIC {
            lab.host_on(name, "net", &format!("10.96.0.{last}"))?;
        }
        lab.gateway("nata", "10.1.0", nat_a)?;
        lab.gateway("natb", "10.2.0", nat_b)?;
        for (name, gateway, network, last) in INNER {
            lab.host_on(name, gateway, &format!("{network}.{last}"))?;
            lab.ip(name, &format!("route add default via {network}.1"))?;
        }
        Ok(lab)
    }

    /// A command that will run on this host.
    pub(crate) fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        command
    }

    /// Makes a gateway lose this many of a hundred packets, in either direction.
    pub(crate) fn lose(&self, gateway: &str, percent: u8) {
        let rule = format!("insert rule ip filter forward numgen random mod 100 < {percent} drop");
        run(&["ip", "netns", "exec", &self.name(gateway), "nft", "-f", "-"], &rule).expect("nft takes the rule");
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn ip(&self, host: &str, arguments: &str) -> Result<(), String> {
        let name = self.name(host);
        let words: Vec<_> = ["ip", "-n", &name].into_iter().chain(arguments.split_whitespace()).collect();
        run(&words, "")
    }

    fn namespace(&self, host: &str) -> Result<(), String> {
        run(&["ip", "netns", "add", &self.name(host)], "")?;
        self.ip(host, "link set lo up")
    }

    /// A host with a cable to the bridge of another namespace.
    fn host_on(&self, name: &str, at: &str, address: &str) -> Result<(), String> {
        self.namespace(name)?;
        let here = self.name(name);
        self.ip(at, &format!("link add to-{name} type veth peer name eth0 netns {here}"))?;
        self.ip(at, &format!("link set to-{name} master br0"))?;
        self.ip(at, &format!("link set to-{name} up"))?;
        self.ip(name, &format!("addr add {address}/24 dev eth0"))?;
        self.ip(name, "link set eth0 up")
    }

    fn gateway(&self, name: &str, network: &str, ports: Ports) -> Result<(), String> {
        self.ip(name, "link add br0 type bridge")?;
        self.ip(name, &format!("addr add {network}.1/24 dev br0"))?;
        self.ip(name, "link set br0 up")?;
        let how = if ports == Ports::Random { "random" } else { "" };
        // Without the input chain the gateway's own connection tracking would take an early punch from outside for a
        // flow of its own, and give the inner host another port.
        let rules = format!(
            r#"table ip nat {{
                chain post {{ type nat hook postrouting priority 100; oifname "eth0" masquerade {how}; }}
            }}
            table ip filter {{
                chain input {{ type filter hook input priority 0; iifname "eth0" ct state new drop; }}
                chain forward {{
                    type filter hook forward priority 0; policy drop;
                    iifname "br0" accept; ct state established,related accept;
                }}
            }}"#
        );
        let inside = self.name(name);
        run(&["ip", "netns", "exec", &inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "")?;
        run(&["ip", "netns", "exec", &inside, "nft", "-f", "-"], &rules)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in ["net"].into_iter().chain(PUBLIC.map(|(name, _)| name)).chain(INNER.map(|(name, ..)| name)) {
            if let Err(reason) = run(&["ip", "netns", "del", &self.name(name)], "") {
                eprintln!("left behind: {reason}");
            }
        }
    }
}

fn run(words: &[&str], input: &str) -> Result<(), String> {
    let failed = |reason: String| format!("{}: {reason}", words.join(" "));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()))
        .map_err(|e| failed(e.to_string()))?;
    let done = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    if done.status.success() { Ok(()) } else { Err(failed(String::from_utf8_lossy(&done.stderr).trim().to_owned())) }
}
