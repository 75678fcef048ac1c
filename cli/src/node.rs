//! The one place that knows the driver: opens the node of a home with its owner's settings, and closes it in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::channel::Receiver;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rate::{Ban, Standing as Used};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Command, CommandError, Document, Reply};
use wopr_p2p_smol::clock::Clock;
use wopr_p2p_smol::driver::{Driver, DriverError, Options, Pong, Report};
use wopr_p2p_smol::event_log::Happened;
use wopr_p2p_smol::handler::Handlers;
use wopr_p2p_smol::home::{Home, HomeError};
use wopr_p2p_smol::net::{Hyperswarm, HyperswarmConfig, NetError, Network, Offline, Path, RelayTried, Surroundings};
use wopr_p2p_smol::session_file::SessionReader;

use crate::command::exit;
use crate::config::{Config, EVERY_SESSION};
use crate::exit::{Exit, Failure};
use crate::metrics::{self, Metrics, Standing};
use crate::output::WARN;

/// How far a node reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It only looks at and changes its own files.
    Nobody,
    /// It finds others, for as long as one command takes.
    Others,
    /// It finds others, also on its topics, for as long as one command takes.
    Topics,
    /// It finds others and is found: the daemon.
    BothWays,
}

/// The running node of a home.
pub(crate) struct Node {
    driver: Driver,
    reach: Reach,
    metrics: Arc<Metrics>,
}

/// Why a node was not opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// Another process has the home.
    Busy(Failure),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Busy(failure) | OpenError::Failed(failure) => failure,
        }
    }
}

impl Node {
    /// Opens the node of a home with these settings; a new home gets an identity.
    ///
    /// # Errors
    /// Another process has the home, or its files, its settings or the network cannot be used.
    pub(crate) async fn open(home: &Home, config: &Config, reach: Reach) -> Result<Self, OpenError> {
        if config.disabled {
            let failure = Failure::invalid("the plugin p2p is disabled", "wopr plugin enable p2p");
            return Err(failure.into());
        }
        let lock = home.lock().map_err(|error| match error {
            HomeError::Locked { .. } => OpenError::Busy(Failure::new(Exit::Rejected, error.to_string(), "")),
            error => OpenError::Failed(Failure::invalid(error.to_string(), "")),
        })?;
        let mut core = config.core();
        // A node that runs for one command does that, and leaves the rest to the daemon.
        core.outbox.background = reach == Reach::BothWays;
        core.discovery.active = matches!(reach, Reach::Topics | Reach::BothWays);
        let metrics = Arc::new(Metrics::new(Self::now()));
        let observed = Arc::clone(&metrics);
        let options = Options {
            config: core,
            network: network(config, reach).await?,
            handlers: handlers(config, home)?,
            listen: reach == Reach::BothWays,
            report: Box::new(if reach == Reach::BothWays { log } else { print }),
            observe: Box::new(move |observation| observed.observe(&observation)),
        };
        let driver = Driver::start(Arc::new(lock), options).map_err(|error| {
            let next =
                if let DriverError::Damaged { document, .. } = &error { mending(*document) } else { String::new() };
            Failure::invalid(format!("the node of {} cannot start: {error}", home.folder().display()), next)
        })?;
        Ok(Self { driver, reach, metrics })
    }

    /// Has the node do something.
    ///
    /// # Errors
    /// Why it was not done.
    pub(crate) async fn run(&self, command: Command) -> Result<Reply, CommandError> {
        let (name, started) = (metrics::command_name(&command), Instant::now());
        let result = self.driver.run(command).await;
        let failed = result.as_ref().err().map(exit);
        let took = started.elapsed();
        tracing::debug!(command = name, outcome = failed.map(Exit::name), ?took, "a command");
        self.metrics.command(name, failed, took);
        result
    }

    /// Everything that is counted, and how the node is now.
    ///
    /// # Errors
    /// The node has stopped.
    pub(crate) async fn metrics(&self, around: &Surroundings) -> Result<String, Failure> {
        let snapshot = self.snapshot().await?;
        let load = self.driver.load().await.ok_or_else(stopped)?;
        let bans = self.bans().await?;
        Ok(self.metrics.text(&Standing { snapshot: &snapshot, load: &load, bans: &bans, around }))
    }

    /// Who may not do something for a while.
    ///
    /// # Errors
    /// The node has stopped.
    pub(crate) async fn bans(&self) -> Result<Vec<Ban>, Failure> {
        self.driver.bans().await.ok_or_else(stopped)
    }

