//! A small internet of network namespaces: public hosts on one bridge, and two gateways with hosts behind them.
//!
//! Invariant: whatever a lab made is gone with it. Its namespaces carry the pid and the start time of the process
//! that made them, so that a later run also clears away what a killed run left, and never a living one's.
//!
//! The tests of both crates share it. With no DHT started on it, the public hosts are a local network that leads nowhere
//! else: they have no default route.
//!
//! ```text
//!  boot n2 … n6   h1 h2        nata ── a, a2      natb ── b
//!   .1  .2 … .6   .11 .12      .101  (10.1.0.x)   .102  (10.2.0.x)      on the public /24
//! ```

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::place::Place;

/// Where `ip netns` keeps its namespaces.
const NAMESPACES: &str = "/run/netns";
const PREFIX: &str = "wopr-lab-";

/// The bridge that joins the public hosts.
const NET: &str = "net";
/// Hosts and gateways on the public network: name and last byte of the address.
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
/// Hosts behind a gateway: name, gateway, private network, last byte.
const INNER: [(&str, &str, [u8; 3], u8); 3] =
    [("a", "nata", [10, 1, 0], 2), ("a2", "nata", [10, 1, 0], 3), ("b", "natb", [10, 2, 0], 2)];

/// Which public ports a gateway gives to the hosts behind it.
#[derive(Clone, Copy)]
pub(crate) enum Ports {
    /// The inner port where it is free: the same towards every destination.
    Preserved,
    /// A new random port for every destination (a "symmetric" NAT).
    Random,
}

/// What a lab may vary in.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// The first three bytes of the public network; it exists inside the namespaces only.
    pub(crate) public: [u8; 3],
    pub(crate) nat_a: Ports,
    pub(crate) nat_b: Ports,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { public: [10, 98, 0], nat_a: Ports::Preserved, nat_b: Ports::Preserved }
    }
}

/// Puts a host without any cable beside a lab: it has nothing but its loopback.
const ISLAND: &str = "island";

/// A lab that stands; taken down when dropped, with every program that still runs in it.
pub(crate) struct Lab {
    prefix: String,
    public: [u8; 3],
}

/// One host of a lab.
#[derive(Clone)]
pub(crate) struct Host {
    namespace: String,
    /// Its address on the network it is attached to: behind a gateway, a private one.
    pub(crate) address: Ipv4Addr,
}

impl Lab {
    /// Builds a lab, or says why it cannot and returns `None`. In CI (`CI` set) that is a failure: there it never skips.
    pub(crate) fn build(plan: Plan) -> Option<Lab> {
        match Lab::try_build(plan) {
            Ok(lab) => Some(lab),
            Err(reason) if in_ci() => panic!("the lab cannot be built, and in CI it may not be skipped: {reason}"),
            Err(reason) => {
                // Straight to the stream: the test harness hides what a passing test prints with eprintln.
                let test = thread::current().name().unwrap_or("a test").to_owned();
                let said = writeln!(std::io::stderr(), "\nSKIPPED {test}: the lab cannot be built: {reason}");
                said.expect("stderr takes a line");
                None
            }
        }
    }

