//! A model of a node that speaks only the original protocol: no `to`, no `re`, one line a write, one question at a time,
//! a new connection for each operation, and in version 1 no ephemeral keys. Its listener takes a text from anybody.

use std::collections::BTreeMap;

use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::cipher::{EphemeralKey, PayloadKey};
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{EncryptKey, Nonce, PublicKey};
use wopr_p2p_core::message::{Ack, Body, Header, Hello, HelloAck, Log, Message};
use wopr_p2p_core::rotation::RotationStatement;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::wire::json::{decode, encode};
use wopr_p2p_core::{StreamId, TransportKey};

use crate::clock::{SECOND, START};
use crate::net::{End, Party, Piece};
use crate::oracle::Rule;
use crate::rng::Rng;
use crate::world::World;

/// A node of the original kind.
pub(crate) struct Original {
    index: usize,
    version: u8,
    identity: Identity,
    rng: wopr_p2p_core::rng::Rng,
    talks: BTreeMap<StreamId, Talk>,
    /// The keys of the node it writes to, as far as it has heard.
    contact: Option<(PublicKey, EncryptKey)>,
    next: u64,
}

/// What a text is for.
struct Errand {
    text: String,
    session: SessionName,
    /// The receiver's static key, for version 1.
    encrypt_key: EncryptKey,
}

enum Talk {
    /// We said hello.
    Hello(EphemeralKey, Errand),
    /// We sent the text.
    Sent(String),
    /// Somebody came.
    Visited,
    /// We greeted them.
    Greeted(u8, EphemeralKey, Option<EncryptKey>),
}

/// What comes of a line.
enum Next {
    Send(Vec<u8>),
    Close,
    Acknowledged(String),
    Stored(PublicKey, String),
}

impl Original {
    /// A node of the original, of version 1 or 2.
    #[must_use]
    pub(crate) fn new(index: usize, version: u8, rng: &mut Rng) -> Self {
        let mut rng = wopr_p2p_core::rng::Rng::new(rng.seed());
        let identity = Identity::generate(&mut rng, WallTime::from_millis(START));
        Self { index, version, identity, rng, talks: BTreeMap::new(), contact: None, next: 0 }
    }

    /// Its key.
    #[must_use]
    pub(crate) const fn key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// A stream's number that was not used before.
    pub(crate) fn stream(&mut self) -> StreamId {
        self.next += 1;
        StreamId(self.next)
    }

    /// The transport's key.
    #[must_use]
    pub(crate) fn transport(&self) -> TransportKey {
        let mut key = [0x22; 32];
        key[..8].copy_from_slice(&(self.index as u64).to_le_bytes());
        TransportKey(key)
    }

    /// Somebody dialled.
    pub(crate) fn accepted(&mut self, stream: StreamId) {
        self.talks.insert(stream, Talk::Visited);
    }

    fn line(&mut self, body: Body, at: WallTime) -> Vec<u8> {
        let header = Header { from: self.identity.public_key(), nonce: Nonce(self.rng.bytes()), ts: at };
        let identity = &self.identity;
        encode(&Message { header, body }, |bytes| identity.sign(bytes))
    }

    fn hello(&mut self, stream: StreamId, errand: Errand, at: WallTime) -> Vec<u8> {
        let ephemeral = EphemeralKey::generate(&mut self.rng);
        let (versions, key) = match self.version {
            1 => (vec![1], None),
            _ => (vec![2, 1], Some(ephemeral.public())),
        };
        self.talks.insert(stream, Talk::Hello(ephemeral, errand));
        self.line(Body::Hello(Hello { versions, ephemeral: key, to: None }), at)
    }

