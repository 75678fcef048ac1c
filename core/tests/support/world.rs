//! Some nodes in one place, joined by perfect streams, with disks that remember everything that was made durable.
//!
//! Small on purpose: faults and attackers beyond what a test writes itself are the simulator's business.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::keys::{PublicKey, Topic};
use wopr_p2p_core::time::{Instant, Now, WallTime};
use wopr_p2p_core::{
    AskId, Command, CommandError, CommandId, Config, DialEnd, DialId, Document, DocumentWrite, Event, Input, Node,
    Output, Question, Reply, SessionEntry, Stored, StreamId, StreamOrigin, TransportKey, WriteFailed, WriteId,
};

/// When every test begins.
pub const START: u64 = 1_767_225_600_000;

/// One node with its surroundings.
pub struct Host {
    pub node: Node,
    pub documents: BTreeMap<Document, Vec<u8>>,
    pub sessions: BTreeMap<String, Vec<SessionEntry>>,
    pub events: Vec<Event>,
    pub finished: BTreeMap<CommandId, Result<Reply, CommandError>>,
    /// Questions that nobody has answered yet, where `answers` is off.
    pub asked: Vec<(AskId, Question)>,
    pub cancelled: Vec<AskId>,
    /// Streams that lead to another host: which, and its number there.
    wires: BTreeMap<StreamId, (usize, StreamId)>,
    /// Streams whose other end is the test itself, and what the node sent there.
    pub raw: BTreeMap<StreamId, Vec<Vec<u8>>>,
    pub closed: Vec<StreamId>,
    pub topics: Vec<Topic>,
    /// Off: the host cannot be dialled.
    pub online: bool,
    /// On: questions are answered at once with "re: " and the question.
    pub answers: bool,
    /// Makes every write fail from now on.
    pub disk_full: bool,
    /// On: writes wait in `held` until the test lets them through or makes them fail.
    pub holds_writes: bool,
    pub held: VecDeque<HeldWrite>,
    /// Streams that this node dialled and whose other end is the test itself, in the order of their opening.
    pub dialled_raw: Vec<StreamId>,
    /// How many outputs the node has given in all.
    pub outputs: usize,
    /// How often the node has looked for somebody.
    pub dialled: usize,
    /// How many of its next messages get lost.
    loses: usize,
    dials: BTreeMap<DialId, Topic>,
    key: u8,
    next: u64,
}

/// A write that waits for the test.
pub struct HeldWrite {
    id: WriteId,
    what: Held,
}

/// What such a write is about.
pub enum Held {
    Document(Document, DocumentWrite),
    Record(SessionName, SessionEntry),
}

impl HeldWrite {
    /// The document's file name, or the session's name.
    pub fn name(&self) -> &str {
        match &self.what {
            Held::Document(document, _) => document.file_name(),
            Held::Record(session, _) => session.as_str(),
        }
    }
}

/// The hosts and their common time.
pub struct World {
    pub hosts: Vec<Host>,
    pub now: Now,
    queue: VecDeque<(usize, Input)>,
    /// Listeners that the test plays itself: where they are found, and their transport key.
    raw_listeners: Vec<(Topic, u8)>,
    dials_end: DialEnd,
}

impl World {
    /// `count` new nodes.
    pub fn new(count: usize) -> Self {
        Self::with_config(count, &Config::default())
    }

    pub fn with_config(count: usize, config: &Config) -> Self {
        let now = Now { mono: Instant::from_millis(1_000), wall: WallTime::from_millis(START) };
        let mut world = Self {
            hosts: Vec::new(),
            now,
            queue: VecDeque::new(),
            raw_listeners: Vec::new(),
            dials_end: DialEnd::Exhausted,
        };
        for _ in 0..count {
            world.add(config.clone(), Stored::default());
        }
        world
    }

