//! Whole nodes on TCP: what the node, the network, the files and the AI commands do together.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use smol::block_on;
use smol::future;
use tempfile::{TempDir, tempdir};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, CommandError, Config, Document, Reply};
use wopr_p2p_smol::driver::{Driver, DriverError, Options};
use wopr_p2p_smol::handler::{Handler, Handlers};
use wopr_p2p_smol::home::{Home, HomeError};
use wopr_p2p_smol::net::Offline;
use wopr_p2p_smol::session_file::SessionReader;

use support::{LIMIT, Node, Setup, in_time, inject, log, sh, texts, until};

/// Alice, whose sessions Bob may use, and the folder of their homes.
struct Pair {
    alice: Node,
    bob: Node,
    folder: TempDir,
}

async fn pair(sessions: &[&str], handlers: Vec<(&'static str, Handler)>) -> Pair {
    let folder = tempdir().unwrap();
    let alice = Setup { handlers, ..Setup::default() }.start(&folder.path().join("alice")).await;
    let bob = Setup::finding(&[&alice]).start(&folder.path().join("bob")).await;
    alice.grant(bob.key, sessions).await;
    Pair { alice, bob, folder }
}

#[test]
fn two_nodes_invite_claim_log_and_ask() {
    block_on(async {
        let folder = tempdir().unwrap();
        let who = sh("read text; printf '%s asks in %s: %s' \"$WOPR_PEER_SHORT_ID\" \"$WOPR_SESSION\" \"$text\"");
        let handlers = vec![("main", who)];
        let alice = Setup { handlers, ..Setup::default() }.start(&folder.path().join("alice")).await;
        let bob = Setup::finding(&[&alice]).start(&folder.path().join("bob")).await;

        assert_eq!(bob.run(log(alice.key, "main", "no")).await, Err(CommandError::Unauthorized(alice.key)));
        let token = alice.invite(bob.key, &["main"]).await;
        let claimed = bob.run(Command::Claim { token: token.clone(), timeout: LIMIT }).await;
        assert!(matches!(claimed, Ok(Reply::Claimed { .. })), "{claimed:?}");
        let again = bob.run(Command::Claim { token, timeout: LIMIT }).await;
        assert!(matches!(again, Err(CommandError::Rejected { .. })), "{again:?}");

        assert_eq!(bob.run(log(alice.key, "main", "hello")).await, Ok(Reply::Logged));
        let answer = format!("{} asks in main: why?", bob.key.short_id());
        assert_eq!(bob.run(inject(alice.key, "main", "why?\n")).await, Ok(Reply::Answer(answer.clone())));
        assert_eq!(bob.run(log(alice.key, "other", "no")).await, Err(CommandError::Unauthorized(alice.key)));

        let lines = alice.lines("main");
        let of = |line: &serde_json::Value| ["type", "from", "content"].map(|m| line[m].as_str().unwrap().to_owned());
        let (from, bob_key) = (bob.key.short_id(), bob.key.to_string());
        assert_eq!(
            lines.iter().map(of).collect::<Vec<_>>(),
            [["message", &from, "hello"], ["question", &from, "why?\n"], ["answer", "main", &answer]]
        );
        for line in &lines {
            assert_eq!(
                (line["channel"]["type"].as_str(), line["channel"]["id"].as_str()),
                (Some("p2p"), Some(&*bob_key))
            );
            assert!(line["ts"].is_u64() && line["iso"].as_str().is_some_and(|iso| iso.ends_with('Z')));
        }
        assert!(alice.lines("other").is_empty());
        alice.close().await;
        bob.close().await;
        let files = private(folder.path());
        assert!(files >= 11, "only {files} files were looked at");
    });
}

/// Asserts that nobody else can read a folder's files, or enter its folders; returns how many files it has.
fn private(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let (path, about) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        let mode = about.permissions().mode() & 0o777;
        assert_eq!(mode, if about.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        files += if about.is_dir() { private(&path) } else { 1 };
    }
    files
}

#[test]
fn a_burst_of_messages_on_one_stream_and_several_streams_at_once() {
    block_on(async {
        let Pair { alice, bob, folder } = pair(&["main"], Vec::new()).await;
        let carol = Setup::finding(&[&alice]).start(&folder.path().join("carol")).await;
        alice.grant(carol.key, &["main"]).await;
        let mut logs = Vec::new();
        for number in 0..40 {
            for (name, node) in [("bob", &bob), ("carol", &carol)] {
                logs.push((log(alice.key, "main", &format!("{name} {number}")), node));
            }
        }
        let done = all(logs.into_iter().map(|(command, node)| node.run(command))).await;
        assert!(done.iter().all(|result| *result == Ok(Reply::Logged)), "{done:?}");
        let snapshot = alice.driver.snapshot().await.unwrap();
        assert_eq!(snapshot.streams.len(), 2, "each used one stream for all of its messages");

        let texts = texts(&alice.home, "main");
        assert_eq!(texts.len(), 80);
        for name in ["bob", "carol"] {
            let numbers: Vec<usize> =
                texts.iter().filter_map(|text| text.strip_prefix(name)?.trim().parse().ok()).collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..40).collect::<Vec<_>>(), "each of {name}'s messages is there once");
        }
    });
}

