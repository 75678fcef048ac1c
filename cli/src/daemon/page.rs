//! `p2p ui`: the way from the terminal to the page. The daemon makes the link, since it alone can let somebody in.

use std::process::Stdio;

use serde::Deserialize;
use smol::process::Command;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::home::Home;

use super::client::Connection;
use crate::exit::{Exit, Failure};
use crate::node::Node;
use crate::output::{DIM, Object, Output, Shown, View, relative};
use crate::web::Web;

/// What opens a link on this system.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// `p2p ui [--open]`, in the command's process.
///
/// # Errors
/// No daemon runs, it has no page, or no browser can be opened.
pub(crate) async fn page(home: &Home, open: bool, out: Output) -> Result<Shown, Failure> {
    let words = ["p2p", "ui", "--json"].map(str::to_owned).to_vec();
    let said = match Connection::open(home).await? {
        Some(daemon) => daemon.ask_about_itself(words).await?,
        None => None,
    };
    let Some(said) = said else {
        let message = format!("no daemon runs for the home {}, and the page is the daemon's", home.folder().display());
        return Err(Failure::new(Exit::Offline, message, "`wopr daemon start` starts one"));
    };
    let Said { url, expires } = serde_json::from_str(&said.out).map_err(|_| {
        let next = "start it again with this program: wopr daemon restart";
        Failure::new(Exit::VersionMismatch, "the daemon's answer cannot be read", next)
    })?;
    if open {
        browse(&url).await?;
    }
    out.render(&Link { url, expires, opened: open })
}

/// The link itself, in the daemon.
///
/// # Errors
/// There is no page.
pub(super) fn link(web: &Web, out: Output) -> Result<Shown, Failure> {
    let (url, expires) = web.login_link()?;
    out.render(&Link { url, expires, opened: false })
}

async fn browse(url: &str) -> Result<(), Failure> {
    let cannot = |why: String| {
        Failure::invalid(format!("the browser cannot be opened with {OPENER}: {why}"), "open the link of `wopr p2p ui`")
    };
    let mut command = Command::new(OPENER);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().await.map_err(|error| cannot(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(cannot(status.to_string())) }
}

#[derive(Deserialize)]
struct Said {
    url: String,
    expires: WallTime,
}

/// A link that opens the page once.
struct Link {
    url: String,
    expires: WallTime,
    opened: bool,
}

impl View for Link {
    fn json(&self) -> Object {
        let link = Object::default().with("url", self.url.as_str()).time(["expires", "expiresIso"], self.expires);
        link.with("opened", self.opened)
    }

    /// The link alone, so that it can be piped.
    fn text(&self) -> String {
        format!("{}\n", self.url)
    }

    fn note(&self) -> String {
        let until = relative(self.expires, Node::now());
        format!("{DIM}It opens the page once, in one browser, and ends {until}. Show it to nobody.{DIM:#}")
    }
}
