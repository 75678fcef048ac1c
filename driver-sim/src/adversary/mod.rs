//! The attacker. Mallory sees every byte, stands in the middle of streams, runs peers with valid keys and holds stolen
//! ones. Every attack has a name and runs from the seed like everything else.

mod binding;
mod craft;
mod inside;
mod network;
mod outside;

use std::collections::BTreeMap;

use wopr_p2p_core::cipher::EphemeralKey;
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{EncryptKey, Nonce, PublicKey, Topic};
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{StreamId, TransportKey};

use crate::clock::{Micros, SECOND, START};
use crate::named::catalogue;
use crate::net::{End, Party, Piece};
use crate::oracle::Rule;
use crate::rng::Rng;
use crate::world::{Happening, World};

catalogue! {
    /// The attacks.
    Kind

    /// Lines that are no messages: JSON of every wrong kind, too deep, with members twice, with something behind it.
    Junk "junk"
    /// Bytes without end and without a line end.
    Endless "endless"
    /// Many streams that send a byte now and then.
    Slow "slow"
    /// Ever new identities on ever new transport keys.
    FreshKeys "fresh-keys"
    /// Keys that are no points, or of small order; ephemeral keys that everybody knows.
    BadKeys "bad-keys"
    /// Requests without a handshake.
    NoHandshake "no-handshake"
    /// Messages whose signature is another's, or nobody's.
    WrongSignature "wrong-signature"
    /// What was said before is said again, also after a restart.
    Replay "replay"
    /// What was said to one is said to another.
    Redirect "redirect"
    /// A node hears its own words.
    Reflect "reflect"
    /// Somebody else listens where a peer should.
    Impostor "impostor"
    /// Somebody stands in the middle, listens, and changes what passes.
    Relay "relay"
    /// A peer that is asked lies in every way.
    Liar "liar"
    /// A peer tries sessions that it was not granted, or not for so long.
    Sessions "sessions"
    /// A peer that may only log asks the AI.
    Capability "capability"
    /// A peer asks more than it may.
    Flood "flood"
    /// Protocol 1 where protocol 2 was agreed on.
    Downgrade "downgrade"
    /// Another's name on one's own message, or another handshake's.
    Spoof "spoof"
    /// Invites that nobody made, or for somebody else, or that were used.
    Tokens "tokens"
    /// The table of nonces is filled, then old messages come again.
    NonceFlood "nonce-flood"
    /// A peer whose access was taken back tries everything to have it again.
    Resurrect "resurrect"
    /// Lines of megabytes.
    Oversize "oversize"
    /// Rotations to or from keys that are not the attacker's.
    RotationTheft "rotation-theft"
    /// A stolen key that was given up names a second successor.
    RotationFork "rotation-fork"
    /// Stolen long-term keys, and everything that was recorded before.
    Leaked "leaked-key"
    /// A victim's hello, followed by junk, so that the victim is banned.
    VictimBan "victim-ban"
    /// Two nodes share a key, and each takes the attacker for the other end.
    UnknownKeyShare "unknown-key-share"
    /// With a node's stolen keys, somebody else comes to that node, or itself.
    Impersonation "impersonation"
    /// Signed messages that two readers would read in two ways: members twice, escapes, something behind the end.
    TwoReadings "two-readings"
    /// A peer's messages that are dated minutes, hours or years off.
    WrongTime "wrong-time"
}

/// A line that Mallory saw pass.
#[derive(Clone)]
pub(crate) struct Tapped {
    pub(crate) from: Party,
    pub(crate) to: Option<Party>,
    pub(crate) line: Vec<u8>,
}

/// How far a stream of Mallory's has come.
pub(crate) enum Stage {
    /// Bytes are sent, nothing is expected.
    Raw,
    /// Said hello, with this ephemeral key.
    Hello(EphemeralKey),
    /// The handshake is over.
    Open,
    /// Somebody came to us.
    Visited,
    /// Greeted a visitor, with this key of ours.
    Greeted(EphemeralKey),
    /// Passed on to this stream.
    Relay(StreamId),
}

