use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use smol::block_on;
use wopr_p2p_core::AskFailed;
use wopr_p2p_core::access::{Capability, TrustLevel};
use wopr_p2p_core::keys::PublicKey;

use super::*;
use crate::home::Home;

/// Longer than any of these tests takes on a slow machine.
const LONG: Duration = Duration::from_secs(60);

fn sh(script: &str) -> Handler {
    Handler { timeout: LONG, ..Handler::command("sh", ["-c", script]) }
}

fn handlers(handler: Handler) -> Handlers {
    let mut handlers = Handlers::new(SessionReader::new(&Home::at("/home/of/wopr").unwrap()));
    handlers.set_default(handler);
    handlers
}

fn question(text: &str) -> Question {
    Question {
        session: SessionName::new("My session").unwrap(),
        text: text.to_owned(),
        peer: PublicKey::from_bytes([3; 32]),
        peer_name: Some("alice".to_owned()),
        capabilities: vec![Capability::inject(), "inject.tools".parse().unwrap()],
        trust: TrustLevel::SemiTrusted,
        chain: "07070707070707070707070707070707:0123456789abcdef".parse().unwrap(),
    }
}

fn ask(handler: Handler, text: &str) -> Result<String, HandlerError> {
    block_on(handlers(handler).ask(question(text)))
}

/// A pipe with a name: its reader sees its end only when every process that has it open is gone.
fn fifo(folder: &Path) -> (String, impl FnOnce() -> BufReader<fs::File> + use<>) {
    let path = folder.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let text = path.to_str().unwrap().to_owned();
    (text, move || BufReader::new(fs::File::open(path).unwrap()))
}

#[test]
fn a_command_reads_the_question_and_its_output_is_the_answer() {
    assert_eq!(ask(sh("read line; echo \"you said: $line\""), "hello\n").unwrap(), "you said: hello");
    assert_eq!(ask(sh("cat"), "two\nlines").unwrap(), "two\nlines");
    assert_eq!(ask(sh("true"), "x").unwrap(), "");
}

#[test]
fn one_final_line_end_is_not_part_of_the_answer() {
    for (output, answer) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\na ", "\na "), ("\n", "")] {
        assert_eq!(ask(sh("cat"), output).unwrap(), answer);
    }
}

#[test]
fn no_shell_sees_the_arguments_or_the_question() {
    let handler = Handler::command("printf", ["%s|", "$HOME", "`id`", "a b"]);
    assert_eq!(ask(handler, "$(id)").unwrap(), "$HOME|`id`|a b|");
}

#[test]
fn a_long_question_and_a_long_answer_pass_at_the_same_time() {
    let text = "0123456789abcdef".repeat(65_536);
    assert_eq!(ask(sh("cat"), &text).unwrap(), text);
}

#[test]
fn a_command_need_not_read_its_question() {
    let text = "x".repeat(1 << 20);
    assert_eq!(ask(sh("echo done"), &text).unwrap(), "done");
    assert_eq!(ask(sh("exec <&-; echo done"), &text).unwrap(), "done");
}

#[test]
fn a_command_knows_who_asks_and_what_they_may() {
    let script = "printf '%s\n' \"$WOPR_ORIGIN\" \"$WOPR_PEER\" \"$WOPR_PEER_NAME\" \"$WOPR_PEER_SHORT_ID\" \
                  \"$WOPR_SESSION\" \"$WOPR_SESSION_FILE\" \"$WOPR_CAPABILITIES\" \"$WOPR_TRUST\" \
                  \"$WOPR_HOME\" \"$WOPR_CHAIN\"";
    let peer = PublicKey::from_bytes([3; 32]);
    let lines = [
        "remote",
        &peer.to_string(),
        "alice",
        &peer.short_id(),
        "My session",
        "/home/of/wopr/sessions/%4dy%20session.conversation.jsonl",
        "inject,inject.tools",
        "semi-trusted",
        "/home/of/wopr",
        "07070707070707070707070707070707:0123456789abcdef",
    ];
    assert_eq!(ask(sh(script), "").unwrap().lines().collect::<Vec<_>>(), lines);
    let unnamed = Question { peer_name: None, ..question("") };
    let named = block_on(handlers(sh("echo \"[$WOPR_PEER_NAME]\"")).ask(unnamed)).unwrap();
    assert_eq!(named, "[]");
}

