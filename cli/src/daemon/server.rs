//! The daemon's side of its socket, and its life from start to signal.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_signal::{Signal, Signals};
use clap::Parser as _;
use smol::channel::Receiver;
use smol::lock::Semaphore;
use smol::net::unix::{UnixListener, UnixStream};
use smol::stream::StreamExt as _;
use smol::{Executor, Timer, future};
use wopr_p2p_core::Event;
use wopr_p2p_smol::home::Home;

use super::events;
use super::protocol::{FrameError, Request, Response, SOCKET, read, write};
use crate::args::{Area, Cli, P2p};
use crate::command::{self, Names};
use crate::config::Config;
use crate::exit::Failure;
use crate::node::{Node, Reach};
use crate::output::{BOLD, GOOD, Object, Output, WARN};

/// Commands that are done at the same time; more have to wait.
const MAX_COMMANDS: usize = 64;
/// How long a connection may take to send its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Runs the home's node until SIGTERM or Ctrl-C, then stops it in order.
///
/// # Errors
/// It could not start.
pub(crate) async fn run(home: &Home, out: Output) -> Result<(), Failure> {
    let signals = signals()?;
    live(home, &Config::load(home.folder())?, out, until_asked(signals)).await
}

/// Runs the home's node until the future ends, then stops it in order.
pub(super) async fn live(
    home: &Home,
    config: &Config,
    out: Output,
    until: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let node = Node::open(home, config, Reach::BothWays).await?;
    let result = match Socket::bind(home) {
        Ok(socket) => {
            // The commands under way borrow these two, and end with the executor.
            let (node, places) = (&node, &Semaphore::new(MAX_COMMANDS));
            let executor = Executor::new();
            let serving = future::or(socket.serve(&executor, node, places), report(node, out));
            executor.run(future::or(until, serving)).await
        }
        Err(failure) => Err(failure),
    };
    node.close().await;
    result
}

/// Listens for the signals that ask a program to end.
///
/// # Errors
/// The operating system does not let us.
pub(crate) fn signals() -> Result<Signals, Failure> {
    Signals::new([Signal::Term, Signal::Int])
        .map_err(|error| Failure::invalid(format!("signals cannot be received: {error}"), ""))
}

/// Waits for one of them.
pub(crate) async fn until_asked(mut signals: Signals) -> Result<(), Failure> {
    // An error of a signal's pipe ends the program as well: better in order than never.
    drop(signals.next().await);
    Ok(())
}

/// Says when the node is ready, and then what happens.
async fn report(node: &Node, out: Output) -> Result<(), Failure> {
    let happening = node.events().await;
    if let Err(error) = node.listening().await {
        let mut stderr = anstream::stderr().lock();
        io::Write::write_fmt(&mut stderr, format_args!("{WARN}not announced yet:{WARN:#} {error}\n"))?;
    }
    let key = node.snapshot().await?.public_key;
    let ready = Object::default().with("ready", true).shown("publicKey", key).with("shortId", key.short_id());
    out.line(&ready, &format!("{GOOD}ready{GOOD:#} publicKey: {BOLD}{key}{BOLD:#}\n"))?;
    show_events(node, out, happening).await
}

async fn show_events(node: &Node, out: Output, happening: Receiver<Event>) -> Result<(), Failure> {
    while let Ok(event) = happening.recv().await {
        let names = Names::of(&node.snapshot().await?);
        let (json, text) = events::show(&event, &names, Node::now());
        out.line(&json, &text)?;
    }
    Err(Failure::invalid("the node stopped by itself", "look at the lines above, and start it again"))
}

/// The listening socket; its file goes with it.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Takes the place of the socket that a killed daemon may have left: we hold the home's lock.
    fn bind(home: &Home) -> Result<Self, Failure> {
        let path = home.p2p().join(SOCKET);
        let cannot = |error: io::Error| {
            Failure::invalid(
                format!("the socket {} cannot be made: {error}", path.display()),
                "use a home whose path is shorter than 80 characters, on a file system that has sockets",
            )
        };
        remove(&path).map_err(cannot)?;
        let listener = UnixListener::bind(&path).map_err(cannot)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(cannot)?;
        Ok(Self { listener, path })
    }

    /// Answers commands for ever.
    async fn serve<'a>(&self, executor: &Executor<'a>, node: &'a Node, places: &'a Semaphore) -> Result<(), Failure> {
        loop {
            let place = places.acquire().await;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answering = async move {
                        answer(stream, node).await;
                        drop(place);
                    };
                    executor.spawn(answering).detach();
                }
                // Out of file descriptors, most likely: commands under way will give some back.
                Err(_) => drop(Timer::after(Duration::from_millis(100)).await),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A socket that stays behind is refused by nobody and replaced by the next daemon.
        drop(remove(&self.path));
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Does one command.
async fn answer(mut stream: UnixStream, node: &Node) {
    let request = future::or(read(&mut stream), async {
        Timer::after(REQUEST_LIMIT).await;
        Err(FrameError::Broken)
    });
    let response = match request.await {
        Ok(Request { words, stdin }) => match execute(words, stdin, node).await {
            Ok(shown) => Response::Done(shown),
            Err(failure) => Response::Failed(failure),
        },
        Err(FrameError::OtherVersion(_) | FrameError::Unreadable) => {
            Response::Failed(Failure::invalid("the daemon cannot read the command", "start it again with this program"))
        }
        Err(FrameError::Broken) => return,
    };
    // A command that was stopped meanwhile does not hear the answer.
    drop(write(&mut stream, &response).await);
}

async fn execute(words: Vec<String>, stdin: Option<String>, node: &Node) -> Result<crate::output::Shown, Failure> {
    let words = std::iter::once("wopr".to_owned()).chain(words);
    match Cli::try_parse_from(words) {
        Ok(Cli { json, area: Area::P2p { command: P2p::Node(command) }, .. }) => {
            command::execute(command, stdin, node, Output::new(json)).await
        }
        Ok(_) | Err(_) => {
            Err(Failure::invalid("the daemon does not know this command", "start it again with this program"))
        }
    }
}
