use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Parser as _;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::args::{Area, Cli, P2p};

const KEY: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

const VOICE: server::Voice = server::Voice { out: Output::new(true), detached: false };

fn new_home() -> (TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    (folder, home)
}

async fn run(home: &Home, line: &str) -> Result<Value, Failure> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let cli = Cli::try_parse_from(["wopr"].into_iter().chain(line.split(' '))).unwrap();
    let Area::P2p { command: P2p::Node(command) } = cli.area else { panic!("not a command for a node: {line}") };
    let shown = perform(home, command, words, Output::new(true)).await?;
    Ok(serde_json::from_str(&shown.out).unwrap())
}

/// Runs a daemon in a home, on a network on which nobody is, while `work` lasts.
fn with_daemon(home: &Home, work: impl Future<Output = ()>) {
    let config = Config {
        bootstrap: Some(vec!["127.0.0.1:9".to_owned()]),
        bind: Some(Ipv4Addr::LOCALHOST),
        lan: Some(false),
        ..Config::default()
    };
    let until = async {
        work.await;
        Ok(())
    };
    smol::block_on(server::live(home, &config, VOICE, until)).unwrap();
}

#[test]
fn commands_are_done_by_the_daemon_while_it_runs_and_by_themselves_otherwise() {
    let (_folder, home) = new_home();
    with_daemon(&home, async {
        assert_eq!(run(&home, "p2p status --json").await.unwrap()["daemon"], true);
        run(&home, &format!("p2p grant {KEY} main --json")).await.unwrap();
        let refused = run(&home, "p2p revoke nobody --json").await.unwrap_err();
        assert_eq!(refused.exit.code(), 3, "the daemon's refusal comes back whole: {refused}");
    });
    assert!(!home.p2p().join(protocol::SOCKET).exists(), "the socket goes with the daemon");
    let status = smol::block_on(run(&home, "p2p status --json")).unwrap();
    assert_eq!((&status["daemon"], &status["grants"]), (&false.into(), &1.into()), "what the daemon did is stored");
}

#[test]
fn a_second_daemon_is_refused() {
    let (_folder, home) = new_home();
    with_daemon(&home, async {
        let second = server::live(&home, &Config::default(), VOICE, future::pending()).await.unwrap_err();
        assert_eq!(second.exit.code(), 2, "{second}");
        assert_eq!(run(&home, "p2p status --json").await.unwrap()["daemon"], true, "the first goes on");
    });
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_in_nobodys_way() {
    let (_folder, home) = new_home();
    drop(home.lock().unwrap());
    let path = home.p2p().join(protocol::SOCKET);
    // Dropping the listener leaves the file, as a killed process does.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert_eq!(smol::block_on(run(&home, "p2p status --json")).unwrap()["daemon"], false);
    with_daemon(&home, async {
        assert_eq!(run(&home, "p2p status --json").await.unwrap()["daemon"], true);
    });
}

#[test]
fn the_socket_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, home) = new_home();
    with_daemon(&home, async {
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(home.p2p().join(protocol::SOCKET)), 0o600);
        assert_eq!(mode(home.p2p()), 0o700);
    });
}

#[test]
fn commands_without_a_daemon_wait_for_each_other() {
    let (_folder, home) = new_home();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let home = &home;
            scope
                .spawn(move || smol::block_on(run(home, &format!("p2p grant {KEY} session-{number} --json"))).unwrap());
        }
    });
    let grants = smol::block_on(run(&home, "p2p grants --json")).unwrap();
    assert_eq!(grants["grants"].as_array().unwrap().len(), 4, "{grants}");
}

#[test]
fn what_is_not_a_request_ends_its_connection_and_nothing_else() {
    use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (_folder, home) = new_home();
    with_daemon(&home, async {
        const OURS: u8 = frame::VERSION;
        let junk = [&[OURS, 0, 0, 0, 2, b'{', b'}'][..], &[9, 0, 0, 0, 0], &[OURS, 0xff, 0xff, 0xff, 0xff], &[OURS]];
        for junk in junk {
            let mut stream = smol::net::unix::UnixStream::connect(home.p2p().join(protocol::SOCKET)).await.unwrap();
            stream.write_all(junk).await.unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
        }
        assert_eq!(run(&home, "p2p status --json").await.unwrap()["daemon"], true);
    });
}

#[test]
fn a_connection_takes_one_command_after_the_other_and_whoever_asks_on_finds_the_next_daemon() {
    let (_folder, home) = new_home();
    let words = || ["p2p", "status", "--json"].map(str::to_owned).to_vec();
    let mut asking = Asking::of(&home);
    with_daemon(&home, async {
        let mut connection = client::Connection::open(&home).await.unwrap().unwrap();
        let request = frame::Request { words: words(), stdin: None };
        for _ in 0..3 {
            assert!(connection.ask(&request).await.unwrap().unwrap().out.contains("publicKey"));
        }
        asking.ask(words()).await.unwrap();
    });
    assert_eq!(smol::block_on(asking.ask(words())).unwrap_err().exit, Exit::Offline);
    with_daemon(&home, async {
        asking.ask(words()).await.unwrap();
    });
}