/// Runs all at the same time.
async fn all<T>(futures: impl Iterator<Item: Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    future::poll_fn(|context| {
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            if let std::task::Poll::Ready(done) = future.as_mut().poll(context) {
                *result = Some(done);
            }
        }
        if running.iter().all(|(_, result)| result.is_some()) {
            return std::task::Poll::Ready(running.drain(..).filter_map(|(_, result)| result).collect());
        }
        std::task::Poll::Pending
    })
    .await
}

#[test]
fn a_second_question_is_answered_while_the_first_waits() {
    block_on(async {
        let folder = tempdir().unwrap();
        let go = folder.path().join("go");
        let script = format!(
            "read text; if [ $text = slow ]; then while [ ! -e '{}' ]; do sleep 0.02; done; fi; echo $text",
            go.display()
        );
        let Pair { alice, bob, folder: _homes } = pair(&["main"], vec![("main", sh(&script))]).await;
        let slow = bob.run(inject(alice.key, "main", "slow\n"));
        let quick = async {
            until("the first question", || alice.lines("main").len() == 1).await;
            assert_eq!(bob.run(inject(alice.key, "main", "quick\n")).await, Ok(Reply::Answer("quick".to_owned())));
            assert_eq!(texts(&alice.home, "main"), ["slow\n", "quick\n", "quick"]);
            fs::write(&go, "").unwrap();
        };
        let (slow, ()) = future::zip(slow, quick).await;
        assert_eq!(slow, Ok(Reply::Answer("slow".to_owned())));
    });
}

/// A command that says its number and then waits for ever, and the way to learn that number.
fn endless(folder: &Path) -> (Handler, impl Fn() -> Option<Pid>) {
    let (file, temporary) = (folder.join("pid"), folder.join("pid.tmp"));
    let script = format!("echo $$ > '{1}'; mv '{1}' '{0}'; sleep 1000", file.display(), temporary.display());
    let pid = move || Pid::from_raw(fs::read_to_string(&file).ok()?.trim().parse().ok()?);
    (sh(&script), pid)
}

/// Waits for a command to be there, does something, and waits for it to be gone.
async fn dies(pid: impl Fn() -> Option<Pid>, after: impl Future<Output = ()>) {
    until("the command runs", || pid().is_some()).await;
    let pid = pid().unwrap();
    assert!(test_kill_process(pid).is_ok(), "it ended by itself");
    after.await;
    until("the command is gone", || test_kill_process(pid).is_err()).await;
}

#[test]
fn a_revocation_kills_the_command_that_answers_the_peer() {
    block_on(async {
        let folder = tempdir().unwrap();
        let (handler, pid) = endless(folder.path());
        let Pair { alice, bob, folder: _homes } = pair(&["main"], vec![("main", handler)]).await;
        let revoke = async {
            let revoked = alice.run(Command::RevokePeer { peer: PeerRef::Key(bob.key), session: None }).await;
            assert!(matches!(revoked, Ok(Reply::Revoked { .. })), "{revoked:?}");
        };
        let (asked, ()) = future::zip(bob.run(inject(alice.key, "main", "why?")), dies(pid, revoke)).await;
        assert_eq!(asked, Err(CommandError::Unauthorized(alice.key)));
        assert_eq!(texts(&alice.home, "main"), ["why?"]);
        assert!(alice.reports().is_empty(), "what the owner has done is no news: {:?}", alice.reports());
    });
}

