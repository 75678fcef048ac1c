//! A node of the original, as far as a stream shows it: byte-exact lines without our members `to` and `re`.
//!
//! It is written against `WIRE.md` and the recorded vectors, not with the code under test, and it is no honest peer by
//! itself: a test can have it say anything.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use aes_gcm::aead::{Aead as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::{Stored, StreamId};
use x25519_dalek::StaticSecret;

use crate::world::{START, World};

const ED25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const X25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00";

/// The keys of a node.
#[derive(Clone)]
pub struct Original {
    signing: SigningKey,
    encrypt: StaticSecret,
    /// What `identity.json` holds of them.
    stored: String,
}

impl Original {
    /// The keys in an identity of the vectors.
    pub fn of(identity: &Value) -> Self {
        let secret = |name: &str| pkcs8(identity[name].as_str().expect("a private key"));
        let stored = identity["storedJson"].as_str().expect("the stored text").to_owned();
        Self { signing: SigningKey::from_bytes(&secret("privateKey")), encrypt: secret("encryptPriv").into(), stored }
    }

    /// Keys made from a number.
    pub fn made(seed: u8) -> Self {
        let (signing, encrypt) = (SigningKey::from_bytes(&[seed; 32]), StaticSecret::from([seed ^ 0x55; 32]));
        let pkcs8 = |oid: u8, secret: &[u8; 32]| {
            let head = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, oid, 0x04, 0x22, 0x04, 0x20];
            STANDARD.encode([&head, secret.as_slice()].concat())
        };
        let (private, encrypt_private) = (pkcs8(0x70, &[seed; 32]), pkcs8(0x6e, &[seed ^ 0x55; 32]));
        let mut made = Self { signing, encrypt, stored: String::new() };
        let (public, encrypt_public) = (made.public(), made.encrypt_pub());
        made.stored = format!(
            r#"{{"publicKey":"{public}","privateKey":"{private}","encryptPub":"{encrypt_public}","encryptPriv":"{encrypt_private}","created":{START}}}"#
        );
        made
    }

    /// The public key's text.
    pub fn public(&self) -> String {
        STANDARD.encode([ED25519_SPKI, self.signing.verifying_key().as_bytes()].concat())
    }

    pub fn key(&self) -> PublicKey {
        self.public().parse().expect("a key")
    }

    /// The static encryption key's text.
    pub fn encrypt_pub(&self) -> String {
        x25519_public(&self.encrypt)
    }

    pub fn encrypt_secret(&self) -> &StaticSecret {
        &self.encrypt
    }

    /// The documents of a node of ours with these keys.
    pub fn stored(&self) -> Stored {
        Stored { identity: Some(self.stored.clone().into_bytes().into()), ..Stored::default() }
    }

    /// Signs an object's text and gives the line.
    pub fn sign(&self, object: &str) -> String {
        let signature = STANDARD.encode(self.signing.sign(object.as_bytes()).to_bytes());
        let body = object.strip_suffix('}').expect("an object");
        format!("{body},\"sig\":\"{signature}\"}}\n")
    }

    /// A line of these members, and of `nonce` and `ts` behind them.
    pub fn line(&self, members: &str, nonce: &str, ts: u64) -> String {
        self.sign(&format!(r#"{{{members},"nonce":"{nonce}","ts":{ts}}}"#))
    }

    /// The statement by which this key names its successor.
    pub fn statement(&self, new: &Self, reason: &str, effective_at: u64, grace_ms: u64) -> String {
        let (old, new, encrypt) = (self.public(), new.public(), new.encrypt_pub());
        let object = format!(
            r#"{{"v":1,"type":"key-rotation","oldSignPub":"{old}","newSignPub":"{new}","newEncryptPub":"{encrypt}","reason":"{reason}","effectiveAt":{effective_at},"gracePeriodMs":{grace_ms}}}"#
        );
        self.sign(&object).trim_end().to_owned()
    }

    /// Signs a line anew whose content was changed, if its signature was right before.
    pub fn sign_again(&self, before: &str, after: &str) -> String {
        let Some((object, _)) = unsigned(before).filter(|(object, signature)| self.signed(object, signature)) else {
            return after.to_owned();
        };
        let (changed, _) = unsigned(after).expect("a line that was signed before");
        assert_ne!(object, "", "a line");
        self.sign(&changed).trim_end_matches('\n').to_owned()
    }

    fn signed(&self, object: &str, signature: &[u8]) -> bool {
        let signature = ed25519_dalek::Signature::from_slice(signature);
        signature
            .is_ok_and(|signature| self.signing.verifying_key().verify_strict(object.as_bytes(), &signature).is_ok())
    }
}

/// A text without its `sig` at the end, and the signature.
fn unsigned(line: &str) -> Option<(String, Vec<u8>)> {
    let (object, rest) = line.trim_end().rsplit_once(",\"sig\":\"")?;
    let signature = STANDARD.decode(rest.strip_suffix("\"}")?).ok()?;
    Some((format!("{object}}}"), signature))
}

/// The 32 secret bytes in base64 of a PKCS#8 key.
pub fn pkcs8(text: &str) -> [u8; 32] {
    let der = STANDARD.decode(text).expect("base64");
    *der.last_chunk().expect("a PKCS#8 key")
}

/// The text of the public key of an X25519 secret.
pub fn x25519_public(secret: &StaticSecret) -> String {
    STANDARD.encode([X25519_SPKI, x25519_dalek::PublicKey::from(secret).as_bytes()].concat())
}

/// The key of payloads between a secret and a public key's text; `None` if the text is no key.
pub fn payload_key(secret: &StaticSecret, public: &str) -> Option<[u8; 32]> {
    let raw: [u8; 32] = STANDARD.decode(public).ok()?.strip_prefix(X25519_SPKI)?.try_into().ok()?;
    Some(Sha256::digest(secret.diffie_hellman(&raw.into()).as_bytes()).into())
}

/// The payload of a text: IV, tag, ciphertext.
pub fn seal(key: &[u8; 32], iv: [u8; 12], text: &[u8]) -> Vec<u8> {
    let cipher = aes_gcm::Aes256Gcm::new(key.into());
    let sealed = cipher.encrypt(&iv.into(), text).expect("encryption");
    let (text, tag) = sealed.split_at(sealed.len() - 16);
    [&iv, tag, text].concat()
}

/// The text of a payload.
pub fn open(key: &[u8; 32], payload: &[u8]) -> Option<Vec<u8>> {
    let (iv, rest) = payload.split_first_chunk::<12>()?;
    let (tag, text) = rest.split_first_chunk::<16>()?;
    aes_gcm::Aes256Gcm::new(key.into()).decrypt(&(*iv).into(), [text, tag].concat().as_slice()).ok()
}

/// The same payload under another key, with whatever is wrong with it: flipped bits stay flipped, a short tag short.
pub fn rekeyed(payload: &[u8], from: &[u8; 32], to: &[u8; 32]) -> Vec<u8> {
    let Some((iv, rest)) = payload.split_first_chunk::<12>() else { return payload.to_vec() };
    let (tag, text) = rest.split_at(rest.len().min(16));
    // Encrypting zeros shows the key stream.
    let stream = |key: &[u8; 32]| seal(key, *iv, &vec![0; text.len()])[28..].to_vec();
    let plain = xor(text, &stream(from));
    let (was, is) = (seal(from, *iv, &plain), seal(to, *iv, &plain));
    let fault = xor(tag, &was[12..]);
    [iv.as_slice(), &xor(&is[12..12 + tag.len()], &fault), &is[28..]].concat()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// The string member `name` of a line replaced by another text; the line itself if it has no such string.
pub fn with_member(line: &str, name: &str, change: impl FnOnce(&str) -> Option<String>) -> String {
    let start = format!("\"{name}\":\"");
    let Some(at) = line.find(&start).map(|at| at + start.len()) else { return line.to_owned() };
    let mut escaped = false;
    let end = line[at..].bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let Some(end) = end.map(|end| at + end) else { return line.to_owned() };
    let Ok(text) = serde_json::from_str::<String>(&line[at - 1..=end]) else { return line.to_owned() };
    let Some(text) = change(&text) else { return line.to_owned() };
    format!("{}{}{}", &line[..at - 1], Value::from(text), &line[end + 1..])
}

/// A line as JSON.
pub fn parse(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
}

/// One side of a stream, with the keys of its handshake.
pub struct Channel<'a> {
    pub identity: &'a Original,
    pub ephemeral: StaticSecret,
    /// The other side's ephemeral key; empty if it gave none.
    pub theirs: String,
    pub version: u64,
    pub host: usize,
    pub stream: StreamId,
    nonces: u64,
}

impl<'a> Channel<'a> {
    /// Opens a stream to a host and says hello.
    pub fn dial(world: &mut World, host: usize, identity: &'a Original, remote: u8) -> Self {
        let stream = world.open_raw(host, remote);
        Self::hello(world, host, stream, identity, &[2, 1])
    }

    /// Says hello on a stream, with these versions.
    pub fn hello(world: &mut World, host: usize, stream: StreamId, identity: &'a Original, versions: &[u64]) -> Self {
        let stream_number = u8::try_from(stream.0 % 251).expect("small");
        Self::hello_with(world, host, stream, identity, StaticSecret::from([0x70 ^ stream_number; 32]), versions)
    }

    /// Says hello with an ephemeral key of the test's choice.
    pub fn hello_with(
        world: &mut World,
        host: usize,
        stream: StreamId,
        identity: &'a Original,
        ephemeral: StaticSecret,
        versions: &[u64],
    ) -> Self {
        let mut channel = Self::on(host, stream, identity, ephemeral);
        let line = channel.hello_line(world, versions);
        let answers = channel.send(world, &line);
        channel.welcomed(&answers);
        channel
    }

    /// The line by which a dialler begins the handshake.
    pub fn hello_line(&mut self, world: &World, versions: &[u64]) -> String {
        let versions = Value::from(versions);
        let (from, ephemeral) = (self.identity.public(), x25519_public(&self.ephemeral));
        let members =
            format!(r#""v":2,"type":"hello","from":"{from}","versions":{versions},"ephemeralPub":"{ephemeral}""#);
        self.line(world, &members)
    }

    /// One side of a stream on which nothing was said yet.
    pub fn on(host: usize, stream: StreamId, identity: &'a Original, ephemeral: StaticSecret) -> Self {
        Self { identity, ephemeral, theirs: String::new(), version: 0, host, stream, nonces: stream.0 << 32 }
    }

    /// Takes the listener's keys from its answer to a hello.
    pub fn welcomed(&mut self, answers: &[Value]) {
        if let Some(ack) = answers.first().filter(|answer| answer["type"] == "hello-ack") {
            self.theirs = ack["ephemeralPub"].as_str().unwrap_or("").to_owned();
            self.version = ack["version"].as_u64().expect("a version");
        }
    }

    /// Answers the hello on a stream that a host dialled to the test.
    pub fn welcome(world: &mut World, host: usize, stream: StreamId, identity: &'a Original, version: u64) -> Self {
        let hello = parse(&world.taken(host, stream).remove(0));
        let stream_number = u8::try_from(stream.0 % 251).expect("small");
        let ephemeral = StaticSecret::from([0x30 ^ stream_number; 32]);
        let theirs = hello["ephemeralPub"].as_str().expect("an ephemeral key").to_owned();
        let mut channel = Self { identity, ephemeral, theirs, version, host, stream, nonces: stream.0 << 32 };
        let line = channel.hello_ack(world);
        world.input(host, wopr_p2p_core::Input::Received { stream, bytes: line.into_bytes() });
        channel
    }

    /// The line by which a listener ends the handshake.
    pub fn hello_ack(&mut self, world: &World) -> String {
        let (from, ephemeral) = (self.identity.public(), x25519_public(&self.ephemeral));
        let version = self.version;
        self.line(
            world,
            &format!(r#""v":2,"type":"hello-ack","from":"{from}","version":{version},"ephemeralPub":"{ephemeral}""#),
        )
    }

    /// A signed line with a fresh nonce and the world's time.
    pub fn line(&mut self, world: &World, members: &str) -> String {
        self.nonces += 1;
        // The identity is in it, so that two originals do not share nonces.
        let nonce = format!("{:016x}{:016x}", self.identity.signing.to_bytes()[0], self.nonces);
        self.identity.line(members, &nonce, world.now.wall.as_millis())
    }

    /// Sends a line and returns the answers.
    pub fn send(&self, world: &mut World, line: &str) -> Vec<Value> {
        world.send_raw(self.host, self.stream, line.as_bytes()).iter().map(|line| parse(line)).collect()
    }

    /// What came on the stream since it was last looked at.
    pub fn received(&self, world: &mut World) -> Vec<Value> {
        world.taken(self.host, self.stream).iter().map(|line| parse(line)).collect()
    }

    pub fn is_closed(&self, world: &World) -> bool {
        world.is_closed(self.host, self.stream)
    }

    /// The key of what this side sends; protocol 1 needs the other side's static key.
    pub fn key(&self, their_static: &str) -> [u8; 32] {
        let key = if self.version >= 2 {
            payload_key(&self.ephemeral, &self.theirs)
        } else {
            payload_key(&self.identity.encrypt, their_static)
        };
        key.expect("the other side's key")
    }

    /// A log or an inject for the node; `extra` are members behind the payload.
    pub fn request(&mut self, world: &World, kind: &str, session: &str, text: &str, extra: &str) -> String {
        let their_static = world.hosts[self.host].node.snapshot().encrypt_key.to_string();
        let payload = STANDARD.encode(seal(&self.key(&their_static), [7; 12], text.as_bytes()));
        let (v, from, encrypt) = (self.version, self.identity.public(), self.identity.encrypt_pub());
        let ephemeral = x25519_public(&self.ephemeral);
        let ephemeral = if v >= 2 { format!(r#","ephemeralPub":"{ephemeral}""#) } else { String::new() };
        let session = Value::from(session);
        self.line(
            world,
            &format!(
                r#""v":{v},"type":"{kind}","from":"{from}","encryptPub":"{encrypt}"{ephemeral},"session":{session},"payload":"{payload}"{extra}"#
            ),
        )
    }

    pub fn log(&mut self, world: &World, session: &str, text: &str) -> String {
        self.request(world, "log", session, text, "")
    }

    pub fn inject(&mut self, world: &World, session: &str, text: &str, request: &str) -> String {
        self.request(world, "inject", session, text, &format!(r#","requestId":"{request}""#))
    }

    pub fn claim(&mut self, world: &World, token: &str) -> String {
        let (v, from, encrypt) = (self.version, self.identity.public(), self.identity.encrypt_pub());
        self.line(
            world,
            &format!(r#""v":{v},"type":"claim","from":"{from}","encryptPub":"{encrypt}","token":"{token}""#),
        )
    }

    /// A rotation away from `old`; its `sig` repeats the statement's.
    pub fn rotation(&mut self, world: &World, old: &Original, statement: &str) -> String {
        self.nonces += 1;
        let (from, nonce, ts) = (old.public(), format!("{:032x}", self.nonces), world.now.wall.as_millis());
        let signature = &parse(statement.as_bytes())["sig"];
        format!(
            r#"{{"v":2,"type":"key-rotation","from":"{from}","keyRotation":{statement},"nonce":"{nonce}","ts":{ts},"sig":{signature}}}"#
        ) + "\n"
    }

    pub fn ack(&mut self, world: &World, extra: &str) -> String {
        let from = self.identity.public();
        self.line(world, &format!(r#""v":2,"type":"ack","from":"{from}"{extra}"#))
    }

    pub fn reject(&mut self, world: &World, reason: &str) -> String {
        let (from, reason) = (self.identity.public(), Value::from(reason));
        self.line(world, &format!(r#""v":2,"type":"reject","from":"{from}","reason":{reason}"#))
    }

    /// The answer to an inject, as the original makes it: under a fresh key.
    pub fn response(&mut self, world: &World, request: &Value, text: &str) -> String {
        let fresh = StaticSecret::from([0x11; 32]);
        let key = payload_key(&fresh, &self.theirs).expect("the asker's ephemeral key");
        let payload = STANDARD.encode(seal(&key, [9; 12], text.as_bytes()));
        let (from, encrypt) = (self.identity.public(), self.identity.encrypt_pub());
        let (ephemeral, session, id) = (x25519_public(&fresh), &request["session"], &request["requestId"]);
        self.line(
            world,
            &format!(
                r#""v":2,"type":"response","from":"{from}","encryptPub":"{encrypt}","ephemeralPub":"{ephemeral}","session":{session},"payload":"{payload}","requestId":{id}"#
            ),
        )
    }

    /// The answer to an inject in protocol 1: for the two static keys.
    pub fn static_response(&mut self, world: &World, request: &Value, text: &str) -> String {
        let theirs = request["encryptPub"].as_str().expect("the asker's static key");
        let key = payload_key(&self.identity.encrypt, theirs).expect("a key");
        let payload = STANDARD.encode(seal(&key, [9; 12], text.as_bytes()));
        let (from, encrypt) = (self.identity.public(), self.identity.encrypt_pub());
        let (session, id) = (&request["session"], &request["requestId"]);
        self.line(
            world,
            &format!(
                r#""v":2,"type":"response","from":"{from}","encryptPub":"{encrypt}","session":{session},"payload":"{payload}","requestId":{id}"#
            ),
        )
    }

    /// The text of a log or an inject that the node sent.
    pub fn text_of(&self, request: &Value) -> Option<String> {
        let their_static = request["encryptPub"].as_str().unwrap_or("");
        let payload = STANDARD.decode(request["payload"].as_str()?).ok()?;
        open(&self.key(their_static), &payload).map(|text| String::from_utf8(text).expect("UTF-8"))
    }

    /// The text of a response that the node sent.
    pub fn answer_of(&self, response: &Value) -> Option<String> {
        let payload = STANDARD.decode(response["payload"].as_str()?).ok()?;
        let key = match response["ephemeralPub"].as_str() {
            Some(ephemeral) => payload_key(&self.ephemeral, ephemeral)?,
            None => payload_key(&self.identity.encrypt, response["encryptPub"].as_str()?)?,
        };
        open(&key, &payload).map(|text| String::from_utf8(text).expect("UTF-8"))
    }
}

/// `access.json` and `peers.json` of a node that granted `peer` these sessions.
pub fn granted(mut stored: Stored, peer: &Original, sessions: &Value, capabilities: &Value) -> Stored {
    let grant = json!({
        "id": "00112233445566778899aabbccddeeff", "peerKey": peer.public(), "sessions": sessions, "caps": capabilities,
        "trust": "trusted", "created": START,
    });
    let known =
        json!({ "publicKey": peer.public(), "encryptPub": peer.encrypt_pub(), "added": START, "keySince": START });
    stored.access = Some(json!({ "grants": [grant], "invites": [] }).to_string().into_bytes());
    stored.peers = Some(json!({ "peers": [known] }).to_string().into_bytes());
    stored
}
