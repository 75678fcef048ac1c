//! The network between the two nodes, which is the attacker's.

use std::collections::{BTreeMap, VecDeque};

use wopr_p2p_core::{DialEnd, Input, StreamId, StreamOrigin, TransportKey};

use super::{Fate, Stage};

/// Packets that can be under way; more get lost.
const MAX_FLYING: usize = 64;
/// Packets that the attacker keeps; of the later ones it has nothing.
const MAX_RECORDED: usize = 256;
/// Arrivals until two nodes that say no more have to be at rest.
const MAX_ARRIVALS: usize = 10_000;

/// A packet on its way, to a stream of a node.
#[derive(Clone)]
struct Packet {
    to: usize,
    stream: StreamId,
    bytes: Vec<u8>,
}

/// What is between the nodes.
#[derive(Default)]
pub(super) struct Network {
    flying: VecDeque<Packet>,
    /// What was ever sent.
    recorded: Vec<Vec<u8>>,
    /// The other end of a stream; `None` is the attacker.
    wires: BTreeMap<(usize, StreamId), Option<StreamId>>,
    /// Whose next dial ends at the attacker.
    pub(super) redirect: [bool; 2],
}

impl Stage {
    /// Bytes of long ago arrive on some stream of a node.
    pub(super) fn replay(&mut self, packet: u8, to: usize, stream: u8) {
        let recorded = &self.network.recorded;
        let bytes = recorded.get(usize::from(packet) % recorded.len().max(1)).cloned().unwrap_or_default();
        self.arrives_somewhere(to, stream, bytes);
    }

    /// The attacker opens a stream to a node, under the transport key of the other one or its own.
    pub(super) fn open(&mut self, to: usize, as_other: bool) {
        let stream = StreamId(self.hosts[to].number());
        let remote = if as_other { transport(1 - to) } else { TransportKey([66; 32]) };
        let origin = StreamOrigin::Accepted { topics: self.hosts[to].topics.clone() };
        self.network.wires.insert((to, stream), None);
        self.input(to, Input::StreamOpened { stream, origin, remote });
    }

    /// A node crashes and starts again: what was under way to it is lost, and all streams between the two break.
    pub(super) fn restart(&mut self, side: usize) {
        self.network.flying.retain(|packet| packet.to != side);
        self.network.wires.retain(|(of, _), _| *of != side);
        let now = self.now_of(side);
        self.hosts[side].restart(now);
        self.carry(side);
        let others: Vec<_> =
            self.network.wires.iter().filter(|(_, far)| far.is_some()).map(|(near, _)| *near).collect();
        for (other, stream) in others {
            self.break_stream(other, stream);
        }
    }

    /// Streams break for these sides; packets to them are lost.
    pub(super) fn cut(&mut self, sides: [bool; 2]) {
        self.network.flying.retain(|packet| !sides[packet.to]);
        let broken: Vec<_> = self.network.wires.keys().copied().filter(|(side, _)| sides[*side]).collect();
        for (side, stream) in broken {
            self.break_stream(side, stream);
        }
    }

    fn break_stream(&mut self, side: usize, stream: StreamId) {
        if self.network.wires.remove(&(side, stream)).is_some() {
            self.input(side, Input::StreamClosed { stream });
        }
    }

    /// Something happens to a packet that is under way.
    pub(super) fn befalls(&mut self, which: u8, fate: Fate) {
        let flying = &mut self.network.flying;
        let at = usize::from(which) % flying.len().max(1);
        let Some(mut packet) = flying.remove(at) else { return };
        match fate {
            Fate::Arrives => self.arrives(packet),
            Fate::Dropped => {}
            Fate::Doubled => {
                flying.insert(at, packet.clone());
                flying.insert(at, packet);
            }
            Fate::Last => flying.push_back(packet),
            Fate::Flipped { at: byte, bits } => {
                let byte = usize::from(byte) % packet.bytes.len().max(1);
                if let Some(byte) = packet.bytes.get_mut(byte) {
                    *byte ^= bits;
                }
                flying.insert(at, packet);
            }
            Fate::CutAt(byte) => {
                let rest = packet.bytes.split_off(usize::from(byte).min(packet.bytes.len()));
                flying.insert(at, Packet { bytes: rest, ..packet });
                flying.insert(at, packet);
            }
        }
    }

