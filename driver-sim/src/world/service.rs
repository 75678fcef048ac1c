//! Service: whoever may write to whom gets through. For pairs that nothing strikes always, whatever an attacker does to
//! one of them; for everybody once the world is healed.

use wopr_p2p_core::CommandError;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::grant::Needs;
use wopr_p2p_core::keys::PublicKey;

use super::owner::{SESSIONS, session};
use super::{Happening, Wanted, World};
use crate::adversary::Kind;
use crate::clock::SECOND;
use crate::net::Party;
use crate::oracle::Rule;

/// How often a text that must arrive is sent anew, and with what pause.
const TRIES: u32 = 36;
const PAUSE: u64 = 240 * SECOND;
/// So many texts of one to another within so much time are never too many: the limits allow ten a minute.
const MODEST: usize = 7;
const WHILE: u64 = 75 * SECOND;
/// A longer text may take longer than its owner waits.
const SHORT: usize = 10_000;
/// Where streams carry less (in bytes a millisecond), a long text keeps others waiting.
const WIDE: u64 = 1000;

impl World {
    /// Something goes wrong at a party's: nothing is promised to it any more until the world is healed.
    pub(crate) fn struck(&mut self, party: Party) {
        self.struck.insert(party);
    }

    /// The permissions by which a text that is ordered now has to get through; none if it need not.
    pub(crate) fn due(&mut self, from: usize, to: Party, session: &SessionName, size: usize) -> Vec<String> {
        let modest = self.is_modest(from, to);
        match to {
            Party::Node(to) if modest && size <= SHORT => self.promised(from, to, session),
            _ => Vec::new(),
        }
    }

    /// A text did not get through. If it had to when it was ordered, and still has to, that breaks a promise.
    pub(crate) fn check_due(&mut self, from: usize, to: Party, text: &str, due: &[String], error: &CommandError) {
        let Party::Node(to) = to else {
            return;
        };
        let name = self.seen.texts.get(text).map(|sent| sent.session.clone()).unwrap_or_default();
        let still = SessionName::new(name.clone()).map(|name| self.promised(from, to, &name)).unwrap_or_default();
        if due.iter().any(|grant| still.contains(grant)) {
            let what = format!("nothing strikes n{from} and n{to}, and a text for {name} ended with {error}");
            self.violated(Rule::Service, Party::Node(from), what);
        }
    }

    /// The permissions for a session that will last, where neither of the two was struck by anything.
    fn promised(&self, from: usize, to: usize, session: &SessionName) -> Vec<String> {
        let (there, here) = (Party::Node(from), Party::Node(to));
        let runs = |index: usize| self.hosts[index].node.is_some();
        let calm = !self.healed
            && from != to
            && runs(from)
            && runs(to)
            && !self.struck.contains(&there)
            && !self.struck.contains(&here)
            && self.faults.bandwidth >= WIDE
            && self.scenario.max_nonces == 0
            && !self.mallory_interferes(from, to)
            && !self.untold(from, to)
            && !self.untold(to, from)
            && self.knows_now(to, there)
            && self.knows_now(from, here);
        if !calm {
            return Vec::new();
        }
        self.hosts[to].books.lasting(there, session, Needs::Log, self.hosts[to].now(self.now).wall)
    }

    /// Whether Mallory stands between two nodes, or holds the keys of one of them.
    fn mallory_interferes(&self, from: usize, to: usize) -> bool {
        match self.mallory.as_ref().map(|mallory| mallory.kind) {
            Some(Kind::Impostor | Kind::Relay) => to < 3,
            Some(Kind::RotationFork) => from == 1 || to == 1,
            _ => false,
        }
    }

    /// Whether the owner has never written more to a peer than the limits allow; counts one more text.
    pub(crate) fn is_modest(&mut self, from: usize, to: Party) -> bool {
        let (now, host) = (self.now, &mut self.hosts[from]);
        let times = host.spoken.entry(to).or_default();
        times.retain(|time| now - time < WHILE);
        times.push(now);
        if times.len() > MODEST {
            host.immodest.insert(to);
        }
        !host.immodest.contains(&to)
    }

