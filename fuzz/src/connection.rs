//! One node and whoever opens streams to it: a peer with a grant, one with an invite and a stranger, all of whom have
//! true keys and can say anything, right or wrong, whole, changed or cut anywhere, while time passes and jumps.
//!
//! Whatever they do, a text is written into a session only if somebody who may do so said it flawlessly, and once; the
//! node keeps no more than its bounds, gives no more outputs than the input warrants, and starts again from its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::Arbitrary;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::cipher::{EphemeralKey, PayloadKey};
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{EncryptKey, Nonce, PublicKey};
use wopr_p2p_core::message::{
    Ack, Body, Claim, Header, Hello, HelloAck, Inject, KeyRotation, Log, Message, Reject, RequestId, Response,
};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rng::Rng;
use wopr_p2p_core::rotation::{RotationReason, RotationStatement};
use wopr_p2p_core::time::{Now, WallTime};
use wopr_p2p_core::wire::json::{decode, encode};
use wopr_p2p_core::{Command, Config, DialEnd, EntryKind, Input, Reply, StreamId, StreamOrigin, TransportKey};

use crate::host::Host;
use crate::{START, identity, steps};

/// More would only be more of the same.
const MAX_STEPS: usize = 100;
/// Streams that the others hold at once.
const MAX_STREAMS: usize = 6;

#[derive(Debug, Arbitrary)]
enum Step {
    /// Opens a stream under one of a few transport keys.
    Open { remote: u8 },
    /// Has the node dial the peer with the grant, who answers on one stream.
    Dialled,
    /// Goes on with another stream.
    Turn(u8),
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// A line without an end.
    Flood(u8),
    /// A message.
    Say(Who, What, Flaws),
    /// The same bytes as before, on this stream.
    Again,
    /// Time passes, in tenths of a second squared.
    Wait(u8),
    /// The wall clock is set, by minutes.
    Jump(i8),
    /// The stream ends.
    Close,
    /// The node crashes and starts again.
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Arbitrary)]
enum Who {
    Known,
    /// The key that takes the place of the known one's, if it says so.
    Successor,
    Invited,
    Stranger,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum What {
    Hello,
    HelloAck,
    Log,
    Inject,
    Claim,
    Rotation,
    Ack,
    Reject,
    Response,
}

/// What is wrong with a message; nothing if all is zero.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Flaws {
    /// Bit by bit: `re`, the signature's key, an old nonce, the session, the payload's key, protocol 1, `to`, none of
    /// our own members.
    bits: u8,
    /// The time, in tens of seconds.
    late: i8,
    /// Where a byte is changed, and how.
    flip: (u16, u8),
    /// Where the line is cut into two arrivals.
    cut: u8,
}

/// One stream, seen from the other side.
struct Line {
    id: StreamId,
    dialled: bool,
    ephemeral: u8,
    /// What the node's part of the handshake said.
    theirs: Option<EncryptKey>,
    /// The nonce that requests have to name, or answers.
    re: Option<Nonce>,
    /// Requests have to name the handshake.
    bound: bool,
}

struct Stage {
    host: Host,
    now: Now,
    rng: Rng,
    people: BTreeMap<Who, Identity>,
    token: String,
    streams: Vec<Line>,
    turn: usize,
    /// Texts that may be written, each once.
    legit: BTreeSet<String>,
    /// Lines that were looked at.
    checked: usize,
    claimed: bool,
    rotated: bool,
    last: Vec<u8>,
    texts: u32,
}

/// The script of one run.
pub fn run(data: &[u8]) {
    let mut stage = Stage::new();
    for step in steps(data, MAX_STEPS) {
        stage.step(step);
        stage.check();
    }
    stage.host.restart(stage.now);
}