/// What Mallory knows of a finished handshake.
#[derive(Clone)]
pub(crate) struct Channel {
    pub(crate) ack: Nonce,
    pub(crate) ours: [u8; 32],
    pub(crate) theirs: EncryptKey,
    pub(crate) from: PublicKey,
}

/// A conversation that goes on.
pub(crate) struct Talk {
    pub(crate) stream: StreamId,
    pub(crate) channel: Channel,
    pub(crate) said: Vec<Vec<u8>>,
}

/// The transport key of an attacker that does not take a new one for each stream.
pub(crate) const TRANSPORT: [u8; 32] = [0x66; 32];

/// How many lines Mallory remembers.
const MEMORY: usize = 400;

/// Longer lines than this are not worth remembering: they take the memory of thousands.
const LONGEST_REMEMBERED: usize = 100_000;

/// The attacker.
pub(crate) struct Mallory {
    pub(crate) kind: Kind,
    pub(crate) rng: Rng,
    pub(crate) keys: wopr_p2p_core::rng::Rng,
    pub(crate) identity: Identity,
    pub(crate) streams: BTreeMap<StreamId, Stage>,
    pub(crate) tap: Vec<Tapped>,
    pub(crate) tokens: Vec<String>,
    /// A key that was stolen, with what it was used for.
    pub(crate) stolen: Option<Identity>,
    /// She holds the stolen key as her own now; what was hers is forgotten.
    pub(crate) masked: bool,
    /// When the attacked node was first seen to know the successor of the stolen key.
    pub(crate) fork_known: Option<Micros>,
    pub(crate) turns: u64,
    /// How far ahead what she writes is dated, in milliseconds.
    pub(crate) ahead: i64,
    /// The nonce of the greeting before the present one.
    pub(crate) former: Option<Nonce>,
    /// Invites of hers are not claimed before.
    pub(crate) patient_until: Micros,
    /// What she was given was taken back.
    pub(crate) disowned: bool,
    /// A stream on which she goes on talking, and what she said there.
    pub(crate) talk: Option<Talk>,
    /// Who greets on the other side of a stream that is passed on.
    pub(crate) passed: BTreeMap<StreamId, PublicKey>,
    /// How many acknowledgements of hers were what was asked for, and how many were taken for that.
    pub(crate) acknowledged: u64,
    pub(crate) believed: u64,
    /// What she repeats to whom, and who visited last.
    pub(crate) doubles: binding::Doubles,
    pub(crate) visitor: Option<PublicKey>,
    /// What she has yet to pass on.
    pub(crate) late: BTreeMap<StreamId, Vec<u8>>,
    /// Whether each stream comes with a transport key of its own.
    pub(crate) fresh_transport: bool,
    next: u64,
}

impl Mallory {
    /// An attacker with one way to attack.
    #[must_use]
    pub(crate) fn new(kind: Kind, mut rng: Rng) -> Self {
        let mut keys = wopr_p2p_core::rng::Rng::new(rng.seed());
        let identity = Identity::generate(&mut keys, WallTime::from_millis(START));
        Self {
            kind,
            rng,
            keys,
            identity,
            streams: BTreeMap::new(),
            tap: Vec::new(),
            tokens: Vec::new(),
            stolen: None,
            masked: false,
            fork_known: None,
            turns: 0,
            ahead: 0,
            former: None,
            patient_until: 0,
            disowned: false,
            talk: None,
            passed: BTreeMap::new(),
            acknowledged: 0,
            believed: 0,
            doubles: binding::Doubles::default(),
            visitor: None,
            late: BTreeMap::new(),
            fresh_transport: true,
            next: 0,
        }
    }

    /// The key that others may know.
    #[must_use]
    pub(crate) const fn key(&self) -> PublicKey {
        self.identity.public_key()
    }

    /// A stream of the attacker's and its transport key.
    pub(crate) fn new_stream(&mut self) -> (StreamId, TransportKey) {
        self.next += 1;
        let mut key = TRANSPORT;
        if self.fresh_transport {
            key[..8].copy_from_slice(&self.next.to_le_bytes());
        }
        (StreamId(self.next), TransportKey(key))
    }
}

