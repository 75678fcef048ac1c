//! What can be typed: the tree of commands with its flags and defaults. Nothing here does anything.
//!
//! The commands and flags are those of the description that users have; each of its command lines must parse.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use wopr_p2p_core::access::{AccessError, Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::chain::Chain;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::outbox::MAX_WAIT;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;

use crate::duration::parse_duration;

mod discovery;
mod local;
mod sim;

pub(crate) use self::discovery::{Connect, Discover, Profile, Topic};
pub(crate) use self::local::{ConfigCommand, Logs, Mcp, Plugin, Sessions};
pub(crate) use self::sim::Sim;

/// A peer-to-peer network for AI agents: nodes find each other over Hyperswarm, without a server, and let each other
/// write into or ask their AI sessions exactly as far as their owners granted.
#[derive(Debug, Parser)]
#[command(
    name = "wopr",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "To see all of it at work on this machine: wopr p2p demo. To begin: wopr p2p identity --export prints \
                  the key to send to somebody, wopr daemon start starts the node."
)]
pub(crate) struct Cli {
    /// Print JSON on stdout, for programs (docs/json.md).
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The folder of the node's keys, grants and sessions. Without it, the one that WOPR_HOME names, or ~/.wopr.
    // Not by clap's own means: what it gets from the environment counts as typed, in its usage lines and its help.
    #[arg(long, global = true, value_name = "DIR", value_parser = home_dir)]
    pub(crate) home: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) area: Area,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Area {
    /// The peer-to-peer network: identity, peers, invites, grants, messages.
    P2p {
        #[command(subcommand)]
        command: P2p,
    },
    /// The node as a process of its own.
    Daemon {
        #[command(subcommand)]
        command: Daemon,
    },
    /// Give an AI agent the node as tools: an MCP server on stdin and stdout, for the agent's host to start (docs/mcp.md).
    Mcp(Mcp),
    /// Read and change the settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Read the sessions' files: every message that was ever in a session.
    Sessions {
        #[command(subcommand)]
        command: Sessions,
    },
    /// Show what happened, oldest first.
    Logs(Logs),
    /// Watch the node: peers, grants, what waits for you, bans, events. Needs the daemon.
    Top,
    /// The plugins. There is one, p2p, and it is built in.
    Plugin {
        #[command(subcommand)]
        command: Plugin,
    },
    Sim(Sim),
    /// Print the completions of a shell; docs/daemon.md says where they go.
    Completions {
        /// Whose.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every command.
    Man {
        /// Write all pages into this folder.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Daemon {
    /// Run the node in the foreground until SIGTERM or Ctrl-C.
    ///
    /// Peers can claim invites, log and ask only while it runs. A systemd unit of type notify hears when it is ready.
    Run {
        /// Leave the terminal and write to the home's p2p/daemon.log, as `daemon start` does.
        #[arg(long, hide = true)]
        detached: bool,
    },
    /// Start it in the background, and wait until others can find the node. One that runs already is fine.
    Start,
    /// Stop it in order, and wait for the end. If none runs, that is fine.
    Stop,
    /// Stop it if one runs, and start it.
    Restart,
    /// Show the running daemon; exit code 1 if none runs.
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum P2p {
    #[command(flatten)]
    Node(NodeCommand),
    /// Show what happened, or what happens from now on.
    Events {
        /// Go on until Ctrl-C, with what happens from now on. Needs the daemon.
        #[arg(long, short)]
        follow: bool,
    },
    /// Print a link to the page of the running daemon: it opens once, within two minutes.
    Ui {
        /// Open it in the browser as well.
        #[arg(long)]
        open: bool,
    },
    /// Run a bootstrap node of a private DHT in the foreground.
    Dht {
        /// Where to listen; port 0 takes any free one.
        #[arg(long, value_name = "HOST:PORT")]
        listen: SocketAddrV4,
    },
    /// Show the whole thing at work, on this machine alone: two throw-away nodes on a private DHT.
    Demo,
    /// The command that answers in the demo.
    #[command(hide = true)]
    DemoAnswer,
}

/// What a node does for its owner: the home's daemon, or one that runs for this command.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show the identity and what the node knows, or one peer with its limits.
    Status {
        /// Only this peer: its name, short id or public key.
        #[arg(long)]
        peer: Option<PeerRef>,
    },
    /// Show how the network looks from here: what others see of us, who can reach this node, and what is in the way.
    ///
    /// The exit code is 1 if no node of the DHT can be reached.
    Netcheck,
    /// Connect to a peer a few times, to see how far away it is and which way its packets take.
    ///
    /// Each time a connection of its own is made. The time shown is that of our hello and the peer's answer, with their
    /// signatures; nothing else is sent, and peers of every version answer it.
    Ping {
        /// The peer's name, short id or public key.
        peer: PeerRef,
        /// How often.
        #[arg(long, short, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
        count: u32,
        /// How long to try each time.
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
        timeout: Duration,
    },
    /// Show the node's identity.
    Identity {
        /// Print the public key alone.
        #[arg(long)]
        export: bool,
    },
    /// Make, read, claim and take back invites.
    Invite {
        #[command(subcommand)]
        command: Invite,
    },
    /// Give a peer access to sessions, or take one grant back.
    Grant(Grant),
    /// List the grants in force: who may use which of my sessions.
    Grants {
        /// Only those of this peer: its name, short id or public key.
        #[arg(long)]
        peer: Option<PeerRef>,
    },
    /// Take back a peer's access and its open invites.
    Revoke {
        /// The peer's name, short id or public key.
        peer: PeerRef,
        /// Only its access to this session.
        #[arg(long, value_name = "SESSION")]
        session: Option<SessionName>,
    },
    /// List the known peers.
    Peers {
        /// With keys, key history and what they opened to me.
        #[arg(long, short)]
        verbose: bool,
    },
    /// Give a peer a name.
    Name {
        /// The peer's name, short id or public key.
        peer: PeerRef,
        /// The new name; no two peers share one.
        name: String,
    },
    /// Find peers by a part of the name, the short id or the public key.
    Find {
        /// What to look for; upper and lower case are the same.
        text: String,
    },
    /// Join and leave discovery topics.
    Topic {
        #[command(subcommand)]
        command: Topic,
    },
    /// List the discovery topics this node is on.
    Topics,
    /// List who was met on them.
    Discover(Discover),
    /// Ask a discovered peer for access; its owner decides.
    Connect(Connect),
    /// List what waits for my decision: connection requests, and messages held at the gateway.
    Requests,
    /// Let a request in: a connection gets the gateway session, a held message goes into its session.
    Approve {
        /// The request's id as `requests` shows it, or the public key of a connection request.
        request: String,
    },
    /// Refuse a request.
    Deny {
        /// The request's id as `requests` shows it, or the public key of a connection request.
        request: String,
    },
    /// What others on my topics see of this node.
    Profile {
        #[command(subcommand)]
        command: Profile,
    },
    /// Make new keys and tell the peers; the old ones stay valid for the grace period.
    Rotate(Rotate),
    /// Write a message into a peer's session; no AI runs.
    #[command(visible_alias = "send")]
    Log(Log),
    /// Ask a peer's AI and print its answer.
    Inject(Inject),
    /// The messages that wait until their peers can be reached.
    Outbox {
        #[command(subcommand)]
        command: Outbox,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Invite {
    /// Make an invite token that one peer can claim, once.
    Create {
        /// The public key of the peer (`wopr p2p identity --export` prints it there).
        #[arg(value_name = "PUBKEY")]
        subject: PublicKey,
        /// The sessions it opens, joined by commas; "*" for all.
        #[arg(long, value_parser = sessions)]
        sessions: SessionSet,
        /// How long it can be claimed: 300s, 30m, 24h, 7d.
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
        expire: Duration,
        /// What may be done there: message, inject or refinements such as inject.tools.
        #[arg(long, value_delimiter = ',', default_value = "inject")]
        capabilities: Vec<Capability>,
    },
    /// Show what a token says and whether this node could claim it. Needs no network.
    Inspect {
        /// The `wop1://…` text.
        token: String,
    },
    /// Claim an invite; the node that issued it must be running.
    Claim {
        /// The `wop1://…` text.
        token: String,
        /// How long to try.
        #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
        timeout: Duration,
    },
    /// List the invites this node issued.
    List,
    /// Take an invite back before it is claimed.
    Revoke {
        /// The token, or its nonce as `invite list` shows it, or the beginning of that.
        invite: String,
    },
}

/// `grant revoke ID` takes a grant back; everything else is a peer and sessions. A peer named `revoke` must therefore
/// be written by its short id or key.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Grant {
    #[command(subcommand)]
    pub(crate) command: Option<GrantCommand>,
    #[command(flatten)]
    pub(crate) give: Option<GrantGive>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// Take one grant back.
    Revoke {
        /// The grant's id, as `grants` shows it, or the beginning of it.
        #[arg(value_name = "ID")]
        grant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GrantGive {
    /// The peer's name, short id or public key; a public key may be new.
    pub(crate) peer: PeerRef,
    /// The sessions it may use; "*" for all.
    #[arg(required = true, value_name = "SESSION")]
    pub(crate) sessions: Vec<String>,
    /// How far the peer is trusted.
    #[arg(long, default_value = "trusted", value_name = "untrusted|semi-trusted|trusted")]
    pub(crate) trust: TrustLevel,
    /// What may be done there: message, inject or refinements such as inject.tools.
    #[arg(long, value_delimiter = ',', default_value = "inject")]
    pub(crate) capabilities: Vec<Capability>,
    /// When the grant ends by itself; never, if not given.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) expire: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Why; peers see it.
    #[arg(long, value_name = "scheduled|compromise|upgrade")]
    pub(crate) reason: RotationReason,
    /// Wait until every peer was told, or the timeout ended. Those not reached are told later either way.
    #[arg(long)]
    pub(crate) notify_all: bool,
    /// How long to wait for the peers.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Log {
    #[command(flatten)]
    pub(crate) to: Addressed,
    /// How long to try, from connecting to the acknowledgement.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// If the peer cannot be reached, keep the message and deliver it later: the default where a daemon runs.
    #[arg(long, conflicts_with = "no_queue")]
    pub(crate) queue: bool,
    /// If the peer cannot be reached, give up: the default where no daemon runs.
    #[arg(long)]
    pub(crate) no_queue: bool,
    /// How long a message that is kept may wait, 30d at most.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = waiting_time)]
    pub(crate) expire: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Outbox {
    /// List them, oldest first.
    List,
    /// Give one up.
    Cancel {
        /// Its id, as `outbox list` shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Inject {
    #[command(flatten)]
    pub(crate) to: Addressed,
    /// How long to try, from connecting to the answer.
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// Who waits for the answer, if this is asked to answer a question: WOPR_CHAIN, as its handler finds it.
    #[arg(long, hide = true)]
    pub(crate) chain: Option<Chain>,
}

/// A text and where it goes.
#[derive(Debug, Args)]
pub(crate) struct Addressed {
    /// The peer's name, short id or public key.
    pub(crate) peer: PeerRef,
    /// Which of the peer's sessions.
    #[arg(long)]
    pub(crate) session: SessionName,
    /// The text; "-" reads it from stdin.
    #[arg(long, allow_hyphen_values = true, value_name = "TEXT")]
    pub(crate) message: String,
}

fn waiting_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    if time > MAX_WAIT { Err("a message waits 30d at most".to_owned()) } else { Ok(time) }
}

/// The text for a message of "-".
pub(crate) const FROM_STDIN: &str = "-";

fn sessions(text: &str) -> Result<SessionSet, AccessError> {
    SessionSet::new(text.split(',').map(str::trim))
}

/// A leading `~/` is the user's folder: the default is written with it, so that help shows it so.
fn home_dir(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("a folder must be named".to_owned());
    }
    match text.strip_prefix("~/") {
        None => Ok(PathBuf::from(text)),
        Some(rest) => match std::env::home_dir() {
            Some(user) if !user.as_os_str().is_empty() => Ok(user.join(rest)),
            _ => Err("HOME is not set: name the folder with --home DIR or WOPR_HOME".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests;