impl Stage {
    fn new() -> Self {
        let config = Config {
            max_payload: 2048,
            max_streams: 8,
            max_stranger_streams: 4,
            max_streams_per_remote: 4,
            ..Config::default()
        };
        let now = START;
        let mut host = Host::new(1, config, now);
        let all = [(Who::Known, 40), (Who::Successor, 44), (Who::Invited, 41), (Who::Stranger, 42)];
        let people: BTreeMap<_, _> = all.into_iter().map(|(who, number)| (who, identity(number))).collect();
        let sessions = SessionSet::new(["main"]).expect("a session");
        let capabilities = vec![Capability::inject()];
        let peer = PeerRef::Key(people[&Who::Known].public_key());
        let trust = TrustLevel::Trusted;
        let (granted, given) = (sessions.clone(), capabilities.clone());
        host.command(Command::Grant { peer, sessions: granted, capabilities: given, trust, expires_in: None }, now);
        let subject = people[&Who::Invited].public_key();
        let expires_in = Duration::from_secs(3600);
        let invite = host.command(Command::CreateInvite { subject, sessions, capabilities, expires_in }, now);
        let Some(Ok(Reply::InviteCreated { token, .. })) = host.finished.remove(&invite) else {
            panic!("no invite");
        };
        Self {
            host,
            now,
            rng: Rng::new([9; 32]),
            people,
            token,
            streams: Vec::new(),
            turn: 0,
            legit: BTreeSet::new(),
            checked: 0,
            claimed: false,
            rotated: false,
            last: Vec::new(),
            texts: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open { remote } => {
                let (id, remote) = (StreamId(self.host.number()), TransportKey([remote % 4; 32]));
                let origin = StreamOrigin::Accepted { topics: self.host.topics.clone() };
                self.opened(id, false);
                self.input(Input::StreamOpened { stream: id, origin, remote });
            }
            Step::Dialled => self.dialled(),
            Step::Turn(to) => self.turn = usize::from(to),
            Step::Raw(bytes) => self.arrives(&bytes),
            Step::Flood(much) => self.arrives(&vec![b'x'; usize::from(much) << 9]),
            Step::Say(who, what, flaws) => self.say(who, what, flaws),
            Step::Again => self.arrives(&self.last.clone()),
            Step::Wait(tenths) => {
                let passed = Duration::from_millis(100 * u64::from(tenths).pow(2));
                (self.now.mono, self.now.wall) = (self.now.mono + passed, self.now.wall + passed);
                self.host.wake(self.now);
            }
            Step::Jump(minutes) => {
                let millis = self.now.wall.as_millis().saturating_add_signed(i64::from(minutes) * 60_000);
                self.now.wall = WallTime::from_millis(millis);
            }
            Step::Close => {
                if let Some(line) = self.line() {
                    let stream = line.id;
                    self.streams.retain(|line| line.id != stream);
                    self.input(Input::StreamClosed { stream });
                }
            }
            Step::Restart => {
                self.streams.clear();
                self.host.restart(self.now);
            }
        }
    }

    fn opened(&mut self, id: StreamId, dialled: bool) {
        if self.streams.len() >= MAX_STREAMS {
            let stream = self.streams.remove(0).id;
            self.input(Input::StreamClosed { stream });
        }
        let ephemeral = self.rng.bytes::<1>()[0];
        self.turn = self.streams.len();
        self.streams.push(Line { id, dialled, ephemeral, theirs: None, re: None, bound: false });
    }

    fn dialled(&mut self) {
        let peer = PeerRef::Key(self.people[&Who::Known].public_key());
        let (session, timeout) = (SessionName::new("main").expect("a session"), Duration::from_secs(20));
        self.texts += 1;
        let text = format!("ours {}", self.texts);
        self.host.command(Command::Inject { peer, session, text, timeout }, self.now);
        let dials = std::mem::take(&mut self.host.dials);
        for (dial, _) in dials {
            let id = StreamId(self.host.number());
            self.opened(id, true);
            let remote = TransportKey([9; 32]);
            self.input(Input::StreamOpened { stream: id, origin: StreamOrigin::Dialled(dial), remote });
            self.input(Input::DialEnded { dial, why: DialEnd::Exhausted });
        }
    }

    fn line(&self) -> Option<&Line> {
        self.streams.get(self.turn % self.streams.len().max(1))
    }