    fn try_build(plan: Plan) -> Result<Lab, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root: run the tests as root".to_owned());
        }
        succeed(Command::new("ip").arg("-V"), "").map_err(|e| format!("{e}; install Debian's iproute2"))?;
        succeed(Command::new("nft").arg("-v"), "").map_err(|e| format!("{e}; install Debian's nftables"))?;
        sweep();

        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let pid = process::id();
        let born = start_time(pid).ok_or("cannot read /proc/self/stat")?;
        // Made before its first namespace, so that a half-built lab is taken down too.
        let lab = Lab { prefix: format!("{PREFIX}{pid}-{born}-{number}-"), public: plan.public };
        lab.lay_out(plan)?;
        Ok(lab)
    }

    /// The host called `name` in the picture above.
    pub(crate) fn host(&self, name: &str) -> Host {
        let [x, y, z] = self.public;
        let public = PUBLIC.iter().find(|(n, _)| *n == name).map(|(_, last)| Ipv4Addr::new(x, y, z, *last));
        let inner =
            INNER.iter().find(|(n, ..)| *n == name).map(|(_, _, [x, y, z], last)| Ipv4Addr::new(*x, *y, *z, *last));
        let address = public.or(inner).unwrap_or_else(|| panic!("the lab has no host {name}"));
        Host { namespace: self.namespace(name), address }
    }

    /// A further host, without any cable: programs on it meet each other on its loopback, and nobody else.
    pub(crate) fn island(&self) -> Host {
        let host = Host { namespace: self.namespace(ISLAND), address: Ipv4Addr::LOCALHOST };
        let made = ip(&["netns", "add", &host.namespace]);
        made.and_then(|()| ip(&["-n", &host.namespace, "link", "set", "lo", "up"])).unwrap_or_else(|e| panic!("{e}"));
        host
    }

    /// Makes a gateway lose this many of a hundred packets, in either direction.
    pub(crate) fn lose(&self, gateway: &str, percent: u8) {
        self.host(gateway).rule(&format!("insert rule ip filter forward numgen random mod 100 < {percent} drop"));
    }

    /// What every namespace of this lab, and of no other, is named with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn lay_out(&self, plan: Plan) -> Result<(), String> {
        self.namespace_with_bridge(NET)?;
        for (name, _) in PUBLIC {
            self.attach(name, NET, self.host(name).address)?;
        }
        self.gateway("nata", plan.nat_a)?;
        self.gateway("natb", plan.nat_b)?;
        for (name, gateway, [x, y, z], _) in INNER {
            let host = self.host(name);
            self.attach(name, gateway, host.address)?;
            let way_out = Ipv4Addr::new(x, y, z, 1).to_string();
            ip(&["-n", &host.namespace, "route", "add", "default", "via", &way_out])?;
        }
        Ok(())
    }

    fn namespace_with_bridge(&self, name: &str) -> Result<(), String> {
        ip(&["netns", "add", &self.namespace(name)])?;
        self.bridge(name)
    }

    fn bridge(&self, name: &str) -> Result<(), String> {
        let namespace = self.namespace(name);
        ip(&["-n", &namespace, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &namespace, "link", "set", "br0", "up"])
    }

    /// A namespace of its own for `name`, cabled to the bridge in `at`.
    fn attach(&self, name: &str, at: &str, address: Ipv4Addr) -> Result<(), String> {
        let (namespace, at) = (self.namespace(name), self.namespace(at));
        let cable = format!("to-{name}");
        ip(&["netns", "add", &namespace])?;
        ip(&["link", "add", &cable, "netns", &at, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
        ip(&["-n", &at, "link", "set", &cable, "master", "br0"])?;
        ip(&["-n", &at, "link", "set", &cable, "up"])?;
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        ip(&["-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["-n", &namespace, "link", "set", "eth0", "up"])
    }

    /// Makes a public host the gateway of a private network.
    fn gateway(&self, name: &str, ports: Ports) -> Result<(), String> {
        let namespace = self.namespace(name);
        let (_, _, [x, y, z], _) = INNER.iter().find(|(_, gateway, ..)| *gateway == name).ok_or("no such gateway")?;
        self.bridge(name)?;
        ip(&["-n", &namespace, "addr", "add", &format!("{x}.{y}.{z}.1/24"), "dev", "br0"])?;
        let inside = Place::namespace(&namespace);
        succeed(inside.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]), "")?;
        let flags = match ports {
            Ports::Preserved => "",
            Ports::Random => "random",
        };
        succeed(inside.command("nft").args(["-f", "-"]), &gateway_rules(flags))
    }
}

/// Without the input chain the gateway's connection tracking remembers an early punch from outside as a flow of its
/// own, and then gives the inner host another port.
fn gateway_rules(flags: &str) -> String {
    format!(
        r#"table ip nat {{
            chain post {{ type nat hook postrouting priority 100; oifname "eth0" masquerade {flags}; }}
        }}
        table ip filter {{
            chain input {{ type filter hook input priority 0; iifname "eth0" ct state new drop; }}
            chain forward {{
                type filter hook forward priority 0; policy drop;
                iifname "br0" accept; ct state established,related accept;
            }}
        }}
        "#
    )
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in namespaces().filter(|name| name.starts_with(&self.prefix)) {
            if let Err(reason) = remove(&namespace) {
                eprintln!("{namespace} is left behind: {reason}");
            }
        }
    }
}

