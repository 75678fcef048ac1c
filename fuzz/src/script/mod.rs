//! Two nodes, their owners and somebody who owns the network between them: who sees, drops, doubles, reorders, changes,
//! cuts and redirects what is sent, while owners grant, revoke, rotate and restart, and the clocks jump.
//!
//! At every step: no text is delivered without a grant for its session and kind, none twice, none that nobody sent; what
//! was acknowledged is stored; each command ends once; a node starts from what it wrote; it comes to rest.

mod ledger;
mod network;

use std::time::Duration;

use arbitrary::Arbitrary;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::time::{Now, WallTime};
use wopr_p2p_core::{Command, CommandId, Config, Reply};

use self::ledger::{Ledger, Text};
use self::network::Network;
use crate::host::Host;
use crate::{START, steps};

/// More would only be more of the same.
const MAX_STEPS: usize = 150;
/// The sessions that there are.
const SESSIONS: [&str; 2] = ["main", "other"];
/// How long an owner waits for the other node.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Later than any run.
const FOREVER: WallTime = WallTime::from_millis(u64::MAX);

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

/// How a text is sent.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Log,
    Inject,
    Queue,
}

struct Stage {
    hosts: [Host; 2],
    /// What each node's clock is ahead, in milliseconds.
    ahead: [i64; 2],
    now: Now,
    network: Network,
    ledger: Ledger,
    /// The latest invite of each node.
    tokens: [Option<String>; 2],
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
        Self {
            hosts: [1, 2].map(|seed| Host::new(seed, Config::default(), START)),
            ahead: [0; 2],
            now: START,
            network: Network::default(),
            ledger: Ledger::default(),
            tokens: [None, None],
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
            Step::Replay { packet, to, stream } => self.replay(packet, usize::from(to), stream),
            Step::Forge { to, stream, bytes } => self.arrives_somewhere(usize::from(to), stream, bytes),
            Step::Open { to, as_other } => self.open(usize::from(to), as_other),
            Step::Redirect(side) => self.network.redirect[usize::from(side)] = true,
            Step::Cut { first, second } => self.cut([first, second]),
            Step::Wait(tenths) => self.wait(Duration::from_millis(100 * u64::from(tenths).pow(2))),
            Step::Jump(side, minutes) => self.ahead[usize::from(side)] += i64::from(minutes) * 60_000,
            Step::Restart(side) => self.restart(usize::from(side)),
        }
    }

    fn wait(&mut self, passed: Duration) {
        (self.now.mono, self.now.wall) = (self.now.mono + passed, self.now.wall + passed);
        for side in 0..2 {
            let now = self.now_of(side);
            self.hosts[side].wake(now);
            self.carry(side);
        }
    }

    /// What must hold after every step. Lines first: what is acknowledged here is stored there.
    fn check(&mut self) {
        for side in 0..2 {
            let wall = self.now_of(side).wall;
            self.ledger.check_lines(side, &self.hosts[side], wall);
        }
        for side in 0..2 {
            self.ledger.check_node(side, &mut self.hosts[side]);
        }
    }
}

/// What the owners do.
impl Stage {
    fn order(&mut self, by: usize, order: Order) {
        match order {
            Order::Log(session) => self.send(by, Way::Log, session),
            Order::Inject(session) => self.send(by, Way::Inject, session),
            Order::Queue(session) => self.send(by, Way::Queue, session),
            Order::Grant { sessions, message_only, minutes } => self.grant(by, sessions, message_only, minutes),
            Order::RevokePeer => self.revoke(by, None),
            Order::Narrow(session) => self.revoke(by, Some(session_name(session))),
            Order::Invite { sessions } => self.invite(by, sessions),
            Order::Claim => {
                if let Some(token) = self.tokens[1 - by].clone() {
                    self.command(by, Command::Claim { token, timeout: TIMEOUT });
                }
            }
            Order::RevokeInvite => {
                if let Some(invite) = self.tokens[by].clone() {
                    self.command(by, Command::RevokeInvite { invite });
                }
            }
            Order::Rotate { compromise } => {
                let reason = if compromise { RotationReason::Compromise } else { RotationReason::Scheduled };
                let rotate = Command::RotateKeys { reason, notify_all: false, timeout: TIMEOUT };
                if let (_, Some(Reply::Rotated { .. })) = self.command(by, rotate) {
                    self.ledger.rotated(by);
                }
            }
        }
    }

    /// Gives a command. The disk is quick, so one that only changes access has succeeded by now or never will.
    fn command(&mut self, by: usize, command: Command) -> (CommandId, Option<Reply>) {
        let now = self.now_of(by);
        let id = self.hosts[by].command(command, now);
        let reply = self.hosts[by].finished.get(&id).and_then(|result| result.clone().ok());
        self.carry(by);
        (id, reply)
    }

    /// How the owner of a node names the other one.
    fn peer_of(&self, side: usize) -> PeerRef {
        PeerRef::Key(self.hosts[1 - side].node.public_key())
    }

    fn send(&mut self, from: usize, way: Way, number: u8) {
        let (peer, session, content) = (self.peer_of(from), session_name(number), self.ledger.new_text());
        let (text, timeout) = (content.clone(), TIMEOUT);
        let command = match way {
            Way::Log => Command::Log { peer, session, text, timeout },
            Way::Inject => Command::Inject { peer, session, text, timeout },
            Way::Queue => {
                let expires_in = Duration::from_secs(24 * 3600);
                Command::Queue { peer, session, text, timeout, expires_in }
            }
        };
        let (command, _) = self.command(from, command);
        let (session, question) = (SESSIONS[usize::from(number) % SESSIONS.len()], way == Way::Inject);
        self.ledger.sent(content, Text { from, session, question, command });
    }

    fn grant(&mut self, by: usize, sessions: u8, message_only: bool, minutes: u8) {
        let expires_in = (minutes > 0).then(|| Duration::from_secs(60 * u64::from(minutes)));
        let until = expires_in.map_or(FOREVER, |delay| self.now_of(by).wall + delay);
        self.ledger.allow(by, sessions, message_only, until);
        let capabilities = vec![if message_only { Capability::message() } else { Capability::inject() }];
        let (peer, sessions, trust) = (self.peer_of(by), session_set(sessions), TrustLevel::Trusted);
        self.command(by, Command::Grant { peer, sessions, capabilities, trust, expires_in });
    }

    fn invite(&mut self, by: usize, sessions: u8) {
        self.ledger.allow(by, sessions, false, FOREVER);
        let subject = self.hosts[1 - by].node.public_key();
        let (sessions, capabilities) = (session_set(sessions), vec![Capability::inject()]);
        let expires_in = Duration::from_secs(3600);
        let create = Command::CreateInvite { subject, sessions, capabilities, expires_in };
        if let (_, Some(Reply::InviteCreated { token, .. })) = self.command(by, create) {
            self.tokens[by] = Some(token);
        }
    }

    fn revoke(&mut self, by: usize, session: Option<SessionName>) {
        let revoke = Command::RevokePeer { peer: self.peer_of(by), session: session.clone() };
        if let (_, Some(Reply::Revoked { .. })) = self.command(by, revoke) {
            self.ledger.revoked(by, session.as_ref().map(SessionName::as_str), self.tokens[by].is_some());
        }
    }
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
