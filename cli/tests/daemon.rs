//! The daemon as a process: started, asked, stopped, killed; by two at once; under systemd; and beside commands.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use support::conversation::{claim, invite};
use support::home::Home;
use support::node::{Background, Daemon, Dht};
use support::program::{Outcome, Place, Running, kill, run};
use support::shape::has_shape;

const LIMIT: Duration = Duration::from_secs(60);
/// A key of somebody else.
const KEY: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn home(name: &str, dht: &Dht) -> Home {
    Home::new(name, &Place::here(), &[dht.address])
}

fn daemon(home: &Home, args: &[&str]) -> Outcome {
    let mut command = home.command();
    command.arg("daemon").args(args);
    run(command, "", LIMIT)
}

/// Whether there is such a process, and it has not ended.
fn lives(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_daemon_is_started_asked_restarted_and_stopped() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    daemon(&alice, &["status"]).refused(1, &["daemon start"]);
    assert_eq!(daemon(&alice, &["stop", "--json"]).ok().json()["stopped"], false);

    let _cleanup = Background::of(&alice);
    let started = daemon(&alice, &["start", "--json"]).ok().json();
    assert_eq!((&started["running"], &started["announced"]), (&true.into(), &true.into()), "{started}");
    has_shape("daemon status", &started);
    let pid = started["pid"].as_u64().unwrap();
    // Not of our session: it outlives the terminal it was started from.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string());
    assert_eq!(daemon(&alice, &["start", "--json"]).ok().json()["pid"], pid, "the one that runs is fine");
    assert_eq!(daemon(&alice, &["status", "--json"]).ok().json()["pid"], pid);
    assert_eq!(alice.p2p(&["status", "--json"]).ok().json()["daemon"], true);

    let restarted = daemon(&alice, &["restart", "--json"]).ok().json();
    let next = restarted["pid"].as_u64().unwrap();
    assert!(next != pid && !lives(pid) && lives(next));
    assert_eq!(restarted["publicKey"], started["publicKey"]);

    let stopped = daemon(&alice, &["stop", "--json"]).ok().json();
    has_shape("daemon stop", &stopped);
    assert_eq!(stopped["stopped"], true);
    daemon(&alice, &["status"]).refused(1, &["daemon start"]);
    assert_eq!(alice.p2p(&["status", "--json"]).ok().json()["daemon"], false, "commands go on without it");
}

#[test]
fn of_two_starts_at_once_one_daemon_comes() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    let _cleanup = Background::of(&alice);
    let pids: Vec<Value> = thread::scope(|scope| {
        let starts: Vec<_> =
            (0..3).map(|_| scope.spawn(|| daemon(&alice, &["start", "--json"]).ok().json()["pid"].clone())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(pids.iter().all(|pid| *pid == pids[0] && pid.is_u64()), "{pids:?}");
}

#[test]
fn commands_at_once_are_all_done() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    let _cleanup = Background::of(&alice);
    daemon(&alice, &["start"]).ok();
    let peer = home("bob", &dht).public_key();
    thread::scope(|scope| {
        for number in 0..8 {
            let (alice, peer) = (&alice, &peer);
            scope.spawn(move || alice.p2p(&["grant", peer, &format!("session-{number}")]).ok());
        }
    });
    assert_eq!(alice.p2p(&["grants", "--json"]).ok().json()["grants"].as_array().unwrap().len(), 8);
}

/// Flaw 29: the original rewrote its tables in two steps and swallowed errors, so that a crash lost grants.
#[test]
fn flaw_29_a_daemon_that_is_killed_and_started_again_loses_nothing() {
    let dht = Dht::on_loopback();
    let (alice, bob) = (home("alice", &dht), home("bob", &dht));
    let _cleanup = Background::of(&alice);
    let pid = daemon(&alice, &["start", "--json"]).ok().json()["pid"].as_u64().unwrap();
    let key = alice.public_key();
    claim(&bob, &invite(&alice, &bob, "main", &[]));
    bob.p2p(&["log", &key, "--session", "main", "--message", "before"]).ok();
    let before = ["grants", "peers", "invite list"].map(|what| listed(&alice, what));

    kill(pid);
    let again = daemon(&alice, &["start", "--json"]).ok().json();
    assert_eq!(again["publicKey"], key);
    let after = ["grants", "peers", "invite list"].map(|what| listed(&alice, what));
    assert_eq!(before, after);
    bob.p2p(&["log", &key, "--session", "main", "--message", "after"]).ok();
    assert_eq!(alice.count_in_session("main", "before"), 1);
    assert_eq!(alice.count_in_session("main", "after"), 1);
}

/// What a list shows, without when a peer was last seen.
fn listed(home: &Home, what: &str) -> Value {
    let mut args: Vec<&str> = what.split(' ').collect();
    args.push("--json");
    let mut list = home.p2p(&args).ok().json();
    for peer in list["peers"].as_array_mut().into_iter().flatten() {
        peer["lastSeen"] = Value::Null;
        peer["lastSeenIso"] = Value::Null;
    }
    list
}

#[test]
fn what_a_killed_daemon_left_is_in_nobodys_way() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    let _cleanup = Background::of(&alice);
    kill(daemon(&alice, &["start", "--json"]).ok().json()["pid"].as_u64().unwrap());
    assert!(alice.folder().join("p2p/daemon.sock").exists());
    daemon(&alice, &["status"]).refused(1, &["daemon start"]);
    alice.p2p(&["peers"]).ok();
    assert_eq!(daemon(&alice, &["stop", "--json"]).ok().json()["stopped"], false);
    daemon(&alice, &["start"]).ok();
}

