//! One node with what its driver owns: a disk on which everything is durable at once, session files, and the AI.

use std::collections::{BTreeMap, VecDeque};

use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::time::Now;
use wopr_p2p_core::{
    Command, CommandError, CommandId, Config, DialId, Document, DocumentWrite, Event, Input, Node, Output, Reply,
    SessionEntry, StreamId,
};

use crate::documents;

/// Timers that may be due one after the other at one moment.
const MAX_WAKES: usize = 200;

/// A node and its surroundings.
pub(crate) struct Host {
    /// The node.
    pub(crate) node: Node,
    config: Config,
    /// In the order of [`Document::ALL`].
    files: Vec<Vec<u8>>,
    /// Every line of every session's file, in the order in which they were written.
    pub(crate) lines: Vec<(String, SessionEntry)>,
    /// What was sent and not taken yet.
    pub(crate) sent: VecDeque<(StreamId, Vec<u8>)>,
    /// Streams that the node closed since this was emptied.
    pub(crate) closed: Vec<StreamId>,
    /// Dials that nobody has answered.
    pub(crate) dials: Vec<(DialId, Topic)>,
    /// Where it listens.
    pub(crate) topics: Vec<Topic>,
    /// What became of commands.
    pub(crate) finished: BTreeMap<CommandId, Result<Reply, CommandError>>,
    /// What the owner heard.
    pub(crate) events: Vec<Event>,
    /// Outputs since the last input.
    pub(crate) outputs: usize,
    seed: u8,
    next: u64,
}

impl Host {
    /// A new node; the seed makes its keys.
    pub(crate) fn new(seed: u8, config: Config, now: Now) -> Self {
        let node = Node::new(config.clone(), documents(&[]), [seed; 32], now).expect("a new node starts");
        let mut host = Self {
            node,
            config,
            files: vec![Vec::new(); Document::ALL.len()],
            lines: Vec::new(),
            sent: VecDeque::new(),
            closed: Vec::new(),
            dials: Vec::new(),
            topics: Vec::new(),
            finished: BTreeMap::new(),
            events: Vec::new(),
            outputs: 0,
            seed,
            next: 0,
        };
        host.drain(now);
        host
    }

    /// Ends the node and starts it from its disk. Streams, dials and commands are gone.
    pub(crate) fn restart(&mut self, now: Now) {
        self.seed = self.seed.wrapping_add(16);
        self.node = Node::new(self.config.clone(), documents(&self.files), [self.seed; 32], now)
            .unwrap_or_else(|error| panic!("a node cannot read what it wrote: {error}"));
        self.sent.clear();
        self.closed.clear();
        self.dials.clear();
        self.topics.clear();
        self.drain(now);
    }

    /// The documents on its disk, in the order of [`Document::ALL`].
    pub(crate) fn files(&self) -> &[Vec<u8>] {
        &self.files
    }

    /// A number that was not used before, for streams and commands.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Gives a command of the owner.
    pub(crate) fn command(&mut self, command: Command, now: Now) -> CommandId {
        let id = CommandId(self.number());
        self.input(Input::Command { id, command }, now);
        id
    }

    /// Hands in what happened, and does everything that comes of it.
    pub(crate) fn input(&mut self, input: Input, now: Now) {
        self.outputs = 0;
        self.node.handle_input(now, input);
        self.drain(now);
    }

    /// Lets the timers run that are due.
    pub(crate) fn wake(&mut self, now: Now) {
        for _ in 0..MAX_WAKES {
            if self.node.poll_timeout().is_none_or(|(at, _)| at > now.mono) {
                return;
            }
            self.node.handle_timeout(now);
            self.drain(now);
        }
        panic!("a node is due again and again, and nothing comes of it");
    }

    fn drain(&mut self, now: Now) {
        while let Some(output) = self.node.poll_output() {
            self.outputs += 1;
            assert!(self.outputs < 100_000, "an input has outputs without end");
            self.carry_out(output, now);
        }
    }

    fn carry_out(&mut self, output: Output, now: Now) {
        match output {
            Output::Transmit { stream, bytes } => self.sent.push_back((stream, bytes)),
            Output::CloseStream { stream } => self.closed.push(stream),
            Output::Dial { dial, topic } => self.dials.push((dial, topic)),
            Output::StopDial { dial } => self.dials.retain(|(other, _)| *other != dial),
            Output::Listen { topic } => self.topics.push(topic),
            Output::Unlisten { topic } => self.topics.retain(|other| *other != topic),
            Output::Store { id, document, write } => {
                let file = Document::ALL.iter().position(|other| *other == document).expect("one of all");
                match write {
                    DocumentWrite::Replace(bytes) => self.files[file] = bytes.to_vec(),
                    DocumentWrite::Append(bytes) => self.files[file].extend(bytes),
                }
                self.node.handle_input(now, Input::Written { id, result: Ok(()) });
            }
            Output::Record { id, session, entry } => {
                if !self.lines.iter().any(|(name, line)| name == session.as_str() && is_copy(line, &entry)) {
                    self.lines.push((session.as_str().to_owned(), entry));
                }
                self.node.handle_input(now, Input::Written { id, result: Ok(()) });
            }
            Output::Ask { id, question } => {
                let result = Ok(format!("re: {}", question.text));
                self.node.handle_input(now, Input::Answered { id, result });
            }
            Output::CancelAsk { .. } => {}
            Output::Finished { id, result } => {
                assert!(self.finished.insert(id, result).is_none(), "a command ends twice");
            }
            Output::Event(event) => self.events.push(event),
        }
    }
}

/// Whether a line of a session's file is an earlier copy of a message that is to be there once.
fn is_copy(line: &SessionEntry, entry: &SessionEntry) -> bool {
    match (&line.once, &entry.once) {
        (Some(earlier), Some(once)) => {
            earlier.id == once.id && once.senders.contains(&line.peer) && line.content == entry.content
        }
        _ => false,
    }
}
