//! The daemon's side of its socket, and its life from start to signal.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_signal::{Signal, Signals};
use clap::Parser as _;
use sd_notify::NotifyState;
use smol::channel::{Receiver, Sender, unbounded};
use smol::io::AsyncReadExt as _;
use smol::lock::{Semaphore, SemaphoreGuard};
use smol::net::unix::{UnixListener, UnixStream};
use smol::stream::StreamExt as _;
use smol::{Executor, Timer, future};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::event_log::Happened;
use wopr_p2p_smol::home::Home;

use super::detached::{self, Log};
use super::events;
use super::frame::{FrameError, Request, read, write};
use super::page;
use super::protocol::{Response, SOCKET};
use super::status::DaemonStatus;
use crate::args::{Area, Cli, Daemon, P2p};
use crate::command;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::log;
use crate::node::{Node, Reach};
use crate::output::{BOLD, GOOD, Object, Output, Shown};
use crate::web::Web;

/// Commands that are done at the same time; more have to wait.
const MAX_COMMANDS: usize = 64;
/// Commands that follow the events at the same time.
const MAX_FOLLOWERS: usize = 16;
/// How long a connection may take to send its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How often the length of the log is looked at.
const LOG_LOOK: Duration = Duration::from_secs(5);
/// How long a status waits to hear whether the node was announced.
const ANNOUNCED_LIMIT: Duration = Duration::from_millis(200);

/// Runs the home's node until SIGTERM, Ctrl-C or `daemon stop`, then stops it in order. `detached`: without a terminal,
/// as `daemon start` does; stdout is its pipe then, until the node is ready.
///
/// # Errors
/// It could not start.
pub(crate) async fn run(home: &Home, out: Output, detached: bool) -> Result<(), Failure> {
    if detached {
        detached::leave_terminal();
    }
    let signals = signals()?;
    let config = Config::load(home.folder())?;
    log::start(&config);
    live(home, &config, Voice { out, detached }, until_asked(signals)).await
}

/// How the daemon speaks.
#[derive(Clone, Copy)]
pub(super) struct Voice {
    pub(super) out: Output,
    pub(super) detached: bool,
}

/// What the parts of a living daemon share.
struct Life<'a> {
    home: &'a Home,
    node: &'a Node,
    web: &'a Web,
    started: WallTime,
    places: Semaphore,
    followers: Semaphore,
    /// Takes whoever asked us to stop; they are answered at the end.
    stop: Sender<UnixStream>,
}

/// Runs the home's node until the future ends or somebody asks it to stop, then stops it in order.
pub(super) async fn live(
    home: &Home,
    config: &Config,
    voice: Voice,
    until: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let node = Arc::new(Node::open(home, config, Reach::BothWays).await?);
    let web = Web::start(home, config, &node);
    let (stop, stopping) = unbounded();
    let mut farewell = Vec::new();
    let result = match Socket::bind(home) {
        Ok(socket) => {
            let life = Life {
                home,
                node: &node,
                web: &web,
                started: Node::now(),
                places: Semaphore::new(MAX_COMMANDS),
                followers: Semaphore::new(MAX_FOLLOWERS),
                stop,
            };
            // The commands under way borrow the life, and end with the executor.
            let executor = Executor::new();
            let serving = future::or(socket.serve(&executor, &life), report(&node, &web, home, voice));
            let asked = async {
                farewell.extend(stopping.recv().await);
                Ok(())
            };
            executor.run(future::or(future::or(until, asked), serving)).await
        }
        Err(failure) => Err(failure),
    };
    notify(&[NotifyState::Stopping]);
    tracing::info!("the daemon stops");
    web.stop().await;
    // Nobody else has it: the commands ended with the executor, the requests with the server.
    if let Some(node) = Arc::into_inner(node) {
        node.close().await;
    }
    while let Ok(stream) = stopping.try_recv() {
        farewell.push(stream);
    }
    for mut stream in farewell {
        // Whoever stopped waiting does not hear it.
        drop(write(&mut stream, &Response::Done(Shown::default())).await);
    }
    result
}

/// Tells systemd, if it started us and wants to know. It has nobody to tell who is not there.
fn notify(state: &[NotifyState<'_>]) {
    drop(sd_notify::notify(state));
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
async fn report(node: &Node, web: &Web, home: &Home, voice: Voice) -> Result<(), Failure> {
    let happening = node.events().await;
    let announced = node.listening().await;
    if let Err(error) = &announced {
        tracing::warn!(%error, "not announced yet");
    }
    if let Some(why) = web.failure() {
        tracing::warn!(why, "there is no page and no metrics");
    }
    let key = node.snapshot().await?.public_key;
    let page = web.address().map(tracing::field::display);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), node = key.short_id(), page, "the daemon is ready");
    let ready = Object::default().with("ready", true).shown("publicKey", key).with("shortId", key.short_id());
    let ready = ready.with("announced", announced.is_ok());
    let text = format!("{GOOD}ready{GOOD:#} publicKey: {BOLD}{key}{BOLD:#}\n");
    voice.out.line(&ready, &text)?;
    notify(&[NotifyState::Ready]);
    if !voice.detached {
        return show_events(voice.out, happening, None).await;
    }
    let log = Log::take_over(home)?;
    let out = Output::new(false);
    out.line(&ready, &text)?;
    show_events(out, happening, Some(log)).await
}

