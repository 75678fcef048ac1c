//! Ten thousand random and mutated streams into one node: before and after the handshake, accepted and dialled, cut
//! anywhere. It never panics, keeps no more than its bounds, gives no more output than input warrants, and goes on to
//! serve an honest peer.

#[path = "support/original.rs"]
mod original;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use original::{Channel, Original};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, Config, Event, Input, Reply, Stored, StreamId};
use world::{World, grant, inject, invite, log, session};
use x25519_dalek::StaticSecret;

const NODE: usize = 0;
const HONEST: usize = 1;
const STREAMS: u64 = 10_000;
const SEED: u64 = 0x5eed;

/// Says at which stream a run failed; the same number gives the same stream.
struct Running(u64);

impl Drop for Running {
    #[allow(clippy::disallowed_macros, reason = "a failed test has to say how to repeat it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed at stream {} of seed {SEED:#x}", self.0);
        }
    }
}

/// Marsaglia's xorshift: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).expect("small")).expect("small")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.below(most);
        // Some of what means something in JSON, some of anything.
        let json = b"{}[]\",:\\u0019-+.eEtrufalsn \n\r\"v\"type";
        (0..len).map(|_| if self.below(3) == 0 { self.byte() } else { json[self.below(json.len())] }).collect()
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..start + self.below((len - start).min(64) + 1)
    }
}

/// Damages bytes somewhere, a few times or not at all.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let range = random.range(bytes.len());
        match random.below(8) {
            0 | 1 if !bytes.is_empty() => {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            2 => drop(bytes.drain(range)),
            3 => {
                let copy = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, copy);
            }
            4 => drop(bytes.splice(range, random.bytes(40))),
            5 => bytes.truncate(range.start),
            6 => {
                // Another value for a member.
                let values: [&[u8]; 8] =
                    [b"null", b"-1", b"[]", b"{}", b"\"\"", b"1e400", b"99999999999999999999", b"true"];
                let colons: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
                if !colons.is_empty() {
                    let start = colons[random.below(colons.len())] + 1;
                    let end =
                        bytes[start..].iter().position(|byte| b",}".contains(byte)).map_or(start, |end| start + end);
                    bytes.splice(start..end, values[random.below(values.len())].iter().copied());
                }
            }
            _ => {
                // A line twice, at once or later.
                let line: Vec<u8> = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
                bytes.extend(line);
            }
        }
    }
}

struct Setting {
    world: World,
    known: Original,
    stranger: Original,
    token: String,
    /// How often each kind of event came: what the streams reached.
    reached: BTreeMap<String, usize>,
}

impl Setting {
    fn new() -> Self {
        let mut config = Config {
            max_streams: 16,
            max_stranger_streams: 8,
            max_streams_per_remote: 4,
            max_payload: 4096,
            ..Config::default()
        };
        let rates = &mut config.rates;
        for limit in [&mut rates.injects, &mut rates.logs, &mut rates.claims, &mut rates.invalid] {
            (limit.per_minute, limit.per_hour) = (1_000_000, 1_000_000);
        }
        let (known, stranger) = (Original::made(40), Original::made(66));
        let mut world = World::with_config(1, &config);
        world.add(config, Stored::default());
        let honest = world.key(HONEST);
        for peer in [honest, known.key()] {
            assert!(world.done(NODE, grant(peer, &["main"], "inject")).is_ok());
        }
        let Ok(Reply::InviteCreated { token, .. }) = world.done(NODE, invite(stranger.key(), &["main"])) else {
            panic!("no invite");
        };
        world.listen_raw(known.key().topic(), 7);
        Self { world, known, stranger, token, reached: BTreeMap::new() }
    }

    /// Feeds one stream.
    fn stream(&mut self, number: u64, random: &mut Random) {
        self.world.sleep(Duration::from_millis(random.next() % 50));
        if random.below(5) == 0 {
            return self.dialled(random);
        }
        let remote = u8::try_from(number % 200).expect("small") + 20;
        let stream = self.world.open_raw(NODE, remote);
        let bytes = match random.below(4) {
            0 => random.bytes(2000),
            1 => vec![b'x'; random.below(100_000)],
            _ => self.conversation(stream, random),
        };
        self.feed(stream, &bytes, random);
        // Some stay, for the node to throw out.
        if random.below(8) > 0 {
            self.world.close_raw(NODE, stream);
        }
    }

    /// A conversation as an original has it, whole or damaged; the hello is often whole, to come further.
    fn conversation(&mut self, stream: StreamId, random: &mut Random) -> Vec<u8> {
        let peer = if random.below(3) == 0 { self.stranger.clone() } else { self.known.clone() };
        let versions: &[u64] = if random.below(4) == 0 { &[1] } else { &[2, 1] };
        let mut channel = if random.below(4) > 0 {
            Channel::hello(&mut self.world, NODE, stream, &peer, versions)
        } else {
            Channel::on(NODE, stream, &peer, StaticSecret::from([3; 32]))
        };
        if channel.version == 0 {
            channel.version = 1;
        }
        let mut bytes = Vec::new();
        for _ in 0..=random.below(3) {
            let line = match random.below(5) {
                0 => channel.log(&self.world, "main", "text"),
                1 => channel.inject(&self.world, "main", "text", "r"),
                2 => channel.claim(&self.world, &self.token),
                3 => {
                    let now = self.world.now.wall.as_millis();
                    let statement = peer.statement(&Original::made(random.byte()), "scheduled", now, 1000);
                    channel.rotation(&self.world, &peer, &statement)
                }
                _ => channel.ack(&self.world, ""),
            };
            bytes.extend(line.into_bytes());
        }
        mutate(&mut bytes, random);
        bytes
    }