    /// One piece is one line: the rest of the bytes, and any further line before the answer, is not looked at.
    fn hears(&mut self, stream: StreamId, bytes: &[u8], at: WallTime) -> Vec<Next> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let (Ok(received), Some(talk)) = (decode(line), self.talks.remove(&stream)) else {
            return vec![Next::Close];
        };
        let Message { header, body } = received.message().clone();
        match (talk, body) {
            (Talk::Hello(ephemeral, errand), Body::HelloAck(ack)) => {
                let secret = if ack.version >= 2 { ephemeral.secret() } else { self.identity.encrypt_secret() };
                let theirs = if ack.version >= 2 { ack.ephemeral } else { Some(errand.encrypt_key) };
                let Some(Ok(key)) = theirs.map(|theirs| PayloadKey::agree(secret, &theirs)) else {
                    return vec![Next::Close];
                };
                let payload = key.seal(&mut self.rng, errand.text.as_bytes());
                let log = Log {
                    v: ack.version,
                    encrypt_key: self.identity.encrypt_key(),
                    ephemeral: (ack.version >= 2).then(|| ephemeral.public()),
                    session: errand.session,
                    payload,
                    once: None,
                    re: None,
                };
                self.talks.insert(stream, Talk::Sent(errand.text));
                vec![Next::Send(self.line(Body::Log(log), at))]
            }
            (Talk::Sent(text), Body::Ack(_)) => vec![Next::Acknowledged(text), Next::Close],
            (Talk::Visited, Body::Hello(hello)) => {
                let version = if self.version == 2 && hello.versions.contains(&2) { 2 } else { 1 };
                let ephemeral = EphemeralKey::generate(&mut self.rng);
                let ack = HelloAck { version, ephemeral: Some(ephemeral.public()), to: None, re: None };
                self.talks.insert(stream, Talk::Greeted(version, ephemeral, hello.ephemeral));
                vec![Next::Send(self.line(Body::HelloAck(ack), at))]
            }
            (Talk::Greeted(version, ephemeral, theirs), Body::Log(log)) => {
                let (secret, theirs) = match version {
                    1 => (self.identity.encrypt_secret(), Some(log.encrypt_key)),
                    _ => (ephemeral.secret(), theirs),
                };
                let text = theirs
                    .and_then(|theirs| PayloadKey::agree(secret, &theirs).ok())
                    .and_then(|key| key.open(&log.payload).ok());
                let Some(text) = text else {
                    return vec![Next::Close];
                };
                let ack = Ack { encrypt_key: None, session: Some(log.session), re: None };
                let text = String::from_utf8_lossy(&text).into_owned();
                self.talks.insert(stream, Talk::Greeted(version, ephemeral, log.ephemeral));
                vec![Next::Stored(header.from, text), Next::Send(self.line(Body::Ack(ack), at))]
            }
            (Talk::Greeted(version, ephemeral, theirs), Body::KeyRotation(rotation)) => {
                let Ok(statement) = RotationStatement::parse_and_verify(rotation.statement.as_bytes()) else {
                    return vec![Next::Close];
                };
                if let Some(contact) = self.contact.as_mut().filter(|contact| contact.0 == statement.old) {
                    *contact = (statement.new, statement.new_encrypt);
                }
                self.talks.insert(stream, Talk::Greeted(version, ephemeral, theirs));
                vec![Next::Send(self.line(Body::Ack(Ack { encrypt_key: None, session: None, re: None }), at))]
            }
            _ => vec![Next::Close],
        }
    }
}

impl World {
    fn true_wall(&self) -> WallTime {
        WallTime::from_millis(START + self.now / 1000)
    }

    /// An original node sends a text to the node that granted it access.
    pub(crate) fn original_acts(&mut self, index: usize) {
        if self.healed {
            return;
        }
        let pause = self.rng.between(20, 60) * SECOND;
        self.after(pause, crate::world::Happening::Original { index });
        let target = index % self.hosts.len();
        let to = Party::Node(target);
        let Some(node) = &self.hosts[target].node else {
            return;
        };
        let present = || (node.public_key(), node.snapshot().encrypt_key);
        let (key, encrypt_key) = *self.originals[index].contact.get_or_insert_with(present);
        let topic = key.topic();
        let Ok(session) = SessionName::new("s0") else {
            return;
        };
        let text = self.text(Party::Original(index), to, &session, 30);
        let Some((far, far_key)) = self.accept(to) else {
            return;
        };
        let near = End { party: Party::Original(index), stream: self.originals[index].stream() };
        let near_key = self.originals[index].transport();
        self.net.join([near, far], [near_key, far_key], self.now);
        self.welcome(far, near_key, topic, Some(Party::Original(index)));
        let at = self.true_wall();
        let hello = self.originals[index].hello(near.stream, Errand { text, session, encrypt_key }, at);
        self.transmit(near, hello);
    }

    /// An original node hears something.
    pub(crate) fn original_hears(&mut self, index: usize, stream: StreamId, piece: Piece) {
        let party = Party::Original(index);
        let end = End { party, stream };
        let Piece::Bytes(bytes) = piece else {
            self.originals[index].talks.remove(&stream);
            return;
        };
        let at = self.true_wall();
        for next in self.originals[index].hears(stream, &bytes, at) {
            match next {
                Next::Send(line) => self.transmit(end, line),
                Next::Close => {
                    self.originals[index].talks.remove(&stream);
                    self.close(end);
                }
                Next::Acknowledged(text) => {
                    if let Some(to) = self.seen.texts.get(&text).map(|sent| sent.to) {
                        self.check_stored(party, to, &text);
                    }
                }
                Next::Stored(from, text) => {
                    let owner = self.keys.owner(&from);
                    let right = self.seen.texts.get(&text).is_some_and(|s| Some(s.from) == owner && s.to == party);
                    if !right {
                        self.violated(Rule::Identity, party, format!("a text that is not {owner:?}'s for it"));
                    }
                }
            }
        }
    }
}
