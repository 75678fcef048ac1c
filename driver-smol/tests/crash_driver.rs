//! Kills a whole node at every step of every write between a peer's message and its acknowledgement, and looks at what
//! the peer finds after a restart: whatever was acknowledged is there exactly once, and nothing is there twice.
//!
//! The node that is killed is a process of its own: this very program, running [`child`]. Its peer runs in the test.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::time::Duration;

use smol::{Timer, block_on};
use tempfile::{TempDir, tempdir};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, Reply};
use wopr_p2p_smol::crash::Step;
use wopr_p2p_smol::home::Home;

use support::{LIMIT, Node, Setup, in_time, log, texts};

/// The process that is killed: a node that does what it is told on stdin, and says on stdout what has been done.
#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    let home = std::env::var_os("CRASH_TEST_HOME").unwrap();
    block_on(async {
        let node = listener().start(Path::new(&home)).await;
        println!("\nready {} {}", node.address, node.key);
        for line in std::io::stdin().lines() {
            assert_eq!(line.unwrap(), "rotate");
            match node.run(rotate(false)).await {
                Ok(Reply::Rotated { public_key, .. }) => println!("\nrotated {public_key}"),
                other => panic!("{other:?}"),
            }
        }
        node.close().await;
    });
}

/// Remembers so few nonces that its journal is put in place anew every other message.
fn listener() -> Setup {
    let mut setup = Setup::default();
    setup.config.replay.max_nonces = 1;
    setup
}

fn rotate(notify_all: bool) -> Command {
    Command::RotateKeys { reason: RotationReason::Scheduled, notify_all, timeout: Duration::from_secs(5) }
}

/// A running child.
struct Listener {
    process: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
    key: PublicKey,
}

impl Listener {
    /// `None` if it was killed before it was ready.
    fn start(home: &Path, crash_at: Option<&str>) -> Option<Self> {
        let mut command = Process::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "child", "--nocapture"]).env("CRASH_TEST_HOME", home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).env_remove("WOPR_CRASH_AT");
        if let Some(crash_at) = crash_at {
            command.env("WOPR_CRASH_AT", crash_at);
        }
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let Some(ready) = said(&mut stdout, "ready ") else {
            assert_eq!(process.wait().unwrap().signal(), Some(9), "killed, or ready");
            return None;
        };
        let (address, key) = ready.split_once(' ').unwrap();
        Some(Self { address: address.parse().unwrap(), key: key.parse().unwrap(), process, stdout })
    }

    /// Its end: of itself, in order, or by the crash point before that. Whether it was killed.
    fn end(mut self) -> bool {
        drop(self.process.stdin.take());
        // To the end, or it could not say what it says.
        while said(&mut self.stdout, "\0").is_some() {}
        let status = self.process.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        !status.success()
    }

    /// Has it make new keys; `None` if it was killed before it said so.
    fn rotate(&mut self) -> Option<PublicKey> {
        self.process.stdin.as_mut().unwrap().write_all(b"rotate\n").ok()?;
        said(&mut self.stdout, "rotated ").map(|key| key.parse().unwrap())
    }
}

/// The rest of the next line that begins with this; `None` if there is none before the end.
fn said(stdout: &mut BufReader<ChildStdout>, beginning: &str) -> Option<String> {
    stdout.lines().map_while(Result::ok).find_map(|line| line.strip_prefix(beginning).map(str::to_owned))
}

/// The homes of two nodes, from which every kill starts anew.
struct Homes {
    folder: TempDir,
    token: String,
}

impl Homes {
    /// With an invite for the peer, which it has claimed and used already, or has yet to claim.
    async fn new(claimed: bool) -> Self {
        let folder = tempdir().unwrap();
        let alice = listener().start(&folder.path().join("alice")).await;
        let bob = Setup::finding(&[&alice]).start(&folder.path().join("bob")).await;
        let token = alice.invite(bob.key, &["main"]).await;
        if claimed {
            let claim = Command::Claim { token: token.clone(), timeout: LIMIT };
            assert!(matches!(bob.run(claim).await, Ok(Reply::Claimed { .. })));
            for number in 0..3 {
                assert_eq!(bob.run(log(alice.key, "main", &format!("before {number}"))).await, Ok(Reply::Logged));
            }
        }
        alice.close().await;
        bob.close().await;
        Self { folder, token }
    }