impl World {
    /// Prepares what the attack needs: a place to listen, access to be abused.
    pub(crate) fn mallory_settles_in(&mut self) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let (kind, key) = (mallory.kind, mallory.key());
        // Bans of the transport must not be all that holds an attacker off.
        mallory.fresh_transport = mallory.rng.chance(700_000);
        self.keys.add(key, Party::Mallory);
        self.net.listen(key.topic(), Party::Mallory);
        match kind {
            Kind::Sessions => {
                self.grant(0, Party::Mallory, 0b0001, false, 0);
                // Over before she comes.
                self.grant(0, Party::Mallory, 0b0010, false, 20);
            }
            Kind::Flood | Kind::Downgrade | Kind::Spoof | Kind::Oversize | Kind::NonceFlood => {
                self.grant(0, Party::Mallory, 0b0001, false, 0);
            }
            Kind::RotationTheft | Kind::TwoReadings | Kind::WrongTime => {
                self.grant(0, Party::Mallory, 0b0001, false, 0)
            }
            Kind::NoHandshake => {
                for index in 0..self.hosts.len().min(3) {
                    self.grant(index, Party::Mallory, 0b0001, false, 0);
                }
            }
            Kind::UnknownKeyShare => {
                self.grant(0, Party::Mallory, 0, false, 0);
                self.grant(1 % self.hosts.len(), Party::Mallory, 0, false, 0);
            }
            Kind::Capability => self.grant(0, Party::Mallory, 0b0001, true, 0),
            Kind::Resurrect | Kind::Liar => self.grant(0, Party::Mallory, 0, false, 0),
            Kind::Impostor | Kind::Relay | Kind::VictimBan => {
                for index in 0..self.hosts.len().min(3) {
                    if let Some(topic) = self.hosts[index].key().map(|key| key.topic()) {
                        self.net.listen(topic, Party::Mallory);
                    }
                }
            }
            _ => {}
        }
    }

    /// Mallory's turn.
    pub(crate) fn mallory_acts(&mut self) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        mallory.turns += 1;
        // The healed world is watched for longer than the trouble lasts: there she takes her time.
        let slower = if self.healed { 4 } else { 1 };
        let (kind, pause) = (mallory.kind, mallory.rng.between(SECOND, 9 * SECOND) * slower);
        // Whoever owns the network can keep everybody from everything: in the end the network is left alone.
        let network = matches!(kind, Kind::Impostor | Kind::Relay | Kind::Liar | Kind::UnknownKeyShare);
        if self.healed && network {
            self.net.silence(Party::Mallory);
            return;
        }
        self.after(pause, Happening::Mallory);
        match kind {
            Kind::Liar | Kind::Impostor | Kind::Relay => self.network_turn(kind),
            Kind::Replay | Kind::Redirect | Kind::Reflect | Kind::Leaked | Kind::VictimBan => self.network_turn(kind),
            Kind::Junk | Kind::Endless | Kind::Slow | Kind::FreshKeys | Kind::BadKeys => self.outside_turn(kind),
            Kind::NoHandshake | Kind::WrongSignature => self.outside_turn(kind),
            Kind::UnknownKeyShare => self.double_turn(),
            Kind::Impersonation => self.impersonate(),
            _ => self.inside_turn(kind),
        }
    }

    /// Opens a stream to a node, as a stranger who found it on its topic.
    pub(crate) fn knock(&mut self, index: usize) -> Option<StreamId> {
        let topic = self.hosts[index].key()?.topic();
        let (near, near_key) = self.accept(Party::Mallory)?;
        let (far, far_key) = self.accept(Party::Node(index))?;
        self.net.join([near, far], [near_key, far_key], self.now);
        if let Some(mallory) = &mut self.mallory {
            mallory.streams.insert(near.stream, Stage::Raw);
            self.stats.attacks.entry(mallory.kind.name()).or_default().tried += 1;
        }
        self.welcome(far, near_key, topic, Some(Party::Mallory));
        Some(near.stream)
    }

    /// Mallory sends bytes.
    pub(crate) fn utter(&mut self, stream: StreamId, bytes: Vec<u8>) {
        self.transmit(End { party: Party::Mallory, stream }, bytes);
    }

    /// An attempt was refused.
    pub(crate) fn repelled(&mut self) {
        if let Some(mallory) = &self.mallory {
            self.stats.attacks.entry(mallory.kind.name()).or_default().repelled += 1;
        }
    }

    /// Something arrives at Mallory's.
    pub(crate) fn mallory_hears(&mut self, stream: StreamId, piece: Piece) {
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let kind = mallory.kind;
        let Piece::Bytes(bytes) = piece else {
            mallory.passed.remove(&stream);
            mallory.talk.take_if(|talk| talk.stream == stream);
            if let Some(Stage::Relay(other)) = mallory.streams.remove(&stream) {
                self.close(End { party: Party::Mallory, stream: other });
            }
            return;
        };
        match mallory.streams.get(&stream) {
            Some(Stage::Visited | Stage::Relay(_)) if kind == Kind::UnknownKeyShare => self.double(stream, &bytes),
            Some(Stage::Hello(_)) => self.greeted(stream, &bytes),
            Some(Stage::Open) => self.inside_hears(kind, stream, &bytes),
            Some(Stage::Relay(_) | Stage::Visited | Stage::Greeted(_)) => self.network_hears(kind, stream, bytes),
            Some(Stage::Raw) | None => {}
        }
    }

    /// Somebody dialled a topic on which Mallory listens.
    pub(crate) fn mallory_visited(&mut self, stream: StreamId, topic: Topic, _from: Option<Party>) {
        if let Some(mallory) = &mut self.mallory {
            mallory.streams.insert(stream, Stage::Visited);
            if mallory.kind == Kind::Relay {
                self.relay(stream, topic);
            }
        }
    }

    /// Mallory sees every line of a node.
    pub(crate) fn mallory_taps(&mut self, from: Party, to: Option<Party>, line: &[u8]) {
        if let Some(mallory) = self.mallory.as_mut().filter(|_| line.len() <= LONGEST_REMEMBERED) {
            if mallory.tap.len() >= MEMORY {
                mallory.tap.remove(0);
            }
            mallory.tap.push(Tapped { from, to, line: line.to_vec() });
        }
    }

    /// Whether Mallory keeps a listener from being found: who stands in the middle lets nobody pass by.
    pub(crate) fn mallory_hides(&mut self, listener: Party) -> bool {
        let kind = self.mallory.as_ref().map(|mallory| mallory.kind);
        let victim = matches!(listener, Party::Node(0..3)) && !self.healed;
        victim && matches!(kind, Some(Kind::Impostor | Kind::Relay)) && self.rng.chance(400_000)
    }

    /// Whether Mallory can say a party's words before they arrive: those of the original are bound to no handshake.
    pub(crate) fn mallory_is_first(&self, party: Party) -> bool {
        let kind = self.mallory.as_ref().map(|mallory| mallory.kind);
        matches!(party, Party::Original(_)) && matches!(kind, Some(Kind::Replay | Kind::NonceFlood))
    }

    /// An AI is asked what Mallory wants to know. At that moment her access is taken back.
    pub(crate) fn mallory_is_asked_for(&mut self, by: usize) {
        if let Some(mallory) = &mut self.mallory
            && mallory.kind == Kind::Resurrect
            && mallory.turns >= 8
            && !mallory.disowned
        {
            mallory.disowned = true;
            self.after(1000, Happening::Disown { by });
        }
    }

    /// An owner was told that Mallory acknowledged a text: she must have said so about that one.
    pub(crate) fn mallory_is_believed(&mut self, by: Party) {
        if let Some(mallory) = self.mallory.as_mut().filter(|mallory| mallory.kind == Kind::Liar) {
            mallory.believed += 1;
            if mallory.believed > mallory.acknowledged {
                self.violated(Rule::Identity, by, "what Mallory said about something else is taken for an answer");
            }
        }
    }

    /// Mallory reads an invite that was handed over carelessly.
    pub(crate) fn mallory_reads(&mut self, token: &str) {
        if let Some(mallory) = &mut self.mallory {
            mallory.tokens.push(token.to_owned());
        }
    }
}
