//! Peers in the lab, ours and the reference's, each a process of its own, and what they are measured by.
//!
//! Our own peers are this very program: a program that uses this calls [`serve`] first.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::lab::Lab;
use super::{swarm_peer, swarm_speed};

/// What a program may take to say something: a way through a random NAT is looked for during 45 seconds.
const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const DHT_PORT: u16 = 49737;
/// The first node of the DHT, in the lab's usual plan.
pub(crate) const BOOT: &str = "10.98.0.1:49737";
/// What our own peer is to do.
const ROLE: &str = "WOPR_NET_PEER";

/// Does what it was started for, if this process was started as a peer.
pub(crate) fn serve() {
    if let Ok(arguments) = std::env::var(ROLE) {
        let arguments: Vec<_> = arguments.split(' ').map(str::to_owned).collect();
        match arguments.split_first() {
            Some((first, rest)) if first == "speed" => swarm_speed::run(rest).unwrap(),
            _ => swarm_peer::run(&arguments).unwrap(),
        }
        std::process::exit(0);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Npm,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Ours { "ours" } else { "npm" })
    }
}

/// A program in the lab; ended when dropped.
pub(crate) struct Program {
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
    pub(crate) fn says(&self, word: &str) -> Result<String, String> {
        self.says_within(LIMIT, word)
    }

    /// The same, with a limit for each line.
    pub(crate) fn says_within(&self, limit: Duration, word: &str) -> Result<String, String> {
        loop {
            let line = self.lines.recv_timeout(limit).map_err(|e| format!("{}: {e}", self.shown))?;
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

pub(crate) fn ours(lab: &Lab, host: &str, arguments: &str) -> Program {
    let this = std::env::current_exe().unwrap();
    let mut command = lab.host(host).place().command(this);
    // What a test program needs to run nothing but its peer; another program does not look at it.
    command.args(["--exact", "--nocapture", "peer_process"]).env(ROLE, arguments);
    Program::start(command)
}

pub(crate) fn npm(lab: &Lab, host: &str, script: &str, arguments: &str) -> Program {
    let mut command = lab.host(host).place().command("node");
    command.arg(reference().join(script)).args(arguments.split(' '));
    Program::start(command)
}

pub(crate) fn reference() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/npm")
}

/// Installs the reference as the lock file says, once for all tests; `false` if there is no npm and it may be skipped.
pub(crate) fn install_reference() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(install)
}

fn install() -> bool {
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
pub(crate) fn dht(lab: &Lab, kind: Kind, nodes: usize) -> Vec<Program> {
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

/// A peer that listens on a topic or dials it, and may meet others at the relay with this key.
pub(crate) fn peer(lab: &Lab, kind: Kind, host: &str, role: &str, topic: &str, relay: Option<&str>) -> Program {
    let relay = relay.map(|key| format!("relay={key} ")).unwrap_or_default();
    let arguments = format!("{role} {topic} 0.0.0.0 {relay}{BOOT}");
    match kind {
        Kind::Ours => ours(lab, host, &arguments),
        Kind::Npm => npm(lab, host, "peer.js", &arguments),
    }
}

/// The name of a topic. Each use has one of its own: a listener that was ended stays announced for a while.
pub(crate) fn topic(number: u32) -> String {
    format!("{:064x}", 0x5eed_0000 + number)
}

/// Milliseconds from the dial to the first byte.
pub(crate) fn first_byte(lab: &Lab, server: (Kind, &str), client: (Kind, &str), number: u32) -> Result<f64, String> {
    let listener = peer(lab, server.0, server.1, "listen", &topic(number), None);
    listener.says("ready")?;
    dialled(&peer(lab, client.0, client.1, "dial", &topic(number), None), LIMIT)
}

/// How long a dialler took, in milliseconds, if it got through within this time.
pub(crate) fn dialled(dialler: &Program, limit: Duration) -> Result<f64, String> {
    let said = dialler.says_within(limit, "{\"opened\"")?;
    number_in(&said, "firstByte")
}

/// A number out of a line of JSON.
pub(crate) fn number_in(line: &str, name: &str) -> Result<f64, String> {
    let rest = line.split(&format!("\"{name}\":")).nth(1);
    let digits = rest.and_then(|rest| rest.split([',', '}']).next());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("not understood: {line}"))
}

/// Who is where, server and client.
pub(crate) const PLACEMENTS: [(&str, &str, &str); 5] = [
    ("public to public", "h1", "h2"),
    ("public to NAT", "h1", "b"),
    ("NAT to public", "a", "h2"),
    ("NAT to other NAT", "a", "b"),
    ("same NAT", "a", "a2"),
];
