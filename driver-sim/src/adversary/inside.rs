//! Attacks of peers with valid keys, and of thieves who have somebody's.

use wopr_p2p_core::StreamId;
use wopr_p2p_core::identity::{Identity, IdentityFile};
use wopr_p2p_core::invite::InviteToken;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_core::message::{Body, Claim, Header, KeyRotation, Message};
use wopr_p2p_core::peer::PastKey;
use wopr_p2p_core::rotation::{RotationReason, RotationStatement};
use wopr_p2p_core::wire::json::encode;
use wopr_p2p_core::{StreamId as Stream, access};

use super::{Channel, Kind, Talk};
use crate::clock::SECOND;
use crate::net::Party;
use crate::scenario::Action;
use crate::world::{World, session};

impl World {
    pub(super) fn inside_turn(&mut self, kind: Kind) {
        let turns = self.mallory.as_ref().map_or(0, |mallory| mallory.turns);
        match (kind, turns) {
            // A megabyte takes as long as hundreds of other lines.
            (Kind::Oversize, turns) if turns % 8 != 1 => return,
            // First she is a good peer; then what she was given is taken back, if not before while she asks.
            (Kind::Resurrect, 7) => self.invite(0, Party::Mallory, 0b0010, 5, false),
            (Kind::Resurrect, 14) => {
                if let Some(mallory) = &mut self.mallory {
                    mallory.disowned = true;
                }
                self.revoke_peer(0, Party::Mallory);
            }
            (Kind::NonceFlood, _) if self.goes_on_talking() => return,
            (Kind::Tokens, 2 | 28) => self.invite(0, Party::Mallory, 0b0010, 5, false),
            // For somebody else, who takes their time.
            (Kind::Tokens, 5) => self.invite(0, Party::Node(1 % self.hosts.len()), 0b0100, 100, false),
            (Kind::Tokens, 13) => {
                // This one she keeps until it is too late.
                let (shortly, later) = (std::time::Duration::from_secs(20), self.now + 40 * SECOND);
                self.invite_for(0, Party::Mallory, 0b0010, 5, false, shortly);
                if let Some(mallory) = &mut self.mallory {
                    mallory.patient_until = later;
                }
            }
            (Kind::Tokens, 40) => self.revoke_peer(0, Party::Mallory),
            // More claims than a few would be refused without a look.
            (Kind::Tokens, turns) if turns % 6 != 3 => return,
            // From now on she is somebody whom nobody knows.
            (Kind::RotationTheft, 10..) => {
                let at = self.mallory_time();
                if let Some(mallory) = &mut self.mallory {
                    mallory.identity = Identity::generate(&mut mallory.keys, at);
                    let key = mallory.key();
                    self.keys.add(key, Party::Mallory);
                }
            }
            (Kind::RotationFork, 1) => return self.steal(1 % self.hosts.len()),
            (Kind::RotationFork, 3) => {
                let (reason, timeout) = (RotationReason::Compromise, std::time::Duration::from_secs(20));
                let command = wopr_p2p_core::Command::RotateKeys { reason, notify_all: true, timeout };
                self.order(1 % self.hosts.len(), crate::host::Order::Rotate, command);
                return;
            }
            // Where the thief comes first, nobody can tell her from the owner.
            (Kind::RotationFork, _) if !self.fork_is_known() => return,
            (Kind::RotationFork, _) => self.wear_the_stolen_key(),
            // Every other time the hello is dated right, and what comes after it is not.
            (Kind::WrongTime, turns) if turns % 2 == 0 => self.misdate(),
            _ => {}
        }
        self.shake(0);
        self.date_right();
    }

    /// What Mallory writes from now on is dated wrong, by more than clocks that are off explain.
    fn misdate(&mut self) {
        const MINUTE: i64 = 60_000;
        if let Some(mallory) = &mut self.mallory {
            let span = *mallory.rng.pick(&[10, 60, 24 * 60, 10 * 365 * 24 * 60]).unwrap_or(&10);
            mallory.ahead = if mallory.rng.chance(500_000) { span * MINUTE } else { -span * MINUTE };
        }
    }

    fn date_right(&mut self) {
        if let Some(mallory) = &mut self.mallory {
            mallory.ahead = 0;
        }
    }

    /// When the grace period of the stolen key is over, she tries to be its owner.
    fn wear_the_stolen_key(&mut self) {
        // An owner who sets clocks or brings old state back may grant the key more time.
        let node = |at: usize| at.is_multiple_of(self.hosts.len());
        let undisturbed = !self.healed
            && !self
                .scenario
                .steps
                .iter()
                .any(|step| matches!(step.what, Action::SetClock { at, .. } | Action::Restore { at } if node(at)));
        let (now, grace) = (self.now, self.hosts[0].config.rotation_grace_compromise);
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let since = *mallory.fork_known.get_or_insert(now);
        let over = now > since + (grace.as_secs() + 75) * SECOND;
        if undisturbed
            && over
            && let Some(stolen) = mallory.stolen.take()
        {
            (mallory.identity, mallory.masked) = (stolen, true);
        }
    }

    /// Goes on with a conversation under way: something new, and something old when it may be forgotten.
    fn goes_on_talking(&mut self) -> bool {
        let Some(mallory) = self.mallory.as_mut().filter(|mallory| mallory.talk.is_some()) else {
            return false;
        };
        if !mallory.turns.is_multiple_of(2) {
            return true;
        }
        let text = self.text(Party::Mallory, Party::Node(0), &session(0), 5);
        let at = self.mallory_time();
        let Some(mallory) = self.mallory.as_mut() else {
            return false;
        };
        let Some(Talk { stream, channel, mut said }) = mallory.talk.take() else {
            return false;
        };
        let line = mallory.log(&channel, session(0), &text, 2).map(|body| mallory.line(body, at));
        said.extend(line.clone());
        let old = said.first().filter(|_| said.len() > 14).cloned();
        mallory.talk = Some(Talk { stream, channel, said });
        line.into_iter().chain(old).for_each(|line| self.utter(stream, line));
        true
    }