    /// Has the node dial the test, and answers with nonsense.
    fn dialled(&mut self, random: &mut Random) {
        let before = self.world.dialled_raw(NODE).len();
        let timeout = Duration::from_secs(1);
        let (peer, session, text) = (PeerRef::Key(self.known.key()), session("main"), "text".to_owned());
        let id = self.world.command(NODE, Command::Inject { peer, session, text, timeout });
        if let Some(stream) = self.world.dialled_raw(NODE).get(before..).and_then(|streams| streams.first().copied()) {
            let peer = self.known.clone();
            let mut channel = Channel::on(NODE, stream, &peer, StaticSecret::from([3; 32]));
            channel.version = 2;
            self.world.taken(NODE, stream);
            let mut bytes = channel.hello_ack(&self.world).into_bytes();
            bytes.extend(channel.reject(&self.world, "no").into_bytes());
            bytes.extend(channel.ack(&self.world, "").into_bytes());
            mutate(&mut bytes, random);
            self.feed(stream, &bytes, random);
            self.world.close_raw(NODE, stream);
        }
        self.world.input(NODE, Input::CancelCommand { id });
        assert!(self.world.hosts[NODE].finished.remove(&id).is_some(), "a cancelled command ends");
        self.world.hosts[NODE].dialled_raw.clear();
    }

    /// Gives bytes in pieces and checks the bounds after each.
    fn feed(&mut self, stream: StreamId, mut bytes: &[u8], random: &mut Random) {
        while !bytes.is_empty() {
            let most = if bytes.len() > 5000 { bytes.len() } else { 700 };
            let (piece, rest) = bytes.split_at((1 + random.below(most)).min(bytes.len()));
            bytes = rest;
            let before = self.world.hosts[NODE].outputs;
            self.world.input(NODE, Input::Received { stream, bytes: piece.to_vec() });
            let lines = 1 + piece.iter().filter(|byte| **byte == b'\n').count();
            let outputs = self.world.hosts[NODE].outputs - before;
            // An inject is the most: journal, question, ask, answer, response and their events; then a refusal.
            assert!(outputs <= 12 * lines, "{outputs} outputs for {lines} lines");
            let most = 16 * Config::MAX_STRANGER_LINE;
            assert!(self.world.hosts[NODE].node.buffered() <= most, "more than the bound of all streams is kept");
        }
        self.world.taken(NODE, stream);
    }

    fn serve_honest_peer(&mut self) {
        let node = self.world.key(NODE);
        assert_eq!(self.world.done(HONEST, log(node, "main", "still there?")), Ok(Reply::Logged));
        assert!(matches!(self.world.done(HONEST, inject(node, "main", "and you?")), Ok(Reply::Answer(_))));
        let node = &mut self.world.hosts[NODE];
        for event in &node.events {
            let name = match event {
                Event::MessageRejected { reason, .. } | Event::PeerRejected { reason, .. } => reason.as_str(),
                event => event.name(),
            };
            *self.reached.entry(name.to_owned()).or_default() += 1;
        }
        assert_eq!(node.texts("main").iter().filter(|text| **text == "still there?").count(), 1);
        // The world would remember everything.
        (node.sessions, node.events, node.closed) = Default::default();
    }
}

#[test]
fn ten_thousand_random_streams_neither_stop_nor_fill_a_node() {
    let mut setting = Setting::new();
    for number in 0..STREAMS {
        let running = Running(number);
        let mut random = Random((SEED << 32 | number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        setting.stream(number, &mut random);
        if number % 500 == 0 {
            setting.serve_honest_peer();
        }
        drop(running);
    }
    setting.serve_honest_peer();
    for reached in ["malformed", "bad signature", "not for us", "replayed", "too long", "bad token", "bad rotation"] {
        let times = setting.reached.get(reached).copied().unwrap_or(0);
        assert!(times >= 10, "{reached}: {times} times, of {:?}", setting.reached);
    }
    for reached in ["p2p.message.delivered", "p2p.question.answered", "p2p.peer.connected"] {
        let times = setting.reached.get(reached).copied().unwrap_or(0);
        assert!(times >= 200, "{reached}: {times} times, of {:?}", setting.reached);
    }
    let claimed = setting.world.hosts[NODE].node.snapshot().grants.into_iter().filter(|grant| grant.invite.is_some());
    assert!(claimed.count() <= 1, "an invite was claimed twice");
}
