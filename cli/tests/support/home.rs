//! A throw-away `WOPR_HOME` and the `wopr` program run with it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::program::{Outcome, Place, Running, run};

/// How long one command of the program may take before the test fails. Far above what any of them needs.
const COMMAND_LIMIT: Duration = Duration::from_secs(90);

/// One node's folder; removed when dropped.
pub(crate) struct Home {
    name: String,
    folder: PathBuf,
    place: Place,
    bootstrap: Vec<SocketAddr>,
}

impl Home {
    /// An empty home for a node that runs at `place` and meets others through the DHT at `bootstrap`.
    pub(crate) fn new(name: &str, place: &Place, bootstrap: &[SocketAddr]) -> Home {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("wopr-test-{}-{number}-{name}", process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
        Home { name: name.to_owned(), folder, place: place.clone(), bootstrap: bootstrap.to_vec() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same home, asking another DHT from now on.
    pub(crate) fn set_bootstrap(&mut self, bootstrap: &[SocketAddr]) {
        self.bootstrap = bootstrap.to_vec();
    }

    /// `wopr` with this home, and with nothing of the caller's own settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = wopr(&self.place);
        let bootstrap = self.bootstrap.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
        command.env("HOME", &self.folder).env("WOPR_HOME", &self.folder).env("WOPR_P2P_BOOTSTRAP", bootstrap);
        command
    }

    /// A line for a shell that finds `wopr` by its name, with this home.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_wopr"));
        let path = std::env::var("PATH").unwrap_or_default();
        let own = self.command();
        let mut command = self.place.command("/bin/sh");
        // `exec`: the process that is started is the program's.
        command.args(["-c", &format!("exec {line}")]);
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let folder = program.parent().unwrap_or(Path::new("."));
        command.env("PATH", format!("{}:{path}", folder.display()));
        command
    }

    /// Runs `wopr p2p …` to its end.
    pub(crate) fn p2p(&self, args: &[&str]) -> Outcome {
        self.p2p_with_input(args, "")
    }

    pub(crate) fn p2p_with_input(&self, args: &[&str], input: &str) -> Outcome {
        let mut command = self.command();
        command.arg("p2p").args(args);
        run(command, input, COMMAND_LIMIT)
    }

    /// Starts `wopr p2p …` and leaves it running.
    pub(crate) fn p2p_started(&self, args: &[&str]) -> Running {
        let mut command = self.command();
        command.arg("p2p").args(args);
        Running::start(&format!("{} of {}", args.join(" "), self.name), command)
    }

    /// This node's public key; the first call makes its identity.
    pub(crate) fn public_key(&self) -> String {
        let exported = self.p2p(&["identity", "--export"]).ok();
        let key = exported.stdout.trim_end().to_owned();
        assert!(key.starts_with("MCowBQYDK2VwAy") && key.len() == 60, "not a public key alone: {key:?}");
        key
    }

    /// Lets a shell script answer questions to `session`: the question on its stdin, the answer on its stdout.
    pub(crate) fn answer_with(&self, session: &str, script: &str) {
        let sessions = json!({ session: { "command": ["/bin/sh", "-c", script], "timeout": "60s" } });
        let config = json!({ "plugins": { "data": { "p2p": { "sessions": sessions } } } });
        let path = self.folder.join("config.json");
        fs::write(&path, config.to_string()).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }

    /// The messages in the file of `session`, oldest first; none if there is no file.
    pub(crate) fn session(&self, session: &str) -> Vec<Value> {
        let path = self.folder.join("sessions").join(format!("{session}.conversation.jsonl"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(e) => panic!("cannot read {}: {e}", path.display()),
        };
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}: {line}", path.display()));
        text.lines().map(parse).collect()
    }

    /// How often `content` stands in the file of `session`.
    pub(crate) fn count_in_session(&self, session: &str, content: &str) -> usize {
        self.session(session).iter().filter(|message| message["content"] == content).count()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} could not be removed: {e}", self.folder.display());
        }
    }
}

/// The program under test, at `place`, with none of the caller's `WOPR_…` settings.
pub(crate) fn wopr(place: &Place) -> Command {
    let mut command = place.command(env!("CARGO_BIN_EXE_wopr"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WOPR_") {
            command.env_remove(name);
        }
    }
    command
}