    /// Adds a node that starts from these documents.
    pub fn add(&mut self, config: Config, stored: Stored) -> usize {
        let index = self.hosts.len();
        let key = u8::try_from(index + 1).expect("few hosts");
        let identity = stored.identity.as_ref().map(|bytes| bytes.to_vec());
        let documents = [
            (Document::Identity, identity),
            (Document::Access, stored.access.clone()),
            (Document::Peers, stored.peers.clone()),
            (Document::Limits, stored.limits.clone()),
            (Document::Replay, stored.replay.clone()),
            (Document::Outbox, stored.outbox.clone()),
        ];
        let documents = documents.into_iter().filter_map(|(document, bytes)| Some((document, bytes?))).collect();
        let node = Node::new(config, stored, [key; 32], self.now).expect("a good start");
        self.hosts.push(Host {
            node,
            documents,
            sessions: BTreeMap::new(),
            events: Vec::new(),
            finished: BTreeMap::new(),
            asked: Vec::new(),
            cancelled: Vec::new(),
            wires: BTreeMap::new(),
            raw: BTreeMap::new(),
            closed: Vec::new(),
            topics: Vec::new(),
            online: true,
            answers: true,
            disk_full: false,
            holds_writes: false,
            held: VecDeque::new(),
            dialled_raw: Vec::new(),
            outputs: 0,
            dialled: 0,
            loses: 0,
            dials: BTreeMap::new(),
            key,
            next: 0,
        });
        self.drain(index);
        self.run();
        index
    }

    /// Ends a node and starts it again from what it had made durable.
    pub fn restart(&mut self, host: usize, config: Config) {
        for (stream, (other, far)) in core::mem::take(&mut self.hosts[host].wires) {
            let _ = stream;
            self.hosts[other].wires.remove(&far);
            self.queue.push_back((other, Input::StreamClosed { stream: far }));
        }
        let old = &mut self.hosts[host];
        old.raw.clear();
        old.dialled_raw.clear();
        old.held.clear();
        old.dials.clear();
        old.topics.clear();
        let document = |document| old.documents.get(&document).cloned();
        let stored = Stored {
            identity: document(Document::Identity).map(Into::into),
            access: document(Document::Access),
            peers: document(Document::Peers),
            limits: document(Document::Limits),
            replay: document(Document::Replay),
            discovery: document(Document::Discovery),
            outbox: document(Document::Outbox),
        };
        let seed = [old.key.wrapping_add(100 + old.next as u8); 32];
        old.node = Node::new(config, stored, seed, self.now).expect("a good restart");
        self.drain(host);
        self.run();
    }

    pub fn key(&self, host: usize) -> PublicKey {
        self.hosts[host].node.public_key()
    }

    /// Gives a command and runs until nothing happens any more.
    pub fn command(&mut self, host: usize, command: Command) -> CommandId {
        let id = CommandId(self.hosts[host].next());
        self.queue.push_back((host, Input::Command { id, command }));
        self.run();
        id
    }

    /// Gives a command and lets time pass until it is finished.
    pub fn done(&mut self, host: usize, command: Command) -> Result<Reply, CommandError> {
        let id = self.command(host, command);
        for _ in 0..1000 {
            if let Some(result) = self.hosts[host].finished.remove(&id) {
                return result;
            }
            self.sleep_until_timeout();
        }
        panic!("the command never finished");
    }

    /// Lets time pass for everybody, timer by timer.
    pub fn sleep(&mut self, duration: Duration) {
        let until = self.now.mono + duration;
        let mut still = 0;
        while self.next_timeout().is_some_and(|at| at <= until) {
            let before = self.now.mono;
            self.sleep_until_timeout();
            still = if self.now.mono == before { still + 1 } else { 0 };
            assert!(still < 1000, "a node is due again and again, and nothing comes of it");
        }
        self.advance_to(until);
        self.run();
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.hosts.iter().filter_map(|host| host.node.poll_timeout()).map(|(at, _)| at).min()
    }

