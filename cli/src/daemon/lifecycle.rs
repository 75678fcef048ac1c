//! `daemon start`, `stop`, `restart` and `status`: the life of the daemon from outside, over its socket and the pipe of
//! the one that we start. A socket or a pid that a killed daemon left is never believed: only an answer counts.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use smol::io::{AsyncBufReadExt as _, BufReader};
use smol::process::{Child, Command};
use smol::{Timer, future};
use wopr_p2p_smol::home::Home;

use super::client::Connection;
use super::detached;
use crate::exit::{Exit, Failure};
use crate::output::{DIM, GOOD, Object, Output, Shown, View};

/// How long a daemon may take from its start to the first word.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end in order, or to answer about itself.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long we go on trying while other commands have the home.
const BUSY_LIMIT: Duration = Duration::from_secs(30);
/// How often we look again then.
const BUSY_STEP: Duration = Duration::from_millis(50);

/// `daemon start`.
///
/// # Errors
/// It cannot start; its own words are passed on.
pub(crate) async fn start(home: &Home, out: Output) -> Result<Shown, Failure> {
    let waiting = out.waiting("starting the daemon");
    let begun = Instant::now();
    let mut started = false;
    loop {
        if let Some(daemon) = Connection::open(home).await? {
            waiting.now_for("waiting until others can find the node");
            // It answers when it is ready, to us and to whoever starts it at the same time.
            let ready = within(START_LIMIT, daemon.ask_about_itself(words("start", out)), "say that it is ready");
            if let Some(mut shown) = ready.await? {
                if !out.is_json() {
                    let said = if started { "started" } else { "runs already" };
                    shown.out = format!("{GOOD}The daemon {said}.{GOOD:#}\n{}", shown.out);
                }
                return Ok(shown);
            }
            if started {
                let next = format!("look at {}", detached::log_path(home).display());
                return Err(Failure::new(Exit::Rejected, "the daemon ended right after its start", next));
            }
        }
        match spawn(home).await {
            Ok(()) => started = true,
            // Another command has the home, or a daemon that is about to open its socket.
            Err(failure) if failure.exit == Exit::Rejected && begun.elapsed() < BUSY_LIMIT => {
                waiting.now_for("waiting for another wopr command of this home");
                Timer::after(BUSY_STEP).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// `daemon stop`.
///
/// # Errors
/// It does not end.
pub(crate) async fn stop(home: &Home, out: Output) -> Result<Shown, Failure> {
    let _waiting = out.waiting("waiting until the daemon has ended in order");
    let Some(daemon) = Connection::open(home).await? else {
        return out.render(&Stopped { was_running: false });
    };
    // One that ends without a word has ended, too.
    within(STOP_LIMIT, daemon.ask_about_itself(words("stop", out)), "end").await?;
    out.render(&Stopped { was_running: true })
}

/// `daemon restart`.
///
/// # Errors
/// It does not end, or cannot start.
pub(crate) async fn restart(home: &Home, out: Output) -> Result<Shown, Failure> {
    stop(home, out).await?;
    start(home, out).await
}

/// `daemon status`.
///
/// # Errors
/// None runs: exit code 1.
pub(crate) async fn status(home: &Home, out: Output) -> Result<Shown, Failure> {
    let answer = match Connection::open(home).await? {
        Some(daemon) => within(STOP_LIMIT, daemon.ask_about_itself(words("status", out)), "answer").await?,
        None => None,
    };
    answer.ok_or_else(|| {
        let message = format!("no daemon runs for the home {}", home.folder().display());
        Failure::new(Exit::Offline, message, "`wopr daemon start` starts one")
    })
}

fn words(command: &str, out: Output) -> Vec<String> {
    let json = out.is_json().then_some("--json");
    ["daemon", command].into_iter().chain(json).map(str::to_owned).collect()
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Failure>>,
    what: &str,
) -> Result<T, Failure> {
    let late = async {
        Timer::after(limit).await;
        let message = format!("the daemon did not {what} within {} s", limit.as_secs());
        Err(Failure::new(Exit::Rejected, message, "look at p2p/daemon.log in its home, or end its process"))
    };
    future::or(answer, late).await
}

/// Starts a daemon of our own program and waits for its first word on the pipe that is its stdout.
async fn spawn(home: &Home) -> Result<(), Failure> {
    let cannot = |what: &str, error: &std::io::Error| {
        let next = "the home must be writable, with space on its disk; --home or WOPR_HOME names another";
        Failure::invalid(format!("the daemon cannot be started: {what}: {error}"), next)
    };
    let log = detached::log_path(home);
    let log_name = log.display().to_string();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home.p2p()).map_err(|e| cannot(&log_name, &e))?;
    let log = detached::open(&log).map_err(|error| cannot(&log_name, &error))?;
    let program = std::env::current_exe().map_err(|error| cannot("this program's own file is not known", &error))?;
    let mut child = Command::new(program)
        .args(["daemon", "run", "--detached", "--json", "--home"])
        .arg(home.folder())
        .current_dir(home.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| cannot("its process", &error))?;
    let late = async {
        Timer::after(START_LIMIT).await;
        let message = format!("the daemon said nothing for {} s; it goes on trying", START_LIMIT.as_secs());
        Err(Failure::new(Exit::Rejected, message, format!("look at {log_name}")))
    };
    future::or(first_word(&mut child, &log_name), late).await
}

/// What the daemon's first line says.
#[derive(Deserialize)]
#[serde(untagged)]
enum FirstWord {
    Ready {
        #[serde(rename = "ready")]
        _ready: bool,
    },
    Failed {
        error: Said,
    },
}

#[derive(Deserialize)]
struct Said {
    code: u8,
    message: String,
    next: String,
}

async fn first_word(child: &mut Child, log: &str) -> Result<(), Failure> {
    let mut line = String::new();
    if let Some(pipe) = child.stdout.take() {
        BufReader::new(pipe).read_line(&mut line).await.map_err(|error| {
            Failure::new(Exit::Rejected, format!("the daemon cannot be heard: {error}"), format!("look at {log}"))
        })?;
    }
    match serde_json::from_str(&line) {
        Ok(FirstWord::Ready { .. }) => Ok(()),
        Ok(FirstWord::Failed { error: Said { code, message, next } }) => {
            Err(Failure::new(Exit::from_code(code), message, next))
        }
        Err(_) => Err(Failure::invalid("the daemon ended before it was ready", format!("look at {log}"))),
    }
}

/// What `stop` found.
struct Stopped {
    was_running: bool,
}

impl View for Stopped {
    fn json(&self) -> Object {
        Object::default().with("stopped", self.was_running)
    }

    fn text(&self) -> String {
        if self.was_running {
            format!("{GOOD}The daemon has stopped.{GOOD:#}\n")
        } else {
            format!("{DIM}No daemon was running.{DIM:#}\n")
        }
    }
}
