//! Each exit code by its name, as scripts meet it: the process's code, and the same in `--json`.
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixListener;
use std::thread;

use support::conversation::{claim, invite};
use support::home::Home;
use support::node::{Daemon, Dht};
use support::program::Place;

#[test]
fn every_exit_code_of_the_seed_is_met_under_its_name() {
    let dht = Dht::on_loopback();
    let home = |name| Home::new(name, &Place::here(), &[dht.address]);
    let (alice, mut bob) = (home("alice"), home("bob"));
    let daemon = Daemon::start(&alice);
    let key = alice.public_key();
    let token = invite(&alice, &bob, "main", &[]);
    let mut met = BTreeSet::new();
    let mut meet = |home: &Home, args: &[&str], name: &str, code: i32| {
        let outcome = home.p2p(&[args, &["--json"]].concat());
        assert_eq!(outcome.code, Some(code), "{args:?}: {}{}", outcome.stdout, outcome.stderr);
        let said = outcome.json();
        if code != 0 {
            assert_eq!((&said["error"]["name"], &said["error"]["code"]), (&name.into(), &code.into()), "{args:?}");
            assert!(!said["error"]["message"].as_str().unwrap().is_empty());
        }
        met.insert(name.to_owned());
    };
    let log = ["log", &key, "--session", "main", "--message", "hello"];

    meet(&bob, &["invite", "claim", &token], "EXIT_OK", 0);
    meet(&bob, &["invite", "claim", &token], "EXIT_REJECTED", 2);
    meet(&bob, &["invite", "claim", "wop1://nonsense"], "EXIT_INVALID", 3);
    meet(&bob, &["log", &key, "--session", "closed", "--message", "hello"], "EXIT_UNAUTHORIZED", 7);
    // The one for the closed session counts.
    for _ in 0..9 {
        bob.p2p(&log).ok();
    }
    meet(&bob, &log, "EXIT_RATE_LIMITED", 4);

    drop(daemon);
    let carol = home("carol");
    let carol_daemon = Daemon::start(&carol);
    claim(&bob, &invite(&carol, &bob, "main", &[]));
    let carol_key = carol.public_key();
    drop(carol_daemon);
    let away = ["log", &carol_key, "--session", "main", "--message", "hello"];
    meet(&bob, &[&away[..], &["--timeout", "3s"]].concat(), "EXIT_PEER_OFFLINE", 6);
    // Bound, and never answering.
    let mute = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    bob.set_bootstrap(&[mute.local_addr().unwrap()]);
    meet(&bob, &away, "EXIT_OFFLINE", 1);

    let other_version = daemon_of_another_version(&bob);
    meet(&bob, &["peers"], "EXIT_VERSION_MISMATCH", 5);
    // It cannot be asked to stop, so it is said how to end it: by the number of whoever has the home's lock.
    let lock = bob.folder().join("p2p/lock");
    let held = std::fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    let holder = std::fs::read_to_string(&lock).unwrap();
    bob.p2p(&["peers"]).refused(5, &[&format!("kill {}", holder.trim())]);
    other_version.join().unwrap();

    // And these are all that the description has.
    let seed = include_str!("data/seed.md");
    let named = seed.split('`').filter(|word| word.starts_with("EXIT_")).map(str::to_owned).collect();
    assert_eq!(met, named);
}

/// Answers two commands in a version that nobody speaks.
fn daemon_of_another_version(home: &Home) -> thread::JoinHandle<()> {
    let socket = UnixListener::bind(home.folder().join("p2p/daemon.sock")).unwrap();
    thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = socket.accept().unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(&[9, 0, 0, 0, 0]).unwrap();
            // Whoever closes with unread bytes resets the connection, and the answer with it.
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        }
    })
}