    /// Lets time pass until the next timer of anybody.
    pub fn sleep_until_timeout(&mut self) {
        let at = self.next_timeout().expect("a node always has a timer");
        self.advance_to(at.max(self.now.mono));
        for host in 0..self.hosts.len() {
            self.hosts[host].node.handle_timeout(self.now);
            self.drain(host);
        }
        self.run();
    }

    fn advance_to(&mut self, at: Instant) {
        self.now.wall = self.now.wall + at.since(self.now.mono);
        self.now.mono = at;
    }

    /// Hands an input to a host and runs until nothing happens any more.
    pub fn input(&mut self, host: usize, input: Input) {
        self.queue.push_back((host, input));
        self.run();
    }

    pub fn run(&mut self) {
        for _ in 0..100_000 {
            let Some((host, input)) = self.queue.pop_front() else {
                return;
            };
            self.hosts[host].node.handle_input(self.now, input);
            self.drain(host);
        }
        panic!("the nodes never come to rest");
    }

    /// Breaks every stream between hosts.
    pub fn cut(&mut self) {
        for host in 0..self.hosts.len() {
            for (stream, _) in core::mem::take(&mut self.hosts[host].wires) {
                self.queue.push_back((host, Input::StreamClosed { stream }));
            }
        }
        self.run();
    }

    /// The next messages of a host get lost on their way.
    pub fn lose_next(&mut self, host: usize, messages: usize) {
        self.hosts[host].loses = messages;
    }

    /// Opens a stream to a host whose other end is the test.
    pub fn open_raw(&mut self, host: usize, remote: u8) -> StreamId {
        let topics = self.hosts[host].topics.clone();
        self.open_raw_for(host, remote, topics)
    }

    /// Opens such a stream as one that came for these topics.
    pub fn open_raw_for(&mut self, host: usize, remote: u8, topics: Vec<Topic>) -> StreamId {
        let stream = StreamId(self.hosts[host].next());
        self.hosts[host].raw.insert(stream, Vec::new());
        let origin = StreamOrigin::Accepted { topics };
        self.input(host, Input::StreamOpened { stream, origin, remote: TransportKey([remote; 32]) });
        stream
    }

    /// Sends bytes on such a stream and returns what came back since the last call.
    pub fn send_raw(&mut self, host: usize, stream: StreamId, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.input(host, Input::Received { stream, bytes: bytes.to_vec() });
        self.taken(host, stream)
    }

    pub fn taken(&mut self, host: usize, stream: StreamId) -> Vec<Vec<u8>> {
        self.hosts[host].raw.get_mut(&stream).map(core::mem::take).unwrap_or_default()
    }

    /// Closes such a stream from the test's side.
    pub fn close_raw(&mut self, host: usize, stream: StreamId) {
        self.hosts[host].raw.remove(&stream);
        self.input(host, Input::StreamClosed { stream });
    }

    pub fn is_closed(&self, host: usize, stream: StreamId) -> bool {
        self.hosts[host].closed.contains(&stream)
    }

