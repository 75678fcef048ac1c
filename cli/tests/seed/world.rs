//! The three homes in which the lines are run, and what every step does with them.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::conversation::ANSWERING;
use crate::support::home::Home;
use crate::support::node::{Background, Daemon, Dht};
use crate::support::place::Place;
use crate::support::program::{Outcome, run};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The exit code of the program for what a peer does not allow.
pub(crate) const UNAUTHORIZED: i32 = 7;

/// Fields in the order in which they are to be dropped.
pub(crate) struct World {
    pub(crate) my_daemon: Option<Background>,
    _alice_daemon: Daemon,
    _bob_daemon: Daemon,
    pub(crate) me: Home,
    pub(crate) alice: Home,
    pub(crate) bob: Home,
    pub(crate) alice_key: String,
    pub(crate) bob_key: String,
    /// The token of the step before.
    pub(crate) token: String,
    _dht: Dht,
}

impl World {
    pub(crate) fn new() -> World {
        let dht = Dht::on_loopback();
        let home = |name| Home::new(name, &Place::here(), &[dht.address]);
        let (me, alice, bob) = (home("me"), home("alice"), home("bob"));
        alice.answer_with("main", ANSWERING);
        // Bob has the gateway that the description shows.
        let gateway = json!({ "enabled": true, "session": "public-gateway", "capabilities": ["inject.limited"] });
        let answers = json!({ "public-gateway": { "command": ["/bin/sh", "-c", ANSWERING] } });
        let p2p = json!({ "gateway": gateway, "sessions": answers });
        let config = json!({ "plugins": { "data": { "p2p": p2p } } });
        std::fs::write(bob.folder().join("config.json"), config.to_string()).unwrap();
        let alice_daemon = Daemon::start(&alice);
        let bob_daemon = Daemon::start(&bob);
        let (alice_key, bob_key) = (alice.public_key(), bob.public_key());
        let token = String::new();
        World {
            my_daemon: None,
            _alice_daemon: alice_daemon,
            _bob_daemon: bob_daemon,
            me,
            alice,
            bob,
            alice_key,
            bob_key,
            token,
            _dht: dht,
        }
    }

    /// Runs a line in a shell, as me.
    #[track_caller]
    pub(crate) fn run(&self, line: &str, filled: &[(&str, &str)]) -> Outcome {
        run_at(&self.me, line, filled)
    }

    pub(crate) fn my_grants(&self) -> Vec<Value> {
        list(&self.me, &["grants"], "grants")
    }

    /// Waits until everybody has heard of my new key.
    pub(crate) fn wait_until_all_are_told(&self) {
        wait_for("all are told", || {
            let status = self.me.p2p(&["status", "--json"]).ok().json();
            let former = status["formerKeys"].as_array().unwrap();
            former.iter().all(|key| key["untold"].as_array().unwrap().is_empty()).then_some(())
        })
    }
}

/// Looks until there is something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
    }
}

/// Runs a line in a shell with a home, after its placeholders were filled in.
#[track_caller]
pub(crate) fn run_at(home: &Home, line: &str, filled: &[(&str, &str)]) -> Outcome {
    let line = filled.iter().fold(line.to_owned(), |line, (from, to)| {
        assert!(line.contains(from), "{line} has no {from}");
        line.replace(from, to)
    });
    assert!(!line.contains('<') && !line.contains("..."), "something is left to fill in: {line}");
    run(home.shell(&line), "", LIMIT)
}

pub(crate) fn list(home: &Home, args: &[&str], member: &str) -> Vec<Value> {
    let found = home.p2p(&[args, &["--json"]].concat()).ok().json();
    found[member].as_array().unwrap_or_else(|| panic!("no {member} in {found}")).clone()
}

pub(crate) fn short_id(home: &Home) -> String {
    home.p2p(&["identity", "--json"]).ok().json()["shortId"].as_str().unwrap().to_owned()
}

pub(crate) fn has(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stdout.contains(word), "no {word} in:\n{}", outcome.stdout);
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}
