//! Attacks on what belongs together: who shares a key with whom, whose key signs, which of two members counts.

use std::collections::BTreeMap;

use wopr_p2p_core::StreamId;
use wopr_p2p_core::identity::IdentityFile;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_core::message::{Body, Header, Message};
use wopr_p2p_core::wire::json::{decode, encode};

use super::{Channel, Stage};
use crate::net::Party;
use crate::world::{World, session};

/// What Mallory keeps of streams between two nodes that both take her for the other end.
#[derive(Default)]
pub(crate) struct Doubles {
    /// The handshake that requests on a stream of hers belong to.
    acks: BTreeMap<StreamId, Nonce>,
    /// The message of a node that each of her own repeats.
    echoes: BTreeMap<Nonce, Nonce>,
}

impl World {
    /// A node's owner writes to Mallory, who is a friend.
    pub(super) fn double_turn(&mut self) {
        self.log(0, Party::Mallory, session(0), 10, false);
        self.inject(0, Party::Mallory, session(0));
    }

    /// Whatever a node says to Mallory she says to another in her own name, with the first one's ephemeral key, and back
    /// the same way: the two share a key, and each takes the other for her.
    pub(super) fn double(&mut self, stream: StreamId, bytes: &[u8]) {
        let far = match self.mallory.as_ref().and_then(|mallory| mallory.streams.get(&stream)) {
            Some(Stage::Relay(far)) => *far,
            _ => {
                let Some(far) = self.knock(1 % self.hosts.len()) else {
                    return;
                };
                if let Some(mallory) = &mut self.mallory {
                    mallory.streams.insert(stream, Stage::Relay(far));
                    mallory.streams.insert(far, Stage::Relay(stream));
                }
                far
            }
        };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(received) = decode(line) {
                let Message { header, body } = received.message().clone();
                self.say_as_own(stream, far, header, body);
            }
        }
    }

    /// Repeats a message under Mallory's name, for the handshake of the other stream.
    fn say_as_own(&mut self, from: StreamId, to: StreamId, said: Header, mut body: Body) {
        let (at, target) = (self.mallory_time(), self.hosts[1 % self.hosts.len()].key());
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let nonce = Nonce(mallory.keys.bytes());
        let (ack, echo) = (mallory.doubles.acks.get(&to).copied(), |nonce| mallory.doubles.echoes.get(&nonce).copied());
        match &mut body {
            Body::Hello(hello) => hello.to = target,
            Body::HelloAck(hello_ack) => {
                // Requests on the stream that this comes from name this one; those on the other name hers.
                let asked = hello_ack.re.and_then(echo);
                (hello_ack.to, hello_ack.re) = (mallory.visitor, asked);
                mallory.doubles.acks.insert(from, said.nonce);
            }
            Body::Log(log) => log.re = ack,
            Body::Inject(inject) => inject.re = ack,
            Body::Ack(ack) => ack.re = ack.re.and_then(echo),
            Body::Response(response) => response.re = response.re.and_then(echo),
            Body::Reject(reject) => reject.re = reject.re.and_then(echo),
            _ => return,
        }
        if let Body::Hello(_) = body {
            mallory.visitor = Some(said.from);
        }
        mallory.doubles.echoes.insert(nonce, said.nonce);
        let identity = &mallory.identity;
        let header = Header { from: identity.public_key(), nonce, ts: at };
        let line = encode(&Message { header, body }, |bytes| identity.sign(bytes));
        self.utter(to, line);
    }

    /// With a node's stolen keys she comes to that node as one of its friends, and as itself.
    pub(super) fn impersonate(&mut self) {
        let (at, victim) = (self.mallory_time(), self.hosts[1 % self.hosts.len()].key());
        let stored = self.hosts[0].disk.content.stored().identity;
        let Some(Ok(stolen)) = stored.map(|json| IdentityFile::from_json(&json)) else {
            return;
        };
        let own = stolen.current.public_key();
        for from in victim.into_iter().chain([own]) {
            let Some(stream) = self.knock(0) else {
                return;
            };
            let Some(mallory) = &mut self.mallory else {
                return;
            };
            let (_, body) = mallory.hello(vec![2, 1], Some(own));
            let header = Header { from, nonce: Nonce(mallory.keys.bytes()), ts: at };
            let line = encode(&Message { header, body }, |bytes| stolen.current.sign(bytes));
            self.utter(stream, line);
        }
    }

    /// A log whose every reading is signed: a session that is open to her beside one that is not, her name beside
    /// another's, something behind the end.
    pub(super) fn two_readings(&mut self, stream: StreamId, channel: &Channel) {
        let at = self.mallory_time();
        let text = self.text(Party::Mallory, Party::Node(0), &session(0), 5);
        let other = self.hosts[1 % self.hosts.len()].key().map_or_else(String::new, |key| key.to_string());
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let Some(body) = mallory.log(channel, session(0), &text, 2) else {
            return;
        };
        let line = String::from_utf8_lossy(&mallory.line(body, at)).into_owned();
        let Some((unsigned, _)) = line.split_once(",\"sig\":") else {
            return;
        };
        let own = mallory.key().to_string();
        let session = "\"session\":\"s0\"";
        let edits = [
            (session, "\"session\":\"s0\",\"session\":\"s1\"".to_owned()),
            (session, "\"session\":\"s1\",\"session\":\"s0\"".to_owned()),
            (session, "\"session\":\"s0\",\"\\u0073ession\":\"s1\"".to_owned()),
            (session, "\"session\":\"\\u0073\\u0031\"".to_owned()),
            ("\"from\":\"", format!("\"from\":\"{other}\",\"from\":\"")),
            ("\"type\":\"log\"", "\"type\":\"log\",\"type\":\"inject\"".to_owned()),
            ("\"v\":2", "\"v\":2,\"v\":1".to_owned()),
            (own.as_str(), format!(" {own}")),
        ];
        let choice = mallory.rng.index(edits.len() + 1);
        let text = match edits.get(choice) {
            Some((from, to)) => unsigned.replacen(from, to, 1),
            None => unsigned.to_owned(),
        };
        let behind = if choice == edits.len() { "{\"session\":\"s1\"}" } else { "" };
        use base64::Engine as _;
        let signature = mallory.identity.sign(format!("{text}}}").as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        let line = format!("{text},\"sig\":\"{signature}\"}}{behind}\n");
        self.stats.attacks.entry(super::Kind::TwoReadings.name()).or_default().tried += 1;
        self.utter(stream, line.into_bytes());
    }
}
