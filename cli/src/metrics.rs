//! What is counted and measured, as Prometheus reads it.
//!
//! Counters follow what the driver tells (`Observation`) and what the owner's commands came to; gauges are set from the
//! node when they are asked for. Every label has a fixed set of values: nothing that a peer chooses, no name and no key,
//! becomes one.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use wopr_p2p_core::event::RejectReason;
use wopr_p2p_core::node::{Load, Snapshot};
use wopr_p2p_core::rate::{Action, Ban, Subject};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Command, EntryKind, Event};
use wopr_p2p_smol::driver::Observation;
use wopr_p2p_smol::net::{NatKind, Surroundings};

use crate::command::action_name;
use crate::exit::Exit;

type Float = Gauge<f64, AtomicU64>;

/// A word of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Label sets, each with the names of its labels.
macro_rules! labels {
    ($($set:ident { $($label:ident),+ })+) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $set { $($label: Word),+ }
    )+};
}

labels! {
    Side { side }
    Connection { side, version }
    Reason { reason }
    Message { kind, outcome }
    Done { command, outcome }
    Named { event }
    Banned { subject, action }
    Queue { queue }
    Table { table }
    Nat { kind }
    Build { version }
}

/// Seconds, from a handshake on loopback to an AI that thinks for minutes.
#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

