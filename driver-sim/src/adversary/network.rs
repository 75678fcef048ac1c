//! Attacks of whoever owns the network: replaying, redirecting, reflecting, standing in the middle, pretending to be
//! somebody's listener, and lying as a peer that is asked.

use wopr_p2p_core::StreamId;
use wopr_p2p_core::cipher::EphemeralKey;
use wopr_p2p_core::identity::IdentityFile;
use wopr_p2p_core::keys::{EncryptKey, Nonce, Topic};
use wopr_p2p_core::message::{Ack, Body, HelloAck, Message, Reject, Response};
use wopr_p2p_core::wire::json::decode;

use super::{Kind, Stage, Tapped};
use crate::net::{End, Party};
use crate::oracle::member;
use crate::world::World;

impl World {
    pub(super) fn network_turn(&mut self, kind: Kind) {
        match kind {
            Kind::Liar => {
                // Somebody's owner trusts Mallory enough to write and ask.
                let session = crate::world::session(0);
                self.log(0, Party::Mallory, session.clone(), 10, false);
                self.inject(0, Party::Mallory, session);
            }
            Kind::Replay => self.replay(|from, to| (from, to)),
            Kind::Redirect => {
                let nodes = self.hosts.len();
                self.replay(|from, to| match to {
                    Party::Node(index) => (from, Party::Node((index + 1) % nodes)),
                    other => (from, other),
                });
            }
            Kind::Reflect => self.replay(|from, _| (from, from)),
            Kind::Leaked => self.leaked_turn(),
            Kind::VictimBan => self.victim_turn(),
            _ => {}
        }
    }

