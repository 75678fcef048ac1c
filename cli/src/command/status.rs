//! `status`: the node at a glance, or one peer with what it has used of its limits.

use std::time::Duration;

use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::peer::{Peer, PeerRef};
use wopr_p2p_core::rate::{Action, Standing};
use wopr_p2p_smol::net::{NatKind, Surroundings};

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
    Ok(Status { snapshot, daemon: node.is_daemon(), bans, surroundings: node.surroundings().await })
}

/// `status --peer P`.
pub(super) async fn peer(node: &Node, who: &PeerRef) -> Result<PeerStatus, Failure> {
    let snapshot = node.snapshot().await?;
    let peer = peers::resolve(&snapshot, who)?;
    let limits = node.standing(peer.key).await?;
    Ok(PeerStatus { peer, limits, snapshot })
}

/// The node at a glance.
pub(super) struct Status {
    snapshot: Snapshot,
    daemon: bool,
    /// Who is banned from what, and for how long.
    bans: Vec<(PublicKey, Action, Duration)>,
    surroundings: Option<Surroundings>,
}

impl Status {
    fn open_invites(&self) -> usize {
        let now = Node::now();
        self.snapshot.invites.iter().filter(|invite| invite.is_claimable(now)).count()
    }

    fn connected(&self) -> Vec<PublicKey> {
        let mut peers: Vec<PublicKey> = self.snapshot.streams.iter().map(|stream| stream.peer).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
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
            fields = fields.field("connected", names.labels(&connected));
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

fn ban_json((peer, action, left): &(PublicKey, Action, Duration), names: &Names) -> Object {
    let ban = Object::default().with("peer", names.json(peer)).with("name", action_name(*action));
    ban.with("bannedForMs", millis(*left))
}

fn network_json(around: &Surroundings) -> Object {
    let nat = match around.nat {
        NatKind::Unknown => "unknown",
        NatKind::Open => "open",
        NatKind::Consistent => "consistent",
        NatKind::Random => "random",
    };
    Object::default()
        .with("dhtReachable", is_reachable(around))
        .with("dhtNodes", around.nodes)
        .with("nat", nat)
        .with("addresses", around.addresses.iter().map(ToString::to_string).collect::<Json>())
}

/// The nodes that are remembered answered once; that somebody saw us means that they answer now.
fn is_reachable(around: &Surroundings) -> bool {
    !around.addresses.is_empty()
}

fn dht_cell(around: &Surroundings) -> Cell {
    if is_reachable(around) {
        let nodes = if around.nodes == 1 { "node" } else { "nodes" };
        Cell::styled(format!("reachable, {} {nodes} known", around.nodes), GOOD)
    } else {
        Cell::styled("not reachable: check the connection and the bootstrap nodes", BAD)
    }
}

fn nat_words(around: &Surroundings) -> String {
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
}

impl View for PeerStatus {
    fn json(&self) -> Object {
        let connected = self.snapshot.streams.iter().any(|stream| stream.peer == self.peer.key);
        peers::json(&self.peer)
            .with("connected", connected)
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
        format!("{}\n{}", peers::detail(&self.peer, 0), limits.render())
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
