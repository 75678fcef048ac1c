//! The owner's settings: `config.json` of the home, overridden by environment variables.
//!
//! Every key is checked, and an unknown one is an error: a setting that is misspelt must not look as if it were in
//! force. What is not set stays `None`, so that each default is written once, in the part that it belongs to.

mod bounds;
mod core;
mod file;
mod session;

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wopr_p2p_core::access::TrustLevel;
use wopr_p2p_smol::handler::Handler;
use wopr_p2p_smol::net::RemoteKey;

use self::bounds::{Limits, Outbox, Replay, Requests};
pub(crate) use self::file::{Gateway, Log, LogFormat, Mcp, Rate, RateLimits, UiPort};
use crate::exit::Failure;

/// The file's name in the home.
const FILE: &str = "config.json";

/// Where the settings of a home are.
pub(crate) fn path(home: &Path) -> PathBuf {
    home.join(FILE)
}

/// The name in `sessions` that stands for every session without an entry of its own.
pub(crate) const EVERY_SESSION: &str = "*";

/// What the owner has set.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// Where the DHT is entered, as `host:port`; the public bootstrap nodes if not set.
    pub(crate) bootstrap: Option<Vec<String>>,
    /// The address that sockets are bound to.
    pub(crate) bind: Option<Ipv4Addr>,
    /// Whether nodes on our own networks find each other without the DHT.
    pub(crate) lan: Option<bool>,
    /// Relays to meet others at where the NATs leave no other way.
    pub(crate) relay_through: Option<Vec<RemoteKey>>,
    /// The largest encrypted payload, in bytes.
    pub(crate) max_payload_size: Option<u32>,
    /// The longest grace period of a rotation, in hours.
    pub(crate) key_rotation_grace_hours: Option<u32>,
    /// The same for a key that somebody else may have, if that is shorter.
    pub(crate) key_compromise_grace_hours: Option<u32>,
    /// The lowest protocol version that is spoken.
    pub(crate) min_protocol_version: Option<u32>,
    /// The most questions in a chain, this node's included.
    pub(crate) max_question_chain: Option<u32>,
    /// How long a channel's ephemeral keys serve.
    pub(crate) ephemeral_ttl: Option<Duration>,
    /// How much a peer may do.
    pub(crate) rate_limit: RateLimits,
    /// How replays are told.
    pub(crate) replay: Replay,
    /// What may wait for peers.
    pub(crate) outbox: Outbox,
    /// What may wait for the owner.
    pub(crate) requests: Requests,
    /// How many there may be of what takes memory.
    pub(crate) limits: Limits,
    /// Who answers for which session.
    pub(crate) sessions: BTreeMap<String, Handler>,
    /// The trust that an approved peer gets.
    pub(crate) discovery_trust: Option<TrustLevel>,
    /// Whether discovered peers that prove their key get the gateway without approval.
    pub(crate) auto_accept: Option<bool>,
    /// Where untrusted peers arrive.
    pub(crate) gateway: Option<Gateway>,
    /// Where the page is.
    pub(crate) ui_port: Option<UiPort>,
    /// What agents may do.
    pub(crate) mcp: Mcp,
    /// How the daemon writes its log.
    pub(crate) log: Log,
    /// Whether the owner has switched the plugin off.
    pub(crate) disabled: bool,
}

impl Config {
    /// Reads the home's file, if there is one, and the environment.
    ///
    /// # Errors
    /// The file cannot be read or holds something unknown: named with its line, its key and the accepted values.
    pub(crate) fn load(home: &Path) -> Result<Self, Failure> {
        Self::read(home, |name| std::env::var(name).ok())
    }

    /// Whether a text would do as the file.
    ///
    /// # Errors
    /// A sentence with line, key, fault and accepted values.
    pub(crate) fn check(text: &str) -> Result<(), String> {
        file::parse(text).map(drop)
    }

    fn read(home: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let path = path(home);
        let mut config = match std::fs::read_to_string(&path) {
            Ok(text) => file::parse(&text).map_err(|fault| {
                Failure::invalid(
                    format!("{}: {fault}", path.display()),
                    "correct that line; without the file, the defaults are in force",
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                return Err(Failure::invalid(
                    format!("{} cannot be read: {error}", path.display()),
                    "make it readable for your user, or name another home with --home",
                ));
            }
        };
        config.override_with(variable)?;
        Ok(config)
    }

    /// Variables that are not set or empty change nothing.
    fn override_with(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), Failure> {
        let read = |name| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let wrong = |name: &str, value: &str, accepted: &str| {
            Failure::invalid(
                format!("{name} is {value:?}: it must be {accepted}"),
                format!("set {name} anew, or unset it"),
            )
        };
        if let Some(value) = read("WOPR_P2P_BOOTSTRAP") {
            let nodes: Vec<String> = value.split(',').map(|node| node.trim().to_owned()).collect();
            if !nodes.iter().all(|node| file::is_host_port(node)) {
                return Err(wrong("WOPR_P2P_BOOTSTRAP", &value, "HOST:PORT, or several joined by commas"));
            }
            self.bootstrap = Some(nodes);
        }
        if let Some(value) = read("WOPR_P2P_LAN") {
            self.lan = Some(value.parse().map_err(|_| wrong("WOPR_P2P_LAN", &value, "true or false"))?);
        }
        if let Some(value) = read("WOPR_P2P_MAX_PAYLOAD") {
            let accepted = "a number of bytes from 64 to 1048576";
            let bytes = value.parse().ok().filter(|bytes| file::PAYLOAD_SIZES.contains(bytes));
            self.max_payload_size = Some(bytes.ok_or_else(|| wrong("WOPR_P2P_MAX_PAYLOAD", &value, accepted))?);
        }
        if let Some(value) = read("WOPR_P2P_KEY_GRACE_HOURS") {
            let accepted = "a number of hours from 0 to 168";
            let hours = value.parse().ok().filter(|hours| file::GRACE_HOURS.contains(hours));
            self.key_rotation_grace_hours =
                Some(hours.ok_or_else(|| wrong("WOPR_P2P_KEY_GRACE_HOURS", &value, accepted))?);
        }
        if let Some(value) = read("WOPR_P2P_AUTO_ACCEPT") {
            let accept = value.parse().map_err(|_| wrong("WOPR_P2P_AUTO_ACCEPT", &value, "true or false"))?;
            self.auto_accept = Some(accept);
        }
        if let Some(value) = read("WOPR_P2P_DISCOVERY_TRUST") {
            let accepted = "untrusted, semi-trusted or trusted";
            let trust = value.parse().map_err(|_| wrong("WOPR_P2P_DISCOVERY_TRUST", &value, accepted))?;
            self.discovery_trust = Some(trust);
        }
        if let Some(value) = read("WOPR_LOG") {
            let level = file::log_level(&value).ok_or_else(|| wrong("WOPR_LOG", &value, file::LOG_LEVELS))?;
            self.log.level = Some(level);
        }
        if let Some(value) = read("WOPR_LOG_FORMAT") {
            let format = serde_json::from_value(value.as_str().into());
            self.log.format = Some(format.map_err(|_| wrong("WOPR_LOG_FORMAT", &value, "text or json"))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
