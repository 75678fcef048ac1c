//! The one place that knows the driver: opens the node of a home with its owner's settings, and closes it in order.

use std::sync::Arc;

use smol::channel::Receiver;
use wopr_p2p_core::gateway::Gateway;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::rate::{Limit, Standing};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Command, CommandError, Reply};
use wopr_p2p_smol::clock::Clock;
use wopr_p2p_smol::driver::{Driver, Options};
use wopr_p2p_smol::event_log::Happened;
use wopr_p2p_smol::handler::Handlers;
use wopr_p2p_smol::home::{Home, HomeError};
use wopr_p2p_smol::net::{Hyperswarm, HyperswarmConfig, NetError, Network, Offline, Surroundings};
use wopr_p2p_smol::session_file::SessionReader;

use crate::config::{Config, EVERY_SESSION, Rate};
use crate::exit::{Exit, Failure};
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
        let mut core = core_config(config);
        // A node that runs for one command does that, and leaves the rest to the daemon.
        core.outbox.background = reach == Reach::BothWays;
        core.discovery.active = matches!(reach, Reach::Topics | Reach::BothWays);
        let options = Options {
            config: core,
            network: network(config, reach).await?,
            handlers: handlers(config, home)?,
            listen: reach == Reach::BothWays,
            report: Box::new(|report| anstream::eprintln!("{WARN}warning:{WARN:#} {report}")),
        };
        let driver = Driver::start(Arc::new(lock), options).map_err(|error| {
            let next =
                "wopr never overwrites a file that it cannot read: put a good copy in its place, or move it away";
            Failure::invalid(format!("the node of {} cannot start: {error}", home.folder().display()), next)
        })?;
        Ok(Self { driver, reach })
    }

    /// Has the node do something.
    ///
    /// # Errors
    /// Why it was not done.
    pub(crate) async fn run(&self, command: Command) -> Result<Reply, CommandError> {
        self.driver.run(command).await
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
    pub(crate) async fn standing(&self, peer: PublicKey) -> Result<Vec<Standing>, Failure> {
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
    match Hyperswarm::open(hyperswarm).await {
        Ok(network) => Ok(Arc::new(network)),
        Err(error) => {
            let next = "check \"bind\" and \"bootstrap\" in config.json and WOPR_P2P_BOOTSTRAP";
            Err(Failure::new(Exit::Offline, error.to_string(), next))
        }
    }
}

/// The core's bounds and delays: its defaults, with what the owner set.
pub(crate) fn core_config(config: &Config) -> wopr_p2p_core::Config {
    let mut core = wopr_p2p_core::Config::default();
    if let Some(size) = config.max_payload_size {
        core.max_payload = size as usize;
    }
    if let Some(hours) = config.key_rotation_grace_hours {
        core.rotation_grace = std::time::Duration::from_secs(u64::from(hours) * 3600);
    }
    if let Some(ttl) = config.ephemeral_ttl {
        core.ephemeral_ttl = ttl;
    }
    core.discovery.auto_accept = config.auto_accept.unwrap_or(core.discovery.auto_accept);
    core.discovery.trust = config.discovery_trust.unwrap_or(core.discovery.trust);
    core.gateway = config.gateway.as_ref().filter(|gateway| gateway.enabled).map(|gateway| Gateway {
        session: gateway.session.clone(),
        capabilities: gateway.capabilities.clone(),
        approval: gateway.approval,
    });
    let rates = &config.rate_limit;
    limit(&mut core.rates.injects, rates.injects);
    limit(&mut core.rates.claims, rates.claims);
    limit(&mut core.rates.logs, rates.logs);
    limit(&mut core.rates.invalid, rates.invalid);
    core
}

fn limit(limit: &mut Limit, rate: Rate) {
    if let Some(max) = rate.max_per_minute {
        limit.per_minute = max.get() as usize;
    }
    if let Some(max) = rate.max_per_hour {
        limit.per_hour = max.get() as usize;
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