    fn drain(&mut self, host: usize) {
        while let Some(output) = self.hosts[host].node.poll_output() {
            self.hosts[host].outputs += 1;
            self.carry_out(host, output);
        }
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        match output {
            Output::Transmit { .. } if self.hosts[host].loses > 0 => self.hosts[host].loses -= 1,
            Output::Transmit { stream, bytes } => {
                if let Some((other, far)) = self.hosts[host].wires.get(&stream).copied() {
                    self.queue.push_back((other, Input::Received { stream: far, bytes }));
                } else if let Some(sent) = self.hosts[host].raw.get_mut(&stream) {
                    sent.push(bytes);
                }
            }
            Output::CloseStream { stream } => {
                self.hosts[host].closed.push(stream);
                if let Some((other, far)) = self.hosts[host].wires.remove(&stream) {
                    self.hosts[other].wires.remove(&far);
                    self.queue.push_back((other, Input::StreamClosed { stream: far }));
                }
            }
            Output::Dial { dial, topic } => self.dial(host, dial, topic),
            Output::StopDial { dial } => drop(self.hosts[host].dials.remove(&dial)),
            Output::Listen { topic } => self.hosts[host].topics.push(topic),
            Output::Unlisten { topic } => self.hosts[host].topics.retain(|other| *other != topic),
            Output::Store { id, document, write } => {
                self.write(host, HeldWrite { id, what: Held::Document(document, write) });
            }
            Output::Record { id, session, entry } => {
                self.write(host, HeldWrite { id, what: Held::Record(session, entry) });
            }
            Output::Ask { id, question } if self.hosts[host].answers => {
                let result = Ok(format!("re: {}", question.text));
                self.queue.push_back((host, Input::Answered { id, result }));
            }
            Output::Ask { id, question } => self.hosts[host].asked.push((id, question)),
            Output::CancelAsk { id } => self.hosts[host].cancelled.push(id),
            Output::Finished { id, result } => drop(self.hosts[host].finished.insert(id, result)),
            Output::Event(event) => self.hosts[host].events.push(event),
        }
    }

    fn write(&mut self, host: usize, write: HeldWrite) {
        if self.hosts[host].holds_writes {
            self.hosts[host].held.push_back(write);
        } else {
            let input = self.hosts[host].make_durable(write);
            self.queue.push_back((host, input));
        }
    }

    /// Lets the oldest held write through and returns what it was about.
    pub fn let_through(&mut self, host: usize) -> String {
        let write = self.hosts[host].held.pop_front().expect("no write waits");
        let name = write.name().to_owned();
        let input = self.hosts[host].make_durable(write);
        self.input(host, input);
        name
    }

    /// Lets every held write through, those included that come of it, and holds no more.
    pub fn let_all_through(&mut self, host: usize) {
        self.hosts[host].holds_writes = false;
        while !self.hosts[host].held.is_empty() {
            self.let_through(host);
        }
    }

    /// Makes the oldest held write fail and returns what it was about.
    pub fn fail_held(&mut self, host: usize) -> String {
        let write = self.hosts[host].held.pop_front().expect("no write waits");
        let name = write.name().to_owned();
        let result = Err(WriteFailed { reason: "disk full".to_owned() });
        self.input(host, Input::Written { id: write.id, result });
        name
    }

    /// From now on whoever dials this topic finds the test, too.
    pub fn listen_raw(&mut self, topic: Topic, remote: u8) {
        self.raw_listeners.push((topic, remote));
    }

    /// Nobody finds the test any more.
    pub fn stop_listening_raw(&mut self) {
        self.raw_listeners.clear();
    }

    /// How searches end from now on.
    pub fn ends_dials_with(&mut self, why: DialEnd) {
        self.dials_end = why;
    }

    /// The streams that the node dialled to the test, newest last; those that it closed are left out.
    pub fn dialled_raw(&self, host: usize) -> Vec<StreamId> {
        let closed = &self.hosts[host].closed;
        self.hosts[host].dialled_raw.iter().filter(|stream| !closed.contains(stream)).copied().collect()
    }

    fn dial_raw(&mut self, host: usize, dial: DialId, topic: Topic) {
        let found: Vec<u8> = self.raw_listeners.iter().filter(|(of, _)| *of == topic).map(|(_, key)| *key).collect();
        for remote in found {
            let stream = StreamId(self.hosts[host].next());
            self.hosts[host].raw.insert(stream, Vec::new());
            self.hosts[host].dialled_raw.push(stream);
            let (origin, remote) = (StreamOrigin::Dialled(dial), TransportKey([remote; 32]));
            self.queue.push_back((host, Input::StreamOpened { stream, origin, remote }));
        }
    }