#[test]
fn the_command_is_killed_when_the_asker_waits_no_longer() {
    block_on(async {
        let folder = tempdir().unwrap();
        let (handler, pid) = endless(folder.path());
        let Pair { alice, bob, folder: _homes } = pair(&["main"], vec![("main", handler)]).await;
        let Command::Inject { peer, session, text, .. } = inject(alice.key, "main", "why?") else { unreachable!() };
        let impatient = Command::Inject { peer, session, text, timeout: Duration::from_secs(1) };
        let (asked, ()) = future::zip(bob.run(impatient), dies(pid, async {})).await;
        assert_eq!(asked, Err(CommandError::NoAnswer(alice.key)));
    });
}

#[test]
fn a_question_that_nobody_waits_for_any_more_is_given_up_on_both_sides() {
    block_on(async {
        let folder = tempdir().unwrap();
        let (handler, pid) = endless(folder.path());
        let Pair { alice, bob, folder: _homes } = pair(&["main"], vec![("main", handler)]).await;
        let (forget, forgotten) = smol::channel::bounded::<()>(1);
        let asking = async {
            // Whichever comes first drops the other.
            let asked = async { Some(bob.run(inject(alice.key, "main", "why?")).await) };
            let gone = async {
                assert!(forgotten.recv().await.is_err(), "nothing is sent there");
                None
            };
            assert_eq!(future::or(gone, asked).await, None, "nobody answered");
        };
        future::zip(asking, dies(pid, async { drop(forget) })).await;
        assert_eq!(bob.run(log(alice.key, "main", "next")).await, Ok(Reply::Logged), "and nothing else");
        assert_eq!(texts(&alice.home, "main"), ["why?", "next"]);
    });
}

#[test]
fn a_command_that_fails_gives_a_reject_and_no_answer_and_the_owner_hears_why() {
    block_on(async {
        let late = Handler { timeout: Duration::from_millis(200), ..sh("echo half; sleep 1000") };
        let long = Handler { max_answer: 1000, ..sh("head -c 2000 /dev/zero | tr '\\0' x") };
        let handlers = vec![
            ("late", late),
            ("dead", sh("echo half; echo 'no model' >&2; exit 3")),
            ("killed", sh("echo half; kill -9 $$")),
            ("long", long),
            ("missing", Handler::command("/no/such/program", [""; 0])),
        ];
        let Pair { alice, bob, folder: _homes } = pair(&["*"], handlers).await;
        for (session, reason) in [
            ("late", "had no answer after 0.2 s"),
            ("dead", "exited with status 3; it said: no model"),
            ("killed", "ended by signal 9"),
            ("long", "said more than 1000 bytes"),
            ("missing", "cannot be started"),
            ("nobody", "no handler answers"),
        ] {
            let asked = bob.run(inject(alice.key, session, "why?")).await;
            let reason_for_bob = "inject failed".to_owned();
            assert_eq!(asked, Err(CommandError::Rejected { peer: alice.key, reason: reason_for_bob }), "{session}");
            assert_eq!(texts(&alice.home, session), ["why?"], "{session}: the question is recorded, no answer is");
            let told = alice.reports().pop().unwrap_or_default();
            assert!(told.contains(reason) && told.contains(&bob.key.short_id()), "{session}: {told}");
        }
        assert_eq!(alice.reports().len(), 6);
    });
}

#[test]
fn a_restart_keeps_identity_and_grants() {
    block_on(async {
        let Pair { alice, bob, folder } = pair(&["main"], Vec::new()).await;
        assert_eq!(bob.run(log(alice.key, "main", "before")).await, Ok(Reply::Logged));
        let key = alice.key;
        let port = alice.close().await.port();
        assert_eq!(bob.run(log(key, "main", "meanwhile")).await, Err(CommandError::PeerOffline(key)));

        let alice = Setup { port, ..Setup::default() }.start(&folder.path().join("alice")).await;
        assert_eq!(alice.key, key);
        assert_eq!(bob.run(log(key, "main", "after")).await, Ok(Reply::Logged));
        assert_eq!(texts(&alice.home, "main"), ["before", "after"]);
    });
}

