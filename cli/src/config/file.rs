//! The shape of `config.json`, and its faults in words.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tracing::level_filters::LevelFilter;
use wopr_p2p_core::access::{Capability, SessionName, TrustLevel};
use wopr_p2p_core::chain::Chain;
use wopr_p2p_smol::handler::Handler;
use wopr_p2p_smol::net::RemoteKey;

use super::bounds::{Limits, Outbox, Replay, Requests};
use super::session::Session;
use super::{Config, EVERY_SESSION};
use crate::duration::parse_duration;

/// Bytes of an encrypted payload: the protocol's own limit is the largest.
pub(super) const PAYLOAD_SIZES: RangeInclusive<u32> = 64..=1_048_576;
/// Hours of grace after a rotation: a week at most.
pub(super) const GRACE_HOURS: RangeInclusive<u32> = 0..=168;
/// Versions of the protocol.
const VERSIONS: RangeInclusive<u32> = 1..=2;
/// Questions in a chain: what one message has room for.
const CHAINS: RangeInclusive<u32> = 1..=Chain::MAX_LEN as u32;

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
        lan: p2p.lan,
        relay_through: p2p.relay_through,
        max_payload_size: p2p.max_payload_size,
        key_rotation_grace_hours: p2p.key_rotation_grace_hours,
        key_compromise_grace_hours: p2p.key_compromise_grace_hours,
        min_protocol_version: p2p.min_protocol_version,
        max_question_chain: p2p.max_question_chain,
        ephemeral_ttl: p2p.ephemeral_ttl,
        rate_limit: p2p.rate_limit,
        replay: p2p.replay,
        outbox: p2p.outbox,
        requests: p2p.requests,
        limits: p2p.limits,
        sessions: p2p.sessions,
        discovery_trust: p2p.discovery_trust,
        auto_accept: p2p.auto_accept,
        gateway: p2p.gateway.or(root.gateway),
        ui_port: p2p.ui_port,
        mcp: p2p.mcp,
        log: p2p.log,
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
    lan: Option<bool>,
    #[serde(deserialize_with = "relay_through")]
    relay_through: Option<Vec<RemoteKey>>,
    #[serde(deserialize_with = "payload_size")]
    max_payload_size: Option<u32>,
    #[serde(deserialize_with = "grace_hours")]
    key_rotation_grace_hours: Option<u32>,
    #[serde(deserialize_with = "grace_hours")]
    key_compromise_grace_hours: Option<u32>,
    #[serde(deserialize_with = "version")]
    min_protocol_version: Option<u32>,
    #[serde(deserialize_with = "chain")]
    max_question_chain: Option<u32>,
    #[serde(deserialize_with = "duration")]
    ephemeral_ttl: Option<Duration>,
    rate_limit: RateLimits,
    replay: Replay,
    outbox: Outbox,
    requests: Requests,
    limits: Limits,
    #[serde(deserialize_with = "sessions")]
    sessions: BTreeMap<String, Handler>,
    discovery_trust: Option<TrustLevel>,
    auto_accept: Option<bool>,
    gateway: Option<Gateway>,
    #[serde(deserialize_with = "ui_port")]
    ui_port: Option<UiPort>,
    mcp: Mcp,
    log: Log,
}

/// What agents may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mcp {
    /// The tools that they may use although these change the node.
    #[serde(deserialize_with = "tools")]
    pub(crate) allow: Vec<String>,
}

/// How the daemon writes its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// How much.
    #[serde(deserialize_with = "level")]
    pub(crate) level: Option<LevelFilter>,
    /// As what.
    pub(crate) format: Option<LogFormat>,
}

/// What a line of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object for programs.
    Json,
}

/// Where the page is, on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UiPort {
    /// Nowhere.
    Off,
    /// On this port; 0 is any that is free.
    Port(u16),
}

impl Default for UiPort {
    fn default() -> Self {
        Self::Port(7334)
    }
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
    /// For how long a peer that exceeds either may not do it.
    #[serde(deserialize_with = "some_time")]
    pub(crate) ban: Option<Duration>,
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

fn tools<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut tools = Vec::<String>::deserialize(deserializer)?;
    if let Some(wrong) = tools.iter().find(|tool| !crate::mcp::OWNERS.contains(&tool.as_str())) {
        let known = crate::mcp::OWNERS.join(", ");
        return Err(D::Error::custom(format!("{wrong:?} is not one of {known}; every other tool is allowed anyway")));
    }
    tools.sort_unstable();
    tools.dedup();
    Ok(tools)
}

fn relay_through<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<RemoteKey>>, D::Error> {
    let relays = Vec::<String>::deserialize(deserializer)?;
    let key = |text: &String| {
        relay_key(text).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a relay's public key, 64 hex digits or 52 letters of z-base-32"))
        })
    };
    relays.iter().map(key).collect::<Result<_, _>>().map(Some)
}

/// A public key as Hyperswarm's programs write it.
fn relay_key(text: &str) -> Option<RemoteKey> {
    const Z_BASE_32: &[u8] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
    let (bits, digits): (usize, Option<Vec<usize>>) = match text.len() {
        64 => (4, text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as usize)).collect()),
        52 => (5, text.bytes().map(|letter| Z_BASE_32.iter().position(|known| *known == letter)).collect()),
        _ => return None,
    };
    let mut key = [0; 32];
    for (number, digit) in digits?.into_iter().enumerate() {
        for bit in (0..bits).filter(|bit| digit >> (bits - 1 - bit) & 1 == 1) {
            let place = number * bits + bit;
            // The last letter has four bits more than there are, all of them zero.
            *key.get_mut(place / 8)? |= 0x80 >> (place % 8);
        }
    }
    Some(key)
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

fn ui_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UiPort>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Switch(bool),
        Number(u64),
        Other(serde::de::IgnoredAny),
    }
    let port = match Written::deserialize(deserializer)? {
        Written::Switch(false) => Some(UiPort::Off),
        Written::Number(port) => u16::try_from(port).ok().map(UiPort::Port),
        Written::Switch(true) | Written::Other(_) => None,
    };
    let accepted = "a port must be 1 to 65535, 0 for any that is free, or false for no page";
    port.map(Some).ok_or_else(|| D::Error::custom(accepted))
}

/// What [`log_level`] reads.
pub(super) const LOG_LEVELS: &str = "off, error, warn, info, debug or trace";

/// A level by its name.
pub(super) fn log_level(text: &str) -> Option<LevelFilter> {
    // The parser takes numbers, too.
    LOG_LEVELS.split([',', ' ']).any(|name| name == text && name != "or").then(|| text.parse().ok()).flatten()
}

fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LevelFilter>, D::Error> {
    let text = String::deserialize(deserializer)?;
    log_level(&text).map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} is not {LOG_LEVELS}")))
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, &VERSIONS, "the protocol's versions")
}

fn chain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    within(deserializer, &CHAINS, "questions")
}

/// A duration that is not nothing.
pub(super) fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let time = duration(deserializer)?;
    if time.is_some_and(|time| time.is_zero()) {
        return Err(D::Error::custom("it must be longer than nothing, such as \"30s\""));
    }
    Ok(time)
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
