//! Each event by its name, made to happen and followed, with the members that are documented for it; and that the log
//! has it too. The events are those of the documentation, which are those that the program has.
#![cfg(target_os = "linux")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wopr_p2p_smol::net::{DialEvent, Hyperswarm, HyperswarmConfig, Network as _};

use support::conversation::{ANSWERING, claim, invite};
use support::home::Home;
use support::node::{Background, Daemon, Dht};
use support::program::{Outcome, Place, Running, run};

const LIMIT: Duration = Duration::from_secs(60);

/// The events of the seed.
const SEED: [&str; 6] = [
    "p2p.peer.connected",
    "p2p.peer.rejected",
    "p2p.message.rejected",
    "p2p.grant.created",
    "p2p.grant.revoked",
    "p2p.key.rotated",
];

/// These need a full disk. `damage.rs` has one, and names the first; the second has its test beside the log itself
/// (`what_cannot_be_written_is_shown_and_its_count_is_written_later`), where it is certain that a line is missing.
const OF_A_FULL_DISK: [&str; 2] = ["p2p.store.failed", "p2p.events.missed"];

/// The documented events, with the members that each always has beside `seq`, `ts`, `iso` and `event`.
fn documented() -> BTreeMap<String, Vec<String>> {
    let rows = include_str!("../../docs/json.md").lines().filter(|line| line.starts_with("| `p2p."));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_matches(['|', ' ', '`']);
        // The last cell has the members; what stands after a colon explains one.
        let members = cells.nth(1).unwrap().split([',', ';']);
        let first = members.filter_map(|member| member.trim().strip_prefix('`')?.split('`').next());
        (name.to_owned(), first.map(str::to_owned).collect())
    })
    .collect()
}

/// The names of events in the sources.
fn defined() -> BTreeSet<String> {
    let sources = [include_str!("../../core/src/event.rs"), include_str!("../../driver-smol/src/event_log/line.rs")];
    let strings = sources.into_iter().flat_map(|source| source.split('"'));
    strings.filter(|text| text.starts_with("p2p.")).map(str::to_owned).collect()
}

#[test]
fn the_documented_events_and_reasons_are_those_that_there_are() {
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(documented, defined());
    let seed = include_str!("data/seed.md");
    for event in SEED {
        assert!(documented.contains(event) && seed.contains(&format!("| `{event}` |")));
    }
    assert_eq!(seed.lines().filter(|line| line.starts_with("| `p2p.")).count(), SEED.len());

    let text = include_str!("../../core/src/event.rs");
    let reasons = text.split("pub const fn as_str(self)").nth(1).unwrap().split('"').skip(1).step_by(2);
    let doc = include_str!("../../docs/json.md").replace('\n', " ");
    for reason in reasons {
        assert!(doc.contains(&format!("`{reason}`")), "the reason {reason:?} is not documented");
    }
}

/// Alice's daemon, and what is heard of it.
struct Alice {
    home: Home,
    follower: Option<Running>,
    heard: BTreeMap<String, Value>,
}

impl Alice {
    fn wopr(&self, args: &[&str]) -> Outcome {
        let mut command = self.home.command();
        command.args(args);
        run(command, "", LIMIT)
    }

    /// Follows the daemon's events from now on.
    fn follow(&mut self, probe: &str) {
        let mut command = self.home.command();
        command.args(["p2p", "events", "--follow", "--json"]);
        self.follower = Some(Running::start("events", command));
        // It says nothing before something happens: grant until it has heard.
        let began = Instant::now();
        while !self.hear(Duration::from_millis(200)) {
            assert!(began.elapsed() < LIMIT, "nothing is heard");
            self.home.p2p(&["grant", probe, "first"]).ok();
        }
    }

    fn hear(&mut self, limit: Duration) -> bool {
        let Some(line) = self.follower.as_ref().and_then(|follower| follower.line_within(limit)) else { return false };
        let event: Value = serde_json::from_str(&line).unwrap();
        self.heard.entry(event["event"].as_str().unwrap().to_owned()).or_insert(event);
        true
    }

