//! What a running program has in use, as the kernel tells it.

use std::collections::HashSet;
use std::fs;

/// A program's use of the machine at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauge {
    /// Memory in RAM, in KiB.
    pub(crate) rss: u64,
    /// Open file descriptors.
    pub(crate) files: u64,
    /// UDP sockets among them.
    pub(crate) udp: u64,
    /// Threads.
    pub(crate) threads: u64,
}

impl Gauge {
    /// Looks at the process with this number, which runs.
    pub(crate) fn of(pid: u32) -> Gauge {
        let status = read(&format!("/proc/{pid}/status"));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            number.unwrap_or_else(|| panic!("no {name} in the status of {pid}"))
        };
        let udp = udp_sockets(pid);
        let links = links(pid);
        Gauge {
            rss: field("VmRSS:"),
            files: links.len() as u64,
            udp: links.iter().filter(|link| udp.contains(link.as_str())).count() as u64,
            threads: field("Threads:"),
        }
    }
}

/// The ports of the UDP sockets of a process.
pub(crate) fn udp_ports(pid: u32) -> Vec<u16> {
    let own: HashSet<String> = links(pid).into_iter().collect();
    let table = read(&format!("/proc/{pid}/net/udp"));
    let port = |line: &str| {
        let local = line.split_whitespace().nth(1)?;
        own.contains(&socket(line)?).then(|| u16::from_str_radix(local.rsplit(':').next()?, 16).ok())?
    };
    table.lines().skip(1).filter_map(port).collect()
}

/// What the file descriptors of a process lead to. One that is closed meanwhile is left out.
fn links(pid: u32) -> Vec<String> {
    let folder = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("cannot read {folder}: {e}"));
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}

/// The UDP sockets of the namespace that a process is in, as links to them read.
fn udp_sockets(pid: u32) -> HashSet<String> {
    let tables = ["udp", "udp6"].map(|name| read(&format!("/proc/{pid}/net/{name}")));
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(socket).collect()
}

/// The socket of a line of the kernel's table.
fn socket(line: &str) -> Option<String> {
    Some(format!("socket:[{}]", line.split_whitespace().nth(9)?))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {path}: {e}"))
}
