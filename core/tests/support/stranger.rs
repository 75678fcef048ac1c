//! Somebody on a discovery stream whose every word the test chooses.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use serde_json::Value;
use wopr_p2p_core::StreamId;
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{Nonce, PublicKey, Topic};
use wopr_p2p_core::rng::Rng;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::wire::discovery::{Outgoing, Proof, profile_json};

use super::world::World;

/// The other end of a stream to `host` on a topic.
pub struct Stranger {
    pub identity: Identity,
    pub stream: StreamId,
    pub host: usize,
    topic: String,
    /// What the host wants its proofs to name.
    pub challenge: Nonce,
}

impl Stranger {
    /// Comes to a topic; `seed` is both its key and its transport key.
    pub fn meets(world: &mut World, host: usize, topic: &str, seed: u8) -> Self {
        let identity = Identity::generate(&mut Rng::new([seed; 32]), world.now.wall);
        let stream = world.open_raw_for(host, seed, vec![Topic::discovery(topic)]);
        let said = texts(world.taken(host, stream));
        let challenge = said.first().and_then(|profile| profile["challenge"].as_str()).map(str::parse);
        let challenge = challenge.unwrap_or_else(|| panic!("no challenge in {said:?}")).expect("a nonce");
        Self { identity, stream, host, topic: topic.to_owned(), challenge }
    }

    pub fn key(&self) -> PublicKey {
        self.identity.public_key()
    }

    pub fn profile(&self, content: &str) -> String {
        profile_json(&self.key(), &self.identity.encrypt_key(), content, &self.topic, WallTime::from_millis(1))
    }

    /// A profile that says whose key it is, proven or not.
    pub fn shows(&self) -> Outgoing {
        Outgoing::profile(self.profile("{}"), Nonce([7; 16]))
    }

    pub fn request(&self) -> Outgoing {
        Outgoing::connect_request(&self.topic, self.profile(r#"{"name":"stranger"}"#))
    }

    pub fn proof(&self, world: &World) -> Proof {
        let (from, to) = (self.key(), world.key(self.host));
        let nonce = Nonce(self.stream.0.to_le_bytes().repeat(2).try_into().expect("16 bytes"));
        Proof { from, to, re: self.challenge, nonce, ts: world.now.wall }
    }

    /// The bytes of a proven message.
    pub fn proven(&self, world: &World, message: &Outgoing) -> Vec<u8> {
        message.proven(&self.proof(world), |bytes| self.identity.sign(bytes))
    }

    /// Sends bytes, and reads what comes back.
    pub fn sends(&self, world: &mut World, bytes: &[u8]) -> Vec<Value> {
        texts(world.send_raw(self.host, self.stream, bytes))
    }

    pub fn says(&self, world: &mut World, message: &Outgoing) -> Vec<Value> {
        self.sends(world, &message.plain())
    }

    pub fn proves(&self, world: &mut World, message: &Outgoing) -> Vec<Value> {
        let bytes = self.proven(world, message);
        self.sends(world, &bytes)
    }

    /// What was said since, unasked.
    pub fn hears(&self, world: &mut World) -> Vec<Value> {
        texts(world.taken(self.host, self.stream))
    }
}

pub fn texts(sent: Vec<Vec<u8>>) -> Vec<Value> {
    sent.iter().map(|text| serde_json::from_slice(text).expect("a node writes JSON")).collect()
}
