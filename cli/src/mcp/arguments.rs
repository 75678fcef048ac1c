//! What each tool takes. The comments here are what an agent reads: they become the descriptions in the schemas.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::words::{Call, Words};
use crate::duration::parse_duration;
use crate::exit::Failure;

/// The longest that a tool waits for anybody: without a daemon no other command can use the home meanwhile.
const LONGEST: Duration = Duration::from_secs(3600);
/// Events in an answer where nothing else is said.
const EVENTS: u16 = 50;
/// The most events in an answer.
const MAX_EVENTS: u16 = 500;

/// Arguments of a tool.
pub(super) trait Arguments: DeserializeOwned + JsonSchema {
    /// What is to be done.
    ///
    /// # Errors
    /// A value is not what it has to be.
    fn call(self) -> Result<Call, Failure>;
}

/// Reads a tool's arguments.
///
/// # Errors
/// One is missing, unknown, or not what it has to be.
pub(super) fn read<A: Arguments>(arguments: Map<String, Value>) -> Result<Call, Failure> {
    let read = serde_path_to_error::deserialize::<_, A>(Value::Object(arguments)).map_err(|error| {
        let (at, fault) = (error.path().to_string(), error.inner());
        let fault = if at == "." { fault.to_string() } else { format!("{at}: {fault}") };
        Failure::invalid(fault, "correct the arguments: the tool's schema has them")
    });
    read?.call()
}

macro_rules! arguments {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $member:ident: $kind:ty,)* } => $call:expr;)*) => {$(
        $(#[$about])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$doc])* $member: $kind,)*
        }

        impl Arguments for $name {
            fn call(self) -> Result<Call, Failure> {
                let call: fn(Self) -> Result<Call, Failure> = $call;
                call(self)
            }
        }
    )*};
}