    /// Bytes arrive on the stream whose turn it is.
    fn arrives(&mut self, bytes: &[u8]) {
        let Some(stream) = self.line().map(|line| line.id) else { return };
        self.last = bytes.to_vec();
        self.input(Input::Received { stream, bytes: bytes.to_vec() });
        let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
        assert!(self.host.outputs <= 40 * lines, "{} outputs for {lines} lines", self.host.outputs);
    }

    fn input(&mut self, input: Input) {
        self.host.input(input, self.now);
        while let Some((stream, bytes)) = self.host.sent.pop_front() {
            self.heard(stream, &bytes);
        }
        let closed = std::mem::take(&mut self.host.closed);
        self.streams.retain(|line| !closed.contains(&line.id));
    }

    /// What the node says is well-formed; its part of the handshake is remembered.
    fn heard(&mut self, stream: StreamId, bytes: &[u8]) {
        let received = decode(bytes).expect("a node writes messages");
        let Some(line) = self.streams.iter_mut().find(|line| line.id == stream) else { return };
        let message = received.message();
        match &message.body {
            Body::Hello(hello) => (line.theirs, line.re) = (hello.ephemeral, Some(message.header.nonce)),
            Body::HelloAck(ack) => {
                (line.theirs, line.re, line.bound) = (ack.ephemeral, Some(message.header.nonce), ack.re.is_some());
            }
            Body::Log(_) | Body::Inject(_) | Body::Claim(_) if line.dialled => line.re = Some(message.header.nonce),
            _ => {}
        }
    }

    fn say(&mut self, who: Who, what: What, flaws: Flaws) {
        let Some(line) = self.line() else { return };
        let (dialled, ephemeral, theirs, re) = (line.dialled, line.ephemeral, line.theirs, line.re);
        let bound = line.bound;
        let wrong = |bit: u8| flaws.bits & (1 << bit) != 0;
        let plain = wrong(7);
        let re = (!plain).then_some(if wrong(0) { Nonce([5; 16]) } else { re.unwrap_or(Nonce([6; 16])) });
        let sender = &self.people[&who];
        let keys = EphemeralKey::from_bytes(&[ephemeral; 32]);
        let v = if wrong(5) { 1 } else { 2 };
        let node = self.host.node.public_key();
        let to = (!plain).then_some(if wrong(6) { sender.public_key() } else { node });
        self.texts += 1;
        let text = format!("text {}", self.texts);
        let session = if wrong(3) { "other" } else { "main" };
        let session = SessionName::new(session).expect("a session");
        let payload = self.seal(who, &keys, v, theirs.filter(|_| !wrong(4)), &text);
        let encrypt_key = self.people[&who].encrypt_key();
        let sent_key = (v == 2).then(|| keys.public());
        let request_id = RequestId::from(Nonce([1; 16]));
        let body = match what {
            What::Hello => {
                let versions = if v == 1 { vec![1] } else { vec![2, 1] };
                Body::Hello(Hello { versions, ephemeral: Some(keys.public()), to })
            }
            What::HelloAck => {
                let to = to.map(|to| if wrong(6) { to } else { node });
                Body::HelloAck(HelloAck { version: v, ephemeral: Some(keys.public()), to, re })
            }
            What::Log => Body::Log(Log { v, encrypt_key, ephemeral: sent_key, session, payload, once: None, re }),
            What::Inject => {
                let chain = None;
                Body::Inject(Inject { v, encrypt_key, ephemeral: sent_key, session, payload, request_id, chain, re })
            }
            What::Claim => Body::Claim(Claim { v, encrypt_key, token: self.token.clone(), re }),
            What::Rotation => Body::KeyRotation(self.rotation(re)),
            What::Ack => Body::Ack(Ack { encrypt_key: Some(encrypt_key), session: Some(session), re }),
            What::Reject => Body::Reject(Reject { session: Some(session), reason: "no".to_owned(), re }),
            What::Response => Body::Response(Response {
                v: 2,
                encrypt_key: Some(encrypt_key),
                ephemeral: sent_key,
                session: Some(session),
                payload,
                request_id,
                re,
            }),
        };
        let bytes = self.signed(who, body, flaws);
        let flawed = wrong(1) || wrong(3) || wrong(4) || (bound && wrong(0)) || flaws.flip.1 != 0;
        let in_time = flaws.late.unsigned_abs() <= 30;
        let may = match who {
            Who::Known => true,
            Who::Successor => self.rotated,
            Who::Invited => self.claimed,
            Who::Stranger => false,
        };
        if !flawed && in_time && may && !dialled && matches!(what, What::Log | What::Inject) {
            self.legit.insert(text);
        }
        // Whether these were accepted does not matter: they make more texts right, not fewer.
        self.claimed |= who == Who::Invited && matches!(what, What::Claim);
        self.rotated |= matches!(what, What::Rotation);
        let (first, second) = bytes.split_at(usize::from(flaws.cut).min(bytes.len()));
        self.arrives(first);
        self.arrives(second);
        self.last = bytes;
    }

