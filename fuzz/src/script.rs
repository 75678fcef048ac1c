//! Two nodes, their owners and somebody who owns the network between them: who sees, drops, doubles, reorders, changes,
//! cuts and redirects what is sent, while owners grant, revoke, rotate and restart, and the clocks jump.
//!
//! At every step: no text is delivered without a grant for its session and kind, none twice, none that nobody sent; what
//! was acknowledged is stored; each command ends once; a node starts from what it wrote; it comes to rest.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use arbitrary::Arbitrary;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::time::{Now, WallTime};
use wopr_p2p_core::{
    Command, CommandId, Config, DialEnd, EntryKind, Input, Reply, StreamId, StreamOrigin, TransportKey,
};

use crate::host::Host;
use crate::{START, steps};

/// More would only be more of the same.
const MAX_STEPS: usize = 150;
/// Packets that can be under way; more get lost.
const MAX_FLYING: usize = 64;
/// Arrivals until two nodes that say no more have to be at rest.
const MAX_ARRIVALS: usize = 10_000;
/// The sessions that there are.
const SESSIONS: [&str; 2] = ["main", "other"];

#[derive(Debug, Arbitrary)]
enum Step {
    /// An owner, and what it wants.
    Order(bool, Order),
    /// Everything that is under way arrives, and what comes of it.
    Settle,
    /// Something happens to a packet that is under way.
    Packet(u8, Fate),
    /// A packet of long ago arrives on a stream of a node.
    Replay { packet: u8, to: bool, stream: u8 },
    /// Bytes of the attacker's own arrive there.
    Forge { to: bool, stream: u8, bytes: Vec<u8> },
    /// The attacker opens a stream to a node, under the transport key of the other one or its own.
    Open { to: bool, as_other: bool },
    /// The next dial of a node ends at the attacker.
    Redirect(bool),
    /// All streams break, or those of one side only.
    Cut { first: bool, second: bool },
    /// Time passes, in tenths of a second squared.
    Wait(u8),
    /// The wall clock of a node is set, by minutes.
    Jump(bool, i16),
    /// A node crashes and starts again.
    Restart(bool),
}

#[derive(Debug, Arbitrary)]
enum Order {
    Log(u8),
    Inject(u8),
    Queue(u8),
    Grant { sessions: u8, message_only: bool, minutes: u8 },
    RevokePeer,
    Narrow(u8),
    Invite { sessions: u8 },
    Claim,
    RevokeInvite,
    Rotate { compromise: bool },
}

#[derive(Debug, Arbitrary)]
enum Fate {
    Arrives,
    Dropped,
    Doubled,
    Last,
    Flipped { at: u16, bits: u8 },
    CutAt(u16),
}

/// A packet on its way, to a stream of a node.
#[derive(Clone)]
struct Packet {
    to: usize,
    stream: StreamId,
    bytes: Vec<u8>,
}

/// What the owner of a node lets the other one do in a session, at most.
#[derive(Clone, Copy, Default)]
struct Allowed {
    log: Option<WallTime>,
    inject: Option<WallTime>,
}

/// A text that an owner sent.
struct Text {
    from: usize,
    session: &'static str,
    question: bool,
    command: CommandId,
    written: usize,
}

struct Stage {
    hosts: [Host; 2],
    /// What each node's clock is ahead, in milliseconds.
    ahead: [i64; 2],
    now: Now,
    flying: VecDeque<Packet>,
    /// Everything that was ever sent.
    recorded: Vec<Vec<u8>>,
    /// The other end of a stream; `None` is the attacker.
    wires: BTreeMap<(usize, StreamId), Option<StreamId>>,
    redirect: [bool; 2],
    /// By node and session.
    allowed: [BTreeMap<&'static str, Allowed>; 2],
    texts: BTreeMap<String, Text>,
    tokens: [Option<String>; 2],
    checked: [usize; 2],
    /// Who has other keys than in the beginning.
    rotated: [bool; 2],
}

/// The script of one run.
pub fn run(data: &[u8]) {
    let mut stage = Stage::new();
    for step in steps(data, MAX_STEPS) {
        stage.step(step);
        stage.check();
    }
    stage.settle();
    stage.check();
    for side in 0..2 {
        let now = stage.now_of(side);
        stage.hosts[side].restart(now);
    }
}

impl Stage {
    fn new() -> Self {
        let hosts = [1, 2].map(|seed| Host::new(seed, Config::default(), START));
        Self {
            hosts,
            ahead: [0; 2],
            now: START,
            flying: VecDeque::new(),
            recorded: Vec::new(),
            wires: BTreeMap::new(),
            redirect: [false; 2],
            allowed: Default::default(),
            texts: BTreeMap::new(),
            tokens: [None, None],
            checked: [0; 2],
            rotated: [false; 2],
        }
    }

