//! `status`: the node at a glance, or one peer with what it has used of its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::peer::{Peer, PeerRef};
use wopr_p2p_core::rate::{Action, Standing};
use wopr_p2p_smol::net::{NatKind, Path, Surroundings};

use super::{Names, grant, identity, peers};
use crate::duration::show_duration;
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{BAD, Cell, DIM, GOOD, Json, Object, Table, View};

/// `status`.
pub(super) async fn node(node: &Node) -> Result<Status, Failure> {
    let snapshot = node.snapshot().await?;
    let mut bans = Vec::new();
    for peer in &snapshot.peers {
        let banned = |standing: Standing| standing.banned.map(|left| (peer.key, standing.action, left));
        bans.extend(node.standing(peer.key).await?.into_iter().filter_map(banned));
    }
    let (connections, surroundings) = (node.paths().await?, node.surroundings().await);
    Ok(Status { snapshot, daemon: node.is_daemon(), bans, surroundings, connections })
}

/// `status --peer P`.
pub(super) async fn peer(node: &Node, who: &PeerRef) -> Result<PeerStatus, Failure> {
    let snapshot = node.snapshot().await?;
    let peer = peers::resolve(&snapshot, who)?;
    let limits = node.standing(peer.key).await?;
    let paths = node.paths().await?.remove(&peer.key);
    Ok(PeerStatus { peer, limits, snapshot, paths })
}

/// The node at a glance.
pub(super) struct Status {
    snapshot: Snapshot,
    daemon: bool,
    /// Who is banned from what, and for how long.
    bans: Vec<(PublicKey, Action, Duration)>,
    surroundings: Option<Surroundings>,
    /// Who is connected, and which way.
    connections: BTreeMap<PublicKey, BTreeSet<Path>>,
}

impl Status {
    fn open_invites(&self) -> usize {
        let now = Node::now();
        self.snapshot.invites.iter().filter(|invite| invite.is_claimable(now)).count()
    }

    fn connected(&self) -> Vec<PublicKey> {
        self.connections.keys().copied().collect()
    }
}

impl View for Status {
    fn json(&self) -> Object {
        let names = Names::of(&self.snapshot);
        identity::json(&self.snapshot)
            .with("daemon", self.daemon)
            .with("peers", self.snapshot.peers.len())
            .with("grants", self.snapshot.grants.len())
            .with("openInvites", self.open_invites())
            .with("connected", names.json_list(&self.connected()))
            .with("connections", self.connections.iter().map(|it| connection_json(it, &names)).collect::<Json>())
            .with("banned", self.bans.iter().map(|ban| ban_json(ban, &names)).collect::<Json>())
            .with("network", self.surroundings.as_ref().map(network_json))
    }

    fn text(&self) -> String {
        let daemon = if self.daemon {
            Cell::styled("running", GOOD)
        } else {
            Cell::styled("not running: peers cannot reach this node (`wopr daemon start` starts it)", DIM)
        };
        let counts = [self.snapshot.peers.len(), self.snapshot.grants.len(), self.open_invites()];
        let [peers, grants, invites] = counts.map(|count| count.to_string());
        let mut fields = identity::fields(&self.snapshot)
            .field("daemon", daemon)
            .field("peers", peers)
            .field("grants", grants)
            .field("openInvites", invites);
        let connected = self.connected();
        let names = Names::of(&self.snapshot);
        if !connected.is_empty() {
            let ways = self.connections.iter().map(|(peer, paths)| format!("{}: {}", names.label(peer), words(paths)));
            fields = fields.field("connected", ways.collect::<Vec<_>>().join(", "));
        }
        for (peer, action, left) in &self.bans {
            let ban = format!("{} from {}, {} left", names.label(peer), action_name(*action), show_duration(*left));
            fields = fields.field("banned", Cell::styled(ban, BAD));
        }
        if let Some(around) = &self.surroundings {
            fields = fields.field("dht", dht_cell(around)).field("nat", nat_words(around));
        }
        fields.render(0)
    }
}

fn connection_json((peer, paths): (&PublicKey, &BTreeSet<Path>), names: &Names) -> Object {
    Object::default().with("peer", names.json(peer)).with("paths", paths_json(paths))
}

