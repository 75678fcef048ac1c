//! The commands on files of the home; none of them needs a node.

use clap::{Args, Subcommand};
use wopr_p2p_core::access::SessionName;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the settings in force: the defaults, config.json and the environment; or one of them.
    Get {
        /// Such as keyRotationGraceHours or rateLimit.injects; with or without plugins.data.p2p before it.
        key: Option<String>,
    },
    /// Change a setting in config.json. A running daemon takes it up when it is restarted.
    Set {
        /// Such as keyRotationGraceHours or rateLimit.injects.maxPerMinute.
        key: String,
        /// JSON, or a text without quotes; null takes the setting out of the file.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Print where config.json is, or would be.
    Path,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List the sessions.
    List,
    /// Show messages of a session: the last ten in short, or with --full a page of the whole.
    History {
        /// The session's name.
        session: SessionName,
        /// Whole messages, from the first one on.
        #[arg(long)]
        full: bool,
        /// How many messages to pass over.
        #[arg(long, value_name = "MESSAGES", default_value_t = 0, requires = "full")]
        offset: u64,
        /// How many messages a page has at most.
        #[arg(long, value_name = "MESSAGES", default_value_t = 100, requires = "full", value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// Print the token that lets a host speak to the daemon over HTTP; the first use makes it.
    #[arg(long)]
    pub(crate) http_token: bool,
    /// Make a new token in place of the one before, and print it.
    #[arg(long)]
    pub(crate) new_http_token: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Whose.
    #[arg(long, value_parser = ["p2p"])]
    pub(crate) service: String,
    /// Only lines that match this regular expression; alternatives are parted by `|` or, as for grep, by `\|`.
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Nothing to do for p2p, which is built in.
    Install {
        /// wopr-plugin-p2p or p2p.
        #[arg(value_parser = plugin)]
        name: String,
    },
    /// Let it work again.
    Enable {
        /// wopr-plugin-p2p or p2p.
        #[arg(value_parser = plugin)]
        name: String,
    },
    /// Stop the daemon, and refuse its commands until it is enabled.
    Disable {
        /// wopr-plugin-p2p or p2p.
        #[arg(value_parser = plugin)]
        name: String,
    },
    /// List the plugins.
    List,
}

/// The one plugin's name, for both of its spellings.
fn plugin(text: &str) -> Result<String, String> {
    match text {
        "p2p" | "wopr-plugin-p2p" => Ok("p2p".to_owned()),
        _ => Err("this wopr has one plugin, p2p, and takes no others".to_owned()),
    }
}