    fn copy(&self) -> TempDir {
        let to = tempdir().unwrap();
        copy(self.folder.path(), to.path());
        to
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Runs `talk` with a listener that is killed at each step, the `n`-th time it comes to it, until it is not reached any
/// more; then `check` with the restarted listener and what `talk` had returned. Returns the steps at which it was killed.
async fn kill_everywhere<T>(
    homes: &Homes,
    talk: impl AsyncFn(&Node, &mut Listener) -> T,
    check: impl AsyncFn(&Node, &Listener, &Home, Option<T>, &str),
) -> BTreeSet<&'static str> {
    let mut killed = BTreeSet::new();
    for step in Step::ALL {
        for nth in 1.. {
            let crash_at = format!("{}:{nth}", step.name());
            let folder = homes.copy();
            let (alice, bob) = (folder.path().join("alice"), folder.path().join("bob"));
            let mut was_killed = true;
            let mut result = None;
            if let Some(mut listener) = Listener::start(&alice, Some(&crash_at)) {
                let peer = finding(&listener).start(&bob).await;
                result = Some(in_time(&crash_at, talk(&peer, &mut listener)).await);
                was_killed = listener.end();
                peer.close().await;
            }
            let listener = Listener::start(&alice, None).expect("it starts");
            let peer = finding(&listener).start(&bob).await;
            let home = Home::at(&alice).unwrap();
            in_time(&crash_at, check(&peer, &listener, &home, result, &crash_at)).await;
            peer.close().await;
            assert!(!listener.end(), "no crash point was set");
            if !was_killed {
                break;
            }
            killed.insert(step.name());
        }
    }
    killed
}

fn finding(listener: &Listener) -> Setup {
    Setup { peers: vec![(listener.key, listener.address)], ..Setup::default() }
}

#[test]
fn a_kill_at_any_step_of_a_log_loses_and_repeats_no_message() {
    block_on(async {
        let homes = Homes::new(true).await;
        let talk = async |bob: &Node, alice: &mut Listener| {
            let mut acknowledged = Vec::new();
            for number in 0..2 {
                let text = format!("message {number}");
                match bob.run(log(alice.key, "main", &text)).await {
                    Ok(Reply::Logged) => acknowledged.push(text),
                    Err(CommandError::NoAnswer(_)) => return acknowledged,
                    other => panic!("{other:?}"),
                }
                // The next message must be newer than the last one that is remembered.
                Timer::after(Duration::from_millis(2)).await;
            }
            acknowledged
        };
        let check = async |bob: &Node, alice: &Listener, home: &Home, acknowledged: Option<Vec<String>>, at: &str| {
            assert_eq!(bob.run(log(alice.key, "main", "after")).await, Ok(Reply::Logged), "{at}");
            let mut expected: Vec<_> = (0..3).map(|number| format!("before {number}")).collect();
            expected.extend(acknowledged.unwrap_or_default());
            let next = format!("message {}", expected.len() - 3);
            let found = texts(home, "main");
            // The message under way may be there as well, but no other, and none twice.
            let under_way = found.contains(&next).then_some(next);
            expected.extend(under_way.into_iter().chain(["after".to_owned()]));
            assert_eq!(found, expected, "{at}");
        };
        let killed = kill_everywhere(&homes, talk, check).await;
        // Every step of an append and of a replacement: the journal is thinned out on the way.
        assert_eq!(killed.len(), Step::ALL.len(), "only at {killed:?}");
    });
}

#[test]
fn a_kill_at_any_step_of_a_claim_loses_no_grant() {
    block_on(async {
        let homes = Homes::new(false).await;
        let claim = || Command::Claim { token: homes.token.clone(), timeout: LIMIT };
        let talk = async |bob: &Node, _: &mut Listener| bob.run(claim()).await.is_ok();
        let check = async |bob: &Node, alice: &Listener, home: &Home, claimed: Option<bool>, at: &str| {
            if claimed != Some(true) {
                // Either it was not claimed and can be, or it was and the grant is there.
                match bob.run(claim()).await {
                    Ok(Reply::Claimed { .. }) | Err(CommandError::Rejected { .. }) => {}
                    other => panic!("{at}: {other:?}"),
                }
            }
            assert_eq!(bob.run(log(alice.key, "main", "after")).await, Ok(Reply::Logged), "{at}");
            assert_eq!(texts(home, "main"), ["after"], "{at}");
        };
        let killed = kill_everywhere(&homes, talk, check).await;
        assert_eq!(killed.len(), 7, "every step of a replacement, not only {killed:?}");
    });
}

#[test]
fn a_kill_at_any_step_of_a_peers_rotation_loses_neither_key_nor_grant() {
    block_on(async {
        let homes = Homes::new(true).await;
        let talk = async |bob: &Node, _: &mut Listener| match bob.run(rotate(true)).await {
            Ok(Reply::Rotated { told, .. }) => !told.is_empty(),
            other => panic!("{other:?}"),
        };
        let check = async |bob: &Node, alice: &Listener, _: &Home, told: Option<bool>, at: &str| {
            if told == Some(true) {
                assert_eq!(bob.run(log(alice.key, "main", "after")).await, Ok(Reply::Logged), "{at}");
                return;
            }
            // Bob tells her again by himself; until she has heard, his new key is nobody's.
            while let Err(error) = bob.run(log(alice.key, "main", "after")).await {
                assert_eq!(error, CommandError::Unauthorized(alice.key), "{at}");
                Timer::after(Duration::from_millis(20)).await;
            }
        };
        let killed = kill_everywhere(&homes, talk, check).await;
        assert_eq!(killed.len(), 7, "every step of a replacement, not only {killed:?}");
    });
}

#[test]
fn a_kill_at_any_step_of_its_own_rotation_leaves_the_old_keys_or_the_new() {
    block_on(async {
        let homes = Homes::new(true).await;
        let talk = async |_: &Node, alice: &mut Listener| (alice.key, alice.rotate());
        let check =
            async |bob: &Node, alice: &Listener, _: &Home, keys: Option<(PublicKey, Option<PublicKey>)>, at: &str| {
                if let Some((old, new)) = keys {
                    assert!(new.is_none_or(|new| alice.key == new), "{at}: a new key that was reported is gone");
                    let renamed = ["replace-renamed:", "replace-done:"].iter().any(|step| at.starts_with(step));
                    assert!(new.is_some() || renamed || alice.key == old, "{at}: new keys that were not stored");
                }
                assert_eq!(bob.run(log(alice.key, "main", "after")).await, Ok(Reply::Logged), "{at}");
            };
        let killed = kill_everywhere(&homes, talk, check).await;
        assert_eq!(killed.len(), 7, "every step of a replacement, not only {killed:?}");
    });
}
