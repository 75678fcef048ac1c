//! Daemons on a private DHT on loopback that are killed and come back: messages that wait for them, keys that change
//! meanwhile, and questions that would go round in circles.
#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;

use support::conversation::{claim, invite};
use support::home::Home;
use support::node::{Daemon, Dht};
use support::program::{Outcome, Place};

const REJECTED: i32 = 2;
const UNAUTHORIZED: i32 = 7;

/// How long something may take that comes by itself.
const SOON: Duration = Duration::from_secs(90);

fn home(name: &str, dht: &Dht) -> Home {
    Home::new(name, &Place::here(), &[dht.address])
}

fn log(from: &Home, to: &str, message: &str) -> Outcome {
    from.p2p(&["--json", "log", to, "--session", "main", "--message", message])
}

/// Alice's daemon has let each of the others in; it is running.
fn let_in(alice: &Home, guests: &[&Home]) -> Daemon {
    let tokens: Vec<String> = guests.iter().map(|guest| invite(alice, guest, "main", &[])).collect();
    let daemon = Daemon::start(alice);
    for (guest, token) in guests.iter().zip(&tokens) {
        claim(guest, token);
    }
    daemon
}

fn waiting(home: &Home) -> Vec<Value> {
    home.p2p(&["--json", "outbox", "list"]).ok().json()["outbox"].as_array().expect("a list").clone()
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn messages_to_a_peer_that_is_away_survive_kill_9_of_both_and_arrive_once_and_in_order() {
    let dht = Dht::on_loopback();
    let (alice, bob) = (home("alice", &dht), home("bob", &dht));
    let (key, bobs_key) = (alice.public_key(), bob.public_key());
    let daemon = let_in(&alice, &[&bob]);
    // Dropping a daemon kills it with SIGKILL.
    drop(daemon);
    let bobs = Daemon::start(&bob);
    let ids: Vec<Value> = ["one", "two", "three", "four"]
        .into_iter()
        .map(|text| {
            let logged = log(&bob, &key, text).ok().json();
            assert_eq!(logged["logged"], false, "{logged}");
            logged["queued"]["id"].clone()
        })
        .collect();
    let cancelled = ids[2].as_str().expect("an id");
    bob.p2p(&["outbox", "cancel", cancelled]).ok();
    drop(bobs);
    // Without a daemon the list is read from the disk.
    let left: Vec<Value> = waiting(&bob).iter().map(|waiting| waiting["id"].clone()).collect();
    assert_eq!(left, [&ids[0], &ids[1], &ids[3]].map(Clone::clone));
    let bobs = Daemon::start(&bob);
    let alices = Daemon::start(&alice);
    // Alice has nothing to say here, but it shows that she is back: Bob does not wait for his next attempt.
    log(&alice, &bobs_key, "are you there?").refused(UNAUTHORIZED, &[]);
    until("Bob's messages are delivered", || waiting(&bob).is_empty());
    drop((bobs, alices));
    let texts: Vec<Value> = alice.session("main").iter().map(|line| line["content"].clone()).collect();
    assert_eq!(texts, ["one", "two", "four"]);
    let events = std::fs::read_to_string(bob.folder().join("p2p/events.jsonl")).expect("the events' file");
    assert_eq!(events.matches("\"p2p.outbox.delivered\"").count(), 3, "{events}");
    assert!(!events.contains("four"), "no text in the events");
}

#[test]
fn a_message_that_is_not_to_wait_fails_as_before() {
    let dht = Dht::on_loopback();
    let (alice, bob) = (home("alice", &dht), home("bob", &dht));
    let key = alice.public_key();
    drop(let_in(&alice, &[&bob]));
    let _bobs = Daemon::start(&bob);
    let refused = bob.p2p(&["log", &key, "--session", "main", "--message", "now or never", "--no-queue"]);
    refused.refused(6, &["daemon run|running|online"]);
    assert!(waiting(&bob).is_empty());
}

#[test]
fn flaw_34_a_handler_cannot_ask_back_whoever_waits_for_its_answer() {
    let dht = Dht::on_loopback();
    let (alice, bob) = (home("alice", &dht), home("bob", &dht));
    let (key, bobs_key) = (alice.public_key(), bob.public_key());
    let program = env!("CARGO_BIN_EXE_wopr");
    alice.answer_with(
        "main",
        &format!("'{program}' p2p inject '{bobs_key}' --session main --message back 2>&1; echo \"exit $?\""),
    );
    bob.answer_with("main", "echo this must never be said");
    let _alices = let_in(&alice, &[&bob]);
    // Alice may ask Bob, but not while he waits.
    bob.p2p(&["grant", &key, "main"]).ok();
    let _bobs = Daemon::start(&bob);
    let asked = bob.p2p(&["inject", &key, "--session", "main", "--message", "ask me back"]).ok();
    assert!(asked.stdout.contains(&format!("exit {REJECTED}")), "{}", asked.stdout);
    assert!(asked.stdout.contains("waits for the answer"), "{}", asked.stdout);
    assert!(bob.session("main").is_empty());
    let free = alice.p2p(&["inject", &bobs_key, "--session", "main", "--message", "and now?"]).ok();
    assert_eq!(free.stdout.trim_end(), "this must never be said");
}

#[test]
fn flaw_12_flaw_13_new_keys_work_at_once_and_everybody_hears_of_them() {
    let dht = Dht::on_loopback();
    let (alice, bob, carol) = (home("alice", &dht), home("bob", &dht), home("carol", &dht));
    let old = alice.public_key();
    let _alices = let_in(&alice, &[&bob, &carol]);
    let bobs = Daemon::start(&bob);
    let rotated = alice.p2p(&["--json", "rotate", "--reason", "compromise", "--notify-all"]).ok().json();
    let new = rotated["publicKey"].as_str().expect("a key");
    assert_eq!(rotated["told"].as_array().map(Vec::len), Some(1), "{rotated}");
    assert_eq!(rotated["untold"][0]["publicKey"], carol.public_key(), "{rotated}");
    // Bob knows, and reaches the same daemon under either key.
    let peer = bob.p2p(&["--json", "peers"]).ok().json()["peers"][0].clone();
    assert_eq!((&peer["peerKey"], &peer["publicKey"]), (&new.into(), &new.into()));
    let past = &peer["keyHistory"][0];
    assert_eq!((&past["publicKey"], &past["rotationReason"]), (&old.as_str().into(), &"compromise".into()));
    let hours =
        (past["validUntil"].as_u64().expect("a time") - rotated["graceUntil"].as_u64().expect("a time")) / 3_600_000;
    assert_eq!(hours, 0);
    log(&bob, new, "to the new key").ok();
    log(&bob, &old, "to the old key").ok();
    drop(bobs);
    // Carol was away. Under the old key she hears of the new one, and nothing else is done.
    let untold = || {
        let status = alice.p2p(&["--json", "status"]).ok().json();
        status["formerKeys"][0]["untold"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(untold(), 1);
    let _carols = Daemon::start(&carol);
    let refused = carol.p2p(&["log", &old, "--session", "main", "--message", "to the stolen key", "--no-queue"]);
    refused.refused(REJECTED, &["given up"]);
    until("Carol is told", || untold() == 0);
    log(&carol, &old, "to whoever follows").ok();
    let texts: Vec<Value> = alice.session("main").iter().map(|line| line["content"].clone()).collect();
    assert_eq!(texts, ["to the new key", "to the old key", "to whoever follows"]);
}
