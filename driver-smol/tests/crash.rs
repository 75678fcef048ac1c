//! Kills a process at every step of every kind of write, and at a full disk in the middle of one, and looks at what a
//! restart finds: what was reported as written is there once, what was not is there as a whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Document, DocumentWrite, EntryKind, SessionEntry};
use wopr_p2p_smol::crash::Step;
use wopr_p2p_smol::file::{FileError, FileProblem};
use wopr_p2p_smol::home::Home;
use wopr_p2p_smol::session_file::{SessionReader, SessionWriter};
use wopr_p2p_smol::store::Store;
use zeroize::Zeroizing;

/// How many times the child does each kind of write; every kind passes through some steps as often.
const ROUNDS: usize = 3;

/// The process that is killed: makes writes and says on stdout which are durable.
#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    let (_, mut store, mut sessions) = open(Path::new(&std::env::var_os("CRASH_TEST_HOME").unwrap()));
    let say = |kind: &str, round: usize, result: Result<(), FileError>| match result {
        Ok(()) => println!("\ndone {kind} {round}"),
        Err(error) => assert_eq!(error.problem(), FileProblem::Full, "{error}"),
    };
    for round in 0..ROUNDS {
        let identity = DocumentWrite::Replace(Zeroizing::new(text(round).into_bytes()));
        say("identity", round, store.write(Document::Identity, &identity));
        let replay = DocumentWrite::Append(format!("{}\n", text(round)).into_bytes());
        say("replay", round, store.write(Document::Replay, &replay));
        say("main", round, sessions.append(&session("main"), &entry(&text(round))));
        say("long", round, sessions.append(&session(&"L".repeat(1000)), &entry(&text(round))));
    }
}

/// What the child writes in a round: three are longer than a block of the file system.
fn text(round: usize) -> String {
    format!("{round}{}", "x".repeat(1500 + round))
}

#[test]
fn a_kill_at_any_step_loses_nothing_that_was_reported_and_leaves_nothing_torn() {
    let mut kills = BTreeMap::new();
    for step in Step::ALL {
        for nth in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let output = run_child(folder.path(), Some(format!("{}:{nth}", step.name())), None);
            if output.status.success() {
                break;
            }
            assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stderr));
            *kills.entry(step.name()).or_insert(0) += 1;
            check(folder.path(), &output, &format!("killed at {} {nth}", step.name()));
        }
    }
    for step in Step::ALL {
        // Files are made once, and everything else happens in every round.
        let at_least = if step == Step::AppendCreated { 3 } else { ROUNDS };
        assert!(kills.get(step.name()).is_some_and(|count| *count >= at_least), "{} was not reached", step.name());
    }
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_write_loses_nothing_and_keeps_nothing_of_it() {
    let mut partly = 0;
    for blocks in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let output = run_child(folder.path(), None, Some(blocks));
        let done = check(folder.path(), &output, &format!("file size limit of {blocks} blocks"));
        assert_eq!(done.found, done.reported, "file size limit of {blocks} blocks");
        partly += usize::from((1..ROUNDS).contains(&done.reported[2]));
    }
    assert!(partly > 0, "no limit cut a session's file in the middle");
}

/// The file size limit is in blocks of 512 bytes, or of 1024 where `sh` is bash.
fn run_child(home: &Path, crash_at: Option<String>, file_size_limit: Option<usize>) -> Output {
    let limit = file_size_limit.map_or("unlimited".to_owned(), |blocks| blocks.to_string());
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" --ignored --exact child --nocapture");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    command.env("CRASH_TEST_HOME", home).env_remove("WOPR_CRASH_AT").stdin(Stdio::null());
    if let Some(crash_at) = crash_at {
        command.env("WOPR_CRASH_AT", crash_at);
    }
    command.output().unwrap()
}

/// How many rounds of each kind of write (identity, replay, main, long) were reported, and how many were found.
struct Done {
    reported: [usize; 4],
    found: [usize; 4],
}

/// Restarts on what the child left, and compares it with what the child said.
fn check(home: &Path, output: &Output, what: &str) -> Done {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let reported = ["identity", "replay", "main", "long"]
        .map(|kind| (0..ROUNDS).take_while(|round| said.contains(&format!("\ndone {kind} {round}\n"))).count());
    let (reader, store, mut sessions) = open(home);

    let identity = store.load(Document::Identity).unwrap();
    let identity = identity.map_or(0, |bytes| (0..ROUNDS).position(|n| text(n).as_bytes() == *bytes).unwrap() + 1);

    let replay = store.load(Document::Replay).unwrap().unwrap_or_default();
    let replay = rounds(std::str::from_utf8(&replay).unwrap().lines());

    let [main, long] = ["main".to_owned(), "L".repeat(1000)].map(|name| {
        // What is unfinished is cleared away by the next line, which comes after it whole.
        sessions.append(&session(&name), &entry("after")).unwrap();
        let page = reader.history(&session(&name), 0, 100).unwrap();
        let mut contents: Vec<_> = page.lines.iter().map(|line| content(line.get())).collect();
        assert_eq!((page.damaged.len(), contents.pop().as_deref()), (0, Some("after")), "{what}");
        rounds(contents.iter().map(String::as_str))
    });
    assert_eq!(reader.list().unwrap(), [session(&"L".repeat(1000)), session("main")], "{what}");

    // No second copy of the keys.
    let names = fs::read_dir(home.join("p2p")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("tmp")), "{what}");

    // Each kind of write may have got one further than was reported, and no more.
    let found = [identity, replay, main, long];
    for (reported, found) in reported.iter().zip(found) {
        assert!((*reported..=reported + 1).contains(&found), "{what}: {reported} reported, {found} found\n{said}");
    }
    Done { reported, found }
}

/// How many rounds these lines are; each must be there once, whole and in order.
fn rounds<'a>(lines: impl Iterator<Item = &'a str>) -> usize {
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines, (0..lines.len()).map(text).collect::<Vec<_>>());
    lines.len()
}

fn open(home: &Path) -> (SessionReader, Store, SessionWriter) {
    let home = Home::at(home).unwrap();
    let lock = Arc::new(home.lock().unwrap());
    (SessionReader::new(&home), Store::open(lock.clone()).unwrap(), SessionWriter::new(lock))
}

fn session(name: &str) -> SessionName {
    SessionName::new(name).unwrap()
}

fn entry(content: &str) -> SessionEntry {
    SessionEntry {
        at: WallTime::from_millis(0),
        from: "peer".to_owned(),
        kind: EntryKind::Message,
        content: content.to_owned(),
        peer: PublicKey::from_bytes([1; 32]),
        once: None,
    }
}

fn content(line: &str) -> String {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["content"].as_str().unwrap().to_owned()
}