    fn now_of(&self, side: usize) -> Now {
        let wall = self.now.wall.as_millis().saturating_add_signed(self.ahead[side]);
        Now { mono: self.now.mono, wall: WallTime::from_millis(wall) }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Order(by, order) => self.order(usize::from(by), order),
            Step::Settle => self.settle(),
            Step::Packet(which, fate) => self.befalls(which, fate),
            Step::Replay { packet, to, stream } => {
                let bytes = self.recorded.get(usize::from(packet) % self.recorded.len().max(1)).cloned();
                self.arrives_somewhere(usize::from(to), stream, bytes.unwrap_or_default());
            }
            Step::Forge { to, stream, bytes } => self.arrives_somewhere(usize::from(to), stream, bytes),
            Step::Open { to, as_other } => {
                let (to, stream) = (usize::from(to), StreamId(self.hosts[usize::from(to)].number()));
                let remote = if as_other { transport(1 - to) } else { TransportKey([66; 32]) };
                let origin = StreamOrigin::Accepted { topics: self.hosts[to].topics.clone() };
                self.wires.insert((to, stream), None);
                self.input(to, Input::StreamOpened { stream, origin, remote });
            }
            Step::Redirect(side) => self.redirect[usize::from(side)] = true,
            Step::Cut { first, second } => self.cut([first, second]),
            Step::Wait(tenths) => {
                let passed = Duration::from_millis(100 * u64::from(tenths).pow(2));
                (self.now.mono, self.now.wall) = (self.now.mono + passed, self.now.wall + passed);
                for side in 0..2 {
                    let now = self.now_of(side);
                    self.hosts[side].wake(now);
                    self.carry(side);
                }
            }
            Step::Jump(side, minutes) => self.ahead[usize::from(side)] += i64::from(minutes) * 60_000,
            Step::Restart(side) => {
                let side = usize::from(side);
                self.flying.retain(|packet| packet.to != side);
                self.wires.retain(|(of, _), _| *of != side);
                let now = self.now_of(side);
                self.hosts[side].restart(now);
                self.carry(side);
                let others: Vec<_> =
                    self.wires.iter().filter(|(_, far)| far.is_some()).map(|(near, _)| *near).collect();
                for (other, stream) in others {
                    self.break_stream(other, stream);
                }
            }
        }
    }

    /// Streams break for these sides; packets to them are lost.
    fn cut(&mut self, sides: [bool; 2]) {
        let of_sides = |side: usize| sides[side];
        self.flying.retain(|packet| !of_sides(packet.to));
        let broken: Vec<_> = self.wires.keys().copied().filter(|(side, _)| of_sides(*side)).collect();
        for (side, stream) in broken {
            self.break_stream(side, stream);
        }
    }

    fn break_stream(&mut self, side: usize, stream: StreamId) {
        if self.wires.remove(&(side, stream)).is_some() {
            self.input(side, Input::StreamClosed { stream });
        }
    }

    fn order(&mut self, by: usize, order: Order) {
        let peer = PeerRef::Key(self.hosts[1 - by].node.public_key());
        let timeout = Duration::from_secs(30);
        let command = match order {
            Order::Log(session) => {
                return self.send(by, session, false, |peer, session, text| Command::Log {
                    peer,
                    session,
                    text,
                    timeout,
                });
            }
            Order::Inject(session) => {
                return self.send(by, session, true, |peer, session, text| Command::Inject {
                    peer,
                    session,
                    text,
                    timeout,
                });
            }
            Order::Queue(session) => {
                return self.send(by, session, false, |peer, session, text| Command::Queue {
                    peer,
                    session,
                    text,
                    timeout,
                    expires_in: Duration::from_secs(24 * 3600),
                });
            }
            Order::Grant { sessions, message_only, minutes } => {
                let expires_in = (minutes > 0).then(|| Duration::from_secs(60 * u64::from(minutes)));
                let until = expires_in.map_or(FOREVER, |delay| self.now_of(by).wall + delay);
                self.allow(by, sessions, message_only, until);
                let capability = if message_only { Capability::message() } else { Capability::inject() };
                let (sessions, trust) = (session_set(sessions), TrustLevel::Trusted);
                Command::Grant { peer, sessions, capabilities: vec![capability], trust, expires_in }
            }
            Order::RevokePeer => Command::RevokePeer { peer, session: None },
            Order::Narrow(session) => Command::RevokePeer { peer, session: Some(session_name(session)) },
            Order::Invite { sessions } => {
                self.allow(by, sessions, false, FOREVER);
                let subject = self.hosts[1 - by].node.public_key();
                let (sessions, capabilities) = (session_set(sessions), vec![Capability::inject()]);
                Command::CreateInvite { subject, sessions, capabilities, expires_in: Duration::from_secs(3600) }
            }
            Order::Claim => {
                let Some(token) = self.tokens[1 - by].clone() else { return };
                Command::Claim { token, timeout }
            }
            Order::RevokeInvite => {
                let Some(invite) = self.tokens[by].clone() else { return };
                Command::RevokeInvite { invite }
            }
            Order::Rotate { compromise } => {
                let reason = if compromise { RotationReason::Compromise } else { RotationReason::Scheduled };
                Command::RotateKeys { reason, notify_all: false, timeout }
            }
        };
        let narrowed = match &command {
            Command::RevokePeer { session: Some(session), .. } => Some(session.as_str().to_owned()),
            _ => None,
        };
        let now = self.now_of(by);
        let id = self.hosts[by].command(command, now);
        // The disk is quick, so what changes access has ended by now.
        match self.hosts[by].finished.get(&id) {
            Some(Ok(Reply::InviteCreated { token, .. })) => self.tokens[by] = Some(token.clone()),
            Some(Ok(Reply::Revoked { .. })) => match narrowed {
                // What the other one has under a former key may be another matter.
                None if !self.rotated[1 - by] => self.allowed[by].clear(),
                // An open invite may open it again.
                Some(session) if self.tokens[by].is_none() && !self.rotated[1 - by] => {
                    self.allowed[by].retain(|name, _| **name != session)
                }
                _ => {}
            },
            Some(Ok(Reply::Rotated { .. })) => self.rotated[by] = true,
            _ => {}
        }
        self.carry(by);
    }

