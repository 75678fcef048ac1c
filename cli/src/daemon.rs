//! The home's daemon: a node that stays, and does what the owner's commands ask of it over a socket in the home.
//!
//! A command is done by the daemon where one runs, and by a node of its own otherwise ([`perform`]). At most one node
//! has a home at any time: the home's lock sees to that, and commands wait for each other.

mod client;
mod detached;
mod events;
mod frame;
mod lifecycle;
mod protocol;
mod server;
mod status;

use std::io::Read as _;
use std::time::{Duration, Instant};

use smol::{Timer, future};
use wopr_p2p_core::Event;
use wopr_p2p_smol::home::Home;

pub(crate) use self::events::show as show_event;
pub(crate) use self::lifecycle::{restart, start, status, stop};
pub(crate) use self::server::{run, signals, until_asked};
use crate::args::NodeCommand;
use crate::command;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::node::{Node, OpenError};
use crate::output::{Output, Shown, Waiting};

/// How long a command waits for another one that has the home.
const BUSY_LIMIT: Duration = Duration::from_secs(30);
/// How often it looks again.
const BUSY_STEP: Duration = Duration::from_millis(20);
/// The longest text that is read from stdin, in bytes; the node's own limit is lower.
const MAX_STDIN: u64 = 8 << 20;

/// Does a command: by the daemon of the home, or by a node that runs as long as it takes. `words` are those that the
/// command was read from: the daemon reads them again.
///
/// # Errors
/// Why it was not done.
pub(crate) async fn perform(
    home: &Home,
    mut command: NodeCommand,
    mut words: Vec<String>,
    out: Output,
) -> Result<Shown, Failure> {
    command.join_chain(&mut words, std::env::var("WOPR_CHAIN").ok())?;
    let stdin = if command.wants_stdin() { Some(read_stdin()?) } else { None };
    let waiting = out.waiting(command.waiting_for());
    let started = Instant::now();
    loop {
        if let Some(daemon) = client::Connection::open(home).await? {
            return daemon.ask(words, stdin).await;
        }
        match Node::open(home, &Config::load(home.folder())?, command.reach()).await {
            Ok(node) => {
                let connected = command.once_connected();
                let doing = command::execute(command, stdin, &node, out);
                let result = future::or(doing, tell_connected(&node, &waiting, connected)).await;
                waiting.now_for("closing the node");
                node.close().await;
                return result;
            }
            Err(OpenError::Failed(failure)) => return Err(failure),
            Err(OpenError::Busy(failure)) if started.elapsed() > BUSY_LIMIT => return Err(failure),
            Err(OpenError::Busy(_)) => {
                waiting.now_for("waiting for another wopr command of this home");
                Timer::after(BUSY_STEP).await;
            }
        }
    }
}

/// `events --follow`: prints what happens in the daemon's node until one of us is ended.
///
/// # Errors
/// No daemon runs, or it has ended.
pub(crate) async fn follow(home: &Home, words: Vec<String>, out: Output) -> Result<Shown, Failure> {
    let Some(daemon) = client::Connection::open(home).await? else {
        let message = format!("no daemon runs for the home {}: nothing happens here", home.folder().display());
        return Err(Failure::new(Exit::Offline, message, "`wopr daemon start` starts one"));
    };
    daemon.ask_and_print(words, None, out).await
}

/// Says on the way that the peer was found. Never ends before the command does.
async fn tell_connected(node: &Node, waiting: &Waiting, text: &'static str) -> Result<Shown, Failure> {
    let happening = node.events().await;
    while let Ok(happened) = happening.recv().await {
        if matches!(happened.event, Some(Event::PeerConnected { dialled: true, .. })) {
            waiting.now_for(text);
        }
    }
    future::pending().await
}

fn read_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let cannot = |why: &str| {
        Failure::invalid(format!("the message on stdin cannot be used: {why}"), "write UTF-8 text to stdin")
    };
    std::io::stdin().take(MAX_STDIN + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error.to_string()))?;
    if bytes.len() as u64 > MAX_STDIN {
        return Err(Failure::invalid(
            "the message on stdin is longer than 8 MiB",
            "send something shorter: 1 MiB at most",
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| cannot("it is not UTF-8"))?;
    // `echo text | wopr …` means the text, not the line end that echo adds.
    Ok(text.strip_suffix('\n').map_or_else(|| text.clone(), str::to_owned))
}

#[cfg(test)]
mod tests;
