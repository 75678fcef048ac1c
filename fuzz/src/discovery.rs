//! Discovery: streams on a topic, which begin with nobody proving anything.
//!
//! However the bytes are cut, the same texts come out. A node that is on a topic grants nothing that its owner did not
//! approve, whoever says what; it keeps and answers no more than its bounds; what it says can be read.

use std::time::Duration;

use arbitrary::Arbitrary;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet};
use wopr_p2p_core::gateway::Gateway;
use wopr_p2p_core::keys::{Nonce, Topic};
use wopr_p2p_core::time::{Now, WallTime};
use wopr_p2p_core::wire::discovery::{Answer, MAX_MESSAGE, Message, Outgoing, Proof, decode, profile_json};
use wopr_p2p_core::wire::texts::TextBuffer;
use wopr_p2p_core::{Command, Config, DialEnd, Input, StreamId, StreamOrigin, TransportKey};

use crate::frame::Chunks;
use crate::host::Host;
use crate::{START, identity, steps};

/// More would only be more of the same.
const MAX_STEPS: usize = 100;
/// The topic that the node is on.
const TOPIC: &str = "lobby";

#[derive(Debug, Arbitrary)]
enum Step {
    /// Somebody comes to the topic, under one of a few transport keys.
    Comes(u8),
    /// The node looks for others, and finds somebody.
    Found,
    /// Bytes as they are, cut somewhere.
    Raw(Vec<u8>, u8),
    /// A message of one of a few keys, and what is wrong with its proof.
    Says(u8, Saying, Flaws),
    /// The owner asks somebody for access.
    Connect(u8),
    /// The owner approves what waits, or refuses it.
    Decides(bool),
    /// Time passes, in tenths of a second squared.
    Wait(u8),
    /// The wall clock is set, by minutes.
    Jump(i8),
    Close,
    Restart,
}

#[derive(Debug, Arbitrary)]
enum Saying {
    Profile(u16),
    Request,
    Accepts,
    Pends,
    Refuses,
    Ping,
    Pong,
}

/// What is wrong with a proof; there is none at all if `bits` has the highest bit.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Flaws {
    /// Bit by bit: the signature's key, the receiver, the challenge.
    bits: u8,
    late: i8,
    flip: (u16, u8),
}

struct Stage {
    host: Host,
    now: Now,
    streams: Vec<(StreamId, Option<Nonce>)>,
    approved: bool,
    nonce: u8,
}

/// The first byte says how the rest is cut and read: as texts by themselves, or as the script of a node's day.
pub fn run(data: &[u8]) {
    let [cuts, rest @ ..] = data else { return };
    if cuts.is_multiple_of(2) {
        return texts(rest, *cuts);
    }
    let mut stage = Stage::new();
    for step in steps(rest, MAX_STEPS) {
        stage.step(step);
        stage.check();
    }
    stage.host.restart(stage.now);
}

/// Cut or whole, the same texts come out; each is a message or an error.
fn texts(bytes: &[u8], cuts: u8) {
    let whole = all_texts(core::iter::once(bytes), 256);
    assert_eq!(all_texts(Chunks { rest: bytes, seed: cuts }, 256), whole);
    for text in whole.0 {
        let Ok(received) = decode(&text) else { continue };
        let Some(key) = received.proof().map(|proof| proof.from) else { continue };
        if let Ok(key) = key.verifying_key() {
            drop(received.verify(&key));
        }
    }
}

fn all_texts<'a>(chunks: impl Iterator<Item = &'a [u8]>, max: usize) -> (Vec<Vec<u8>>, bool) {
    let mut buffer = TextBuffer::new(max);
    let mut texts = Vec::new();
    for mut chunk in chunks {
        loop {
            match buffer.next(&mut chunk) {
                Ok(Some(text)) => texts.push(text),
                Ok(None) => break,
                Err(_) => return (texts, false),
            }
            assert!(buffer.buffered() <= max);
        }
    }
    (texts, true)
}

impl Stage {
    fn new() -> Self {
        let gateway = Gateway {
            session: SessionName::new("gateway").expect("a session name"),
            capabilities: vec![Capability::inject()],
            approval: true,
        };
        let mut host = Host::new(1, Config { gateway: Some(gateway), ..Config::default() }, START);
        host.command(Command::JoinTopic { topic: TOPIC.parse().expect("a topic") }, START);
        Self { host, now: START, streams: Vec::new(), approved: false, nonce: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Comes(remote) => {
                let origin = StreamOrigin::Accepted { topics: vec![Topic::discovery(TOPIC)] };
                self.open(origin, remote % 8);
            }
            Step::Found => {
                let dials = std::mem::take(&mut self.host.dials);
                for (dial, _) in dials.into_iter().filter(|(_, topic)| *topic == Topic::discovery(TOPIC)) {
                    self.open(StreamOrigin::Dialled(dial), 9);
                    self.input(Input::DialEnded { dial, why: DialEnd::Exhausted });
                }
            }
            Step::Raw(bytes, at) => {
                let (first, second) = bytes.split_at(usize::from(at).min(bytes.len()));
                self.arrives(first.to_vec());
                self.arrives(second.to_vec());
            }
            Step::Says(who, saying, flaws) => self.says(who % 4, &saying, flaws),
            Step::Connect(whom) => {
                let peer = identity(50 + whom % 4).public_key().into();
                self.host.command(Command::Connect { peer, timeout: Duration::from_secs(20) }, self.now);
                self.hear();
            }
            Step::Decides(approves) => {
                let waiting = self.host.node.snapshot().requests;
                if let Some(request) = waiting.first().map(|request| request.id.to_string()) {
                    self.approved |= approves;
                    let decision = if approves { Command::Approve { request } } else { Command::Deny { request } };
                    self.host.command(decision, self.now);
                    self.hear();
                }
            }
            Step::Wait(tenths) => {
                let passed = Duration::from_millis(100 * u64::from(tenths).pow(2));
                (self.now.mono, self.now.wall) = (self.now.mono + passed, self.now.wall + passed);
                self.host.wake(self.now);
                self.hear();
            }
            Step::Jump(minutes) => {
                let millis = self.now.wall.as_millis().saturating_add_signed(i64::from(minutes) * 60_000);
                self.now.wall = WallTime::from_millis(millis);
            }
            Step::Close => {
                if let Some((stream, _)) = self.streams.pop() {
                    self.input(Input::StreamClosed { stream });
                }
            }
            Step::Restart => {
                self.streams.clear();
                self.host.restart(self.now);
            }
        }
    }

