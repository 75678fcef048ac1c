//! Attacks of peers with valid keys, and of thieves who have somebody's.

use wopr_p2p_core::StreamId;
use wopr_p2p_core::identity::{Identity, IdentityFile};
use wopr_p2p_core::invite::InviteToken;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_core::message::{Body, Claim, Header, KeyRotation, Message};
use wopr_p2p_core::rotation::{RotationReason, RotationStatement};
use wopr_p2p_core::wire::json::encode;
use wopr_p2p_core::{StreamId as Stream, access};

use super::{Channel, Kind};
use crate::net::Party;
use crate::world::{World, session};

impl World {
    pub(super) fn inside_turn(&mut self, kind: Kind) {
        let turns = self.mallory.as_ref().map_or(0, |mallory| mallory.turns);
        match (kind, turns) {
            // A megabyte takes as long as hundreds of other lines.
            (Kind::Oversize, turns) if turns % 8 != 1 => return,
            // First she is a good peer; then what she was given is taken back.
            (Kind::Resurrect, 8) => self.revoke_peer(0, Party::Mallory),
            (Kind::Tokens, 2 | 30) => self.invite(0, Party::Mallory, 0b0010, 5, false),
            (Kind::Tokens, 40) => self.revoke_peer(0, Party::Mallory),
            (Kind::RotationFork, 1) => return self.steal(1 % self.hosts.len()),
            (Kind::RotationFork, 3) => {
                let (reason, timeout) = (RotationReason::Compromise, std::time::Duration::from_secs(20));
                let command = wopr_p2p_core::Command::RotateKeys { reason, notify_all: true, timeout };
                self.order(1 % self.hosts.len(), crate::host::Order::Rotate, command);
                return;
            }
            // Where the thief comes first, nobody can tell her from the owner.
            (Kind::RotationFork, _) if !self.fork_is_known() => return,
            _ => {}
        }
        self.shake(0);
    }

    /// Whether the attacked node has heard of the rightful successor of the stolen key.
    fn fork_is_known(&self) -> bool {
        let stolen = self.mallory.as_ref().and_then(|mallory| mallory.stolen.as_ref()).map(Identity::public_key);
        let peers = self.hosts[0].node.as_ref().map(|node| node.snapshot().peers).unwrap_or_default();
        peers.iter().any(|peer| peer.history.iter().any(|past| Some(past.key) == stolen))
    }

    fn steal(&mut self, index: usize) {
        let stored = self.hosts[index].disk.content.stored().identity;
        if let (Some(Ok(file)), Some(mallory)) =
            (stored.map(|json| IdentityFile::from_json(&json)), self.mallory.as_mut())
        {
            // The host rotates after this, so the key names its rightful successor first.
            mallory.stolen = Some(file.current);
        }
    }

    /// The handshake with a node is over: now she does what she came for.
    pub(super) fn inside(&mut self, kind: Kind, stream: StreamId, channel: &Channel) {
        match kind {
            Kind::FreshKeys => self.say(stream, channel, 0, 1),
            Kind::Sessions => (0..5).for_each(|number| self.say(stream, channel, number, 1)),
            Kind::Flood => self.say(stream, channel, 0, 14),
            Kind::NonceFlood => self.say(stream, channel, 0, 4),
            Kind::Capability => {
                let text = self.text(Party::Mallory, Party::Node(0), &session(0), 5);
                self.craft(stream, |mallory| mallory.inject(channel, session(0), &text));
            }
            Kind::Downgrade => {
                let text = self.text(Party::Mallory, Party::Node(0), &session(0), 5);
                self.craft(stream, |mallory| mallory.log(channel, session(0), &text, 1));
            }
            Kind::Oversize => {
                let text = self.text(Party::Mallory, Party::Node(0), &session(0), 1_500_000);
                self.craft(stream, |mallory| mallory.log(channel, session(0), &text, 2));
            }
            Kind::Spoof => self.spoof(stream, channel),
            Kind::TwoReadings => self.two_readings(stream, channel),
            Kind::Tokens => self.claim_anything(stream, channel),
            Kind::Resurrect => {
                self.say(stream, channel, 1, 1);
                self.claim_anything(stream, channel);
                self.rotate_anything(stream, channel);
            }
            Kind::RotationTheft | Kind::RotationFork => self.rotate_anything(stream, channel),
            _ => {}
        }
    }

    /// What a node answers: she says the same again.
    pub(super) fn inside_hears(&mut self, kind: Kind, _stream: Stream, _bytes: &[u8]) {
        if kind == Kind::NonceFlood && self.rng.chance(300_000) {
            let Some(mallory) = &mut self.mallory else {
                return;
            };
            let own: Vec<Vec<u8>> = mallory.tap.iter().take(20).map(|tapped| tapped.line.clone()).collect();
            if let Some(stream) = self.knock(0) {
                own.into_iter().for_each(|line| self.utter(stream, line));
            }
        }
    }

