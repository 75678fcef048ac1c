//! The network: streams as pairs of lanes that deliver bytes late but in order, partitions, and the discovery of
//! listeners by topic. It only keeps the books; the world decides when what arrives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::{StreamId, TransportKey};

use crate::clock::Micros;
use crate::faults::Faults;
use crate::rng::Rng;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// One of our nodes.
    Node(usize),
    /// A node that speaks the original protocol only.
    Original(usize),
    /// The attacker.
    Mallory,
}

/// One end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    /// Whose.
    pub(crate) party: Party,
    /// Its number there.
    pub(crate) stream: StreamId,
}

/// A stream.
pub(crate) struct Link {
    /// The dialler's end, and the listener's.
    pub(crate) ends: [End; 2],
    /// What the transport proves about each end.
    pub(crate) keys: [TransportKey; 2],
    /// What travels to each end.
    pub(crate) lanes: [Lane; 2],
}

/// One direction of a stream.
#[derive(Default)]
pub(crate) struct Lane {
    /// When the last piece arrives.
    last: Micros,
    /// Arrived at a partition, waiting for it to end.
    pub(crate) held: VecDeque<(Piece, Option<u64>)>,
    /// The end that would receive is gone, or nothing arrives any more.
    pub(crate) dead: bool,
}

/// What travels.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The other end closed the stream.
    Hangup,
}

/// All streams, partitions and listeners.
#[derive(Default)]
pub(crate) struct Network {
    links: BTreeMap<u64, Link>,
    ends: BTreeMap<End, (u64, usize)>,
    next: u64,
    /// Who listens where.
    listeners: BTreeMap<Topic, BTreeSet<Party>>,
    /// Who does not reach whom, and until when.
    cuts: BTreeMap<(Party, Party), Micros>,
}

impl Network {
    /// Joins two ends.
    pub(crate) fn join(&mut self, ends: [End; 2], keys: [TransportKey; 2], now: Micros) -> u64 {
        self.next += 1;
        let lane = || Lane { last: now, ..Lane::default() };
        self.links.insert(self.next, Link { ends, keys, lanes: [lane(), lane()] });
        self.ends.insert(ends[0], (self.next, 0));
        self.ends.insert(ends[1], (self.next, 1));
        self.next
    }

    /// The stream of an end, and which end it is.
    #[must_use]
    pub(crate) fn find(&self, end: End) -> Option<(u64, usize)> {
        self.ends.get(&end).copied()
    }

    /// A stream.
    #[must_use]
    pub(crate) fn link(&self, link: u64) -> Option<&Link> {
        self.links.get(&link)
    }

    /// A lane of a stream.
    pub(crate) fn lane(&mut self, link: u64, to: usize) -> Option<&mut Lane> {
        self.links.get_mut(&link).and_then(|link| link.lanes.get_mut(to))
    }

    /// Who is at the other end of this one, and the transport's key of it.
    #[must_use]
    pub(crate) fn other(&self, end: End) -> Option<(End, TransportKey)> {
        let (link, side) = self.find(end)?;
        let link = self.link(link)?;
        Some((link.ends[1 - side], link.keys[1 - side]))
    }

    /// One end is gone: nothing arrives there any more. Returns the stream and the side that is left, if one is.
    pub(crate) fn leave(&mut self, end: End) -> Option<(u64, usize)> {
        let (number, side) = self.ends.remove(&end)?;
        let link = self.links.get_mut(&number)?;
        link.lanes[side].dead = true;
        link.lanes[side].held.clear();
        if self.ends.contains_key(&link.ends[1 - side]) {
            return Some((number, 1 - side));
        }
        self.links.remove(&number);
        None
    }

    /// Every stream end of a party.
    #[must_use]
    pub(crate) fn ends_of(&self, party: Party) -> Vec<End> {
        self.ends.keys().filter(|end| end.party == party).copied().collect()
    }

    /// When `len` bytes that are given to a lane now arrive. Nothing overtakes within a lane.
    pub(crate) fn arrival(
        &mut self,
        link: u64,
        to: usize,
        len: usize,
        faults: &Faults,
        rng: &mut Rng,
        now: Micros,
    ) -> (Micros, bool) {
        let wire = len as u64 * 1000 / faults.bandwidth.max(1);
        let delay = (faults.latency + rng.between(0, faults.jitter)) * 1000 + rng.below(1000) + wire;
        let stall = if rng.chance(faults.stall) { rng.between(100, 20_000) * 1000 } else { 0 };
        let Some(lane) = self.lane(link, to) else {
            return (now + delay, false);
        };
        lane.last = lane.last.max(now + delay) + stall;
        (lane.last, stall > 0)
    }

    /// Nothing of `from` reaches `to` before `until`.
    pub(crate) fn cut(&mut self, from: Party, to: Party, until: Micros) {
        let end = self.cuts.entry((from, to)).or_default();
        *end = until.max(*end);
    }

    /// Whether something of `from` reaches `to`; if not, when it does again.
    #[must_use]
    pub(crate) fn cut_until(&self, from: Party, to: Party, now: Micros) -> Option<Micros> {
        self.cuts.get(&(from, to)).copied().filter(|until| *until > now)
    }

    /// Ends every partition.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Announces a listener.
    pub(crate) fn listen(&mut self, topic: Topic, party: Party) {
        self.listeners.entry(topic).or_default().insert(party);
    }

    /// Takes a listener back.
    pub(crate) fn unlisten(&mut self, topic: Topic, party: Party) {
        if let Some(parties) = self.listeners.get_mut(&topic) {
            parties.remove(&party);
        }
    }

    /// Takes every announcement of a party back.
    pub(crate) fn silence(&mut self, party: Party) {
        for parties in self.listeners.values_mut() {
            parties.remove(&party);
        }
    }

    /// Who listens on a topic.
    #[must_use]
    pub(crate) fn listeners(&self, topic: &Topic) -> Vec<Party> {
        self.listeners.get(topic).into_iter().flatten().copied().collect()
    }
}

impl Network {
    /// Lanes in which something waits for a partition to end.
    #[must_use]
    pub(crate) fn held(&self) -> Vec<(u64, usize)> {
        let lanes = self.links.iter().flat_map(|(number, link)| {
            link.lanes.iter().enumerate().filter(|(_, lane)| !lane.held.is_empty()).map(|(side, _)| (*number, side))
        });
        lanes.collect()
    }
}
