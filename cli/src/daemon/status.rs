//! What the daemon tells about itself.

use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::home::Home;
use wopr_p2p_smol::net::tasks;

use super::detached;
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{Cell, DIM, Fields, GOOD, Object, View, WARN, relative};
use crate::web::Web;

/// The running daemon.
pub(super) struct DaemonStatus {
    pid: u32,
    started: WallTime,
    public_key: PublicKey,
    announced: bool,
    connections: usize,
    page: Result<Option<String>, String>,
    tasks: usize,
    home: String,
    log: String,
}

impl DaemonStatus {
    /// Looks at the node of this process.
    ///
    /// # Errors
    /// It has stopped.
    pub(super) async fn of(
        node: &Node,
        web: &Web,
        home: &Home,
        started: WallTime,
        announced: bool,
    ) -> Result<Self, Failure> {
        let snapshot = node.snapshot().await?;
        Ok(Self {
            pid: std::process::id(),
            started,
            public_key: snapshot.public_key,
            announced,
            connections: snapshot.streams.len(),
            page: match web.failure() {
                Some(why) => Err(why.to_owned()),
                None => Ok(web.address().map(|address| format!("http://{address}/"))),
            },
            tasks: tasks().await,
            home: home.folder().display().to_string(),
            log: detached::log_path(home).display().to_string(),
        })
    }
}

impl View for DaemonStatus {
    fn json(&self) -> Object {
        Object::default()
            .with("running", true)
            .with("pid", self.pid)
            .with("version", env!("CARGO_PKG_VERSION"))
            .time(["started", "startedIso"], self.started)
            .shown("publicKey", self.public_key)
            .with("shortId", self.public_key.short_id())
            .with("announced", self.announced)
            .with("connections", self.connections)
            .with("page", self.page.as_ref().ok().and_then(Option::as_deref))
            .with("pageFailure", self.page.as_ref().err().map(String::as_str))
            .with("tasks", self.tasks)
            .with("home", self.home.as_str())
            .with("log", self.log.as_str())
    }

    fn text(&self) -> String {
        let announced = if self.announced {
            Cell::styled("yes: peers can find this node", GOOD)
        } else {
            Cell::styled("not yet: no node of the DHT has answered; it is tried again by itself", WARN)
        };
        let page = match &self.page {
            Ok(Some(url)) => Cell::from(format!("{url} (`wopr p2p ui` prints a link that opens it)")),
            Ok(None) => Cell::styled("switched off (uiPort)", DIM),
            Err(why) => Cell::styled(format!("none: {why}; set uiPort to another port, and restart"), WARN),
        };
        Fields::default()
            .field("pid", self.pid.to_string())
            .field("version", env!("CARGO_PKG_VERSION"))
            .field("started", relative(self.started, Node::now()))
            .field("shortId", self.public_key.short_id())
            .field("announced", announced)
            .field("connections", self.connections.to_string())
            .field("page", page)
            .field("home", self.home.as_str())
            .field("log", self.log.as_str())
            .render(0)
    }
}
