//! Each event that users know by name, made to happen and followed, with the members that belong to it; and that the
//! log has it too.
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use wopr_p2p_smol::net::{DialEvent, Hyperswarm, HyperswarmConfig, Network as _};

use support::conversation::{claim, invite};
use support::home::Home;
use support::node::{Background, Daemon, Dht};
use support::program::{Place, Running, run};

const LIMIT: Duration = Duration::from_secs(60);

/// The events of the description, each with the members that it has beside `event`, `ts` and `iso`.
const EVENTS: [(&str, &[&str]); 6] = [
    ("p2p.peer.connected", &["peer", "version", "dialledBy"]),
    ("p2p.peer.rejected", &["transport", "reason"]),
    ("p2p.message.rejected", &["peer", "session", "reason"]),
    ("p2p.grant.created", &["peer", "grant", "sessions"]),
    ("p2p.grant.revoked", &["peer", "grant"]),
    ("p2p.key.rotated", &["peer", "oldKey", "rotationReason", "graceUntil"]),
];

#[test]
fn every_event_is_told_by_its_name_and_kept_in_the_log() {
    let dht = Dht::on_loopback();
    let home = |name| Home::new(name, &Place::here(), &[dht.address]);
    let (alice, bob) = (home("alice"), home("bob"));
    let _cleanup = Background::of(&alice);
    let mut command = alice.command();
    command.args(["daemon", "start"]);
    run(command, "", LIMIT).ok();
    let _bob = Daemon::start(&bob);
    let mut follow = alice.command();
    follow.args(["p2p", "events", "--follow", "--json"]);
    let follower = Running::start("events", follow);

    let mut heard = BTreeMap::new();
    let listen = |heard: &mut BTreeMap<String, Value>, until: &str| {
        let began = Instant::now();
        while !heard.contains_key(until) {
            if let Some(line) = follower.line_within(Duration::from_millis(100)) {
                let event: Value = serde_json::from_str(&line).unwrap();
                heard.entry(event["event"].as_str().unwrap().to_owned()).or_insert(event);
            } else if heard.is_empty() {
                // The follower may not have been there yet.
                alice.p2p(&["grant", &bob.public_key(), "first"]).ok();
            }
            assert!(began.elapsed() < LIMIT, "not heard: {until}; heard: {heard:?}");
        }
    };
    listen(&mut heard, "p2p.grant.created");
    claim(&bob, &invite(&alice, &bob, "main", &[]));
    listen(&mut heard, "p2p.peer.connected");
    let key = alice.public_key();
    bob.p2p(&["log", &key, "--session", "closed", "--message", "hello?"]).refused(7, &[]);
    listen(&mut heard, "p2p.message.rejected");
    bob.p2p(&["rotate", "--reason", "upgrade", "--notify-all"]).ok();
    listen(&mut heard, "p2p.key.rotated");
    alice.p2p(&["revoke", &bob.public_key()]).ok();
    listen(&mut heard, "p2p.grant.revoked");
    talk_nonsense(&alice, &dht);
    listen(&mut heard, "p2p.peer.rejected");

    let mut logs = alice.command();
    logs.args(["logs", "--service", "p2p"]);
    let log = run(logs, "", LIMIT).ok().stdout;
    for (name, members) in EVENTS {
        let event = heard[name].as_object().unwrap();
        for member in ["ts", "iso"].iter().chain(members) {
            assert!(event.get(*member).is_some_and(|value| !value.is_null()), "{name} has no {member}: {event:?}");
        }
        assert!(log.contains(name), "{name} is not in the log:\n{log}");
    }
    assert_eq!(heard["p2p.message.rejected"]["reason"], "unauthorized");
    assert_eq!(heard["p2p.key.rotated"]["rotationReason"], "upgrade");
}

/// Opens a stream to a node as a stranger, and says what is no message.
fn talk_nonsense(home: &Home, dht: &Dht) {
    let identity = home.p2p(&["identity", "--json"]).ok().json();
    let hex = identity["topic"].as_str().unwrap();
    let topic: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    let config = HyperswarmConfig { bootstrap: vec![dht.address.to_string()], host: [127, 0, 0, 1].into(), lan: false };
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