    /// Says again what somebody said to somebody, to whomever `whom` names.
    fn replay(&mut self, whom: impl Fn(Party, Party) -> (Party, Party)) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        // The original's messages are bound to no handshake: they are the best to be said again.
        let bare = |tapped: &&Tapped| matches!(tapped.from, Party::Original(_)) && mallory.kind == Kind::Replay;
        let bare: Vec<Tapped> = mallory.tap.iter().filter(bare).cloned().collect();
        let all = if mallory.rng.chance(500_000) && !bare.is_empty() { &bare } else { &mallory.tap };
        let Some(Tapped { from, to: Some(to), .. }) = mallory.rng.pick(all).cloned() else {
            return;
        };
        let said: Vec<Vec<u8>> = mallory
            .tap
            .iter()
            .filter(|tapped| tapped.from == from && tapped.to == Some(to))
            .map(|tapped| tapped.line.clone())
            .collect();
        let (_, target) = whom(from, to);
        let Party::Node(index) = target else {
            return;
        };
        // All of it in one stream; each line in a stream of its own; or a hello with any line behind it.
        match self.rng.below(3) {
            0 => {
                if let Some(stream) = self.knock(index) {
                    said.into_iter().rev().take(6).rev().for_each(|line| self.utter(stream, line));
                }
            }
            1 => {
                for line in said.into_iter().rev().take(3) {
                    if let Some(stream) = self.knock(index) {
                        self.utter(stream, line);
                    }
                }
            }
            _ => {
                let hello = said.iter().rposition(|line| member(line, b"\"type\":\"") == Some(b"hello"));
                if let (Some(hello), Some(stream)) = (hello, self.knock(index)) {
                    for line in said.into_iter().skip(hello).take(4) {
                        self.utter(stream, line);
                    }
                }
            }
        }
    }

    /// Long-term keys are stolen: what passed before stays secret.
    fn leaked_turn(&mut self) {
        let index = self.rng.index(self.hosts.len());
        let stored = self.hosts[index].disk.content.stored().identity;
        let Some(Ok(file)) = stored.map(|json| IdentityFile::from_json(&json)) else {
            return;
        };
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        self.stats.attacks.entry(mallory.kind.name()).or_default().tried += 1;
        let ours = EphemeralKey::generate(&mut mallory.keys);
        let lines: Vec<Vec<u8>> = mallory
            .tap
            .iter()
            .filter(|tapped| tapped.to == Some(Party::Node(index)) || tapped.from == Party::Node(index))
            .filter(|tapped| member(&tapped.line, b"\"ephemeralPub\":\"").is_some())
            .map(|tapped| tapped.line.clone())
            .collect();
        for line in &lines {
            self.try_to_read(&ours, line, Some(&file.current), &[]);
        }
        // An answer, with the keys that were seen before it.
        let answers = lines.iter().rposition(|line| member(line, b"\"type\":\"") == Some(b"response"));
        if let Some(answer) = answers {
            let keys = lines[..answer].iter().rev().take(24).filter_map(|line| member(line, b"\"ephemeralPub\":\""));
            let keys: Vec<EncryptKey> = keys.filter_map(|key| str::from_utf8(key).ok()?.parse().ok()).collect();
            self.try_to_read(&ours, &lines[answer], Some(&file.current), &keys);
        }
        self.repelled();
    }

    /// A victim's hello is passed on, and then something that the victim never said.
    fn victim_turn(&mut self) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let hellos: Vec<Tapped> =
            mallory.tap.iter().filter(|t| member(&t.line, b"\"type\":\"") == Some(b"hello")).cloned().collect();
        let Some(Tapped { to: Some(Party::Node(index)), line, .. }) = mallory.rng.pick(&hellos).cloned() else {
            return;
        };
        for junk in [&b"{}\n"[..], b"null\n", b"{\"v\":2,\"type\":\"log\"}\n"] {
            if let Some(stream) = self.knock(index) {
                self.utter(stream, line.clone());
                self.utter(stream, junk.to_vec());
            }
        }
    }

    /// Somebody dialled a node and got Mallory: she dials that node.
    pub(super) fn relay(&mut self, stream: StreamId, topic: Topic) {
        let target = (0..self.hosts.len()).find(|index| self.hosts[*index].key().is_some_and(|k| k.topic() == topic));
        if let Some(far) = target.and_then(|index| self.knock(index))
            && let Some(mallory) = &mut self.mallory
        {
            mallory.streams.insert(stream, Stage::Relay(far));
            mallory.streams.insert(far, Stage::Relay(stream));
        }
    }

    /// Something arrives at a stream that Mallory passes on, or from a visitor.
    pub(super) fn network_hears(&mut self, kind: Kind, stream: StreamId, bytes: Vec<u8>) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        match mallory.streams.get(&stream) {
            Some(Stage::Relay(other)) => {
                let other = *other;
                self.pass_on(stream, other, bytes);
            }
            Some(Stage::Visited) => self.greet(kind, stream, &bytes),
            Some(Stage::Greeted(_)) => self.lie(kind, stream, &bytes),
            _ => {}
        }
    }

    /// Passes bytes on, often not as they were.
    fn pass_on(&mut self, from: StreamId, to: StreamId, bytes: Vec<u8>) {
        let hold = self.rng.chance(80_000);
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        // What was held back comes after what was said later.
        match mallory.late.remove(&to) {
            Some(late) => {
                self.pass_changed(from, to, bytes);
                self.utter(to, late);
            }
            None if hold => {
                mallory.late.insert(to, bytes);
            }
            None => self.pass_changed(from, to, bytes),
        }
    }

    fn pass_changed(&mut self, from: StreamId, to: StreamId, mut bytes: Vec<u8>) {
        if let Ok(received) = decode(&bytes)
            && let Body::HelloAck(_) = received.message().body
            && let Some(mallory) = &mut self.mallory
        {
            mallory.passed.insert(to, received.message().header.from);
        }
        // A text for one session becomes one for another, or is acknowledged in its receiver's name.
        match self.rng.below(3) {
            0 if self.forge_answer(from, &bytes) => return,
            1 => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                bytes = text.replacen("\"session\":\"s0\"", "\"session\":\"s1\"", 1).into_bytes();
            }
            _ => {}
        }
        match self.rng.below(18) {
            0 if bytes.len() > 2 => {
                let at = self.rng.index(bytes.len() - 1);
                bytes[at] ^= 1 << self.rng.below(7);
            }
            1 => self.swap_key(&mut bytes),
            2 => return,
            3 => {
                self.utter(to, bytes.clone());
            }
            4 => bytes.truncate(self.rng.index(bytes.len())),
            5 => {
                self.close(End { party: Party::Mallory, stream: from });
                return self.close(End { party: Party::Mallory, stream: to });
            }
            _ => {}
        }
        self.utter(to, bytes);
    }

    /// Acknowledges a text in the name of the peer that it is for, and keeps it from arriving.
    fn forge_answer(&mut self, stream: StreamId, request: &[u8]) -> bool {
        let at = self.mallory_time();
        let (Ok(received), Some(mallory)) = (decode(request), &mut self.mallory) else {
            return false;
        };
        let Message { header, body: Body::Log(log) } = received.message() else {
            return false;
        };
        let Some(victim) = mallory.passed.get(&stream).copied() else {
            return false;
        };
        let ack = Ack { encrypt_key: None, session: Some(log.session.clone()), re: Some(header.nonce) };
        let line = mallory.line_as(victim, Body::Ack(ack), at);
        self.utter(stream, line);
        true
    }

    /// Puts a key of Mallory's in the place of an ephemeral key.
    fn swap_key(&mut self, bytes: &mut Vec<u8>) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let key = EphemeralKey::generate(&mut mallory.keys).public().to_string();
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some(old) = member(bytes, b"\"ephemeralPub\":\"").map(|old| String::from_utf8_lossy(old).into_owned()) {
            *bytes = text.replace(&old, &key).into_bytes();
        }
    }

    /// Answers a hello that was meant for somebody else, or for Mallory.
    fn greet(&mut self, kind: Kind, stream: StreamId, bytes: &[u8]) {
        let at = self.mallory_time();
        let choice = if kind == Kind::Liar { 0 } else { self.rng.below(4) };
        let nodes: Vec<_> = self.hosts.iter().filter_map(|host| host.key()).collect();
        let Ok(hello) = decode(bytes) else {
            return;
        };
        let header = hello.message().header;
        let Body::Hello(body) = &hello.message().body else {
            return;
        };
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        self.stats.attacks.entry(kind.name()).or_default().tried += 1;
        let ephemeral = EphemeralKey::generate(&mut mallory.keys);
        let key = Some(ephemeral.public());
        let (to, re) = (body.to.map(|_| header.from), body.to.map(|_| header.nonce));
        let version = if choice == 3 { 1 } else { 2 };
        let ack = Body::HelloAck(HelloAck { version, ephemeral: key, to, re });
        let wanted = body.to.or_else(|| nodes.first().copied());
        let line = match (choice, wanted) {
            (1 | 3, Some(victim)) => mallory.line_as(victim, ack, at),
            (2, _) => {
                // The victim's own hello-ack, from another stream: one that names no hello, if there is any.
                let victim = wanted.map(|key| key.to_string()).unwrap_or_default();
                let of_victim = |t: &&Tapped| {
                    member(&t.line, b"\"type\":\"") == Some(b"hello-ack")
                        && member(&t.line, b"\"from\":\"") == Some(victim.as_bytes())
                };
                let acks = || mallory.tap.iter().rev().filter(of_victim);
                let bare = acks().find(|tapped| member(&tapped.line, b"\"re\":\"").is_none());
                match bare.or_else(|| acks().next()) {
                    Some(tapped) => tapped.line.clone(),
                    None => mallory.line(ack, at),
                }
            }
            _ => mallory.line(ack, at),
        };
        mallory.streams.insert(stream, Stage::Greeted(ephemeral));
        self.utter(stream, line);
    }

    /// A request to Mallory: she reads it if she can, and answers with anything but the truth.
    fn lie(&mut self, kind: Kind, stream: StreamId, bytes: &[u8]) {
        let (at, choice) = (self.mallory_time(), self.rng.below(11));
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let Some(Stage::Greeted(ephemeral)) = mallory.streams.remove(&stream) else {
            return;
        };
        let again = EphemeralKey::from_bytes(&ephemeral.secret().to_bytes());
        mallory.streams.insert(stream, Stage::Greeted(again));
        for line in bytes.split(|byte| *byte == b'\n') {
            self.try_to_read(&ephemeral, line, None, &[]);
        }
        let Some(mallory) = self.mallory.as_mut().filter(|_| kind == Kind::Liar) else {
            return;
        };
        let Some(received) = bytes.split(|byte| *byte == b'\n').find_map(|line| decode(line).ok()) else {
            return;
        };
        let nonce = received.message().header.nonce;
        let encrypt_key = Some(mallory.identity.encrypt_key());
        let (key, other) = (ephemeral.public(), Nonce(mallory.keys.bytes()));
        let response = |request_id, re| {
            let payload = "A".repeat(60);
            let session = None;
            Body::Response(Response { v: 2, encrypt_key, ephemeral: Some(key), session, payload, request_id, re })
        };
        let lie = match choice {
            0 => Body::Ack(Ack { encrypt_key, session: None, re: Some(other) }),
            1 => Body::Ack(Ack { encrypt_key: None, session: None, re: None }),
            2 => response(other.into(), Some(nonce)),
            3 => match &received.message().body {
                Body::Inject(inject) => response(inject.request_id.clone(), Some(nonce)),
                _ => response(other.into(), Some(other)),
            },
            4 => Body::Reject(Reject { session: None, reason: "unauthorized".to_owned(), re: Some(nonce) }),
            5 => Body::Reject(Reject { session: None, reason: "\u{1b}[2J".to_owned(), re: None }),
            6 => received.message().body.clone(),
            _ => Body::Ack(Ack { encrypt_key, session: None, re: Some(nonce) }),
        };
        if choice == 9 && matches!(received.message().body, Body::Log(_)) {
            mallory.acknowledged += 1;
        }
        let line = match choice {
            7 => vec![b'x'; 200_000],
            8 => bytes.to_vec(),
            // Right in everything but its date.
            10 => mallory.line(lie, at + std::time::Duration::from_secs(3600)),
            _ => mallory.line(lie, at),
        };
        self.utter(stream, line);
    }
}
