//! A running node, as the rest of the program sees it: start it, have it do something, look at it, stop it.
//!
//! One task owns the node (`running.rs`). Everything slow (sockets, disk, AI commands) runs beside it and reports back
//! through one bounded queue, so a peer that sends faster than we work is slowed down by its own stream.

mod observe;
mod running;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use smol::Task;
use smol::channel::{Receiver, Sender, bounded};
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::config::ConfigError;
use wopr_p2p_core::error::StateError;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::{Load, Snapshot};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rate::{Ban, Standing};
use wopr_p2p_core::time::Now;
use wopr_p2p_core::{
    AskId, Command, CommandError, Config, Document, Input, Node, Reply, StartError, Stored, StreamId, StreamOrigin,
};

pub use self::observe::{Observation, Observe};
use self::running::Running;
use crate::clock::Clock;
use crate::disk::{Disk, Written};
use crate::event_log::{EventLog, EventReader, Follow, Happened, Query};
use crate::file::FileError;
use crate::handler::{HandlerError, Handlers};
use crate::home::HomeLock;
use crate::net::{self, Network, Path, Stream};
use crate::session_file::SessionWriter;
use crate::store::Store;

/// What may wait for the node before whoever brings more has to wait.
const INBOX: usize = 256;
/// Events that may wait for a subscriber before it misses some.
const EVENTS: usize = 1024;

/// What a node runs with.
pub struct Options {
    /// The bounds and delays of the node.
    pub config: Config,
    /// The network it is on.
    pub network: Arc<dyn Network>,
    /// Who answers questions.
    pub handlers: Handlers,
    /// Whether others can reach it. A node that runs for one command need not announce itself.
    pub listen: bool,
    /// Hears what went wrong on our side, for the owner. Called in the loop: it must not block.
    pub report: Box<dyn Fn(Report) + Send>,
    /// Hears what can be counted.
    pub observe: Observe,
}

/// Something that went wrong on our side and that no [`Event`](wopr_p2p_core::Event) says.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report {
    /// A peer's question got no answer. The peer only hears that it failed.
    Unanswered {
        /// Who asked.
        peer: PublicKey,
        /// In which session.
        session: SessionName,
        /// Why the session's command gave no answer.
        error: HandlerError,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A peer chose the name: `Debug` makes its control characters harmless.
            Self::Unanswered { peer, session, error } => {
                write!(f, "a question of {} in the session {session:?} got no answer: {error}", peer.short_id())
            }
        }
    }
}

/// Why a node could not be started.
#[derive(Debug)]
pub enum DriverError {
    /// A file of the home cannot be read.
    File(FileError),
    /// A document cannot be understood. It was left as it is, and a copy of it kept, if that could be done.
    Damaged {
        /// Which one.
        document: Document,
        /// Why.
        error: StateError,
        /// Where the copy is, or why there is none.
        copy: Result<PathBuf, FileError>,
    },
    /// A value of the config cannot be used.
    Config(ConfigError),
    /// The operating system gives no randomness or no threads.
    System(io::Error),
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Damaged { document, error, copy } => {
                write!(f, "{} is damaged: {error}. ", document.file_name())?;
                match copy {
                    Ok(path) => write!(f, "A copy of it as it is now is kept as {}", path.display()),
                    Err(error) => write!(f, "No copy of it was kept: {error}"),
                }
            }
            Self::Config(error) => error.fmt(f),
            Self::System(error) => write!(f, "cannot start a node: {error}"),
        }
    }
}

impl std::error::Error for DriverError {}

/// A running node. Dropping it stops it at once; [`Driver::close`] stops it in order.
pub struct Driver {
    inbox: Sender<Wake>,
    task: Task<()>,
    network: Arc<dyn Network>,
    public_key: PublicKey,
    log: EventReader,
}

/// A peer answered: how far away it is, and which way its packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Until a stream was open.
    pub found: Duration,
    /// From our hello to the peer's answer, each with its signature.
    pub round_trip: Duration,
    /// The way.
    pub path: Path,
}

/// Something that looks at the node.
type Look = Box<dyn FnOnce(&Node, Now) + Send>;

/// What wakes the loop.
enum Wake {
    Input(Input),
    Written(Written),
    Answered { id: AskId, result: Result<String, Report> },
    Opened { stream: Stream, origin: StreamOrigin },
    Run { command: Command, result: Sender<Result<Reply, CommandError>>, waits: Receiver<Infallible> },
    Ping { peer: PeerRef, timeout: Duration, result: Sender<Result<Pong, CommandError>> },
    Paths(Sender<BTreeMap<StreamId, Path>>),
    Look(Look),
    Subscribe { to: Sender<Happened>, ready: Sender<()> },
    Listened(Result<(), net::NetError>),
    AwaitListening(Sender<Result<(), net::NetError>>),
    Stop(Sender<Infallible>),
}