    fn seal(&mut self, who: Who, keys: &EphemeralKey, v: u8, theirs: Option<EncryptKey>, text: &str) -> String {
        let encrypt_key = self.host.node.snapshot().encrypt_key;
        let key = match (v, theirs) {
            (2, Some(theirs)) => PayloadKey::agree(keys.secret(), &theirs),
            (1, Some(_)) => PayloadKey::agree(self.people[&who].encrypt_secret(), &encrypt_key),
            _ => Ok(PayloadKey::from_bytes(&[8; 32])),
        };
        // A node's keys are never weak.
        key.expect("a key of the node").seal(&mut self.rng, text.as_bytes())
    }

    fn rotation(&self, re: Option<Nonce>) -> KeyRotation {
        let (old, new) = (&self.people[&Who::Known], &self.people[&Who::Successor]);
        let statement = RotationStatement {
            old: old.public_key(),
            new: new.public_key(),
            new_encrypt: new.encrypt_key(),
            reason: RotationReason::Scheduled,
            effective_at: self.now.wall,
            grace: Duration::from_secs(3600),
        };
        let statement = statement.sign(old);
        let proof = re.map(|re| new.sign(&KeyRotation::proof_bytes(&statement, re)));
        KeyRotation { statement, proof, re }
    }

    fn signed(&mut self, who: Who, body: Body, flaws: Flaws) -> Vec<u8> {
        let sender = &self.people[&who];
        let millis = self.now.wall.as_millis().saturating_add_signed(i64::from(flaws.late) * 10_000);
        let nonce = if flaws.bits & 4 != 0 { Nonce([4; 16]) } else { Nonce(self.rng.bytes()) };
        let ts = WallTime::from_millis(millis);
        // A rotation is said under the new key, and names the old one.
        let rotation = matches!(body, Body::KeyRotation(_));
        let from = if rotation { &self.people[&Who::Known] } else { sender }.public_key();
        let header = Header { from, nonce, ts };
        let signer = if flaws.bits & 2 != 0 { &identity(43) } else { sender };
        let mut bytes = encode(&Message { header, body }, |bytes| signer.sign(bytes));
        let at = usize::from(flaws.flip.0) % bytes.len();
        bytes[at] ^= flaws.flip.1;
        bytes
    }

    fn check(&mut self) {
        let load = self.host.node.load();
        assert!(load.streams <= 8 && load.strangers <= 8, "more streams than the config allows: {load:?}");
        assert!(load.most_of_stranger <= Config::MAX_STRANGER_LINE, "a stranger has {load:?} kept");
        for (session, entry) in &self.host.lines[self.checked..] {
            if entry.kind == EntryKind::Answer {
                continue;
            }
            assert_eq!(session, "main", "a session that was not granted");
            assert!(self.legit.remove(&entry.content), "{:?} of {:?}", entry.content, entry.peer);
            assert!(self.owner(&entry.peer), "a text of somebody else");
        }
        self.checked = self.host.lines.len();
    }

    fn owner(&self, key: &PublicKey) -> bool {
        self.people.values().any(|person| person.public_key() == *key)
    }
}