    fn allow(&mut self, by: usize, sessions: u8, message_only: bool, until: WallTime) {
        for session in chosen(sessions) {
            let allowed = self.allowed[by].entry(session).or_default();
            allowed.log = allowed.log.max(Some(until));
            if !message_only {
                allowed.inject = allowed.inject.max(Some(until));
            }
        }
    }

    fn send(
        &mut self,
        from: usize,
        session: u8,
        question: bool,
        make: impl FnOnce(PeerRef, SessionName, String) -> Command,
    ) {
        let name = SESSIONS[usize::from(session) % SESSIONS.len()];
        let text = format!("text {}", self.texts.len());
        let peer = PeerRef::Key(self.hosts[1 - from].node.public_key());
        let now = self.now_of(from);
        let command = self.hosts[from].command(make(peer, session_name(session), text.clone()), now);
        self.texts.insert(text, Text { from, session: name, question, command, written: 0 });
        self.carry(from);
    }

    fn befalls(&mut self, which: u8, fate: Fate) {
        if self.flying.is_empty() {
            return;
        }
        let at = usize::from(which) % self.flying.len();
        let Some(mut packet) = self.flying.remove(at) else { return };
        match fate {
            Fate::Arrives => self.arrives(packet),
            Fate::Dropped => {}
            Fate::Doubled => {
                self.flying.insert(at, packet.clone());
                self.flying.insert(at, packet);
            }
            Fate::Last => self.flying.push_back(packet),
            Fate::Flipped { at: byte, bits } => {
                let byte = usize::from(byte) % packet.bytes.len().max(1);
                if let Some(byte) = packet.bytes.get_mut(byte) {
                    *byte ^= bits;
                }
                self.flying.insert(at, packet);
            }
            Fate::CutAt(byte) => {
                let rest = packet.bytes.split_off(usize::from(byte).min(packet.bytes.len()));
                let rest = Packet { bytes: rest, ..packet };
                self.flying.insert(at, rest);
                self.flying.insert(at, packet);
            }
        }
    }

    /// Bytes arrive on some stream of a node.
    fn arrives_somewhere(&mut self, to: usize, stream: u8, bytes: Vec<u8>) {
        let streams: Vec<_> = self.wires.keys().filter(|(side, _)| *side == to).map(|(_, stream)| *stream).collect();
        if let Some(stream) = streams.get(usize::from(stream) % streams.len().max(1)) {
            self.arrives(Packet { to, stream: *stream, bytes });
        }
    }

    fn arrives(&mut self, packet: Packet) {
        if self.wires.contains_key(&(packet.to, packet.stream)) {
            self.input(packet.to, Input::Received { stream: packet.stream, bytes: packet.bytes });
        }
    }

