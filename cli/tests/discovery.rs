//! Two daemons that know nothing of each other but a topic's name, on a private DHT on loopback: they meet, prove their
//! keys, ask, are let in by their owners, and reach the gateway only.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::cases::run_all;
use support::conversation::ANSWERING;
use support::home::Home;
use support::node::{Daemon, Dht};
use support::program::Place;

// The exit codes of the program.
const REJECTED: i32 = 2;
const INVALID: i32 = 3;
const PEER_OFFLINE: i32 = 6;
const UNAUTHORIZED: i32 = 7;

/// How long two nodes may take to meet on a topic.
const MEETING: Duration = Duration::from_secs(60);

/// Alice has a gateway where her owner approves every message; Bob has none. Fields in the order in which they are to
/// be dropped.
struct Network {
    _daemons: [Daemon; 2],
    alice: Home,
    bob: Home,
    alices_key: String,
    bobs_key: String,
    dht: Dht,
}

impl Network {
    fn start() -> Network {
        let dht = Dht::on_loopback();
        let [alice, bob] = ["alice", "bob"].map(|name| Home::new(name, &Place::here(), &[dht.address]));
        let script = json!({ "command": ["/bin/sh", "-c", ANSWERING], "timeout": "60s" });
        let gateway = json!({ "enabled": true, "session": "public", "capabilities": ["inject.limited", "message"], "approval": true });
        let config = json!({ "plugins": { "data": { "p2p": {
            "gateway": gateway, "sessions": { "public": script, "main": script },
        } } } });
        fs::write(alice.folder().join("config.json"), config.to_string()).expect("the home can be written");
        let daemons = [Daemon::start(&alice), Daemon::start(&bob)];
        let [alices_key, bobs_key] = [&daemons[0], &daemons[1]].map(|daemon| daemon.public_key.clone());
        Network { _daemons: daemons, alice, bob, alices_key, bobs_key, dht }
    }

    /// Bob asks and Alice's owner decides what came of it.
    fn decide(&self, decision: &str, kind: &str) -> Value {
        let id = wait_for("something waits for Alice", || {
            let waiting = shown(&self.alice, &["requests"]);
            let requests = waiting["requests"].as_array().expect("a list");
            requests
                .iter()
                .find(|request| request["kind"] == kind)
                .and_then(|request| request["id"].as_str().map(str::to_owned))
        });
        shown(&self.alice, &[decision, &id])
    }
}