/// The ways to a peer.
pub(super) fn paths_json(paths: &BTreeSet<Path>) -> Json {
    paths.iter().map(ToString::to_string).collect()
}

/// The ways to a peer, for people.
pub(super) fn words(paths: &BTreeSet<Path>) -> String {
    paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn ban_json((peer, action, left): &(PublicKey, Action, Duration), names: &Names) -> Object {
    let ban = Object::default().with("peer", names.json(peer)).with("name", action_name(*action));
    ban.with("bannedForMs", millis(*left))
}

fn network_json(around: &Surroundings) -> Object {
    Object::default()
        .with("dhtReachable", is_reachable(around))
        .with("dhtNodes", around.nodes)
        .with("nat", nat_name(around.nat))
        .with("addresses", around.addresses.iter().map(ToString::to_string).collect::<Json>())
}

/// As in JSON.
pub(super) const fn nat_name(nat: NatKind) -> &'static str {
    match nat {
        NatKind::Unknown => "unknown",
        NatKind::Open => "open",
        NatKind::Consistent => "consistent",
        NatKind::Random => "random",
    }
}

/// The nodes that are remembered answered once; that somebody saw us means that they answer now.
pub(super) fn is_reachable(around: &Surroundings) -> bool {
    !around.addresses.is_empty()
}

pub(super) fn dht_cell(around: &Surroundings) -> Cell {
    if is_reachable(around) {
        let nodes = if around.nodes == 1 { "node" } else { "nodes" };
        Cell::styled(format!("reachable, {} {nodes} known", around.nodes), GOOD)
    } else {
        Cell::styled("not reachable: check the connection and the bootstrap nodes", BAD)
    }
}

pub(super) fn nat_words(around: &Surroundings) -> String {
    let addresses: Vec<_> = around.addresses.iter().map(ToString::to_string).collect();
    match around.nat {
        NatKind::Unknown => "unknown: too few nodes have answered".to_owned(),
        NatKind::Open => format!("none, seen as {}", addresses.join(", ")),
        NatKind::Consistent => format!("consistent, seen as {}", addresses.join(", ")),
        NatKind::Random => "random ports: peers behind another such NAT cannot reach this node".to_owned(),
    }
}

/// One peer and its limits.
pub(super) struct PeerStatus {
    peer: Peer,
    limits: Vec<Standing>,
    snapshot: Snapshot,
    /// Which way it is connected.
    paths: Option<BTreeSet<Path>>,
}

impl View for PeerStatus {
    fn json(&self) -> Object {
        peers::json(&self.peer)
            .with("connected", self.paths.is_some())
            .with("paths", self.paths.as_ref().map(paths_json))
            .with("grants", grant::json_list(&self.snapshot, Some(self.peer.key)))
            .with("limits", self.limits.iter().map(limit_json).collect::<Json>())
    }

    fn text(&self) -> String {
        let mut limits =
            Table::new(["LIMIT", "LAST MINUTE", "LAST HOUR", "STATE"], "No limit of this peer has been used lately.");
        for standing in &self.limits {
            let Standing { action, last_minute, last_hour, limit, banned } = standing;
            let state = match banned {
                Some(left) => Cell::styled(format!("banned, {} left", show_duration(*left)), BAD),
                None => Cell::styled("free", GOOD),
            };
            let minute = format!("{last_minute} of {}", limit.per_minute);
            limits.row([
                action_name(*action).into(),
                minute.into(),
                format!("{last_hour} of {}", limit.per_hour).into(),
                state,
            ]);
        }
        format!("{}\n{}", peers::detail(&self.peer, self.paths.as_ref(), 0), limits.render())
    }
}

fn limit_json(standing: &Standing) -> Object {
    let Standing { action, last_minute, last_hour, limit, banned } = standing;
    Object::default()
        .with("name", action_name(*action))
        .with("lastMinute", *last_minute)
        .with("maxPerMinute", limit.per_minute)
        .with("lastHour", *last_hour)
        .with("maxPerHour", limit.per_hour)
        .with("bannedForMs", banned.map(millis))
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// As in the configuration.
pub(crate) const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Inject => "injects",
        Action::Log => "logs",
        Action::Claim => "claims",
        Action::Invalid => "invalid",
    }
}