#[test]
fn closing_ends_in_order_what_has_begun() {
    block_on(async {
        let Pair { alice, bob, folder: _homes } = pair(&["main"], Vec::new()).await;
        let (key, home) = (alice.key, alice.home.clone());
        let numbers: Vec<_> = (0..40).map(|number| number.to_string()).collect();
        let logs = all(numbers.iter().map(|number| bob.run(log(key, "main", number))));
        let closing = async {
            // In the middle of it.
            until("a message", || !texts(&home, "main").is_empty()).await;
            alice.close().await;
        };
        let (results, _) = future::zip(logs, closing).await;
        let acknowledged = |(number, result): (&String, _)| (result == Ok(Reply::Logged)).then(|| number.clone());
        let mut acknowledged: Vec<_> = numbers.iter().zip(results).filter_map(acknowledged).collect();
        let mut stored = texts(&home, "main");
        acknowledged.sort_unstable();
        stored.sort_unstable();
        assert_eq!(acknowledged, stored, "what is stored was acknowledged, and what was acknowledged is stored");
        assert!(!stored.is_empty());
    });
}

#[test]
fn closing_gives_up_questions_and_the_asker_sees_it_at_once() {
    block_on(async {
        let folder = tempdir().unwrap();
        let (handler, pid) = endless(folder.path());
        let Pair { alice, bob, folder: _homes } = pair(&["main"], vec![("main", handler)]).await;
        let key = alice.key;
        let close = async {
            alice.close().await;
        };
        let (asked, ()) = future::zip(bob.run(inject(key, "main", "why?")), dies(pid, close)).await;
        assert_eq!(asked, Err(CommandError::NoAnswer(key)));
        until("the stream is gone", || block_on(bob.driver.snapshot()).unwrap().streams.is_empty()).await;
    });
}

#[test]
fn a_damaged_document_is_named_and_left_as_it_is_with_a_copy_beside_it() {
    block_on(async {
        let folder = tempdir().unwrap();
        Setup::default().start(folder.path()).await.close().await;
        let home = Home::at(folder.path()).unwrap();
        let before = fs::read(home.p2p().join("identity.json")).unwrap();
        fs::write(home.p2p().join("peers.json"), "{\"peers\":[{\"key\":").unwrap();
        match Driver::start(Arc::new(home.lock().unwrap()), offline(&home, true)) {
            Err(error @ DriverError::Damaged { document: Document::Peers, copy: Ok(_), .. }) => {
                let said = error.to_string();
                let DriverError::Damaged { copy: Ok(copy), .. } = error else { panic!("{said}") };
                assert!(said.starts_with("peers.json is damaged") && said.contains(copy.to_str().unwrap()), "{said}");
                assert_eq!(fs::read(copy).unwrap(), b"{\"peers\":[{\"key\":");
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it started"),
        }
        assert_eq!(fs::read(home.p2p().join("peers.json")).unwrap(), b"{\"peers\":[{\"key\":");
        assert_eq!(fs::read(home.p2p().join("identity.json")).unwrap(), before);
    });
}

#[test]
fn a_home_has_one_node_at_a_time() {
    block_on(async {
        let folder = tempdir().unwrap();
        let first = Setup::default().start(folder.path()).await;
        let refused = first.home.lock().map(drop);
        assert!(matches!(refused, Err(HomeError::Locked { pid: Some(pid), .. }) if pid == std::process::id()));
        let home = first.home.clone();
        first.close().await;
        assert!(home.lock().is_ok(), "closing gives the home back");
    });
}

#[test]
fn everybody_who_waits_for_the_announcement_hears_how_it_went() {
    block_on(async {
        let folder = tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let driver = Driver::start(Arc::new(home.lock().unwrap()), offline(&home, true)).unwrap();
        let (first, second) = in_time("both", future::zip(driver.listening(), driver.listening())).await;
        assert!(first.is_err() && second.is_err());
        assert!(in_time("late", driver.listening()).await.is_err());
        driver.close().await;

        let driver = Driver::start(Arc::new(home.lock().unwrap()), offline(&home, false)).unwrap();
        assert!(in_time("nothing to wait for", driver.listening()).await.is_ok());
        driver.close().await;
    });
}

fn offline(home: &Home, listen: bool) -> Options {
    let handlers = Handlers::new(SessionReader::new(home));
    Options {
        config: Config::default(),
        network: Arc::new(Offline),
        handlers,
        listen,
        report: Box::new(|_| {}),
        observe: Box::new(|_| {}),
    }
}