#[test]
fn each_session_has_its_own_command() {
    let mut handlers = handlers(sh("echo default"));
    handlers.set(SessionName::new("special").unwrap(), sh("echo special"));
    let ask = |session: &str| {
        let session = SessionName::new(session).unwrap();
        block_on(handlers.ask(Question { session, ..question("") })).unwrap()
    };
    assert_eq!((ask("special").as_str(), ask("other").as_str()), ("special", "default"));
}

#[test]
fn a_session_without_a_command_is_reported() {
    let handlers = Handlers::new(SessionReader::new(&Home::at("/home/of/wopr").unwrap()));
    let error = block_on(handlers.ask(question(""))).unwrap_err();
    assert_eq!(AskFailed::from(&error), AskFailed::NoHandler);
    assert!(error.to_string().contains("\"My session\""), "{error}");
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let error = ask(Handler::command("/no/such/program", [""; 0]), "").unwrap_err();
    assert!(
        matches!(error, HandlerError::NotStarted { .. }) && AskFailed::from(&error) == AskFailed::Died,
        "{error:?}"
    );
    assert!(error.to_string().contains("\"/no/such/program\""), "{error}");
}

#[test]
fn a_session_name_that_no_environment_can_hold_is_an_error() {
    let session = SessionName::new("a\0b").unwrap();
    let error = block_on(handlers(sh("echo x")).ask(Question { session, ..question("") })).unwrap_err();
    assert!(matches!(error, HandlerError::NotStarted { .. }), "{error:?}");
}

#[test]
fn a_status_that_is_not_0_is_a_failure_and_no_answer() {
    let error = ask(sh("echo half an answer; echo 'no \x1b[31mmodel' >&2; exit 7"), "").unwrap_err();
    let HandlerError::Failed { code: 7, stderr, .. } = &error else { panic!("{error:?}") };
    assert_eq!(stderr, "no \u{fffd}[31mmodel");
    assert_eq!(AskFailed::from(&error), AskFailed::Died);
}

#[test]
fn a_signal_is_a_failure_and_no_answer() {
    let error = ask(sh("echo half an answer; kill -9 $$"), "").unwrap_err();
    assert!(
        matches!(error, HandlerError::Killed { signal: 9, .. }) && AskFailed::from(&error) == AskFailed::Died,
        "{error:?}"
    );
}

#[test]
fn an_answer_that_is_not_utf_8_is_a_failure() {
    let error = ask(sh("printf 'a\\377'"), "").unwrap_err();
    assert!(matches!(error, HandlerError::NotUtf8 { .. }) && AskFailed::from(&error) == AskFailed::Died, "{error:?}");
}

#[test]
fn an_answer_may_be_as_long_as_the_limit_and_no_longer() {
    let limited = |script: &str| ask(Handler { max_answer: 100_000, ..sh(script) }, "");
    assert_eq!(limited("head -c 100000 /dev/zero").unwrap().len(), 100_000);
    for script in ["head -c 100001 /dev/zero", "yes"] {
        let error = limited(script).unwrap_err();
        assert!(matches!(error, HandlerError::AnswerTooLong { max_answer: 100_000, .. }), "{error:?}");
        assert_eq!(AskFailed::from(&error), AskFailed::AnswerTooLong);
    }
}