    fn settle(&mut self) {
        for _ in 0..MAX_ARRIVALS {
            let Some(packet) = self.flying.pop_front() else { return };
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
    fn carry(&mut self, side: usize) {
        while let Some((stream, bytes)) = self.hosts[side].sent.pop_front() {
            if self.recorded.len() < 256 {
                self.recorded.push(bytes.clone());
            }
            if let Some(Some(far)) = self.wires.get(&(side, stream))
                && self.flying.len() < MAX_FLYING
            {
                self.flying.push_back(Packet { to: 1 - side, stream: *far, bytes });
            }
        }
        for stream in std::mem::take(&mut self.hosts[side].closed) {
            if let Some(Some(far)) = self.wires.remove(&(side, stream))
                && self.wires.remove(&(1 - side, far)).is_some()
            {
                // What was sent before arrives before.
                self.arrive_at(1 - side, far);
                self.input(1 - side, Input::StreamClosed { stream: far });
            }
        }
        for (dial, topic) in std::mem::take(&mut self.hosts[side].dials) {
            let near = StreamId(self.hosts[side].number());
            let other = 1 - side;
            let remote = transport(other);
            if std::mem::take(&mut self.redirect[side]) {
                self.wires.insert((side, near), None);
                self.input(side, Input::StreamOpened { stream: near, origin: StreamOrigin::Dialled(dial), remote });
            } else if self.hosts[other].topics.contains(&topic) {
                let far = StreamId(self.hosts[other].number());
                self.wires.insert((side, near), Some(far));
                self.wires.insert((other, far), Some(near));
                let origin = StreamOrigin::Accepted { topics: vec![topic] };
                self.input(other, Input::StreamOpened { stream: far, origin, remote: transport(side) });
                self.input(side, Input::StreamOpened { stream: near, origin: StreamOrigin::Dialled(dial), remote });
            }
            self.input(side, Input::DialEnded { dial, why: DialEnd::Exhausted });
        }
    }

    /// What is under way to a stream arrives.
    fn arrive_at(&mut self, to: usize, stream: StreamId) {
        let (here, others) =
            self.flying.drain(..).partition::<VecDeque<_>, _>(|packet| (packet.to, packet.stream) == (to, stream));
        self.flying = others;
        for packet in here {
            self.input(to, Input::Received { stream, bytes: packet.bytes });
        }
    }

    fn check(&mut self) {
        // What is acknowledged here is stored there.
        (0..2).for_each(|side| self.check_lines(side));
        for side in 0..2 {
            let load = self.hosts[side].node.load();
            let config = Config::default();
            assert!(load.streams <= config.max_streams && load.most_of_stranger <= Config::MAX_STRANGER_LINE);
            self.check_ended(side);
        }
    }

    /// What commands came to since the last look.
    fn check_ended(&mut self, side: usize) {
        for (id, result) in std::mem::take(&mut self.hosts[side].finished) {
            let Ok(Reply::Logged | Reply::Answer(_)) = result else { continue };
            let sent = self.texts.iter().find(|(_, text)| (text.from, text.command) == (side, id));
            let (text, sent) = sent.expect("an acknowledged text is one that was sent");
            assert_eq!(sent.written, 1, "acknowledged and not stored");
            if let Ok(Reply::Answer(answer)) = result {
                assert_eq!(answer, format!("re: {text}"), "the answer to something else");
            }
        }
    }

    /// What was written into a node's sessions since the last look.
    fn check_lines(&mut self, side: usize) {
        let wall = self.now_of(side).wall;
        let host = &self.hosts[side];
        for (session, line) in &host.lines[self.checked[side]..] {
            if line.kind == EntryKind::Answer {
                continue;
            }
            let text = self.texts.get_mut(&line.content).expect("a text that nobody sent");
            let question = line.kind == EntryKind::Question;
            assert_eq!((1 - text.from, text.session, text.question), (side, session.as_str(), question));
            text.written += 1;
            assert_eq!(text.written, 1, "delivered twice");
            let allowed = self.allowed[side].get(session.as_str()).copied().unwrap_or_default();
            let until = if question { allowed.inject } else { allowed.log };
            assert!(until.is_some_and(|until| wall <= until), "delivered without a grant");
        }
        self.checked[side] = host.lines.len();
    }
}

/// Later than any run.
const FOREVER: WallTime = WallTime::from_millis(u64::MAX);

fn transport(side: usize) -> TransportKey {
    TransportKey([if side == 0 { 1 } else { 2 }; 32])
}

/// The sessions of a grant, by bits; all if there are none.
fn chosen(bits: u8) -> impl Iterator<Item = &'static str> {
    SESSIONS
        .into_iter()
        .enumerate()
        .filter(move |(at, _)| bits.is_multiple_of(4) || bits & (1 << at) != 0)
        .map(|(_, name)| name)
}

fn session_set(bits: u8) -> SessionSet {
    SessionSet::new(chosen(bits)).expect("session names")
}

fn session_name(number: u8) -> SessionName {
    SessionName::new(SESSIONS[usize::from(number) % SESSIONS.len()]).expect("a session name")
}
