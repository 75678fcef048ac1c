//! A node under measurement. Everything it stores is durable at once; what it sends is kept for whoever wants it.

use std::time::Duration;

use wopr_p2p_core::access::{Capability, SessionSet, TrustLevel};
use wopr_p2p_core::keys::{PublicKey, Topic};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::time::Now;
use wopr_p2p_core::{
    Command, CommandId, Config, DialId, Input, Node, Output, Stored, StreamId, StreamOrigin, TransportKey,
};

use crate::START;

/// A node, its clock and what it wants from the network.
pub struct Subject {
    /// The node.
    pub node: Node,
    /// Both of its clocks.
    pub now: Now,
    /// Lines that it sent, with their streams.
    pub sent: Vec<(StreamId, Vec<u8>)>,
    /// Dials that nobody answered yet.
    pub dials: Vec<(DialId, Topic)>,
    /// Texts that reached a session.
    pub delivered: usize,
    /// Streams that it closed.
    pub closed: usize,
    /// Commands that ended well.
    pub done: usize,
    next: u64,
}

impl Subject {
    /// A new node with the default bounds, but for its rates: the measured peers are always within them.
    ///
    /// # Panics
    /// Never: the config is a good one.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        let mut config = Config::default();
        let rates = &mut config.rates;
        for limit in [&mut rates.injects, &mut rates.logs, &mut rates.claims, &mut rates.invalid] {
            (limit.per_minute, limit.per_hour) = (1 << 30, 1 << 30);
        }
        let node = Node::new(config, Stored::default(), [seed; 32], START).expect("a new node starts");
        let (sent, dials) = (Vec::new(), Vec::new());
        let mut subject = Self { node, now: START, sent, dials, delivered: 0, closed: 0, done: 0, next: 0 };
        subject.drain();
        subject
    }

    /// Lets a millisecond pass: messages are newer than those before.
    pub fn tick(&mut self) {
        let millisecond = Duration::from_millis(1);
        self.now = Now { mono: self.now.mono + millisecond, wall: self.now.wall + millisecond };
    }

    /// Hands in what happened, and does everything that comes of it.
    pub fn input(&mut self, input: Input) {
        self.node.handle_input(self.now, input);
        self.drain();
    }

    /// Gives bytes that arrive.
    pub fn receives(&mut self, stream: StreamId, bytes: Vec<u8>) {
        self.input(Input::Received { stream, bytes });
    }

    /// Gives a command of the owner.
    pub fn command(&mut self, command: Command) {
        let id = CommandId(self.number());
        self.input(Input::Command { id, command });
    }

    /// Lets a peer write into every session.
    pub fn grant(&mut self, peer: PublicKey) {
        self.command(Command::Grant {
            peer: PeerRef::Key(peer),
            sessions: SessionSet::All,
            capabilities: vec![Capability::inject()],
            trust: TrustLevel::Trusted,
            expires_in: None,
        });
    }

    /// A stream that somebody opened to the node.
    pub fn accepts(&mut self) -> StreamId {
        let stream = StreamId(self.number());
        let origin = StreamOrigin::Accepted { topics: Vec::new() };
        self.input(Input::StreamOpened { stream, origin, remote: TransportKey([7; 32]) });
        stream
    }

    /// A stream that the node dialled.
    pub fn dialled(&mut self, dial: DialId) -> StreamId {
        let stream = StreamId(self.number());
        let origin = StreamOrigin::Dialled(dial);
        self.input(Input::StreamOpened { stream, origin, remote: TransportKey([8; 32]) });
        stream
    }

    /// The other side closes a stream.
    pub fn closes(&mut self, stream: StreamId) {
        self.input(Input::StreamClosed { stream });
        self.sent.clear();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Transmit { stream, bytes } => self.sent.push((stream, bytes)),
                Output::Dial { dial, topic } => self.dials.push((dial, topic)),
                Output::Store { id, .. } => self.node.handle_input(self.now, Input::Written { id, result: Ok(()) }),
                Output::Record { id, .. } => {
                    self.delivered += 1;
                    self.node.handle_input(self.now, Input::Written { id, result: Ok(()) });
                }
                Output::CloseStream { .. } => self.closed += 1,
                Output::Finished { result, .. } => self.done += usize::from(result.is_ok()),
                _ => {}
            }
        }
    }
}
