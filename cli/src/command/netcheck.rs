//! `netcheck`: how the network looks from here, in the order in which somebody looks for a fault.

use std::net::SocketAddr;

use wopr_p2p_smol::net::{Answer, Entry, LanState, NatKind, RelayTried, Surroundings};

use super::status::{dht_cell, is_reachable, nat_name, nat_words};
use crate::exit::Exit;
use crate::node::Node;
use crate::output::{BAD, Cell, DIM, Fields, GOOD, Json, Object, Table, View, WARN};

/// `netcheck`.
pub(super) async fn netcheck(node: &Node) -> Netcheck {
    let (around, relays) = smol::future::zip(node.look_around(), node.try_relays()).await;
    Netcheck { around, relays, daemon: node.is_daemon() }
}

/// How the network looks from here.
pub(super) struct Netcheck {
    around: Surroundings,
    /// The relays of the configuration.
    relays: Vec<RelayTried>,
    daemon: bool,
}

/// Why the DHT cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Our own system does not let a packet out.
    CannotSend,
    /// The hosts are there, but no node is.
    NoNodeThere,
    /// Nothing comes back.
    UdpBlocked,
}

impl Trouble {
    fn of(around: &Surroundings) -> Option<Self> {
        if is_reachable(around) {
            return None;
        }
        let some = |is: fn(&Answer) -> bool| around.entries.iter().any(|entry| is(&entry.answer));
        Some(if some(|answer| matches!(answer, Answer::Silence | Answer::Given(_))) {
            Self::UdpBlocked
        } else if some(|answer| *answer == Answer::Refused) {
            Self::NoNodeThere
        } else {
            Self::CannotSend
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::CannotSend => "cannot-send",
            Self::NoNodeThere => "no-node-there",
            Self::UdpBlocked => "udp-blocked",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::CannotSend => {
                "This machine cannot send UDP to any node of the DHT: it is not connected, or its own firewall forbids \
                 it. Check the network connection and the rules for outgoing UDP."
            }
            Self::NoNodeThere => {
                "The hosts of the bootstrap nodes answer that no node runs there. Check \"bootstrap\" in config.json and \
                 WOPR_P2P_BOOTSTRAP, and that the nodes are running."
            }
            Self::UdpBlocked => {
                "Nothing came back from any bootstrap node: UDP seems to be blocked by a firewall between here and there, \
                 or the nodes are gone. Allow outgoing UDP to any port, and the answers to it, in the firewall; or use \
                 another network, such as a phone's."
            }
        }
    }
}

/// Whether somebody can connect to this node; nothing if that is not known.
type Can = Option<bool>;

impl Netcheck {
    /// Who can connect to this node.
    fn reachable_from(&self) -> [(&'static str, &'static str, Can); 4] {
        let announced = self.daemon && !self.around.relays.is_empty();
        let if_announced = |can: Can| if announced { can } else { Some(false) };
        let (punched, random) = match self.around.nat {
            NatKind::Unknown => (None, None),
            NatKind::Open | NatKind::Consistent => (Some(true), Some(true)),
            // One of the relays is proposed, whichever.
            NatKind::Random => (Some(true), Some(self.relays.iter().any(is_there) && self.relays.iter().all(is_there))),
        };
        [
            ("lan", "nodes on our own networks", Some(self.daemon && self.around.lan == LanState::Active)),
            ("public", "nodes without a NAT", if_announced(Some(true))),
            ("nat", "nodes behind a usual NAT", if_announced(punched)),
            ("randomNat", "nodes behind a NAT with random ports", if_announced(random)),
        ]
    }

    fn lan_json(&self) -> Object {
        let (state, reason) = match &self.around.lan {
            LanState::Off => ("off", None),
            LanState::Active => ("active", None),
            LanState::Failed(reason) => ("failed", Some(reason.as_str())),
        };
        Object::default().with("state", state).with("reason", reason)
    }

