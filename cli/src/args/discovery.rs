//! The commands of discovery: topics, the profile, requests.

use std::time::Duration;

use clap::{Args, Subcommand};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::profile::TopicName;

use crate::duration::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Join a discovery topic: be found there, and find others. It is kept until it is left.
    Join {
        /// Its name. Whoever knows it can find its members: choose one that nobody guesses for a closed group.
        topic: TopicName,
    },
    /// Leave a topic.
    Leave {
        /// Its name.
        topic: TopicName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// Only those on this topic.
    #[arg(long)]
    pub(crate) topic: Option<TopicName>,
    /// How long to look; with a running daemon, how long to wait for the first one.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub(crate) wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The short id or public key of a peer on one of my topics, or its name.
    pub(crate) peer: PeerRef,
    /// How long to look for the peer and to wait for its answer.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Show what others on my topics see of this node.
    Show,
    /// Show something else: a JSON object of at most 4096 bytes.
    Set {
        /// The object, such as '{"name": "my agent"}'; "{}" shows nothing.
        #[arg(value_name = "JSON")]
        content: String,
    },
}