/// What a command prints with `--json`.
fn shown(home: &Home, args: &[&str]) -> Value {
    let said = home.p2p(&[args, &["--json"]].concat()).ok().stdout;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < MEETING, "{what}: not within {MEETING:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The peer with this key, as soon as `home` has met it and it has proved its key.
fn met(home: &Home, topic: &str, key: &str) -> Value {
    wait_for("the nodes meet", || {
        let found = shown(home, &["discover", "--topic", topic, "--wait", "1s"]);
        let discovered = found["discovered"].as_array().expect("a list");
        discovered.iter().find(|peer| peer["publicKey"] == key && peer["proven"] == true).cloned()
    })
}

#[test]
fn two_daemons_meet_on_a_topic_and_one_lets_the_other_into_its_gateway() {
    let mut network = Network::start();
    run_all(
        &mut network,
        &[
            ("they meet and prove their keys", they_meet_and_prove_their_keys),
            ("other topics stay unknown", other_topics_stay_unknown),
            ("nobody is granted anything by meeting", nobody_is_granted_anything_by_meeting),
            ("a request waits", a_request_waits),
            ("an approved peer is told", an_approved_peer_is_told),
            ("a log waits for approval", a_log_waits_for_approval),
            ("a question waits for approval", a_question_waits_for_approval),
            ("a denied question is refused", a_denied_question_is_refused),
            ("other sessions stay closed", other_sessions_stay_closed),
            ("a newcomer without a daemon is denied", a_newcomer_without_a_daemon_is_denied),
            ("nobody there is said as such", nobody_there_is_said_as_such),
            ("leaving ends it", leaving_ends_it),
        ],
    );
}

fn they_meet_and_prove_their_keys(net: &mut Network) {
    net.alice.p2p(&["profile", "set", r#"{"name":"alice \u001b[31m"}"#]).ok();
    net.alice.p2p(&["topic", "join", "myproject"]).ok();
    net.alice.p2p(&["topic", "join", "secret"]).ok();
    net.bob.p2p(&["topic", "join", "myproject"]).ok();
    let alice = met(&net.bob, "myproject", &net.alices_key);
    assert_eq!(alice["profile"]["name"], "alice \u{1b}[31m");
    met(&net.alice, "myproject", &net.bobs_key);
    let text = net.bob.p2p(&["discover"]).ok().stdout;
    assert!(text.contains("proven") && !text.contains('\u{1b}'), "{text:?}");
    assert_eq!(shown(&net.alice, &["topics"])["topics"].as_array().map(Vec::len), Some(2));
}

fn other_topics_stay_unknown(net: &mut Network) {
    let found = net.bob.p2p(&["discover", "--json"]).ok().stdout;
    assert!(!found.contains("secret"), "{found}");
}

fn nobody_is_granted_anything_by_meeting(net: &mut Network) {
    for home in [&net.alice, &net.bob] {
        assert_eq!(shown(home, &["grants"])["grants"], json!([]));
        assert_eq!(shown(home, &["peers"])["peers"], json!([]));
    }
    // Alice's key is known to Bob only if he gives it: he has no grant and no name for it.
    let refused = net.bob.p2p(&["log", &net.alices_key, "--session", "public", "--message", "hello"]);
    refused.refused(UNAUTHORIZED, &["grant|invite"]);
}

fn a_request_waits(net: &mut Network) {
    let short = shown(&net.alice, &["identity"])["shortId"].as_str().expect("an id").to_owned();
    for _ in 0..2 {
        assert_eq!(shown(&net.bob, &["connect", &short])["status"], "pending");
    }
    assert_eq!(shown(&net.bob, &["requests"])["asked"][0]["peer"]["publicKey"], net.alices_key.as_str());
    let waiting = shown(&net.alice, &["requests"]);
    assert_eq!(waiting["requests"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&waiting["requests"][0]["kind"], &waiting["requests"][0]["proven"]),
        (&json!("connection"), &json!(true))
    );
    assert_eq!(shown(&net.alice, &["grants"])["grants"], json!([]));
}

fn an_approved_peer_is_told(net: &mut Network) {
    let approved = net.decide("approve", "connection");
    let grant = &approved["grant"];
    assert_eq!((&grant["trust"], &grant["sessions"]), (&json!("untrusted"), &json!(["public"])));
    let opened = wait_for("Bob hears of it", || {
        let peers = shown(&net.bob, &["peers"]);
        peers["peers"].as_array()?.iter().find(|peer| peer["publicKey"] == net.alices_key.as_str()).cloned()
    });
    assert_eq!(opened["opened"]["sessions"], json!(["public"]));
    assert_eq!(shown(&net.bob, &["grants"])["grants"], json!([]));
    net.bob.p2p(&["name", &net.alices_key, "alice"]).ok();
    assert_eq!(shown(&net.bob, &["connect", "alice"])["status"], "accepted");
}

fn a_log_waits_for_approval(net: &mut Network) {
    let note = ["log", "alice", "--session", "public", "--message", "a note"];
    net.bob.p2p(&note).refused(REJECTED, &["approve", "do not send it again"]);
    assert_eq!(net.alice.count_in_session("public", "a note"), 0);
    let approved = net.decide("approve", "log");
    assert_eq!(approved["request"]["text"], "a note");
    assert_eq!(net.alice.count_in_session("public", "a note"), 1);
    net.bob.p2p(&["log", "alice", "--session", "public", "--message", "another"]).refused(REJECTED, &["approve"]);
    net.decide("deny", "log");
    assert_eq!(net.alice.count_in_session("public", "another"), 0);
    assert_eq!(shown(&net.alice, &["requests"])["requests"], json!([]));
}

fn a_question_waits_for_approval(net: &mut Network) {
    let asked = thread::scope(|scope| {
        let asked =
            scope.spawn(|| net.bob.p2p(&["inject", "alice", "--session", "public", "--message", "who are you?"]));
        net.decide("approve", "inject");
        asked.join().expect("the command ends")
    });
    assert_eq!(asked.ok().stdout.trim_end(), "answer to: who are you?");
}

fn a_denied_question_is_refused(net: &mut Network) {
    let asked = thread::scope(|scope| {
        let asked = scope.spawn(|| net.bob.p2p(&["inject", "alice", "--session", "public", "--message", "and now?"]));
        net.decide("deny", "inject");
        asked.join().expect("the command ends")
    });
    asked.refused(REJECTED, &["denied by the owner"]);
    assert_eq!(net.alice.count_in_session("public", "and now?"), 0);
}

fn other_sessions_stay_closed(net: &mut Network) {
    net.alice.p2p(&["grant", &net.bobs_key, "*", "--trust", "untrusted"]).ok();
    let asked = net.bob.p2p(&["inject", "alice", "--session", "main", "--message", "let me in"]);
    asked.refused(UNAUTHORIZED, &["main"]);
    assert_eq!(net.alice.count_in_session("main", "let me in"), 0);
}

fn a_newcomer_without_a_daemon_is_denied(net: &mut Network) {
    let carol = Home::new("carol", &Place::here(), &[net.dht.address]);
    carol.p2p(&["topic", "join", "myproject"]).ok();
    assert_eq!(shown(&carol, &["connect", &net.alices_key])["status"], "pending");
    net.decide("deny", "connection");
    carol.p2p(&["connect", &net.alices_key]).refused(REJECTED, &["denied by the owner"]);
    assert_eq!(shown(&carol, &["requests"])["asked"], json!([]));
}

fn nobody_there_is_said_as_such(net: &mut Network) {
    let nobody = Home::new("nobody", &Place::here(), &[net.dht.address]).public_key();
    net.bob.p2p(&["connect", &nobody, "--timeout", "1s"]).refused(PEER_OFFLINE, &["reached|topic"]);
    net.bob.p2p(&["connect", "0123abcd", "--timeout", "1s"]).refused(INVALID, &["0123abcd"]);
}

fn leaving_ends_it(net: &mut Network) {
    net.alice.p2p(&["topic", "leave", "myproject"]).ok();
    wait_for("Bob's stream to Alice ends", || {
        let found = shown(&net.bob, &["discover", "--wait", "1ms"]);
        let here = found["discovered"].as_array()?.iter().any(|peer| peer["connected"] == true);
        (!here).then_some(())
    });
}