    fn lan_cell(&self) -> Cell {
        match &self.around.lan {
            LanState::Off => Cell::styled("off: \"lan\" is false in config.json or WOPR_P2P_LAN", DIM),
            LanState::Active => Cell::styled("on: nodes on our own networks are found without the DHT", GOOD),
            LanState::Failed(reason) => Cell::styled(format!("not possible: {reason}"), WARN),
        }
    }
}

impl Netcheck {
    fn relays_cell(&self) -> Cell {
        let (all, there) = (self.relays.len(), self.relays.iter().filter(|relay| is_there(relay)).count());
        match (all, there) {
            (0, _) => {
                Cell::styled("none: two NATs with random ports need one to meet (\"relayThrough\" in config.json)", DIM)
            }
            _ if there == all => Cell::styled(format!("{all} configured, and there"), GOOD),
            _ => Cell::styled(format!("{all} configured, of which {there} can be reached"), WARN),
        }
    }
}

const fn is_there(relay: &RelayTried) -> bool {
    relay.took.is_some()
}

impl View for Netcheck {
    fn json(&self) -> Object {
        let around = &self.around;
        let trouble = Trouble::of(around);
        let can = self.reachable_from().into_iter().fold(Object::default(), |all, (name, _, can)| all.with(name, can));
        Object::default()
            .with("dhtReachable", is_reachable(around))
            .with("dhtNodes", around.nodes)
            .with("roundTripMs", around.round_trip.map(millis))
            .with("bootstrap", around.entries.iter().map(entry_json).collect::<Json>())
            .with("nat", nat_name(around.nat))
            .with("addresses", texts(&around.addresses))
            .with("local", hosts(&around.local).into_iter().collect::<Json>())
            .with("lan", self.lan_json())
            .with("daemon", self.daemon)
            .with("relays", texts(&around.relays))
            .with("relayThrough", self.relays.iter().map(relay_json).collect::<Json>())
            .with("reachableFrom", can)
            .with("trouble", trouble.map(Trouble::name))
            .with("advice", trouble.map(Trouble::words))
    }

    fn text(&self) -> String {
        let around = &self.around;
        let relays = match (self.daemon, around.relays.len()) {
            (false, _) => Cell::styled("none: no daemon runs (`wopr daemon start` starts one)", DIM),
            (true, 0) => Cell::styled("none yet: this node is not announced in the DHT", WARN),
            (true, _) => Cell::styled(format!("{} nodes pass connections on to us", around.relays.len()), GOOD),
        };
        let mut fields = Fields::default().field("dht", dht_cell(around));
        if let Some(round_trip) = around.round_trip {
            fields = fields.field("roundTrip", format!("{:.1} ms", millis(round_trip)));
        }
        let fields = fields
            .field("nat", nat_words(around))
            .field("local", hosts(&around.local).join(", "))
            .field("lan", self.lan_cell())
            .field("relays", relays)
            .field("relayThrough", self.relays_cell());
        let mut entries = Table::new(["BOOTSTRAP NODE", "ANSWER"], "No bootstrap nodes are known.");
        around
            .entries
            .iter()
            .for_each(|entry| entries.row([entry.address.to_string().into(), answer_cell(&entry.answer)]));
        let mut relays = Table::new(["RELAY OF \"relayThrough\"", "ANSWER"], "");
        for relay in &self.relays {
            relays.row([relay_name(relay).into(), relay_cell(relay)]);
        }
        let relays = if self.relays.is_empty() { String::new() } else { format!("{}\n", relays.render()) };
        let mut who = Table::new(["WHO", "CAN CONNECT TO THIS NODE"], "");
        for (_, words, can) in self.reachable_from() {
            who.row([
                words.into(),
                match can {
                    Some(true) => Cell::styled("yes", GOOD),
                    Some(false) => Cell::styled("no", WARN),
                    None => Cell::styled("not known: too few nodes answered", DIM),
                },
            ]);
        }
        format!("{}\n{}\n{relays}{}", fields.render(0), entries.render(), who.render())
    }

    fn note(&self) -> String {
        Trouble::of(&self.around)
            .map_or_else(String::new, |trouble| format!("{BAD}network:{BAD:#} {}", trouble.words()))
    }