async fn show_events(out: Output, happening: Receiver<Happened>, log: Option<Log>) -> Result<(), Failure> {
    let short = |log: &Option<Log>| log.as_ref().map_or(Ok(()), Log::keep_short);
    loop {
        let happened = async { Some(happening.recv().await) };
        // The log grows by itself, too.
        let tick = async {
            Timer::after(LOG_LOOK).await;
            None
        };
        let written = match future::or(happened, tick).await {
            Some(Ok(happened)) => out.show(&events::show(&happened.line, out)).and_then(|()| short(&log)),
            None => short(&log),
            Some(Err(_)) => {
                return Err(Failure::invalid(
                    "the node stopped by itself",
                    "look at the lines above, and start it again",
                ));
            }
        };
        // A full disk takes no log: that must not end the node.
        if log.is_none() {
            written?;
        }
    }
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
    async fn serve<'a>(&self, executor: &Executor<'a>, life: &'a Life<'a>) -> Result<(), Failure> {
        loop {
            let place = life.places.acquire().await;
            match self.listener.accept().await {
                Ok((stream, _)) => executor.spawn(answer(stream, life, place)).detach(),
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

/// Does the commands that come on a connection, one after the other.
async fn answer(mut stream: UnixStream, life: &Life<'_>, place: SemaphoreGuard<'_>) {
    let mut place = Some(place);
    loop {
        let request = future::or(read(&mut stream), async {
            Timer::after(REQUEST_LIMIT).await;
            Err(FrameError::Broken)
        });
        let (result, more) = match request.await {
            Ok(request) => {
                // Whoever does not hear this may have the command done by another node.
                if write(&mut stream, &Response::Taken).await.is_err() {
                    return;
                }
                let Some(result) = one(&mut stream, request, life, &mut place).await else { return };
                // Whoever followed the events has no place any more.
                (result, place.is_some())
            }
            Err(FrameError::OtherVersion(_) | FrameError::Unreadable) => {
                (Err(Failure::invalid("the daemon cannot read the command", RESTART)), false)
            }
            Err(FrameError::Broken) => return,
        };
        let response = match result {
            Ok(shown) => Response::Done(shown),
            Err(failure) => Response::Failed(failure),
        };
        // A command that was stopped meanwhile does not hear the answer.
        if write(&mut stream, &response).await.is_err() || !more {
            return;
        }
    }
}

/// Does one command; `None` if nobody waits for its result, or the answer comes when the daemon ends.
async fn one<'a>(
    stream: &mut UnixStream,
    Request { words, stdin }: Request,
    life: &Life<'_>,
    place: &mut Option<SemaphoreGuard<'a>>,
) -> Option<Result<Shown, Failure>> {
    let words = std::iter::once("wopr".to_owned()).chain(words);
    match Cli::try_parse_from(words) {
        Ok(Cli { area: Area::Daemon { command: Daemon::Stop }, .. }) => {
            // There is room for all, and we have not ended yet.
            drop(life.stop.try_send(stream.clone()));
            None
        }
        Ok(Cli { json, area: Area::P2p { command: P2p::Events { follow: true } }, .. }) => {
            drop(place.take());
            Some(follow(stream, life, Output::new(json)).await)
        }
        Ok(Cli { json, area, .. }) => {
            let gives_up = matches!(&area, Area::P2p { command: P2p::Node(node) } if node.ends_with_its_caller());
            let doing = async { Some(execute(area, stdin, life, Output::new(json)).await) };
            let left = async {
                if !gives_up {
                    future::pending::<()>().await;
                }
                gone(stream).await;
                None
            };
            future::or(doing, left).await
        }
        Err(_) => Some(Err(unknown())),
    }
}

/// What to do with a daemon of another version.
const RESTART: &str = "start it again with this program: wopr daemon restart";

fn unknown() -> Failure {
    Failure::invalid("the daemon does not know this command", RESTART)
}

async fn execute(area: Area, stdin: Option<String>, life: &Life<'_>, out: Output) -> Result<Shown, Failure> {
    match area {
        Area::P2p { command: P2p::Node(command) } => command::execute(command, stdin, life.node, out).await,
        Area::P2p { command: P2p::Ui { .. } } => page::link(life.web, out),
        Area::Daemon { command: Daemon::Start } => status(life, life.node.listening().await.is_ok(), out).await,
        Area::Daemon { command: Daemon::Status } => {
            let announced = async { life.node.listening().await.is_ok() };
            let not_yet = async {
                Timer::after(ANNOUNCED_LIMIT).await;
                false
            };
            status(life, future::or(announced, not_yet).await, out).await
        }
        _ => Err(unknown()),
    }
}

async fn status(life: &Life<'_>, announced: bool, out: Output) -> Result<Shown, Failure> {
    out.render(&DaemonStatus::of(life.node, life.web, life.home, life.started, announced).await?)
}

/// Sends what happens for as long as the other side listens.
async fn follow(stream: &mut UnixStream, life: &Life<'_>, out: Output) -> Result<Shown, Failure> {
    let Some(_place) = life.followers.try_acquire() else {
        let message = format!("{MAX_FOLLOWERS} others follow the events of this daemon already");
        return Err(Failure::new(Exit::Rejected, message, "end one of them"));
    };
    let happening = life.node.events().await;
    let mut caller = stream.clone();
    let left = async {
        gone(&mut caller).await;
        None
    };
    let sending = async {
        while let Ok(happened) = happening.recv().await {
            let shown = events::show(&happened.line, out);
            write(stream, &Response::Part(shown)).await.ok()?;
        }
        Some(())
    };
    future::or(left, sending).await;
    Ok(Shown::default())
}

/// Waits until whoever gave a command has gone: there is nothing more to say, so whatever comes, or the end, means that.
async fn gone(caller: &mut UnixStream) {
    drop(caller.read(&mut [0]).await);
}