    /// Everything the owner can look at.
    ///
    /// # Errors
    /// The node has stopped.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        self.driver.snapshot().await.ok_or_else(stopped)
    }

    /// What a peer has used of its limits.
    ///
    /// # Errors
    /// The node has stopped.
    pub(crate) async fn standing(&self, peer: PublicKey) -> Result<Vec<Used>, Failure> {
        self.driver.standing(peer).await.ok_or_else(stopped)
    }

    /// What happens from now on.
    pub(crate) async fn events(&self) -> Receiver<Happened> {
        self.driver.events().await
    }

    /// Waits until others can find the node.
    ///
    /// # Errors
    /// The first announcement failed; it is tried again by itself.
    pub(crate) async fn listening(&self) -> Result<(), NetError> {
        self.driver.listening().await
    }

    /// How others see the node; `None` if it does not stay.
    pub(crate) async fn surroundings(&self) -> Option<Surroundings> {
        if self.is_daemon() { Some(self.driver.surroundings().await) } else { None }
    }

    /// How the network looks from here.
    pub(crate) async fn look_around(&self) -> Surroundings {
        self.driver.surroundings().await
    }

    /// Whether the relays where this node proposes to meet others are there.
    pub(crate) async fn try_relays(&self) -> Vec<RelayTried> {
        self.driver.try_relays().await
    }

    /// How far away a peer is.
    ///
    /// # Errors
    /// It cannot be reached, or refuses us.
    pub(crate) async fn ping(&self, peer: PeerRef, timeout: Duration) -> Result<Pong, CommandError> {
        self.driver.ping(peer, timeout).await
    }

    /// The ways to the peers that we are connected to.
    ///
    /// # Errors
    /// The node has stopped.
    pub(crate) async fn paths(&self) -> Result<BTreeMap<PublicKey, BTreeSet<Path>>, Failure> {
        let (paths, snapshot) = (self.driver.paths().await, self.snapshot().await?);
        let mut of_peers = BTreeMap::<_, BTreeSet<_>>::new();
        for stream in snapshot.streams {
            let of_peer = of_peers.entry(stream.peer).or_default();
            of_peer.extend(paths.get(&stream.stream));
        }
        Ok(of_peers)
    }

    /// Whether it stays, and others can find it.
    pub(crate) fn is_daemon(&self) -> bool {
        self.reach == Reach::BothWays
    }

    /// Stops in order.
    pub(crate) async fn close(self) {
        self.driver.close().await;
    }

    /// The wall clock.
    pub(crate) fn now() -> WallTime {
        Clock::start().now().wall
    }
}

/// What went wrong, for the daemon's log: a command's own words may quote a message.
fn log(report: Report) {
    match &report {
        Report::Unanswered { peer, session, error } => {
            let (peer, why) = (peer.short_id(), error.without_words());
            tracing::warn!(peer, ?session, why, "a question got no answer");
            tracing::debug!(%report);
        }
        _ => tracing::warn!("{report}"),
    }
}

/// What went wrong, for whoever gave the command.
fn print(report: Report) {
    anstream::eprintln!("{WARN}warning:{WARN:#} {report}");
}

/// What to do about a damaged document, and what going on without it would cost.
fn mending(document: Document) -> String {
    let (name, lost) = (
        document.file_name(),
        match document {
            Document::Identity => {
                "the node then has new keys, and nobody knows it: every peer has to be invited again, and to invite it"
            }
            Document::Access => {
                "every grant and open invite is gone then: nobody may use a session until you grant it again"
            }
            Document::Peers => {
                "the names of the peers, their former keys, what they opened to you and whom you revoked are gone then; \
             grants stay as they are"
            }
            Document::Limits => "bans and counters begin anew then",
            Document::Replay => {
                "messages of the last minutes could be replayed then: wait ten minutes before you start it"
            }
            Document::Discovery => "the profile, the topics and the requests that wait are gone then",
            Document::Outbox => "the messages that wait for their peers are gone then",
        },
    );
    format!(
        "wopr never overwrites a file that it cannot read. Put a good copy of {name} in its place, of a backup say. Only \
         without one: move it away ({lost})"
    )
}

fn stopped() -> Failure {
    Failure::new(Exit::Rejected, "the node has stopped", "try again")
}

async fn network(config: &Config, reach: Reach) -> Result<Arc<dyn Network>, Failure> {
    if reach == Reach::Nobody {
        return Ok(Arc::new(Offline));
    }
    let mut hyperswarm = HyperswarmConfig::default();
    if let Some(bootstrap) = &config.bootstrap {
        hyperswarm.bootstrap.clone_from(bootstrap);
    }
    if let Some(bind) = config.bind {
        hyperswarm.host = bind;
    }
    hyperswarm.relays = config.relay_through.clone().unwrap_or_default();
    hyperswarm.lan = config.lan.unwrap_or(hyperswarm.lan);
    match Hyperswarm::open(hyperswarm).await {
        Ok(network) => Ok(Arc::new(network)),
        Err(error) => {
            let next = "check \"bind\" and \"bootstrap\" in config.json and WOPR_P2P_BOOTSTRAP";
            Err(Failure::new(Exit::Offline, error.to_string(), next))
        }
    }
}

fn handlers(config: &Config, home: &Home) -> Result<Handlers, Failure> {
    let mut handlers = Handlers::new(SessionReader::new(home));
    for (name, handler) in &config.sessions {
        if name == EVERY_SESSION {
            handlers.set_default(handler.clone());
        } else {
            let name =
                name.parse().map_err(|error| Failure::invalid(format!("sessions: {error}"), "correct config.json"))?;
            handlers.set(name, handler.clone());
        }
    }
    Ok(handlers)
}