    fn open(&mut self, origin: StreamOrigin, remote: u8) {
        let stream = StreamId(self.host.number());
        self.streams.push((stream, None));
        self.input(Input::StreamOpened { stream, origin, remote: TransportKey([remote; 32]) });
    }

    fn says(&mut self, who: u8, saying: &Saying, flaws: Flaws) {
        let who = identity(50 + who);
        let profile = |content: &str| {
            profile_json(&who.public_key(), &who.encrypt_key(), content, TOPIC, WallTime::from_millis(1))
        };
        let outgoing = match saying {
            Saying::Profile(length) => {
                let content = format!("{{\"name\":\"{}\"}}", "n".repeat(usize::from(*length) % 8000));
                Outgoing::profile(profile(&content), Nonce([3; 16]))
            }
            Saying::Request => Outgoing::connect_request(TOPIC, profile("{}")),
            Saying::Accepts => {
                let sessions = SessionSet::new(["main"]).ok();
                let capabilities = vec![Capability::inject()];
                Outgoing::connect_response(&Answer::Accepted { sessions, capabilities })
            }
            Saying::Pends => Outgoing::connect_response(&Answer::Pending),
            Saying::Refuses => Outgoing::connect_response(&Answer::Refused { reason: "no".to_owned() }),
            Saying::Ping => Outgoing::ping(self.now.wall),
            Saying::Pong => Outgoing::pong(Some("1".to_owned())),
        };
        let challenge = self.streams.last().and_then(|(_, challenge)| *challenge);
        let millis = self.now.wall.as_millis().saturating_add_signed(i64::from(flaws.late) * 10_000);
        let wrong = |bit: u8| flaws.bits & (1 << bit) != 0;
        self.nonce = self.nonce.wrapping_add(1);
        let proof = Proof {
            from: who.public_key(),
            to: if wrong(1) { who.public_key() } else { self.host.node.public_key() },
            re: challenge.filter(|_| !wrong(2)).unwrap_or(Nonce([1; 16])),
            nonce: Nonce([self.nonce; 16]),
            ts: WallTime::from_millis(millis),
        };
        let signer = if wrong(0) { &identity(60) } else { &who };
        let mut bytes = if wrong(7) { outgoing.plain() } else { outgoing.proven(&proof, |bytes| signer.sign(bytes)) };
        let at = usize::from(flaws.flip.0) % bytes.len();
        bytes[at] ^= flaws.flip.1;
        self.arrives(bytes);
    }

    /// Bytes arrive on the newest stream.
    fn arrives(&mut self, bytes: Vec<u8>) {
        let Some((stream, _)) = self.streams.last() else { return };
        let texts = 1 + bytes.iter().filter(|byte| **byte == b'{').count();
        self.input(Input::Received { stream: *stream, bytes });
        assert!(self.host.outputs <= 40 * texts, "{} outputs for {texts} texts", self.host.outputs);
    }

    fn input(&mut self, input: Input) {
        self.host.input(input, self.now);
        self.hear();
    }

    fn hear(&mut self) {
        while let Some((stream, bytes)) = self.host.sent.pop_front() {
            let Some((_, challenge)) = self.streams.iter_mut().find(|(id, _)| *id == stream) else { continue };
            assert!(bytes.len() <= MAX_MESSAGE, "{} bytes are said", bytes.len());
            let said = decode(&bytes).expect("a node writes what can be read");
            if let Message::Profile { challenge: Some(new), .. } = said.unproven() {
                challenge.get_or_insert(new);
            }
        }
        let closed = std::mem::take(&mut self.host.closed);
        self.streams.retain(|(stream, _)| !closed.contains(stream));
    }

    fn check(&mut self) {
        let config = Config::default().discovery;
        let snapshot = self.host.node.snapshot();
        assert!(self.approved || snapshot.grants.is_empty(), "a grant that nobody approved");
        assert!(snapshot.discovered.len() <= config.max_found);
        assert!(snapshot.requests.len() <= 2 * config.max_requests, "as many connection requests as held messages");
        assert!(self.host.node.buffered() <= config.max_streams * MAX_MESSAGE);
        assert!(self.host.lines.is_empty(), "a text that nobody sent");
    }
}