impl Driver {
    /// Starts the node of a home.
    ///
    /// # Errors
    /// A document that cannot be read or used: nothing has been changed then, but for a new home's empty folders, and the
    /// copy of a damaged document.
    pub fn start(home: Arc<HomeLock>, options: Options) -> Result<Self, DriverError> {
        let store = Store::open(Arc::clone(&home)).map_err(DriverError::File)?;
        let stored = Stored::load(|document| store.load(document).map_err(DriverError::File))?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| DriverError::System(io::Error::other(error)))?;
        let clock = Clock::start();
        let node = Node::new(options.config.clone(), stored, seed, clock.now()).map_err(|error| match error {
            StartError::Damaged(document, error) => {
                DriverError::Damaged { document, error, copy: store.keep_copy(document) }
            }
            StartError::Config(error) => DriverError::Config(error),
        })?;
        let public_key = node.public_key();
        let log = EventReader::new(home.home());
        let events = EventLog::start(Arc::clone(&home)).map_err(DriverError::File)?;
        let (disk, written) = Disk::start(store, SessionWriter::new(home)).map_err(DriverError::System)?;
        let (inbox, wakes) = bounded(INBOX);
        let network = Arc::clone(&options.network);
        let running = Running::new(node, clock, disk, events, options, inbox.clone());
        let task = smol::spawn(running.run(wakes, written));
        Ok(Self { inbox, task, network, public_key, log })
    }

    /// The node's key when it was started.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Has the node do something, and waits for the outcome. Dropping the future gives a question up: its answer is for
    /// nobody, and the AI that is asked need not go on. Every other command goes on to its end.
    ///
    /// # Errors
    /// Why it did not succeed; [`CommandError::Cancelled`] also when the node is stopping.
    pub async fn run(&self, command: Command) -> Result<Reply, CommandError> {
        let (result, outcome) = bounded(1);
        // Nothing is sent there: its end is that of this future.
        let (_waiting, waits) = bounded(1);
        self.wake(Wake::Run { command, result, waits }).await;
        outcome.recv().await.unwrap_or(Err(CommandError::Cancelled))
    }

    /// Connects to a peer anew, and tells how long that took.
    ///
    /// # Errors
    /// It cannot be reached, or refuses us.
    pub async fn ping(&self, peer: PeerRef, timeout: Duration) -> Result<Pong, CommandError> {
        let (result, outcome) = bounded(1);
        self.wake(Wake::Ping { peer, timeout, result }).await;
        outcome.recv().await.unwrap_or(Err(CommandError::Cancelled))
    }

    /// The ways of the open streams; none if the node has stopped.
    pub async fn paths(&self) -> BTreeMap<StreamId, Path> {
        let (sender, paths) = bounded(1);
        self.wake(Wake::Paths(sender)).await;
        paths.recv().await.unwrap_or_default()
    }

    /// Everything the owner can look at; `None` if the node has stopped.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.look(|node, _| node.snapshot()).await
    }

    /// How much of its limits a peer has used; `None` if the node has stopped.
    pub async fn standing(&self, peer: PublicKey) -> Option<Vec<Standing>> {
        self.look(move |node, now| node.standing(&peer, now)).await
    }

    /// How much the node holds; `None` if it has stopped.
    pub async fn load(&self) -> Option<Load> {
        self.look(|node, _| node.load()).await
    }

    /// Who may not do something for a while; `None` if the node has stopped.
    pub async fn bans(&self) -> Option<Vec<Ban>> {
        self.look(Node::bans).await
    }

    /// What happens from now on, each with its line in the log, where it is already. A subscriber that is too slow misses
    /// some.
    pub async fn events(&self) -> Receiver<Happened> {
        let (to, events) = bounded(EVENTS);
        let (ready, subscribed) = bounded(1);
        self.wake(Wake::Subscribe { to, ready }).await;
        // If the node has stopped, so have its events.
        subscribed.recv().await.ok();
        events
    }

    /// The lines of the log that fit, and then what happens: nothing twice, nothing left out. [`EventReader`] reads them
    /// without a node.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn follow(&self, query: Query) -> Result<Follow, FileError> {
        let (happening, reader) = (self.events().await, self.log.clone());
        let past = smol::unblock(move || reader.read(&query)).await?;
        Ok(Follow::new(past, happening))
    }

    /// Waits until the node has been announced for the first time; at once if it was started not to listen.
    ///
    /// # Errors
    /// The first announcement failed; the network goes on trying.
    pub async fn listening(&self) -> Result<(), net::NetError> {
        let (sender, listening) = bounded(1);
        self.wake(Wake::AwaitListening(sender)).await;
        listening.recv().await.unwrap_or(Err(net::NetError::Closed))
    }

    /// How others see us.
    pub async fn surroundings(&self) -> net::Surroundings {
        self.network.surroundings().await
    }

    /// Whether the relays where we propose to meet others are there.
    pub async fn try_relays(&self) -> Vec<net::RelayTried> {
        self.network.try_relays().await
    }

    /// Stops in order: nothing new comes in; messages that were accepted are stored and acknowledged; questions with an
    /// AI are given up; then the streams close, and the announcements are taken back.
    pub async fn close(self) {
        let (done, stopped) = bounded(1);
        self.wake(Wake::Stop(done)).await;
        // Either way the loop has ended: nothing is ever sent here, dropping the sender is the message.
        if let Ok(never) = stopped.recv().await {
            match never {}
        }
        self.task.await;
        self.network.close().await;
    }

    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Node, Now) -> T + Send + 'static) -> Option<T> {
        let (sender, seen) = bounded(1);
        let look = move |node: &Node, now: Now| drop(sender.try_send(look(node, now)));
        self.wake(Wake::Look(Box::new(look))).await;
        seen.recv().await.ok()
    }

    /// A loop that has ended hears nothing; whoever waits for its answer sees the answer's channel closed.
    async fn wake(&self, wake: Wake) {
        drop(self.inbox.send(wake).await);
    }
}