/// As a person does who types `kill -9` and the next command right after it: the killed process may still be about to
/// end, with its lock and its socket open.
#[test]
fn a_start_and_commands_right_after_kill_9_find_nobody_in_their_way() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    let _cleanup = Background::of(&alice);
    let mut pid = daemon(&alice, &["start", "--json"]).ok().json()["pid"].as_u64().unwrap();
    for round in 0..15 {
        // Something under way, so that there is more to take down.
        let (peer, busy) = (format!("session-{round}"), round % 3);
        let commands: Vec<_> = (0..busy).map(|_| alice.p2p_started(&["grant", KEY, &peer])).collect();
        let signalled = rustix::process::kill_process(pid_of(pid), Signal::KILL);
        signalled.unwrap_or_else(|e| panic!("round {round}: {pid} was not running: {e}"));
        if round % 2 == 0 {
            alice.p2p(&["grants"]).ok();
        }
        let next = daemon(&alice, &["start", "--json"]).ok().json()["pid"].as_u64().unwrap();
        assert!(next != pid && lives(next), "round {round}: {pid}, then {next}");
        pid = next;
        for command in commands {
            // What the daemon had taken may or may not have been done; nothing else is in the way.
            assert!(matches!(command.wait(LIMIT), Some(0 | 2)), "round {round}");
        }
    }
}

fn pid_of(pid: u64) -> rustix::process::Pid {
    i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process")
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    fs::write(alice.folder().join("config.json"), "{\n\"plugin\": {}}").unwrap();
    daemon(&alice, &["start"]).refused(3, &["config.json", "line 2", "plugins"]);
    daemon(&alice, &["status"]).refused(1, &["daemon start"]);
}

#[test]
fn systemd_hears_when_it_is_ready_and_when_it_stops() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    let path = alice.folder().join("notify");
    let notified = UnixDatagram::bind(&path).unwrap();
    notified.set_read_timeout(Some(LIMIT)).unwrap();
    let hear = || {
        let mut buffer = [0; 1000];
        let length = notified.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut command = alice.command();
    command.args(["daemon", "run", "--json"]).env("NOTIFY_SOCKET", &path);
    let running = Running::start("daemon", command);
    assert!(hear().lines().any(|line| line == "READY=1"));
    assert!(running.next_line(LIMIT).contains("\"ready\":true"), "ready is said no earlier than it is true");
    running.signal(Signal::TERM);
    assert!(hear().lines().any(|line| line == "STOPPING=1"));
    assert_eq!(running.wait(LIMIT), Some(0), "SIGTERM is an orderly end");
}

