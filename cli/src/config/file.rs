//! The shape of `config.json`, and its faults in words.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use wopr_p2p_core::access::{Capability, SessionName, TrustLevel};
use wopr_p2p_smol::handler::Handler;

use super::session::Session;
use super::{Config, EVERY_SESSION};
use crate::duration::parse_duration;

/// Bytes of an encrypted payload: the protocol's own limit is the largest.
pub(super) const PAYLOAD_SIZES: RangeInclusive<u32> = 64..=1_048_576;
/// Hours of grace after a rotation: a week at most.
pub(super) const GRACE_HOURS: RangeInclusive<u32> = 0..=168;

/// Reads the text of a file.
///
/// # Errors
/// A sentence with line, key, fault and accepted values.
pub(super) fn parse(text: &str) -> Result<Config, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let root: Root = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let key = error.path().to_string();
        let (line, fault) = (error.inner().line(), in_words(error.inner()));
        // An unknown key names itself; above it there may be no key to name.
        if key == "." { format!("line {line}: {fault}") } else { format!("line {line}, key {key}: {fault}") }
    })?;
    json.end().map_err(|error| format!("line {}: {}", error.line(), in_words(&error)))?;
    if root.gateway.is_some() && root.plugins.data.p2p.gateway.is_some() {
        return Err("\"gateway\" is given twice, at the top and in plugins.data.p2p: leave one of them out".to_owned());
    }
    let disabled = !root.plugins.disabled.is_empty();
    let p2p = root.plugins.data.p2p;
    Ok(Config {
        bootstrap: p2p.bootstrap,
        bind: p2p.bind,
        max_payload_size: p2p.max_payload_size,
        key_rotation_grace_hours: p2p.key_rotation_grace_hours,
        ephemeral_ttl: p2p.ephemeral_ttl,
        rate_limit: p2p.rate_limit,
        sessions: p2p.sessions,
        discovery_trust: p2p.discovery_trust,
        auto_accept: p2p.auto_accept,
        gateway: p2p.gateway.or(root.gateway),
        disabled,
    })
}

/// The parser's own sentence, without the position at its end.
fn in_words(error: &serde_json::Error) -> String {
    let sentence = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    sentence.strip_suffix(&position).unwrap_or(&sentence).to_owned()
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Root {
    plugins: Plugins,
    gateway: Option<Gateway>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Plugins {
    data: Data,
    disabled: Vec<Plugin>,
}

/// The plugins that there are.
#[derive(Deserialize)]
enum Plugin {
    #[serde(rename = "p2p")]
    P2p,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Data {
    p2p: P2p,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct P2p {
    #[serde(deserialize_with = "bootstrap")]
    bootstrap: Option<Vec<String>>,
    #[serde(deserialize_with = "bind")]
    bind: Option<Ipv4Addr>,
    #[serde(deserialize_with = "payload_size")]
    max_payload_size: Option<u32>,
    #[serde(deserialize_with = "grace_hours")]
    key_rotation_grace_hours: Option<u32>,
    #[serde(deserialize_with = "duration")]
    ephemeral_ttl: Option<Duration>,
    rate_limit: RateLimits,
    #[serde(deserialize_with = "sessions")]
    sessions: BTreeMap<String, Handler>,
    discovery_trust: Option<TrustLevel>,
    auto_accept: Option<bool>,
    gateway: Option<Gateway>,
    // Checked so that a file written for it is not refused; it takes effect with the page.
    #[serde(rename = "uiPort")]
    _ui_port: Option<u16>,
}

/// How much one peer may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RateLimits {
    /// Questions to an AI.
    pub(crate) injects: Rate,
    /// Claims of invites.
    pub(crate) claims: Rate,
    /// Messages into sessions.
    pub(crate) logs: Rate,
    /// Messages that were not as they should be.
    pub(crate) invalid: Rate,
}

/// How often, in a sliding minute and a sliding hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Rate {
    /// At most so many in a minute.
    pub(crate) max_per_minute: Option<NonZeroU32>,
    /// At most so many in an hour.
    pub(crate) max_per_hour: Option<NonZeroU32>,
}

/// Where untrusted peers arrive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    /// Whether there is one.
    pub(crate) enabled: bool,
    /// The session that they reach.
    pub(crate) session: SessionName,
    /// What they may do there at most.
    #[serde(deserialize_with = "capabilities")]
    pub(crate) capabilities: Vec<Capability>,
    /// Whether the owner has to approve each of their messages.
    #[serde(default)]
    pub(crate) approval: bool,
}

/// Whether a text is a host's name or address and a port: `dht.example.org:49737`, `127.0.0.1:49737`.
pub(super) fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

fn capabilities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Capability>, D::Error> {
    let capabilities = Vec::<Capability>::deserialize(deserializer)?;
    if capabilities.is_empty() {
        return Err(D::Error::custom("at least one capability is needed, such as \"inject.limited\""));
    }
    Ok(capabilities)
}

fn bootstrap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let nodes = Vec::<String>::deserialize(deserializer)?;
    match nodes.iter().find(|node| !is_host_port(node)) {
        Some(node) => Err(D::Error::custom(format!("{node:?} is not of the form \"host:port\""))),
        None => Ok(Some(nodes)),
    }
}

fn bind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ipv4Addr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let accepted = "an IPv4 address such as \"0.0.0.0\" (every interface) or \"127.0.0.1\"";
    text.parse().map(Some).map_err(|_| D::Error::custom(format!("{text:?} is not {accepted}")))
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: &RangeInclusive<u32>,
    unit: &str,
) -> Result<Option<u32>, D::Error> {
    let number = u64::deserialize(deserializer)?;
    u32::try_from(number).ok().filter(|number| range.contains(number)).map(Some).ok_or_else(|| {
        D::Error::custom(format!("{number} is not a number of {unit} from {} to {}", range.start(), range.end()))
    })
}

fn payload_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, &PAYLOAD_SIZES, "bytes")
}

fn grace_hours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, &GRACE_HOURS, "hours")
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map(Some).map_err(|error| D::Error::custom(format!("{text:?}: {error}")))
}

fn sessions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Handler>, D::Error> {
    let sessions = BTreeMap::<String, Session>::deserialize(deserializer)?;
    for name in sessions.keys().filter(|name| *name != EVERY_SESSION) {
        SessionName::new(name.as_str()).map_err(|error| D::Error::custom(format!("{name:?}: {error}")))?;
    }
    Ok(sessions.into_iter().map(|(name, session)| (name, session.0)).collect())
}