    /// A line under Mallory's own name; what she says is kept, so that it can be said again.
    fn craft(&mut self, stream: StreamId, make: impl FnOnce(&mut super::Mallory) -> Option<Body>) {
        let at = self.mallory_time();
        if let Some(mallory) = &mut self.mallory
            && let Some(body) = make(mallory)
        {
            let line = mallory.line(body, at);
            self.mallory_taps(Party::Mallory, Some(Party::Node(0)), &line);
            self.utter(stream, line.clone());
            if self.rng.chance(300_000) {
                self.utter(stream, line);
            }
        }
    }

    fn say(&mut self, stream: StreamId, channel: &Channel, number: u8, times: u32) {
        for _ in 0..times {
            let text = self.text(Party::Mallory, Party::Node(0), &session(number), 5);
            let name = match number {
                4 => access::SessionName::new("S0").unwrap_or_else(|_| session(1)),
                number => session(number),
            };
            self.craft(stream, |mallory| mallory.log(channel, name, &text, 2));
        }
    }

    /// Somebody else's name on a message in her own channel.
    fn spoof(&mut self, stream: StreamId, channel: &Channel) {
        let (at, victim) = (self.mallory_time(), self.hosts[1 % self.hosts.len()].key());
        let text = self.text(Party::Mallory, Party::Node(0), &session(0), 5);
        if let (Some(mallory), Some(victim)) = (&mut self.mallory, victim)
            && let Some(body) = mallory.log(channel, session(0), &text, 2)
        {
            let line = mallory.line_as(victim, body, at);
            self.utter(stream, line);
        }
    }

    /// Claims whatever tokens she can find or make.
    fn claim_anything(&mut self, stream: StreamId, channel: &Channel) {
        let at = self.mallory_time();
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let encrypt_key = mallory.identity.encrypt_key();
        let mut tokens: Vec<String> = mallory.tokens.iter().rev().take(3).cloned().collect();
        let forged = InviteToken {
            issuer: mallory.key(),
            subject: mallory.key(),
            sessions: access::SessionSet::All,
            capabilities: vec![access::Capability::inject()],
            expires: at + std::time::Duration::from_secs(3600),
            nonce: Nonce(mallory.keys.bytes()),
        };
        if let Ok(own) = forged.to_token(&mallory.identity) {
            use base64::Engine as _;
            use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
            // Signed by herself, in the issuer's name.
            let json = BASE64.decode(own.trim_start_matches(InviteToken::PREFIX)).unwrap_or_default();
            let json =
                String::from_utf8_lossy(&json).replacen(&mallory.key().to_string(), &channel.from.to_string(), 1);
            tokens.push(format!("{}{}", InviteToken::PREFIX, BASE64.encode(json)));
            tokens.push(own);
        }
        let re = Some(channel.ack);
        for token in tokens {
            if let Some(mallory) = &mut self.mallory {
                let line = mallory.line(Body::Claim(Claim { v: 2, encrypt_key, token, re }), at);
                self.utter(stream, line);
            }
        }
    }

    /// Rotations that name a key of hers, or others' keys.
    fn rotate_anything(&mut self, stream: StreamId, channel: &Channel) {
        let (at, victim) = (self.mallory_time(), self.hosts[1 % self.hosts.len()].key());
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let Some(victim) = victim else {
            return;
        };
        let fresh = Identity::generate(&mut mallory.keys, at);
        let own = mallory.key();
        let mut statements = Vec::new();
        let statement = |old, new, signer: &Identity| {
            let (reason, grace) = (RotationReason::Compromise, std::time::Duration::from_secs(86_400));
            let new_encrypt = signer.encrypt_key();
            let statement = RotationStatement { old, new, new_encrypt, reason, effective_at: at, grace };
            (old, statement)
        };
        if let Some(stolen) = &mallory.stolen {
            statements.push((statement(stolen.public_key(), own, stolen), stolen));
        }
        statements.push((statement(own, victim, &mallory.identity), &mallory.identity));
        statements.push((statement(own, fresh.public_key(), &mallory.identity), &mallory.identity));
        let mut lines = Vec::new();
        for ((old, statement), signer) in statements {
            let text = statement.sign(signer);
            lines.push((old, text.clone()));
            // The same words with the victim as the old key: signed by nobody who may.
            lines.push((victim, text.replacen(&old.to_string(), &victim.to_string(), 1)));
        }
        let mut signed = Vec::new();
        for (from, statement) in lines {
            let proof = Some(mallory.identity.sign(&KeyRotation::proof_bytes(&statement, channel.ack)));
            let body = Body::KeyRotation(KeyRotation { statement, proof, re: Some(channel.ack) });
            let header = Header { from, nonce: Nonce(mallory.keys.bytes()), ts: at };
            let line = encode(&Message { header, body }, |_| [0; 64]);
            signed.push(line);
        }
        signed.into_iter().for_each(|line| self.utter(stream, line));
    }
}