    /// Whether the attacked node has heard that the stolen key was given up as stolen, and of its successor.
    fn fork_is_known(&self) -> bool {
        let stolen = self.mallory.as_ref().and_then(|mallory| match mallory.masked {
            true => Some(mallory.key()),
            false => mallory.stolen.as_ref().map(Identity::public_key),
        });
        let given_up = |past: &PastKey| Some(past.key) == stolen && past.reason == RotationReason::Compromise;
        self.hosts[0].peers().any(|peer| peer.history.iter().any(given_up))
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
        let turns = self.mallory.as_ref().map_or(0, |mallory| mallory.turns);
        match kind {
            Kind::FreshKeys => self.say(stream, channel, 0, 1),
            Kind::Sessions => (0..5).for_each(|number| self.say(stream, channel, number, 1)),
            Kind::Flood if turns.is_multiple_of(2) => {
                // At first only as many as a minute allows: who asks more than that hears no answer to any.
                let times = if turns < 4 { 9 } else { 12 };
                (0..times).for_each(|_| self.ask(stream, channel));
            }
            Kind::Flood => self.say(stream, channel, 0, 14),
            Kind::Capability => self.ask(stream, channel),
            Kind::Downgrade => {
                let text = self.text(Party::Mallory, Party::Node(0), &session(0), 5);
                let theirs = self.hosts[0].node.as_ref().map(|node| node.snapshot().encrypt_key);
                self.craft(stream, |mallory| {
                    let mut body = mallory.bare_log(&theirs?, session(0), &text)?;
                    if let Body::Log(log) = &mut body {
                        log.re = Some(channel.ack);
                    }
                    Some(body)
                });
            }
            Kind::Oversize => {
                let text = self.text(Party::Mallory, Party::Node(0), &session(0), 1_500_000);
                self.craft(stream, |mallory| mallory.log(channel, session(0), &text, 2));
            }
            Kind::Spoof => self.spoof(stream, channel),
            Kind::TwoReadings => self.two_readings(stream, channel),
            Kind::Tokens => self.claim_anything(stream, channel),
            // At first she is a peer like any other.
            Kind::Resurrect if turns < 8 => {}
            Kind::Resurrect if self.mallory.as_ref().is_some_and(|mallory| !mallory.disowned) => {
                self.ask(stream, channel);
            }
            Kind::Resurrect => {
                self.say(stream, channel, 1, 1);
                self.claim_anything(stream, channel);
                self.rotate_anything(stream, channel);
            }
            Kind::RotationFork if self.mallory.as_ref().is_some_and(|mallory| mallory.masked) => {
                self.say(stream, channel, 0, 1);
            }
            Kind::WrongTime => {
                self.misdate();
                self.say(stream, channel, 0, 1);
                self.date_right();
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
            // A long line comes bit by bit.
            line.chunks(300_000).for_each(|part| self.utter(stream, part.to_vec()));
            // A flood would end with the first repetition.
            let flood = self.mallory.as_ref().is_some_and(|mallory| mallory.kind == Kind::Flood);
            if !flood && self.rng.chance(300_000) {
                self.utter(stream, line);
            }
        }
    }

    fn ask(&mut self, stream: StreamId, channel: &Channel) {
        let text = self.text(Party::Mallory, Party::Node(0), &session(0), 5);
        self.craft(stream, |mallory| mallory.inject(channel, session(0), &text));
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

    /// Somebody else's name on a message in her own channel, or the handshake before this one.
    fn spoof(&mut self, stream: StreamId, channel: &Channel) {
        let former = self.mallory.as_mut().and_then(|mallory| mallory.former.replace(channel.ack));
        if let Some(ack) = former.filter(|_| self.rng.chance(500_000)) {
            return self.say(stream, &Channel { ack, ..channel.clone() }, 0, 1);
        }
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
        if self.now < mallory.patient_until {
            return;
        }
        let encrypt_key = mallory.identity.encrypt_key();
        let here = |token: &&String| InviteToken::parse(token).is_ok_and(|token| token.issuer == channel.from);
        let mut tokens: Vec<String> = mallory.tokens.iter().rev().filter(here).take(2).cloned().collect();
        let forged = InviteToken {
            issuer: mallory.key(),
            subject: mallory.key(),
            sessions: access::SessionSet::All,
            capabilities: vec![access::Capability::inject()],
            expires: at + std::time::Duration::from_secs(3600),
            nonce: Nonce(mallory.keys.bytes()),
        };
        if mallory.turns % 12 == 3
            && let Ok(own) = forged.to_token(&mallory.identity)
        {
            use base64::Engine as _;
            use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
            // Signed by herself, in the issuer's name.
            let json = BASE64.decode(own.trim_start_matches(InviteToken::PREFIX)).unwrap_or_default();
            let json =
                String::from_utf8_lossy(&json).replacen(&mallory.key().to_string(), &channel.from.to_string(), 1);
            tokens.push(format!("{}{}", InviteToken::PREFIX, BASE64.encode(json)));
            tokens.push(own);
        }
        // Now and then in the name of the handshake before.
        let former = mallory.former.replace(channel.ack).filter(|_| mallory.rng.chance(500_000));
        let re = Some(former.unwrap_or(channel.ack));
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
        // The victim names her its successor, in words that it never signed.
        let (_, theft) = statement(fresh.public_key(), own, &fresh);
        lines.push((victim, theft.sign(&fresh).replacen(&fresh.public_key().to_string(), &victim.to_string(), 1)));
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
