//! Attacks of strangers who need no handshake.

use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{EncryptKey, Nonce};
use wopr_p2p_core::message::{Body, Claim, Header, Hello, Log, Message};
use wopr_p2p_core::wire::json::encode;

use super::{Kind, Stage};
use crate::net::Party;
use crate::world::World;

impl World {
    pub(super) fn outside_turn(&mut self, kind: Kind) {
        let index = self.rng.index(self.hosts.len().min(3));
        match kind {
            Kind::Junk => {
                let lines = junk();
                for _ in 0..3 {
                    let Some(line) = self.rng.pick(&lines).cloned() else {
                        return;
                    };
                    if let Some(stream) = self.knock(index) {
                        self.utter(stream, line);
                    }
                }
            }
            Kind::Endless => {
                if let Some(stream) = self.knock(index) {
                    for _ in 0..40 {
                        self.utter(stream, vec![b'x'; 4000]);
                    }
                }
            }
            Kind::Slow => {
                // All at one node, so that its places for strangers are never free for long.
                for _ in 0..20 {
                    if let Some(stream) = self.knock(0) {
                        self.utter(stream, vec![b'{']);
                    }
                }
                let mallory = self.mallory.as_ref();
                let open: Vec<_> = mallory.map(|m| m.streams.keys().copied().collect()).unwrap_or_default();
                for stream in open {
                    self.utter(stream, vec![b' ']);
                }
            }
            Kind::FreshKeys => {
                for _ in 0..10 {
                    let at = self.mallory_time();
                    if let Some(mallory) = &mut self.mallory {
                        mallory.identity = Identity::generate(&mut mallory.keys, at);
                        let key = mallory.key();
                        self.keys.add(key, Party::Mallory);
                    }
                    self.shake(index);
                }
            }
            _ => self.wrong_turn(kind, index),
        }
    }

    /// Single messages that are wrong in one respect.
    fn wrong_turn(&mut self, kind: Kind, index: usize) {
        let (at, to) = (self.mallory_time(), self.hosts[index].key());
        let Some(stream) = self.knock(index) else {
            return;
        };
        let choice = self.rng.below(5);
        let another = self.hosts[(index + 1) % self.hosts.len()].key();
        let theirs = self.hosts[index].node.as_ref().map(|node| node.snapshot().encrypt_key);
        let text = (kind == Kind::NoHandshake)
            .then(|| self.text(Party::Mallory, Party::Node(index), &crate::world::session(0), 5));
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let encrypt_key = mallory.identity.encrypt_key();
        let zero = EncryptKey::from_bytes([0; 32]);
        let line = match kind {
            Kind::BadKeys => {
                let mut point = [0; 32];
                point[0] = u8::try_from(choice).unwrap_or(0);
                if choice == 4 {
                    point = [0xff; 32];
                }
                let from = wopr_p2p_core::keys::PublicKey::from_bytes(point);
                if choice == 2 {
                    let hello = Hello { versions: vec![2], ephemeral: Some(zero), to };
                    let known = wopr_p2p_core::cipher::EphemeralKey::from_bytes(&[1; 32]);
                    mallory.streams.insert(stream, Stage::Hello(known));
                    mallory.line(Body::Hello(hello), at)
                } else {
                    let (_, body) = mallory.hello(vec![2, 1], to);
                    // A signature that every small-order key accepts in careless implementations: R = A, S = 0.
                    let header = Header { from, nonce: Nonce(mallory.keys.bytes()), ts: at };
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(&point);
                    encode(&Message { header, body }, |_| signature)
                }
            }
            Kind::NoHandshake => {
                let Ok(session) = SessionName::new("s0") else {
                    return;
                };
                let (ephemeral, re) = (Some(encrypt_key), None);
                let payload = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
                let bare = text.zip(theirs).filter(|_| choice >= 3);
                let bare = bare.and_then(|(text, theirs)| mallory.bare_log(&theirs, session.clone(), &text));
                let body = match choice {
                    _ if bare.is_some() => bare.unwrap_or_else(|| unreachable!("it is there")),
                    0 => {
                        let token = mallory.tokens.last().cloned().unwrap_or_else(|| "wop1://e30".to_owned());
                        Body::Claim(Claim { v: 2, encrypt_key, token, re })
                    }
                    _ => Body::Log(Log {
                        v: 1 + (choice % 2) as u8,
                        encrypt_key,
                        ephemeral,
                        session,
                        payload,
                        once: None,
                        re,
                    }),
                };
                mallory.line(body, at)
            }
            _ => {
                let (_, body) = mallory.hello(vec![2, 1], to);
                match (choice, mallory.tap.last().map(|tapped| tapped.line.clone())) {
                    (0, Some(mut line)) => {
                        // Somebody's real message, one bit changed.
                        let bit = mallory.rng.index(line.len().max(2) - 1);
                        line[bit] ^= 1;
                        line
                    }
                    (1 | 2, _) => match another {
                        Some(victim) => mallory.line_as(victim, body, at),
                        None => return,
                    },
                    _ => {
                        let header = Header { from: mallory.key(), nonce: Nonce(mallory.keys.bytes()), ts: at };
                        encode(&Message { header, body }, |_| [7; 64])
                    }
                }
            }
        };
        self.utter(stream, line);
    }
}

/// Lines that are no messages.
fn junk() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = [
        "null",
        "{}",
        "5",
        "[]",
        "\"\"",
        "true",
        "{",
        "}",
        "[[]]",
        "{\"v\":2}",
        "{\"v\":2,\"type\":\"hello\"}",
        "{\"v\":2,\"type\":\"hello\",\"versions\":7}",
        "{\"v\":2,\"type\":\"log\",\"from\":5}",
        "{\"v\":2,\"v\":2}",
        "{\"a\":1}{\"b\":2}",
        "{\"a\":1} x",
        "{\"__proto__\":{}}",
        "{\"\\u0061\":1}",
        "\u{0}",
        "",
        "{\"v\":1e400}",
        "{\"v\":-0}",
        "{\"type\":\"profile\",\"profile\":{}}",
        "{\"type\":\"connect_response\",\"accept\":true,\"sessions\":[\"*\"]}",
    ]
    .into_iter()
    .map(|text| format!("{text}\n").into_bytes())
    .collect();
    lines.push([b"[".repeat(30_000), b"\n".to_vec()].concat());
    lines.push([b"{\"a\":".repeat(9000), b"\n".to_vec()].concat());
    lines.push(b"\n".repeat(100));
    lines.push(vec![0xff; 100]);
    let many: Vec<String> = (0..2000).map(|number| format!("\"m{number}\":0")).collect();
    lines.push(format!("{{{}}}\n", many.join(",")).into_bytes());
    lines
}