    fn dial(&mut self, host: usize, dial: DialId, topic: Topic) {
        self.hosts[host].dialled += 1;
        self.dial_raw(host, dial, topic);
        let listeners: Vec<usize> = (0..self.hosts.len())
            .filter(|other| *other != host && self.hosts[*other].online && self.hosts[*other].topics.contains(&topic))
            .collect();
        for other in listeners {
            let (near, far) = (StreamId(self.hosts[host].next()), StreamId(self.hosts[other].next()));
            self.hosts[host].wires.insert(near, (other, far));
            self.hosts[other].wires.insert(far, (host, near));
            let (ours, theirs) = (self.hosts[host].key, self.hosts[other].key);
            let origin = StreamOrigin::Accepted { topics: vec![topic] };
            let remote = TransportKey([ours; 32]);
            self.queue.push_back((other, Input::StreamOpened { stream: far, origin, remote }));
            let origin = StreamOrigin::Dialled(dial);
            let remote = TransportKey([theirs; 32]);
            self.queue.push_back((host, Input::StreamOpened { stream: near, origin, remote }));
        }
        self.queue.push_back((host, Input::DialEnded { dial, why: self.dials_end }));
    }
}

impl Host {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn make_durable(&mut self, HeldWrite { id, what }: HeldWrite) -> Input {
        if self.disk_full {
            return Input::Written { id, result: Err(WriteFailed { reason: "disk full".to_owned() }) };
        }
        match what {
            Held::Document(document, DocumentWrite::Replace(bytes)) => {
                self.documents.insert(document, bytes.to_vec());
            }
            Held::Document(document, DocumentWrite::Append(bytes)) => {
                self.documents.entry(document).or_default().extend(bytes);
            }
            Held::Record(session, entry) => {
                let file = self.sessions.entry(session.as_str().to_owned()).or_default();
                if !file.iter().any(|line| is_copy(line, &entry)) {
                    file.push(entry);
                }
            }
        }
        Input::Written { id, result: Ok(()) }
    }

    /// The texts in a session's file, in order.
    pub fn texts(&self, session: &str) -> Vec<&str> {
        self.sessions.get(session).into_iter().flatten().map(|entry| entry.content.as_str()).collect()
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

pub fn session(name: &str) -> SessionName {
    SessionName::new(name).expect("a session name")
}

pub fn sessions(names: &[&str]) -> SessionSet {
    SessionSet::new(names.iter().copied()).expect("session names")
}

pub fn log(peer: PublicKey, name: &str, text: &str) -> Command {
    let timeout = Duration::from_secs(10);
    Command::Log {
        peer: wopr_p2p_core::peer::PeerRef::Key(peer),
        session: session(name),
        text: text.to_owned(),
        timeout,
    }
}

/// A log that waits in the outbox if it must, for a week.
pub fn queue(peer: PublicKey, name: &str, text: &str) -> Command {
    Command::Queue {
        peer: wopr_p2p_core::peer::PeerRef::Key(peer),
        session: session(name),
        text: text.to_owned(),
        timeout: Duration::from_secs(10),
        expires_in: Duration::from_secs(7 * 24 * 3600),
    }
}

pub fn inject(peer: PublicKey, name: &str, text: &str) -> Command {
    let timeout = Duration::from_secs(300);
    let peer = wopr_p2p_core::peer::PeerRef::Key(peer);
    Command::Inject { peer, session: session(name), text: text.to_owned(), timeout }
}

pub fn grant(peer: PublicKey, names: &[&str], capability: &str) -> Command {
    Command::Grant {
        peer: wopr_p2p_core::peer::PeerRef::Key(peer),
        sessions: sessions(names),
        capabilities: vec![capability.parse::<Capability>().expect("a capability")],
        trust: TrustLevel::Trusted,
        expires_in: None,
    }
}

pub fn invite(subject: PublicKey, names: &[&str]) -> Command {
    Command::CreateInvite {
        subject,
        sessions: sessions(names),
        capabilities: vec![Capability::inject()],
        expires_in: Duration::from_secs(3600),
    }
}
