//! The tools for agents, spoken over the Model Context Protocol: on stdin and stdout for a host that starts `wopr mcp`,
//! and over HTTP by the daemon.
//!
//! A tool is a command in other words: its arguments become a command line (`words`), which is read, checked and done
//! by the code that does the commands, and its result is what `--json` prints. What is added here is for an AI that
//! calls it: schemas, the owner's leave for whatever changes the node (`gate`), and the marks of text that others wrote
//! (`remote`). The protocol's library needs tokio: nothing outside of this module knows of it.

mod arguments;
mod gate;
mod http;
mod progress;
mod remote;
mod results;
mod schema;
mod server;
mod tools;
mod words;

use std::io::{self, IsTerminal as _};

use rmcp::ServiceExt as _;
use rmcp::transport::io::stdio_pipes;
use wopr_p2p_smol::home::Home;

use self::server::Server;
use crate::args::Mcp;
use crate::exit::{Exit, Failure};
use crate::output::{Object, Output, Shown, View};
use crate::secret::Secret;

pub(crate) use self::gate::OWNERS;
pub(crate) use self::http::router;

/// `mcp`: serves on stdin and stdout until stdin ends; or shows the token for HTTP.
///
/// # Errors
/// The token cannot be read or made, or what comes is not the protocol.
pub(crate) fn run(home: &Home, typed: &Mcp, out: Output) -> Result<Shown, Failure> {
    if typed.http_token || typed.new_http_token {
        let file = http::token(home);
        let token = if typed.new_http_token { file.renew() } else { file.find_or_make() }?;
        return out.render(&ShownToken(token));
    }
    if io::stdin().is_terminal() {
        anstream::eprintln!(
            "This speaks JSON-RPC with the host of an AI agent, which starts it by itself: docs/mcp.md has how. Ctrl-D \
             ends it."
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(cannot)?;
    let served = runtime.block_on(serve(home));
    // A blocking read of stdin must not keep the program when the host has gone.
    runtime.shutdown_background();
    served.map(|()| Shown::default())
}

async fn serve(home: &Home) -> Result<(), Failure> {
    let server = Server::new(home);
    let running = server.clone().serve(stdio_pipes()).await.map_err(|error| {
        let next = "`wopr mcp` is for an agent's host to start, and speaks JSON-RPC: docs/mcp.md has how";
        Failure::invalid(format!("no host has greeted this server as the protocol demands: {error}"), next)
    })?;
    let ended = running.waiting().await;
    // What is still under way is given up by now; nodes of our own end in order.
    server.ended().await;
    ended.map(drop).map_err(cannot)
}

fn cannot(error: impl ToString) -> Failure {
    Failure::new(Exit::Rejected, format!("the MCP server cannot run: {}", error.to_string()), "try again")
}

/// The token for HTTP.
struct ShownToken(Secret);

impl View for ShownToken {
    fn json(&self) -> Object {
        Object::default().with("token", self.0.as_str())
    }

    /// The token alone, so that it can be piped.
    fn text(&self) -> String {
        format!("{}\n", self.0.as_str())
    }
}