    /// Bytes arrive on some stream of a node.
    pub(super) fn arrives_somewhere(&mut self, to: usize, stream: u8, bytes: Vec<u8>) {
        let streams: Vec<_> =
            self.network.wires.keys().filter(|(side, _)| *side == to).map(|(_, stream)| *stream).collect();
        if let Some(stream) = streams.get(usize::from(stream) % streams.len().max(1)) {
            self.arrives(Packet { to, stream: *stream, bytes });
        }
    }

    fn arrives(&mut self, packet: Packet) {
        if self.network.wires.contains_key(&(packet.to, packet.stream)) {
            self.input(packet.to, Input::Received { stream: packet.stream, bytes: packet.bytes });
        }
    }

    /// Everything that is under way arrives, and what comes of it.
    pub(super) fn settle(&mut self) {
        for _ in 0..MAX_ARRIVALS {
            let Some(packet) = self.network.flying.pop_front() else { return };
            self.arrives(packet);
        }
        panic!("two nodes never come to rest");
    }

    fn input(&mut self, side: usize, input: Input) {
        let now = self.now_of(side);
        self.hosts[side].input(input, now);
        self.carry(side);
    }

    /// Takes over what a node wants from the network.
    pub(super) fn carry(&mut self, side: usize) {
        self.carry_packets(side);
        self.carry_closings(side);
        self.carry_dials(side);
    }

    fn carry_packets(&mut self, side: usize) {
        let network = &mut self.network;
        while let Some((stream, bytes)) = self.hosts[side].sent.pop_front() {
            if network.recorded.len() < MAX_RECORDED {
                network.recorded.push(bytes.clone());
            }
            if let Some(Some(far)) = network.wires.get(&(side, stream))
                && network.flying.len() < MAX_FLYING
            {
                network.flying.push_back(Packet { to: 1 - side, stream: *far, bytes });
            }
        }
    }

    fn carry_closings(&mut self, side: usize) {
        for stream in std::mem::take(&mut self.hosts[side].closed) {
            if let Some(Some(far)) = self.network.wires.remove(&(side, stream))
                && self.network.wires.remove(&(1 - side, far)).is_some()
            {
                // What was sent before arrives before.
                self.arrive_at(1 - side, far);
                self.input(1 - side, Input::StreamClosed { stream: far });
            }
        }
    }

    fn carry_dials(&mut self, side: usize) {
        let other = 1 - side;
        for (dial, topic) in std::mem::take(&mut self.hosts[side].dials) {
            let near = StreamId(self.hosts[side].number());
            let (origin, remote) = (StreamOrigin::Dialled(dial), transport(other));
            let opened = Input::StreamOpened { stream: near, origin, remote };
            if std::mem::take(&mut self.network.redirect[side]) {
                self.network.wires.insert((side, near), None);
                self.input(side, opened);
            } else if self.hosts[other].topics.contains(&topic) {
                let far = StreamId(self.hosts[other].number());
                self.network.wires.insert((side, near), Some(far));
                self.network.wires.insert((other, far), Some(near));
                let origin = StreamOrigin::Accepted { topics: vec![topic] };
                self.input(other, Input::StreamOpened { stream: far, origin, remote: transport(side) });
                self.input(side, opened);
            }
            self.input(side, Input::DialEnded { dial, why: DialEnd::Exhausted });
        }
    }

    /// What is under way to a stream arrives.
    fn arrive_at(&mut self, to: usize, stream: StreamId) {
        let flying = std::mem::take(&mut self.network.flying).into_iter();
        let (here, others): (VecDeque<_>, _) = flying.partition(|packet| (packet.to, packet.stream) == (to, stream));
        self.network.flying = others;
        for packet in here {
            self.input(to, Input::Received { stream, bytes: packet.bytes });
        }
    }
}

fn transport(side: usize) -> TransportKey {
    TransportKey([if side == 0 { 1 } else { 2 }; 32])
}