#[test]
fn the_shipped_unit_starts_what_the_program_has() {
    let unit = include_str!("../../docs/wopr.service");
    let value = |name: &str| {
        let prefix = format!("{name}=");
        unit.lines().find_map(|line| line.strip_prefix(prefix.as_str())).unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(value("Type"), "notify");
    let (_, args) = value("ExecStart").split_once(' ').unwrap();
    assert_eq!(args, "daemon run");
    assert_eq!(value("KillSignal"), "SIGTERM");
}

#[test]
fn events_are_followed_until_the_daemon_ends() {
    let dht = Dht::on_loopback();
    let alice = home("alice", &dht);
    let _cleanup = Background::of(&alice);
    alice.p2p(&["events", "--follow"]).refused(1, &["daemon start"]);
    daemon(&alice, &["start"]).ok();
    let mut command = alice.command();
    command.args(["p2p", "events", "--follow", "--json"]);
    let follower = Running::start("events", command);
    let peer = home("bob", &dht).public_key();
    // The follower says nothing until something happens: grant until it has heard.
    let began = Instant::now();
    let event = loop {
        alice.p2p(&["grant", &peer, "main"]).ok();
        if let Some(line) = follower.line_within(Duration::from_millis(200)) {
            break serde_json::from_str::<Value>(&line).unwrap();
        }
        assert!(began.elapsed() < LIMIT, "nothing was heard");
    };
    assert_eq!((&event["event"], &event["peer"]["publicKey"]), (&"p2p.grant.created".into(), &peer.into()), "{event}");
    daemon(&alice, &["stop"]).ok();
    assert_eq!(follower.wait(LIMIT), Some(2), "the end of the daemon is no end of the work");
}

/// Ctrl-C while a peer is writing: what it was told is stored is stored, once and whole, and it hears of the end.
#[test]
fn an_orderly_end_keeps_what_was_acknowledged_and_tells_the_peers() {
    let dht = Dht::on_loopback();
    let (alice, bob) = (home("alice", &dht), home("bob", &dht));
    let set = |key: &str| {
        let mut command = alice.command();
        command.args(["config", "set", key, "10000"]);
        run(command, "", LIMIT).ok();
    };
    set("rateLimit.logs.maxPerMinute");
    set("rateLimit.logs.maxPerHour");
    let mut command = alice.command();
    command.args(["daemon", "run", "--json"]);
    let running = Running::start("alice", command);
    assert!(running.next_line(LIMIT).contains("ready"));
    let key = alice.public_key();
    let _bob = Daemon::start(&bob);
    claim(&bob, &invite(&alice, &bob, "main", &[]));

    let log = |text: &str| {
        bob.p2p(&["log", &key, "--session", "main", "--message", text, "--no-queue", "--timeout", "3s"]).code == Some(0)
    };
    let sent: Vec<(String, bool)> = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let log = &log;
                scope.spawn(move || {
                    let mut sent = Vec::new();
                    // Until the first that is not acknowledged.
                    while sent.last().is_none_or(|(_, acknowledged)| *acknowledged) {
                        let text = format!("{writer}: {}", sent.len());
                        let acknowledged = log(&text);
                        sent.push((text, acknowledged));
                    }
                    sent
                })
            })
            .collect();
        // Not read as JSON: the last line may be on its way.
        let file = alice.folder().join("sessions/main.conversation.jsonl");
        while fs::read(&file).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count()) < 10 {
            thread::yield_now();
        }
        running.signal(Signal::INT);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(running.wait(LIMIT), Some(0));
    for (text, acknowledged) in sent {
        let count = alice.count_in_session("main", &text);
        assert!(if acknowledged { count == 1 } else { count <= 1 }, "{text}: {acknowledged}, {count} times");
    }
    let connected = bob.p2p(&["status", "--json"]).ok().json()["connected"].clone();
    assert_eq!(connected, serde_json::json!([]), "Bob knows that she is gone");
}
