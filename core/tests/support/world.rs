//! Some nodes in one place, joined by perfect streams, with disks that remember everything that was made durable.
//!
//! Small on purpose: faults and attackers beyond what a test writes itself are the simulator's business.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

#[path = "commands.rs"]
mod commands;
#[path = "host.rs"]
mod host;

use std::collections::VecDeque;
use std::time::Duration;

use wopr_p2p_core::keys::{PublicKey, Topic};
use wopr_p2p_core::time::{Instant, Now, WallTime};
use wopr_p2p_core::{
    Command, CommandError, CommandId, Config, DialEnd, DialId, Input, Output, Reply, Stored, StreamId, StreamOrigin,
    TransportKey,
};

#[allow(unused_imports, reason = "each test file uses its own part")]
pub use commands::{claim, grant, inject, invite, log, queue, revoke, session, sessions};
use host::{Held, HeldWrite, Host};

/// When every test begins.
pub const START: u64 = 1_767_225_600_000;

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

    /// Two nodes, of which the first one granted the other the session `main`.
    pub fn granted() -> Self {
        let mut world = Self::new(2);
        world.grants(0, world.key(1));
        world
    }

    /// Nodes that all granted one another the session `main`.
    pub fn friends(count: usize) -> Self {
        let mut world = Self::new(count);
        for (host, other) in (0..count).flat_map(|host| (0..count).map(move |other| (host, other))) {
            if host != other {
                world.grants(host, world.key(other));
            }
        }
        world
    }

    /// A node that granted somebody whom the test plays the session `main`.
    pub fn with_peer(peer: PublicKey) -> Self {
        let mut world = Self::new(1);
        world.grants(0, peer);
        world
    }

    /// Adds a node that starts from these documents.
    pub fn add(&mut self, config: Config, stored: Stored) -> usize {
        let index = self.hosts.len();
        let key = u8::try_from(index + 1).expect("few hosts");
        self.hosts.push(Host::new(key, config, stored, self.now));
        self.drain(index);
        self.run();
        index
    }

    /// Ends a node and starts it again from what it had made durable.
    pub fn restart(&mut self, host: usize, config: Config) {
        for (other, far) in core::mem::take(&mut self.hosts[host].wires).into_values() {
            self.hosts[other].wires.remove(&far);
            self.queue.push_back((other, Input::StreamClosed { stream: far }));
        }
        self.hosts[host].restart(config, self.now);
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

    /// A host grants somebody the session `main`.
    pub fn grants(&mut self, host: usize, peer: PublicKey) {
        self.done(host, grant(peer, &["main"], "inject")).expect("granted");
    }

    /// The token of an invite that a host makes out to somebody.
    pub fn token(&mut self, host: usize, subject: PublicKey, names: &[&str]) -> String {
        match self.done(host, invite(subject, names)) {
            Ok(Reply::InviteCreated { token, .. }) => token,
            other => panic!("no invite: {other:?}"),
        }
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
            self.hosts[host].debugged.push(format!("{output:?}"));
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
        self.input(host, host::failed(write.id));
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