arguments! {
    /// `p2p_get_identity`.
    GetIdentity {} => |_| Words::of(&["p2p", "identity"]).call();

    /// `p2p_rotate_keys`.
    RotateKeys {
        /// Why; peers see it.
        reason: Reason,
        /// Wait until every peer was told, or the timeout ended; those not reached are told later either way.
        notify_all: Option<bool>,
        /// How long to wait for the peers, such as "30s" (the default); an hour at most.
        timeout: Option<String>,
    } => |given| Words::of(&["p2p", "rotate"])
        .option("reason", Some(given.reason.word()))
        .flag("notify-all", given.notify_all == Some(true))
        .option("timeout", waiting(given.timeout)?)
        .call();

    /// `p2p_list_peers`.
    ListPeers {} => |_| Words::of(&["p2p", "peers"]).call();

    /// `p2p_name_peer`.
    NamePeer {
        /// The peer's name, short id or public key.
        peer: String,
        /// The new name; no two peers share one.
        name: String,
    } => |given| Words::of(&["p2p", "name"]).place(given.peer).place(given.name).call();

    /// `p2p_revoke_peer`.
    RevokePeer {
        /// The peer's name, short id or public key.
        peer: String,
        /// Only its access to this session; otherwise all of its access and its open invites.
        session: Option<String>,
    } => |given| Words::of(&["p2p", "revoke"]).option("session", given.session).place(given.peer).call();

    /// `p2p_create_invite`.
    CreateInvite {
        /// The public key of the one peer that can claim the invite (MCow…).
        public_key: String,
        /// The sessions that it opens; ["*"] for all.
        sessions: Vec<String>,
        /// How long it can be claimed, such as "30m" or "24h" (the default).
        expire: Option<String>,
        /// What may be done there: message, inject (the default) or refinements such as inject.tools.
        capabilities: Option<Vec<String>>,
    } => |given| Words::of(&["p2p", "invite", "create"])
        .list("sessions", Some(&given.sessions))?
        .option("expire", given.expire)
        .list("capabilities", given.capabilities.as_deref())?
        .place(given.public_key)
        .call();

    /// `p2p_claim_invite`.
    ClaimInvite {
        /// The wop1://… text.
        token: String,
        /// How long to try, such as "30s" (the default); an hour at most.
        timeout: Option<String>,
    } => |given| Words::of(&["p2p", "invite", "claim"])
        .option("timeout", waiting(given.timeout)?)
        .place(given.token)
        .call();

    /// `p2p_grant_access`.
    GrantAccess {
        /// The peer's name, short id or public key; a public key may be new.
        peer: String,
        /// The sessions that it may use; ["*"] for all.
        sessions: Vec<String>,
        /// How far the peer is trusted; trusted, if not given.
        trust: Option<Trust>,
        /// What may be done there: message, inject (the default) or refinements such as inject.tools.
        capabilities: Option<Vec<String>>,
        /// When the grant ends by itself, such as "24h" from now; never, if not given.
        expire: Option<String>,
    } => |given| {
        let words = Words::of(&["p2p", "grant"])
            .option("trust", given.trust.map(Trust::word))
            .list("capabilities", given.capabilities.as_deref())?
            .option("expire", given.expire)
            .place(given.peer);
        given.sessions.into_iter().fold(words, Words::place).call()
    };

    /// `p2p_list_grants`.
    ListGrants {
        /// Only those of this peer: its name, short id or public key.
        peer: Option<String>,
    } => |given| Words::of(&["p2p", "grants"]).option("peer", given.peer).call();

    /// `p2p_join_topic`.
    JoinTopic {
        /// Its name. Whoever knows it can find its members.
        topic: String,
    } => |given| Words::of(&["p2p", "topic", "join"]).place(given.topic).call();

    /// `p2p_leave_topic`.
    LeaveTopic {
        /// Its name.
        topic: String,
    } => |given| Words::of(&["p2p", "topic", "leave"]).place(given.topic).call();

    /// `p2p_list_topics`.
    ListTopics {} => |_| Words::of(&["p2p", "topics"]).call();

    /// `p2p_discover_peers`.
    DiscoverPeers {
        /// Only those on this topic.
        topic: Option<String>,
        /// How long to look, such as "5s" (the default); with a daemon, how long to wait for the first one.
        wait: Option<String>,
    } => |given| Words::of(&["p2p", "discover"])
        .option("topic", given.topic)
        .option("wait", waiting(given.wait)?)
        .call();

    /// `p2p_connect_peer`.
    ConnectPeer {
        /// The short id or public key of a peer on one of the node's topics, or its name.
        peer: String,
        /// How long to look for the peer and to wait for its answer, such as "30s" (the default); an hour at most.
        timeout: Option<String>,
    } => |given| Words::of(&["p2p", "connect"]).option("timeout", waiting(given.timeout)?).place(given.peer).call();

    /// `p2p_get_profile`.
    GetProfile {} => |_| Words::of(&["p2p", "profile", "show"]).call();

    /// `p2p_set_profile`.
    SetProfile {
        /// The whole new profile: what others on the node's topics see of it, such as {"name": "my agent"}.
        content: Map<String, Value>,
    } => |given| Words::of(&["p2p", "profile", "set"]).place(Value::Object(given.content)).call();

    /// `p2p_log_message`.
    LogMessage {
        /// The peer's name, short id or public key.
        peer: String,
        /// Which of the peer's sessions.
        session: String,
        /// The text.
        message: String,
        /// How long to try, such as "10s" (the default); an hour at most.
        timeout: Option<String>,
        /// If the peer cannot be reached: true keeps the message and delivers it later, false gives up. Without it, it is
        /// kept where a daemon runs.
        queue: Option<bool>,
        /// How long a message that is kept may wait, such as "7d" (the default); 30 days at most.
        expire: Option<String>,
    } => |given| Words::of(&["p2p", "log"])
        .option("session", Some(given.session))
        .option("timeout", waiting(given.timeout)?)
        .flag("queue", given.queue == Some(true))
        .flag("no-queue", given.queue == Some(false))
        .option("expire", given.expire)
        .place(given.peer)
        .message(given.message);

    /// `p2p_inject_message`.
    InjectMessage {
        /// The peer's name, short id or public key.
        peer: String,
        /// Which of the peer's sessions.
        session: String,
        /// The question.
        message: String,
        /// How long to try, from connecting to the answer, such as "300s" (the default); an hour at most.
        timeout: Option<String>,
    } => |given| Words::of(&["p2p", "inject"])
        .option("session", Some(given.session))
        .option("timeout", waiting(given.timeout)?)
        .place(given.peer)
        .message(given.message);

    /// `p2p_status`.
    Status {
        /// One peer with what it has used of its limits: its name, short id or public key. Without it, the node.
        peer: Option<String>,
    } => |given| Words::of(&["p2p", "status"]).option("peer", given.peer).call();

    /// `sessions_history`.
    SessionsHistory {
        /// The session's name.
        session: String,
        /// Whole messages, from the first one on; otherwise the last ten in short.
        full: Option<bool>,
        /// With full: how many messages to pass over.
        offset: Option<u64>,
        /// With full: how many messages a page has at most, 1 to 1000; 100, if not given.
        limit: Option<u16>,
    } => |given| Words::of(&["sessions", "history"])
        .flag("full", given.full == Some(true))
        .option("offset", given.offset)
        .option("limit", given.limit)
        .place(given.session)
        .call();

    /// `p2p_events`.
    Events {
        /// Only events with a higher number: the `next` of the answer before. Without it, the last ones.
        after: Option<u64>,
        /// How many at most, 1 to 500; 50, if not given.
        limit: Option<u16>,
    } => |given| {
        let limit = given.limit.unwrap_or(EVENTS);
        if !(1..=MAX_EVENTS).contains(&limit) {
            return Err(Failure::invalid(format!("limit: {limit} is not from 1 to {MAX_EVENTS}"), "correct the limit"));
        }
        Ok(Call::Events { after: given.after, limit: limit.into() })
    };
}

/// Why keys are rotated.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Reason {
    Scheduled,
    Compromise,
    Upgrade,
}

impl Reason {
    const fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Compromise => "compromise",
            Self::Upgrade => "upgrade",
        }
    }
}

/// How far a peer is trusted.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Trust {
    Untrusted,
    SemiTrusted,
    Trusted,
}

impl Trust {
    const fn word(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::SemiTrusted => "semi-trusted",
            Self::Trusted => "trusted",
        }
    }
}

/// A time to wait that is bounded. One that cannot be read is the command's to refuse.
fn waiting(time: Option<String>) -> Result<Option<String>, Failure> {
    if time.as_deref().and_then(|time| parse_duration(time).ok()).is_some_and(|time| time > LONGEST) {
        return Err(Failure::invalid("a tool waits an hour at most", "give a shorter time, such as \"300s\""));
    }
    Ok(time)
}
