//! Making messages, right ones and wrong ones.

use wopr_p2p_core::StreamId;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::cipher::{EphemeralKey, PayloadKey};
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{EncryptKey, Nonce, PublicKey};
use wopr_p2p_core::message::{Body, Header, Hello, Inject, Log, Message, RequestId};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::wire::json::{decode, encode};

use super::{Channel, Kind, Mallory, Stage, Talk};
use crate::clock::START;
use crate::net::Party;
use crate::world::World;

impl Mallory {
    /// A signed line under the attacker's own key.
    pub(crate) fn line(&mut self, body: Body, at: WallTime) -> Vec<u8> {
        let header = Header { from: self.key(), nonce: Nonce(self.keys.bytes()), ts: at };
        let identity = &self.identity;
        encode(&Message { header, body }, |bytes| identity.sign(bytes))
    }

    /// A line with this sender's name, signed by the attacker.
    pub(crate) fn line_as(&mut self, from: PublicKey, body: Body, at: WallTime) -> Vec<u8> {
        let header = Header { from, nonce: Nonce(self.keys.bytes()), ts: at };
        let identity = &self.identity;
        encode(&Message { header, body }, |bytes| identity.sign(bytes))
    }

    /// A log under the keys of a channel, as protocol 2 wants it.
    pub(crate) fn log(&mut self, channel: &Channel, session: SessionName, text: &str, v: u8) -> Option<Body> {
        let ours = EphemeralKey::from_bytes(&channel.ours);
        let key = if v >= 2 {
            PayloadKey::agree(ours.secret(), &channel.theirs).ok()?
        } else {
            PayloadKey::agree(self.identity.encrypt_secret(), &channel.theirs).ok()?
        };
        let payload = key.seal(&mut self.keys, text.as_bytes());
        let ephemeral = (v >= 2).then(|| ours.public());
        let encrypt_key = self.identity.encrypt_key();
        Some(Body::Log(Log { v, encrypt_key, ephemeral, session, payload, once: None, re: Some(channel.ack) }))
    }

    /// A log of protocol 1 without any handshake, under static keys.
    pub(crate) fn bare_log(&mut self, theirs: &EncryptKey, session: SessionName, text: &str) -> Option<Body> {
        let key = PayloadKey::agree(self.identity.encrypt_secret(), theirs).ok()?;
        let payload = key.seal(&mut self.keys, text.as_bytes());
        let encrypt_key = self.identity.encrypt_key();
        Some(Body::Log(Log { v: 1, encrypt_key, ephemeral: None, session, payload, once: None, re: None }))
    }

    /// The same as a question.
    pub(crate) fn inject(&mut self, channel: &Channel, session: SessionName, text: &str) -> Option<Body> {
        let Body::Log(Log { v, encrypt_key, ephemeral, session, payload, once: _, re }) =
            self.log(channel, session, text, 2)?
        else {
            return None;
        };
        let request_id = RequestId::from(Nonce(self.keys.bytes()));
        Some(Body::Inject(Inject { v, encrypt_key, ephemeral, session, payload, request_id, chain: None, re }))
    }

    /// A hello to a node.
    pub(crate) fn hello(&mut self, versions: Vec<u64>, to: Option<PublicKey>) -> (EphemeralKey, Body) {
        let ephemeral = EphemeralKey::generate(&mut self.keys);
        let key = Some(ephemeral.public());
        (ephemeral, Body::Hello(Hello { versions, ephemeral: key, to }))
    }
}

impl World {
    /// The time that Mallory writes.
    pub(crate) fn mallory_time(&self) -> WallTime {
        let ahead = self.mallory.as_ref().map_or(0, |mallory| mallory.ahead);
        WallTime::from_millis((START + self.now / 1000).saturating_add_signed(ahead))
    }

    /// Opens a stream and says hello under Mallory's own key.
    pub(crate) fn shake(&mut self, index: usize) -> Option<StreamId> {
        let stream = self.knock(index)?;
        let (to, at) = (self.hosts[index].key(), self.mallory_time());
        let mallory = self.mallory.as_mut()?;
        let (ephemeral, body) = mallory.hello(vec![2, 1], to);
        let line = mallory.line(body, at);
        mallory.streams.insert(stream, Stage::Hello(ephemeral));
        self.utter(stream, line);
        Some(stream)
    }

    /// The answer to a hello.
    pub(crate) fn greeted(&mut self, stream: StreamId, bytes: &[u8]) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let Some(Stage::Hello(ephemeral)) = mallory.streams.remove(&stream) else {
            return;
        };
        let Ok(answer) = decode(bytes) else {
            return;
        };
        let Message { header, body: Body::HelloAck(ack) } = answer.message() else {
            return;
        };
        let Some(theirs) = ack.ephemeral else {
            return;
        };
        let ours = ephemeral.secret().to_bytes();
        let channel = Channel { ack: header.nonce, ours, theirs, from: header.from };
        mallory.streams.insert(stream, Stage::Open);
        if mallory.kind == Kind::NonceFlood {
            mallory.talk = Some(Talk { stream, channel: channel.clone(), said: Vec::new() });
        }
        let kind = mallory.kind;
        self.inside(kind, stream, &channel);
    }

    /// Mallory tries to read a payload with a key of hers: nothing but what was meant for her may come out. `others` are
    /// keys that were seen elsewhere.
    pub(crate) fn try_to_read(
        &mut self,
        ours: &EphemeralKey,
        line: &[u8],
        identity: Option<&Identity>,
        others: &[EncryptKey],
    ) {
        let Ok(received) = decode(line) else {
            return;
        };
        let (payload, keys) = match &received.message().body {
            Body::Log(log) => (&log.payload, [log.ephemeral, Some(log.encrypt_key)]),
            Body::Inject(inject) => (&inject.payload, [inject.ephemeral, Some(inject.encrypt_key)]),
            Body::Response(response) => (&response.payload, [response.ephemeral, response.encrypt_key]),
            _ => return,
        };
        let secrets = [Some(ours.secret()), identity.map(Identity::encrypt_secret)];
        for key in keys.into_iter().flatten().chain(others.iter().copied()) {
            for secret in secrets.into_iter().flatten() {
                let text = PayloadKey::agree(secret, &key).and_then(|key| key.open(payload));
                let Ok(text) = text else {
                    continue;
                };
                let text = String::from_utf8_lossy(&text).into_owned();
                let answer = text.strip_prefix("re: ").unwrap_or(&text);
                let meant = self
                    .seen
                    .texts
                    .get(answer)
                    .is_some_and(|sent| sent.to == Party::Mallory || sent.from == Party::Mallory);
                if !meant {
                    self.violated(crate::oracle::Rule::Secret, Party::Mallory, "Mallory reads what was not for her");
                }
            }
        }
    }
}
