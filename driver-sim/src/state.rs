//! How a node looks from outside at a moment, for the record: only what changed is written down.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wopr_p2p_core::grant::Grant;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::rate::{Standing, Subject};
use wopr_p2p_core::{Node, TransportKey};

use crate::net::{End, Party};
use crate::trace::{Line, Name};
use crate::world::World;

/// The members of a state that was written down last.
pub(crate) type State = BTreeMap<&'static str, Value>;

impl World {
    /// Writes down what of a node's state has changed, if the record is kept.
    pub(crate) fn note_state(&mut self, index: usize) {
        if !self.trace.keeps() {
            return;
        }
        let now = self.state(index);
        let shown = core::mem::replace(&mut self.hosts[index].shown, now.clone());
        let changed: serde_json::Map<String, Value> = now
            .into_iter()
            .filter(|(name, value)| shown.get(name) != Some(value))
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if !changed.is_empty() {
            let (at, party) = (self.now, Party::Node(index));
            let state = Some(changed.into());
            self.trace.line(|| Line { state, ..Line::new(at, party, "state", None, String::new()) });
        }
    }

    fn state(&self, index: usize) -> State {
        let host = &self.hosts[index];
        let mut state = State::new();
        state.insert("up", host.node.is_some().into());
        state.insert("clockAheadMs", host.clock.ahead.into());
        state.insert("diskFull", host.disk.full.into());
        let sessions = host.disk.content.sessions.iter().map(|(name, lines)| (name.clone(), lines.len().into()));
        state.insert("sessions", sessions.collect::<serde_json::Map<_, _>>().into());
        if let Some(node) = &host.node {
            self.running(index, node, &mut state);
        }
        state
    }

    fn running(&self, index: usize, node: &Node, state: &mut State) {
        let (party, snapshot) = (Party::Node(index), node.snapshot());
        let name =
            |key: &PublicKey| self.keys.owner(key).map_or_else(|| "?".to_owned(), |party| Name(party).to_string());
        let grant = |grant: &Grant| {
            let except: Vec<&str> = grant.except.iter().map(|session| session.as_str()).collect();
            json!({
                "peer": name(&grant.peer),
                "sessions": grant.sessions.names(),
                "except": except,
                "capabilities": grant.capabilities.iter().map(|c| c.as_str()).collect::<Vec<_>>(),
            })
        };
        state.insert("key", snapshot.public_key.short_id().to_string().into());
        state.insert("peers", snapshot.peers.iter().map(|peer| name(&peer.key)).collect::<Vec<_>>().into());
        state.insert("grants", snapshot.grants.iter().map(grant).collect::<Vec<_>>().into());
        state.insert("invites", snapshot.invites.len().into());
        state.insert("outbox", snapshot.outbox.len().into());
        state.insert("keysInGrace", snapshot.grace.len().into());
        let ends = self.net.ends_of(party);
        let streams = ends.into_iter().filter_map(|end| {
            let shown = snapshot.streams.iter().any(|stream| stream.stream == end.stream);
            self.across(end).map(|End { party, .. }| json!({ "with": Name(party).to_string(), "open": shown }))
        });
        state.insert("streams", streams.collect::<Vec<_>>().into());
        state.insert("bans", self.bans(index, node).into());
    }

    /// Who is banned at a node from what: by the peers' keys, and by the transports of those that keep theirs.
    fn bans(&self, index: usize, node: &Node) -> Vec<Value> {
        let now = self.hosts[index].now(self.now);
        let nodes = (0..self.hosts.len()).map(Party::Node);
        let others =
            (0..self.originals.len()).map(Party::Original).chain(self.mallory.as_ref().map(|_| Party::Mallory));
        let mut bans = Vec::new();
        for party in nodes.chain(others) {
            let transport = match party {
                Party::Node(other) => self.hosts[other].transport,
                Party::Original(other) => self.originals[other].transport(),
                Party::Mallory => TransportKey(crate::adversary::TRANSPORT),
            };
            let subjects = self.key_of(party).map(Subject::Peer).into_iter().chain([Subject::Transport(transport.0)]);
            let standings = subjects.flat_map(|subject| node.standing_of(subject, now));
            let banned = standings.filter(|standing: &Standing| standing.banned.is_some());
            bans.extend(banned.map(|standing| {
                json!({ "who": Name(party).to_string(), "from": format!("{:?}", standing.action).to_lowercase() })
            }));
        }
        bans
    }
}