    #[track_caller]
    fn listen(&mut self, until: &str) {
        let began = Instant::now();
        while !self.heard.contains_key(until) {
            self.hear(Duration::from_millis(100));
            assert!(began.elapsed() < LIMIT, "not heard: {until}; heard: {:?}", self.heard);
        }
        eprintln!("heard {until} ({} ms)", began.elapsed().as_millis());
    }
}

#[test]
fn every_event_is_told_by_its_name_and_kept_in_the_log() {
    let dht = Dht::on_loopback();
    let home = |name| Home::new(name, &Place::here(), &[dht.address]);
    let (bob, carol, dave) = (home("bob"), home("carol"), home("dave"));
    let mut alice = Alice { home: home("alice"), follower: None, heard: BTreeMap::new() };
    let answers = json!({ "command": ["/bin/sh", "-c", ANSWERING] });
    let gateway =
        |approval| json!({ "enabled": true, "session": "public", "capabilities": ["message"], "approval": approval });
    configure(
        &alice.home,
        json!({ "sessions": { "main": answers }, "gateway": gateway(true), "outbox": { "firstRetry": "1s", "lastRetry": "1s" } }),
    );
    configure(&dave, json!({ "gateway": gateway(false), "autoAccept": true }));
    let _cleanup = Background::of(&alice.home);
    alice.wopr(&["daemon", "start"]).ok();
    let bobs = Daemon::start(&bob);
    let _daves = Daemon::start(&dave);

    alice.follow(&bob.public_key());
    alice.listen("p2p.grant.created");
    meet_a_peer(&mut alice, &bob);
    queue_a_message(&mut alice, &carol);
    meet_a_stranger(&mut alice, &dave);
    rotate_keys(&mut alice, &bob, &home("thief"));
    alice.home.p2p(&["revoke", &bob.public_key()]).ok();
    alice.listen("p2p.grant.revoked");
    talk_nonsense(&alice.home, &dht);
    alice.listen("p2p.peer.rejected");
    drop(bobs);
    leave_a_peer_behind(&mut alice, &home("erin"));

    let log = alice.wopr(&["logs", "--service", "p2p"]).ok().stdout;
    for (name, members) in documented() {
        if OF_A_FULL_DISK.contains(&name.as_str()) {
            continue;
        }
        let event = alice.heard[&name].as_object().unwrap();
        for member in ["seq", "ts", "iso"].into_iter().chain(members.iter().map(String::as_str)) {
            assert!(event.get(member).is_some_and(|value| !value.is_null()), "{name} has no {member}: {event:?}");
        }
        assert!(log.contains(&name), "{name} is not in the log:\n{log}");
    }
    assert_eq!(alice.heard["p2p.message.rejected"]["reason"], "unauthorized");
    assert_eq!(alice.heard["p2p.key.rotated"]["rotationReason"], "upgrade");
}

fn configure(home: &Home, p2p: Value) {
    let config = json!({ "plugins": { "data": { "p2p": p2p } } });
    fs::write(home.folder().join("config.json"), config.to_string()).unwrap();
}

fn meet_a_peer(alice: &mut Alice, bob: &Home) {
    let key = alice.home.public_key();
    claim(bob, &invite(&alice.home, bob, "main", &[]));
    alice.listen("p2p.peer.connected");
    bob.p2p(&["log", &key, "--session", "main", "--message", "hello"]).ok();
    alice.listen("p2p.message.delivered");
    bob.p2p(&["inject", &key, "--session", "main", "--message", "hello?"]).ok();
    alice.listen("p2p.question.answered");
    bob.p2p(&["log", &key, "--session", "closed", "--message", "hello?"]).refused(7, &[]);
    alice.listen("p2p.message.rejected");
}

/// Carol is away at first.
fn queue_a_message(alice: &mut Alice, carol: &Home) {
    let key = carol.public_key();
    carol.p2p(&["grant", &alice.home.public_key(), "main"]).ok();
    let log = ["log", &key, "--session", "main", "--timeout", "1s", "--message", "when you are back"];
    alice.home.p2p(&log).ok();
    alice.listen("p2p.outbox.queued");
    alice.home.p2p(&[&log[..], &["--expire", "1s"]].concat()).ok();
    alice.listen("p2p.outbox.failed");
    let _carols = Daemon::start(carol);
    alice.listen("p2p.outbox.delivered");
}

