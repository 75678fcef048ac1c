//! The daemon's HTTP server on `127.0.0.1:uiPort`: the page for the owner, and what else is spoken over HTTP.
//!
//! hyper needs tokio: its runtime lives on one thread of this module's and ends with it, so that nothing of a request
//! is left when the node is closed. Everything passes the guard (`guard`) first, whichever router it is for. Without
//! the server the daemon goes on: a port that is taken is a warning.

mod action;
mod around;
mod entry;
mod guard;
mod live;
mod login;
mod page;
mod scrape;
mod server;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use smol::channel::{Receiver, Sender, bounded};
use tokio::sync::{Semaphore, watch};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::home::Home;

use self::around::Around;
use self::login::Logins;
use crate::config::{Config, UiPort};
use crate::exit::{Exit, Failure};
use crate::mcp;
use crate::node::Node;

/// Pages that hear of changes at the same time.
const MAX_LIVE: usize = 16;

/// What the handlers share.
pub(crate) struct Shared {
    /// The node of this daemon.
    pub(crate) node: Arc<Node>,
    /// Its home.
    pub(crate) home: Home,
    /// Where we listen: the port is the true one.
    pub(crate) address: SocketAddr,
    /// Becomes true when the daemon stops: whatever streams has to end then.
    pub(crate) stopping: watch::Receiver<bool>,
    logins: Mutex<Logins>,
    around: Around,
    /// Pages that hear of changes.
    live_pages: Arc<Semaphore>,
}

impl Shared {
    fn logins(&self) -> MutexGuard<'_, Logins> {
        // A handler that panicked left a list of logins, whole or one shorter.
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server runs.
pub(crate) enum Web {
    /// The owner wants none.
    Off,
    /// It could not be started; why.
    Failed(String),
    /// It runs.
    Running(Running),
}

/// The server at work.
pub(crate) struct Running {
    shared: Arc<Shared>,
    stop: Sender<Infallible>,
    ended: Receiver<Infallible>,
}

impl Web {
    /// Binds the port and starts the server's thread.
    pub(crate) fn start(home: &Home, config: &Config, node: &Arc<Node>) -> Self {
        let port = match config.ui_port.unwrap_or_default() {
            UiPort::Off => return Self::Off,
            UiPort::Port(port) => port,
        };
        let cannot = |error: &std::io::Error| Self::Failed(format!("127.0.0.1:{port} cannot be used: {error}"));
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) = match bound {
            Ok(bound) => bound,
            Err(error) => return cannot(&error),
        };
        let (stopping, told) = watch::channel(false);
        if let Err(failure) = scrape::token(home).find_or_make() {
            tracing::warn!(next = failure.next, "nobody can read the metrics: {failure}");
        }
        let shared = Arc::new(Shared {
            node: Arc::clone(node),
            home: home.clone(),
            address,
            stopping: told,
            logins: Mutex::default(),
            around: Around::default(),
            live_pages: Arc::new(Semaphore::new(MAX_LIVE)),
        });
        let (stop, stopped) = bounded(1);
        let (end, ended) = bounded(1);
        let app = router(&shared);
        let thread = thread::Builder::new().name("wopr-web".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(server::serve(listener, app, stopped, stopping));
            }
            drop(end);
        });
        match thread {
            Ok(_) => Self::Running(Running { shared, stop, ended }),
            Err(error) => cannot(&error),
        }
    }

    /// Ends it in order: no new request, a moment for those under way, and nothing of it is left afterwards.
    pub(crate) async fn stop(self) {
        if let Self::Running(Running { shared, stop, ended }) = self {
            drop(shared);
            drop(stop);
            if let Ok(never) = ended.recv().await {
                match never {}
            }
        }
    }

    /// A link that opens the page once, and until when.
    ///
    /// # Errors
    /// There is no page.
    pub(crate) fn login_link(&self) -> Result<(String, WallTime), Failure> {
        let shared = match self {
            Self::Running(running) => &running.shared,
            Self::Off => {
                let next = "set uiPort to a port, and restart: wopr config set uiPort 7334";
                return Err(Failure::invalid("the page is switched off (uiPort is false)", next));
            }
            Self::Failed(why) => {
                let next = "set another port, and restart: wopr config set uiPort 0 takes any that is free";
                return Err(Failure::new(Exit::Rejected, format!("there is no page: {why}"), next));
            }
        };
        let token = shared.logins().link(Instant::now()).map_err(|error| {
            Failure::new(Exit::Rejected, format!("the operating system gives no randomness: {error}"), "try again")
        })?;
        let expires = WallTime::from_millis(Node::now().as_millis() + login::LINK_TIME.as_millis() as u64);
        Ok((format!("http://{}/login/{}", shared.address, token.as_str()), expires))
    }

    /// Where the page is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Running(running) => Some(running.shared.address),
            Self::Off | Self::Failed(_) => None,
        }
    }

    /// Why there is none although the owner wants it.
    pub(crate) fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed(why) => Some(why),
            Self::Off | Self::Running(_) => None,
        }
    }
}

/// All that is served, behind the guard. A further router is merged before the guard's layer.
fn router(shared: &Arc<Shared>) -> Router {
    let routes = Router::new()
        .route("/s/{door}/", get(page::overview))
        .route("/s/{door}/peers", get(page::peers))
        .route("/s/{door}/access", get(page::access))
        .route("/s/{door}/topics", get(page::topics))
        .route("/s/{door}/messages", get(page::messages))
        .route("/s/{door}/session", get(page::history))
        .route("/s/{door}/activity", get(page::activity))
        .route("/s/{door}/live", get(live::live))
        .route("/s/{door}/do", post(action::act))
        .route("/s/{door}/leave", post(entry::leave))
        .route("/login/{token}", get(entry::link))
        .route("/login", post(entry::login))
        .route("/assets/{name}", get(entry::asset))
        .route("/metrics", get(scrape::metrics))
        .route_layer(middleware::from_fn(guard::in_time))
        .fallback(entry::locked)
        .with_state(Arc::clone(shared))
        .merge(mcp::router(&shared.home));
    guard::layer(routes, shared.address.port())
}