const HANDSHAKE: Buckets = Buckets(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
const INJECT: Buckets = Buckets(&[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// What can become of the texts of peers.
const RECEIVED: [(&str, &str); 5] =
    [("log", "delivered"), ("inject", "delivered"), ("inject", "answered"), ("inject", "unanswered"), ("any", "held")];

/// Everything that is counted, for as long as the daemon runs.
pub(crate) struct Metrics {
    registry: Registry,
    streams: Family<Side, Counter>,
    handshakes: Family<Side, Histogram, Buckets>,
    streams_rejected: Family<Reason, Counter>,
    messages: Family<Message, Counter>,
    messages_rejected: Family<Reason, Counter>,
    injects: Family<Side, Histogram, Buckets>,
    commands: Family<Done, Counter>,
    events: Family<Named, Counter>,
    connections: Family<Connection, Gauge>,
    bans: Family<Banned, Gauge>,
    queues: Family<Queue, Gauge>,
    tables: Family<Table, Gauge>,
    buffered: Gauge,
    reachable: Gauge,
    nodes: Gauge,
    nat: Family<Nat, Gauge>,
    round_trip: Float,
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new(started: WallTime) -> Self {
        let mut registry = Registry::with_prefix("wopr");
        let metrics = Self {
            streams: Family::default(),
            handshakes: Family::new_with_constructor(HANDSHAKE),
            streams_rejected: Family::default(),
            messages: Family::default(),
            messages_rejected: Family::default(),
            injects: Family::new_with_constructor(INJECT),
            commands: Family::default(),
            events: Family::default(),
            connections: Family::default(),
            bans: Family::default(),
            queues: Family::default(),
            tables: Family::default(),
            buffered: Gauge::default(),
            reachable: Gauge::default(),
            nodes: Gauge::default(),
            nat: Family::default(),
            round_trip: Float::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry, started);
        metrics.begin();
        Self { registry, ..metrics }
    }

    /// What has not happened yet is there with 0: a first refusal is then seen to rise.
    fn begin(&self) {
        for reason in RejectReason::ALL.map(|reason| Reason { reason: Word(reason.as_str()) }) {
            drop(self.streams_rejected.get_or_create(&reason));
            drop(self.messages_rejected.get_or_create(&reason));
        }
        for (kind, outcome) in RECEIVED {
            drop(self.messages.get_or_create(&Message { kind: Word(kind), outcome: Word(outcome) }));
        }
        for dialled in [false, true] {
            drop(self.streams.get_or_create(&side(dialled)));
            drop(self.handshakes.get_or_create(&side(dialled)));
        }
        for word in ["asking", "answering"] {
            drop(self.injects.get_or_create(&Side { side: Word(word) }));
        }
    }

    fn register(&self, registry: &mut Registry, started: WallTime) {
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: Word(env!("CARGO_PKG_VERSION")) }).set(1);
        registry.register("build_info", "The program's version", build);
        let start = Float::default();
        start.set(started.as_millis() as f64 / 1000.0);
        registry.register_with_unit("start_time", "When the daemon was started", Unit::Seconds, start);
        registry.register("streams_opened", "Streams that were opened", self.streams.clone());
        let help = "From the opening of a stream to the end of its handshake";
        registry.register_with_unit("handshake", help, Unit::Seconds, self.handshakes.clone());
        let help = "Streams that were refused before the other side had shown an identity";
        registry.register("streams_rejected", help, self.streams_rejected.clone());
        let help = "Texts of peers, and what became of them";
        registry.register("messages_received", help, self.messages.clone());
        let help = "Messages of peers that were refused";
        registry.register("messages_rejected", help, self.messages_rejected.clone());
        let help = "From a question to its answer, or to the end of waiting for it";
        registry.register_with_unit("inject", help, Unit::Seconds, self.injects.clone());
        let help = "What the owner had the node do, and how it ended: exit codes by their names";
        registry.register("commands", help, self.commands.clone());
        registry.register("events", "What happened, by its name in the log", self.events.clone());
        let help = "Open streams whose other side has shown who it is";
        registry.register("connections", help, self.connections.clone());
        let help = "Peers and transports that may not do something for a while";
        registry.register("bans", help, self.bans.clone());
        registry.register("queue_length", "What waits, by where it waits", self.queues.clone());
        let help = "What the node remembers, by table; each is bounded";
        registry.register("table_entries", help, self.tables.clone());
        let help = "The most unread bytes of one stream";
        registry.register_with_unit("stream_buffered", help, Unit::Bytes, self.buffered.clone());
        let help = "Whether somebody in the DHT has told how it sees this node";
        registry.register("dht_reachable", help, self.reachable.clone());
        registry.register("dht_nodes", "Nodes of the DHT that answered lately", self.nodes.clone());
        registry.register("nat_kind", "What stands between this node and the others: 1 for it", self.nat.clone());
        let help = "How long a node of the DHT took for one question, 0 if unknown";
        registry.register_with_unit("dht_round_trip", help, Unit::Seconds, self.round_trip.clone());
    }

    /// Counts what the driver tells.
    pub(crate) fn observe(&self, observation: &Observation<'_>) {
        match observation {
            Observation::Event(event) => self.event(event),
            Observation::StreamOpened { dialled } => drop(self.streams.get_or_create(&side(*dialled)).inc()),
            Observation::Handshake { dialled, took } => {
                self.handshakes.get_or_create(&side(*dialled)).observe(took.as_secs_f64());
            }
            Observation::Recorded(kind) => {
                let (kind, outcome) = match kind {
                    EntryKind::Message => ("log", "delivered"),
                    EntryKind::Question => ("inject", "delivered"),
                    EntryKind::Answer => ("inject", "answered"),
                };
                self.message(kind, outcome);
            }
            Observation::Asked { answered, took } => {
                self.injects.get_or_create(&Side { side: Word("answering") }).observe(took.as_secs_f64());
                if !answered {
                    self.message("inject", "unanswered");
                }
            }
            _ => {}
        }
    }

    fn event(&self, event: &Event) {
        self.events.get_or_create(&Named { event: Word(event.name()) }).inc();
        match event {
            Event::PeerRejected { reason, .. } => {
                self.streams_rejected.get_or_create(&Reason { reason: Word(reason.as_str()) }).inc();
            }
            Event::MessageRejected { reason, .. } => {
                self.messages_rejected.get_or_create(&Reason { reason: Word(reason.as_str()) }).inc();
            }
            Event::MessageHeld { .. } => self.message("any", "held"),
            _ => {}
        }
    }

    fn message(&self, kind: &'static str, outcome: &'static str) {
        self.messages.get_or_create(&Message { kind: Word(kind), outcome: Word(outcome) }).inc();
    }

    /// Counts a command of the owner. `failed` is its exit code, if it was not done.
    pub(crate) fn command(&self, command: &'static str, failed: Option<Exit>, took: Duration) {
        let outcome = Word(failed.map_or("EXIT_OK", Exit::name));
        self.commands.get_or_create(&Done { command: Word(command), outcome }).inc();
        if command == "inject" {
            self.injects.get_or_create(&Side { side: Word("asking") }).observe(took.as_secs_f64());
        }
    }

    /// Everything as text, with the gauges as the node is now.
    pub(crate) fn text(&self, now: &Standing<'_>) -> String {
        self.look(now);
        let mut text = String::new();
        // Writing into a string does not fail.
        prometheus_text::encode(&mut text, &self.registry).ok();
        text
    }

    fn look(&self, Standing { snapshot, load, bans, around }: &Standing<'_>) {
        for (dialled, version) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
            let fits = snapshot.streams.iter().filter(|it| it.dialled == dialled && it.version == version).count();
            let version = Word(if version == 1 { "1" } else { "2" });
            self.connections.get_or_create(&Connection { side: side(dialled).side, version }).set(count(fits));
        }
        for action in Action::ALL {
            for (word, peer) in [("peer", true), ("transport", false)] {
                let fits = |ban: &&Ban| ban.action == action && matches!(ban.subject, Subject::Peer(_)) == peer;
                let banned = Banned { subject: Word(word), action: Word(action_name(action)) };
                self.bans.get_or_create(&banned).set(count(bans.iter().filter(fits).count()));
            }
        }
        let queues = [
            ("outbox", snapshot.outbox.len()),
            ("approvals", snapshot.requests.len()),
            ("requests", load.requests),
            ("writes", load.writes),
            ("questions", load.asks),
            ("rotation_notices", load.notices),
        ];
        for (queue, len) in queues {
            self.queues.get_or_create(&Queue { queue: Word(queue) }).set(count(len));
        }
        let tables = [
            ("streams", load.streams),
            ("strangers", load.strangers),
            ("peers", load.peers),
            ("grants", load.grants),
            ("invites", snapshot.invites.len()),
            ("topics", snapshot.topics.len()),
            ("discovered", snapshot.discovered.len()),
            ("nonces", load.nonces),
            ("rate_limits", load.subjects),
        ];
        for (table, len) in tables {
            self.tables.get_or_create(&Table { table: Word(table) }).set(count(len));
        }
        self.buffered.set(count(load.most_of_stream));
        self.reachable.set((!around.addresses.is_empty()).into());
        self.nodes.set(count(around.nodes));
        for kind in [NatKind::Unknown, NatKind::Open, NatKind::Consistent, NatKind::Random] {
            self.nat.get_or_create(&Nat { kind: Word(nat_name(kind)) }).set((kind == around.nat).into());
        }
        self.round_trip.set(around.round_trip.unwrap_or_default().as_secs_f64());
    }
}

