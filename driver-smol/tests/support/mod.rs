//! Nodes with homes of their own, on TCP, for the tests of the driver.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use smol::Timer;
use smol::future::FutureExt as _;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rate::Limit;
use wopr_p2p_core::{Command, Config, Reply};
use wopr_p2p_smol::driver::{Driver, Options, Report};
use wopr_p2p_smol::handler::{Handler, Handlers};
use wopr_p2p_smol::home::Home;
use wopr_p2p_smol::net::{Tcp, TcpConfig};
use wopr_p2p_smol::session_file::SessionReader;

/// What no step may take longer than. A limit for hanging, not a measurement.
pub const LIMIT: Duration = Duration::from_secs(40);

/// A running node.
pub struct Node {
    pub driver: Driver,
    pub key: PublicKey,
    pub address: SocketAddr,
    pub home: Home,
    reports: Arc<Mutex<Vec<Report>>>,
}

/// What a node is started with, besides its home.
pub struct Setup {
    pub config: Config,
    /// Whom it can find.
    pub peers: Vec<(PublicKey, SocketAddr)>,
    /// Who answers in which session.
    pub handlers: Vec<(&'static str, Handler)>,
    pub port: u16,
}

impl Default for Setup {
    /// Nobody to find, nobody who answers, and no limits that a test would meet by its haste.
    fn default() -> Self {
        let mut config = Config::default();
        let often = |limit: Limit| Limit { per_minute: 10_000, per_hour: 10_000, ..limit };
        config.rates.logs = often(config.rates.logs);
        config.rates.injects = often(config.rates.injects);
        config.rates.claims = often(config.rates.claims);
        config.max_requests_per_stream = 64;
        Self { config, peers: Vec::new(), handlers: Vec::new(), port: 0 }
    }
}

impl Setup {
    /// Can find these nodes.
    pub fn finding(nodes: &[&Node]) -> Self {
        Self { peers: nodes.iter().map(|node| (node.key, node.address)).collect(), ..Self::default() }
    }

    pub async fn start(self, home: &Path) -> Node {
        let home = Home::at(home).unwrap();
        let mut addresses = BTreeMap::<_, Vec<_>>::new();
        for (key, address) in self.peers {
            addresses.entry(key.topic().0).or_default().push(address);
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).unwrap();
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let network = Tcp::open(TcpConfig { bind, key, addresses }).await.unwrap();
        let address = network.local_addr();
        let mut handlers = Handlers::new(SessionReader::new(&home));
        for (session, handler) in self.handlers {
            handlers.set(name(session), handler);
        }
        let reports = Arc::new(Mutex::new(Vec::new()));
        let heard = reports.clone();
        let report = Box::new(move |report| heard.lock().unwrap().push(report));
        let options = Options {
            config: self.config,
            network: Arc::new(network),
            handlers,
            listen: true,
            report,
            observe: Box::new(|_| {}),
        };
        let driver = Driver::start(Arc::new(home.lock().unwrap()), options).unwrap();
        Node { key: driver.public_key(), driver, address, home, reports }
    }
}

impl Node {
    pub async fn run(&self, command: Command) -> Result<Reply, wopr_p2p_core::CommandError> {
        in_time(&format!("{command:?}"), self.driver.run(command)).await
    }

    /// Lets a peer ask and log in these sessions.
    pub async fn grant(&self, peer: PublicKey, sessions: &[&str]) {
        let grant = Command::Grant {
            peer: PeerRef::Key(peer),
            sessions: SessionSet::new(sessions.iter().copied()).unwrap(),
            capabilities: vec![Capability::inject()],
            trust: TrustLevel::Trusted,
            expires_in: None,
        };
        assert!(matches!(self.run(grant).await, Ok(Reply::Granted(_))));
    }

    /// Makes a token for this peer.
    pub async fn invite(&self, subject: PublicKey, sessions: &[&str]) -> String {
        let invite = Command::CreateInvite {
            subject,
            sessions: SessionSet::new(sessions.iter().copied()).unwrap(),
            capabilities: vec![Capability::inject()],
            expires_in: Duration::from_secs(3600),
        };
        match self.run(invite).await {
            Ok(Reply::InviteCreated { token, .. }) => token,
            other => panic!("no token: {other:?}"),
        }
    }

    /// The lines of a session's file, whole and in order.
    pub fn lines(&self, session: &str) -> Vec<serde_json::Value> {
        lines(&self.home, session)
    }

    pub fn reports(&self) -> Vec<String> {
        self.reports.lock().unwrap().iter().map(ToString::to_string).collect()
    }

    /// Stops the node, and returns where it was.
    pub async fn close(self) -> SocketAddr {
        in_time("close", self.driver.close()).await;
        self.address
    }
}

/// The lines of a session's file, each of them whole.
pub fn lines(home: &Home, session: &str) -> Vec<serde_json::Value> {
    let page = SessionReader::new(home).history(&name(session), 0, 100_000).unwrap();
    assert!(page.damaged.is_empty(), "lines {:?} of {session} are damaged", page.damaged);
    page.lines.iter().map(|line| serde_json::from_str(line.get()).unwrap()).collect()
}

/// The texts in a session's file, in order.
pub fn texts(home: &Home, session: &str) -> Vec<String> {
    lines(home, session).iter().map(|line| line["content"].as_str().unwrap().to_owned()).collect()
}

pub fn name(session: &str) -> SessionName {
    SessionName::new(session).unwrap()
}

pub fn log(peer: PublicKey, session: &str, text: &str) -> Command {
    Command::Log { peer: PeerRef::Key(peer), session: name(session), text: text.to_owned(), timeout: LIMIT }
}

pub fn inject(peer: PublicKey, session: &str, text: &str) -> Command {
    Command::Inject { peer: PeerRef::Key(peer), session: name(session), text: text.to_owned(), timeout: LIMIT }
}

pub fn sh(script: &str) -> Handler {
    Handler { timeout: LIMIT, ..Handler::command("/bin/sh", ["-c", script]) }
}

pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let late = async {
        Timer::after(LIMIT).await;
        panic!("{what}: not done after {LIMIT:?}");
    };
    work.or(late).await
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}: not so after {LIMIT:?}");
        Timer::after(Duration::from_millis(10)).await;
    }
}