    fn exit(&self) -> Option<Exit> {
        Trouble::of(&self.around).map(|_| Exit::Offline)
    }
}

fn entry_json(entry: &Entry) -> Object {
    let (answer, took, reason) = match &entry.answer {
        Answer::Given(took) => ("given", Some(millis(*took)), None),
        Answer::Silence => ("silence", None, None),
        Answer::Refused => ("refused", None, None),
        Answer::Unsent(reason) => ("unsent", None, Some(reason.as_str())),
    };
    let entry = Object::default().shown("address", entry.address).with("answer", answer);
    entry.with("roundTripMs", took).with("reason", reason)
}

fn answer_cell(answer: &Answer) -> Cell {
    match answer {
        Answer::Given(took) => Cell::styled(format!("answered after {:.1} ms", millis(*took)), GOOD),
        Answer::Silence => Cell::styled("silent", BAD),
        Answer::Refused => Cell::styled("nobody listens there", BAD),
        Answer::Unsent(reason) => Cell::styled(format!("could not be asked: {reason}"), BAD),
    }
}

/// A relay's key, as it may stand in config.json.
fn relay_name(relay: &RelayTried) -> String {
    relay.key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn relay_json(relay: &RelayTried) -> Object {
    let named = Object::default().with("publicKey", relay_name(relay));
    named.with("reached", is_there(relay)).with("connectMs", relay.took.map(millis))
}

fn relay_cell(relay: &RelayTried) -> Cell {
    match relay.took {
        Some(took) => Cell::styled(format!("connected after {:.1} ms", millis(took)), GOOD),
        None => Cell::styled("cannot be reached", BAD),
    }
}

fn texts(addresses: &[SocketAddr]) -> Json {
    addresses.iter().map(ToString::to_string).collect()
}

/// The ports were those of a socket that is gone.
fn hosts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(|address| address.ip().to_string()).collect()
}

/// To the microsecond.
fn millis(time: std::time::Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn looked(answers: &[Answer]) -> Surroundings {
        let address = SocketAddr::from(([192, 0, 2, 1], 49737));
        let entries = answers.iter().map(|answer| Entry { address, answer: answer.clone() }).collect();
        Surroundings { entries, ..Surroundings::default() }
    }

    #[test]
    fn what_is_in_the_way_is_told_from_the_answers() {
        let unsent = Answer::Unsent("Operation not permitted".to_owned());
        for (answers, trouble) in [
            (vec![Answer::Silence, Answer::Refused], "udp-blocked"),
            (vec![Answer::Refused, unsent.clone()], "no-node-there"),
            (vec![unsent], "cannot-send"),
            (vec![], "cannot-send"),
        ] {
            assert_eq!(Trouble::of(&looked(&answers)).map(Trouble::name), Some(trouble), "{answers:?}");
        }
        let seen = Surroundings { addresses: vec![SocketAddr::from(([192, 0, 2, 7], 1))], ..looked(&[]) };
        assert!(Trouble::of(&seen).is_none());
    }

    #[test]
    fn only_an_announced_node_can_be_reached_from_elsewhere() {
        let relays = vec![SocketAddr::from(([192, 0, 2, 1], 1))];
        let can = |daemon, nat, relays: &[SocketAddr], lan| {
            let around = Surroundings { nat, relays: relays.to_vec(), lan, ..looked(&[Answer::Given(Duration::ZERO)]) };
            Netcheck { around, relays: Vec::new(), daemon }.reachable_from().map(|(_, _, can)| can)
        };
        let [yes, no] = [Some(true), Some(false)];
        assert_eq!(can(true, NatKind::Consistent, &relays, LanState::Active), [yes; 4]);
        assert_eq!(can(true, NatKind::Random, &relays, LanState::Off), [no, yes, yes, no]);
        assert_eq!(can(true, NatKind::Unknown, &relays, LanState::Active), [yes, yes, None, None]);
        assert_eq!(can(true, NatKind::Open, &[], LanState::Active), [yes, no, no, no]);
        assert_eq!(can(false, NatKind::Open, &relays, LanState::Active), [no; 4]);
    }

    #[test]
    fn two_random_nats_can_meet_where_the_relays_are_there() {
        let with = |took: &[Option<Duration>]| {
            let relays = vec![SocketAddr::from(([192, 0, 2, 1], 1))];
            let around = Surroundings { nat: NatKind::Random, relays, ..looked(&[Answer::Given(Duration::ZERO)]) };
            let relays = took.iter().map(|took| RelayTried { key: [7; 32], took: *took }).collect();
            let netcheck = Netcheck { around, relays, daemon: true };
            (netcheck.reachable_from()[3].2, anstream::adapter::strip_str(&netcheck.text()).to_string())
        };
        let there = Some(Duration::from_millis(12));
        assert_eq!(with(&[]).0, Some(false));
        assert!(with(&[]).1.contains("relayThrough:  none"));
        assert_eq!(with(&[there]).0, Some(true));
        assert!(with(&[there]).1.contains("1 configured, and there"));
        // Either may be proposed.
        assert_eq!(with(&[there, None]).0, Some(false));
        assert!(with(&[there, None]).1.contains("of which 1 can be reached"));
    }
}