/// What the gauges are set from.
pub(crate) struct Standing<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) load: &'a Load,
    pub(crate) bans: &'a [Ban],
    pub(crate) around: &'a Surroundings,
}

/// The word for a command.
pub(crate) fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Log { .. } => "log",
        Command::Queue { .. } => "queue",
        Command::Unqueue { .. } => "unqueue",
        Command::InChain { command, .. } => command_name(command),
        Command::Inject { .. } => "inject",
        Command::Claim { .. } => "claim",
        Command::CreateInvite { .. } => "invite",
        Command::RevokeInvite { .. } => "revoke_invite",
        Command::Grant { .. } => "grant",
        Command::RevokeGrant { .. } => "revoke_grant",
        Command::RevokePeer { .. } => "revoke",
        Command::NamePeer { .. } => "name",
        Command::RotateKeys { .. } => "rotate",
        Command::JoinTopic { .. } => "topic_join",
        Command::LeaveTopic { .. } => "topic_leave",
        Command::SetProfile { .. } => "profile",
        Command::Connect { .. } => "connect",
        Command::Ping { .. } => "ping",
        Command::Approve { .. } => "approve",
        Command::Deny { .. } => "deny",
    }
}

fn side(dialled: bool) -> Side {
    Side { side: Word(if dialled { "dialled" } else { "accepted" }) }
}

const fn nat_name(kind: NatKind) -> &'static str {
    match kind {
        NatKind::Unknown => "unknown",
        NatKind::Open => "open",
        NatKind::Consistent => "consistent",
        NatKind::Random => "random",
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