#[test]
fn only_the_end_of_stderr_is_kept() {
    let error = ask(sh("yes error | head -c 6000000 >&2; echo last >&2; exit 1"), "").unwrap_err();
    let HandlerError::Failed { stderr, .. } = error else { panic!("{error:?}") };
    assert!(stderr.len() <= 4096 && stderr.ends_with("error\nlast"), "{} bytes", stderr.len());
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let (path, open) = fifo(folder.path());
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        open().read_to_string(&mut text).unwrap();
        text
    });
    let script = format!("exec 3>{path}; echo up >&3; sleep 1000 & sleep 1000 | cat");
    // Shorter than the sleeps, long enough for a shell to start.
    let handler = Handler { timeout: Duration::from_secs(2), ..sh(&script) };
    let error = ask(handler, "").unwrap_err();
    assert!(
        matches!(error, HandlerError::TimedOut { .. }) && AskFailed::from(&error) == AskFailed::TimedOut,
        "{error:?}"
    );
    // The pipe ends: nobody has it open any more.
    assert_eq!(reader.join().unwrap(), "up\n");
}

#[test]
fn output_without_end_does_not_keep_a_command_alive_past_its_time() {
    let handler = Handler { timeout: Duration::from_millis(500), ..sh("yes >&2") };
    assert!(matches!(ask(handler, ""), Err(HandlerError::TimedOut { .. })));
}

#[test]
fn dropping_the_question_kills_the_command_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let (path, open) = fifo(folder.path());
    let handlers = handlers(sh(&format!("exec 3>{path}; sleep 1000 & echo up >&3; sleep 1000")));
    let question = smol::spawn(handlers.ask(question("")));
    let mut reader = open();
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    block_on(question.cancel());
    assert_eq!(reader.read_to_string(&mut line).unwrap(), 0);
}

#[test]
fn what_a_command_leaves_behind_neither_delays_its_answer_nor_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, open) = fifo(folder.path());
    let reader = std::thread::spawn(move || open().read_to_string(&mut String::new()).unwrap());
    let start = Instant::now();
    // The background process holds stdout, too.
    assert_eq!(ask(sh(&format!("exec 3>{path}; sleep 1000 & echo answer")), "").unwrap(), "answer");
    assert_eq!(reader.join().unwrap(), 0);
    assert!(start.elapsed() < LONG);
}

#[test]
fn a_process_that_left_the_group_does_not_delay_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = fifo(folder.path());
    // It holds stdout, and is known to have left the group when the answer is written.
    let script = format!("setsid sh -c 'echo $$ >{path}; exec sleep 1000' & cat {path}");
    let pid = ask(sh(&script), "").unwrap().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn questions_of_a_session_wait_for_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let busy = folder.path().join("busy");
    // `mkdir` fails while another command is between its two ends.
    let script = format!("mkdir {0} || exit 9; sleep 0.05; rmdir {0}", busy.display());
    let handlers = handlers(Handler { max_running: 1, ..sh(&script) });
    let questions: Vec<_> = (0..6).map(|_| smol::spawn(handlers.ask(question("")))).collect();
    for question in questions {
        assert_eq!(block_on(question).unwrap(), "");
    }
    // Names that peers chose are not kept.
    handlers.place(&SessionName::new("other").unwrap(), 1);
    assert_eq!(handlers.places.lock().unwrap().len(), 1);
}

#[test]
fn questions_of_a_session_are_answered_at_the_same_time_up_to_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = fifo(folder.path());
    // Each needs the other to be running.
    let script = format!("read side; if [ $side = left ]; then echo met >{path}; else cat {path}; fi");
    let handlers = handlers(Handler { max_running: 2, ..sh(&script) });
    let left = handlers.ask(question("left\n"));
    let right = handlers.ask(question("right\n"));
    let (left, right) = block_on(future::zip(left, right));
    assert_eq!((left.unwrap(), right.unwrap()), (String::new(), "met".to_owned()));
}

#[test]
fn questions_of_different_sessions_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = fifo(folder.path());
    let script = format!("if [ $WOPR_SESSION = left ]; then echo met >{path}; else cat {path}; fi");
    let handlers = handlers(Handler { max_running: 1, ..sh(&script) });
    let ask = |name: &str| handlers.ask(Question { session: SessionName::new(name).unwrap(), ..question("") });
    let (left, right) = block_on(future::zip(ask("left"), ask("right")));
    assert_eq!((left.unwrap(), right.unwrap()), (String::new(), "met".to_owned()));
}