    /// The healed world: whoever may write to whom does so now.
    pub(crate) fn probe(&mut self) {
        for to in 0..self.hosts.len() {
            for from in 0..self.hosts.len() {
                if let Some(session) = self.expected(from, to) {
                    let (last, done, given_up) = (String::new(), false, false);
                    self.wanted.push(Wanted { from, to, session, tries: 0, last, done, given_up });
                }
            }
        }
        if self.wanted.is_empty() {
            return self.finish();
        }
        for at in 0..self.wanted.len() {
            self.probe_again(at);
        }
    }

    /// The session into which `from` must be able to write at `to`, if there is one: there is a grant that never came
    /// near its end, and both know each other, so that rotations can be told.
    fn expected(&self, from: usize, to: usize) -> Option<String> {
        let (there, here) = (Party::Node(from), Party::Node(to));
        // A grace period that a wrong clock ends at once leaves peers behind that had not been told: nobody can help them.
        let lost = |index: usize| self.hosts[index].disordered && self.hosts[index].rotations > 0;
        // A node that is brought back to an older state has forgotten which new keys it was told of, and whoever told
        // it does not tell it again: that takes a new invite (docs/sim.md, "What is known").
        let [one, other] = [&self.hosts[from], &self.hosts[to]];
        let forgotten = (one.restored.is_some() || other.restored.is_some()) && one.rotations + other.rotations > 0;
        if from == to
            || forgotten
            || lost(from)
            || lost(to)
            || self.untold(from, to)
            || self.untold(to, from)
            || !self.knows_now(to, there)
            || !self.knows_now(from, here)
        {
            return None;
        }
        let books = &self.hosts[to].books;
        let now = self.hosts[to].now(self.now).wall;
        let fits = |name: &SessionName| !books.lasting(there, name, Needs::Log, now).is_empty();
        (0..SESSIONS).map(session).find(fits).map(|name| name.as_str().to_owned())
    }

    /// The keys under which a node has a party in its table.
    pub(super) fn entries(&self, by: usize, peer: Party) -> Vec<PublicKey> {
        let peers = self.hosts[by].peers();
        peers.map(|known| known.key).filter(|key| self.keys.owner(key) == Some(peer)).collect()
    }

    /// Whether a node changed its keys before it knew another, who still knows it by the old ones: nobody can tell that
    /// they belong together.
    fn untold(&self, by: usize, peer: usize) -> bool {
        self.hosts[by].untold.contains(&Party::Node(peer))
            && self.hosts[by].key().is_none_or(|key| !self.entries(peer, Party::Node(by)).contains(&key))
    }

    /// Whether a node has a party in its table, once, and did not turn it away. Twice happens when the owner gives two
    /// keys of one peer that has not told how they belong together.
    fn knows_now(&self, by: usize, peer: Party) -> bool {
        let mut those = self.hosts[by].peers().filter(|known| self.keys.owner(&known.key) == Some(peer));
        those.next().is_some_and(|known| known.revoked.is_none()) && those.next().is_none()
    }

    fn probe_again(&mut self, at: usize) {
        let Wanted { from, to, session, .. } = self.wanted[at].clone();
        self.wanted[at].tries += 1;
        // By the key that the sender's node has for the other, which rotations moved along.
        if let Some(key) = self.entries(from, Party::Node(to)).first() {
            self.hosts[from].contacts.insert(Party::Node(to), *key);
        }
        if let Ok(name) = SessionName::new(session) {
            self.log(from, Party::Node(to), name, 10, true);
        }
    }

    pub(super) fn probe_ended(&mut self, from: usize, to: Party, text: &str, error: Option<CommandError>) {
        let session = self.seen.texts.get(text).map(|sent| sent.session.clone()).unwrap_or_default();
        let wanted = self.wanted.iter().position(|w| w.from == from && Party::Node(w.to) == to && w.session == session);
        let Some(at) = wanted else {
            return;
        };
        match error {
            None => self.wanted[at].done = true,
            Some(error) => {
                self.wanted[at].last = error.to_string();
                if self.wanted[at].tries < TRIES {
                    self.after(PAUSE, Happening::ProbeAgain { at });
                } else {
                    self.wanted[at].given_up = true;
                }
            }
        }
        if self.wanted.iter().all(|wanted| wanted.done || wanted.given_up) {
            self.finish();
        }
    }

    /// The next try of something that has to arrive.
    pub(crate) fn try_again(&mut self, at: usize) {
        if self.wanted.get(at).is_some_and(|wanted| !wanted.done) {
            self.probe_again(at);
        }
    }
}