fn meet_a_stranger(alice: &mut Alice, dave: &Home) {
    for home in [&alice.home, dave] {
        home.p2p(&["topic", "join", "events"]).ok();
    }
    alice.listen("p2p.peer.discovered");
    let (key, daves) = (alice.home.public_key(), dave.public_key());
    alice.home.p2p(&["connect", &daves]).ok();
    alice.listen("p2p.connect.answered");
    dave.p2p(&["connect", &key]).ok();
    alice.listen("p2p.connect.requested");
    let request = alice.heard["p2p.connect.requested"]["request"].as_str().unwrap().to_owned();
    alice.home.p2p(&["approve", &request]).ok();
    dave.p2p(&["log", &key, "--session", "public", "--message", "a note"]).refused(2, &["approve"]);
    alice.listen("p2p.message.held");
}

/// Bob's new key, somebody who has stolen the old one, and a new key of Alice's.
fn rotate_keys(alice: &mut Alice, bob: &Home, thief: &Home) {
    fs::create_dir_all(thief.folder().join("p2p")).unwrap();
    for name in ["identity.json", "peers.json"] {
        let [from, to] = [bob, thief].map(|home| home.folder().join("p2p").join(name));
        fs::copy(from, to).unwrap();
    }
    bob.p2p(&["rotate", "--reason", "upgrade", "--notify-all"]).ok();
    alice.listen("p2p.key.rotated");
    thief.p2p(&["rotate", "--reason", "upgrade", "--notify-all", "--timeout", "5s"]).ok();
    alice.listen("p2p.key.conflict");
    alice.home.p2p(&["rotate", "--reason", "scheduled", "--notify-all"]).ok();
    alice.listen("p2p.identity.rotated");
    alice.listen("p2p.identity.told");
}

/// Without any grace, two rotations are soon more than a peer can follow that is away. A running daemon looks once a
/// minute which keys are over, and one that starts at once: so this is heard from the log alone.
fn leave_a_peer_behind(alice: &mut Alice, erin: &Home) {
    alice.home.p2p(&["grant", &erin.public_key(), "main"]).ok();
    alice.wopr(&["config", "set", "keyRotationGraceHours", "0"]).ok();
    alice.wopr(&["daemon", "restart"]).ok();
    for _ in 0..2 {
        alice.home.p2p(&["rotate", "--reason", "scheduled"]).ok();
    }
    alice.wopr(&["daemon", "restart"]).ok();
    let (began, erin) = (Instant::now(), erin.public_key());
    // Those that are there may have missed the first of two so fast ones, too.
    let is_erins = |event: &Value| event["event"] == "p2p.identity.missed" && event["peer"]["publicKey"] == *erin;
    let missed = loop {
        let log = alice.wopr(&["p2p", "events", "--json"]).ok().stdout;
        let mut events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        if let Some(missed) = events.find(is_erins) {
            break missed;
        }
        assert!(began.elapsed() < LIMIT, "Erin is not reported: {log}");
    };
    alice.heard.insert("p2p.identity.missed".to_owned(), missed);
}

/// Opens a stream to a node as a stranger, and says what is no message.
fn talk_nonsense(home: &Home, dht: &Dht) {
    let identity = home.p2p(&["identity", "--json"]).ok().json();
    let hex = identity["topic"].as_str().unwrap();
    let topic: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    let config = HyperswarmConfig {
        bootstrap: vec![dht.address.to_string()],
        host: [127, 0, 0, 1].into(),
        lan: false,
        ..HyperswarmConfig::default()
    };
    smol::block_on(async {
        let network = Hyperswarm::open(config).await.unwrap();
        let mut dial = network.dial(topic.try_into().unwrap());
        let Some(DialEvent::Opened(stream)) = dial.next().await else { panic!("the node is not found") };
        let (mut reader, writer) = stream.split();
        writer.send(b"{\"type\":\"nonsense\"}\n".to_vec()).await.unwrap();
        // It ends the stream.
        while reader.recv().await.is_some() {}
        network.close().await;
    });
}