impl Host {
    /// Programs of this place run on this host.
    pub(crate) fn place(&self) -> Place {
        Place::namespace(&self.namespace)
    }

    /// Adds a rule for nft.
    fn rule(&self, rule: &str) {
        let added = succeed(self.place().command("nft").args(["-f", "-"]), rule);
        added.unwrap_or_else(|e| panic!("{e}"));
    }

    /// From now on no UDP comes in here (`input`), or the system refuses to send any (`output`).
    pub(crate) fn block_udp(&self, hook: &str) {
        self.rule(&format!(
            "table inet no-udp {{\nchain {hook} {{\ntype filter hook {hook} priority 0\nmeta l4proto udp drop\n}}\n}}\n"
        ));
    }

    /// Gives a public host another address.
    pub(crate) fn readdress(&mut self, last: u8) {
        let [x, y, z, _] = self.address.octets();
        let (old, new) = (self.address, Ipv4Addr::new(x, y, z, last));
        let change = |what: &str, address: Ipv4Addr| {
            ip(&["-n", &self.namespace, "addr", what, &format!("{address}/24"), "dev", "eth0"])
        };
        change("del", old).and_then(|()| change("add", new)).unwrap_or_else(|e| panic!("{e}"));
        self.address = new;
    }

    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }

    /// Does `work` in a thread on this host: sockets made there belong to the host, and stay with it.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("{NAMESPACES}/{}", self.namespace);
        let namespace = fs::File::open(&path).unwrap_or_else(|e| panic!("cannot open {path}: {e}"));
        let inside = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap_or_else(|e| panic!("cannot enter {path}: {e}"));
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Takes down the labs of processes that are dead.
fn sweep() {
    for namespace in namespaces().filter(|name| owner_is_dead(name)) {
        // Another run may be sweeping too, and then one of the two comes too late.
        if let Err(reason) = remove(&namespace) {
            eprintln!("{namespace}, left by a dead run, is still there: {reason}");
        }
    }
}

/// Whether the name is a lab's and the process that made it is gone.
fn owner_is_dead(namespace: &str) -> bool {
    let mut parts = namespace.strip_prefix(PREFIX).unwrap_or_default().split('-');
    let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
    match (number().and_then(|pid| u32::try_from(pid).ok()), number()) {
        (Some(pid), Some(born)) => start_time(pid) != Some(born),
        _ => false,
    }
}

/// When a process started, in clock ticks since boot; none if there is no such process.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; the start time is the twentieth field after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

pub(crate) fn namespaces() -> impl Iterator<Item = String> {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// Ends the programs inside a namespace of ours, and removes it.
fn remove(namespace: &str) -> Result<(), String> {
    for pid in output(Command::new("ip").args(["netns", "pids", namespace]))?.split_whitespace() {
        let pid = pid.parse().ok().and_then(Pid::from_raw).ok_or_else(|| format!("not a pid: {pid}"))?;
        // One that has just ended by itself is as good.
        kill_process(pid, Signal::KILL)
            .or_else(|e| if e == rustix::io::Errno::SRCH { Ok(()) } else { Err(e) })
            .map_err(|e| format!("cannot end {pid:?}: {e}"))?;
    }
    ip(&["netns", "del", namespace])
}

fn ip(args: &[&str]) -> Result<(), String> {
    succeed(Command::new("ip").args(args), "")
}

fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim()))
    }
}

fn succeed(command: &mut Command, input: &str) -> Result<(), String> {
    let shown = format!("{command:?}");
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = pipes.spawn().map_err(|e| format!("{shown}: {e}"))?;
    let fed = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let done = child.wait_with_output().map_err(|e| format!("{shown}: {e}"))?;
    if !done.status.success() {
        return Err(format!("{shown}: {}", String::from_utf8_lossy(&done.stderr).trim()));
    }
    fed.map_err(|e| format!("{shown}: its input was not read: {e}"))
}
