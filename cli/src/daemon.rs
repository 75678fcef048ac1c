//! The home's daemon: a node that stays, and does what the owner's commands ask of it over a socket in the home.
//!
//! A command is done by the daemon where one runs, and by a node of its own otherwise ([`perform`]). At most one node
//! has a home at any time: the home's lock sees to that, and commands wait for each other.

mod client;
mod detached;
mod events;
mod frame;
mod lifecycle;
mod page;
mod protocol;
mod server;
mod status;

use std::io::Read as _;
use std::pin::pin;
use std::time::{Duration, Instant};

use smol::{Timer, future};
use wopr_p2p_core::Event;
use wopr_p2p_smol::home::Home;

pub(crate) use self::events::{members as event_members, show as show_event};
pub(crate) use self::lifecycle::{restart, start, status, stop};
pub(crate) use self::page::page;
pub(crate) use self::server::{run, signals, until_asked};
use crate::args::NodeCommand;
use crate::command;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::node::{Node, OpenError};
use crate::output::{Output, Shown};

/// How long a command waits for another one that has the home.
const BUSY_LIMIT: Duration = Duration::from_secs(30);
/// How often it looks again.
const BUSY_STEP: Duration = Duration::from_millis(20);
/// The longest text that is read from stdin, in bytes; the node's own limit is lower.
const MAX_STDIN: u64 = 8 << 20;

/// Does a command that was typed: by the daemon of the home, or by a node that runs as long as it takes. `words` are
/// those that the command was read from: the daemon reads them again.
///
/// # Errors
/// Why it was not done.
pub(crate) async fn perform(
    home: &Home,
    command: NodeCommand,
    words: Vec<String>,
    out: Output,
) -> Result<Shown, Failure> {
    let stdin = if command.wants_stdin() { Some(read_stdin()?) } else { None };
    let waiting = out.waiting(command.waiting_for());
    let work = Work { command, words, stdin, out };
    work.perform(home, |what| waiting.now_for(what), future::pending()).await
}

/// A command to do, and what belongs to it.
pub(crate) struct Work {
    /// The command.
    pub(crate) command: NodeCommand,
    /// The words that it was read from.
    pub(crate) words: Vec<String>,
    /// The text that stands for its stdin, if it wants one.
    pub(crate) stdin: Option<String>,
    /// How its result is written.
    pub(crate) out: Output,
}

impl Work {
    /// Does it, and tells what is being waited for. When `given_up` ends, nobody waits for the result any more: the node
    /// of our own ends in order, the daemon gives a question up and brings everything else to its end.
    ///
    /// # Errors
    /// Why it was not done, or what `given_up` says.
    pub(crate) async fn perform(
        self,
        home: &Home,
        tell: impl Fn(&str),
        given_up: impl Future<Output = Failure>,
    ) -> Result<Shown, Failure> {
        let Self { mut command, words, stdin, out } = self;
        let mut request = frame::Request { words, stdin };
        command.join_chain(&mut request.words, std::env::var("WOPR_CHAIN").ok())?;
        let mut given_up = pin!(given_up);
        let started = Instant::now();
        loop {
            if let Some(mut daemon) = client::Connection::open(home).await? {
                let asked = future::or(async { Err(given_up.as_mut().await) }, daemon.ask(&request)).await?;
                if let Some(shown) = asked {
                    return Ok(shown);
                }
            }
            match Node::open(home, &Config::load(home.folder())?, command.reach()).await {
                Ok(node) => {
                    let connected = command.once_connected();
                    let doing =
                        future::or(async { Err(given_up.await) }, command::execute(command, request.stdin, &node, out));
                    let result = future::or(doing, tell_connected(&node, &tell, connected)).await;
                    tell("closing the node");
                    node.close().await;
                    return result;
                }
                Err(OpenError::Failed(failure)) => return Err(failure),
                Err(OpenError::Busy(failure)) if started.elapsed() > BUSY_LIMIT => return Err(failure),
                Err(OpenError::Busy(_)) => {
                    tell("waiting for another wopr command of this home");
                    let again = async {
                        Timer::after(BUSY_STEP).await;
                        None
                    };
                    if let Some(failure) = future::or(async { Some(given_up.as_mut().await) }, again).await {
                        return Err(failure);
                    }
                }
            }
        }
    }
}

/// `events --follow`: prints what happens in the daemon's node until one of us is ended.
///
/// # Errors
/// No daemon runs, or it has ended.
pub(crate) async fn follow(home: &Home, words: Vec<String>, out: Output) -> Result<Shown, Failure> {
    connection(home).await?.ask_and_print(words, out).await
}

/// Has the daemon do commands that only look, again and again, on one connection that stays.
pub(crate) struct Asking {
    home: Home,
    connection: Option<client::Connection>,
}

impl Asking {
    /// For the daemon of a home.
    pub(crate) fn of(home: &Home) -> Self {
        Self { home: home.clone(), connection: None }
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// No daemon runs, or why it was not done.
    pub(crate) async fn ask(&mut self, words: Vec<String>) -> Result<Shown, Failure> {
        let request = frame::Request { words, stdin: None };
        if let Some(kept) = &mut self.connection
            && let Some(shown) = kept.ask(&request).await?
        {
            return Ok(shown);
        }
        // The first one, or the daemon was started anew; one that died before it took this is one that does not run.
        let mut connection = connection(&self.home).await?;
        let shown = connection.ask(&request).await?.ok_or_else(|| no_daemon(&self.home))?;
        self.connection = Some(connection);
        Ok(shown)
    }
}

/// A connection to the home's daemon, for what makes no sense without one.
async fn connection(home: &Home) -> Result<client::Connection, Failure> {
    client::Connection::open(home).await?.ok_or_else(|| no_daemon(home))
}

fn no_daemon(home: &Home) -> Failure {
    let message = format!("no daemon runs for the home {}: nothing happens here", home.folder().display());
    Failure::new(Exit::Offline, message, "`wopr daemon start` starts one")
}

/// Says on the way that the peer was found. Never ends before the command does.
async fn tell_connected(node: &Node, tell: impl Fn(&str), text: &str) -> Result<Shown, Failure> {
    let happening = node.events().await;
    while let Ok(happened) = happening.recv().await {
        if matches!(happened.event, Some(Event::PeerConnected { dialled: true, .. })) {
            tell(text);
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
