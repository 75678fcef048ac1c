//! What the lines on the wire say about each other. The world hears every line of everybody, so it knows which hello a
//! greeting answers, to which handshake a request belongs, and what was asked before something is answered. A node of
//! ours that says what does not fit has been taken in.

use std::time::Duration;

use wopr_p2p_core::StreamId;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::grant::Needs;
use wopr_p2p_core::keys::{EncryptKey, Nonce, PublicKey};
use wopr_p2p_core::message::{Body, HelloAck, Message};
use wopr_p2p_core::time::{Instant, WallTime};
use wopr_p2p_core::wire::json::decode;

use super::World;
use crate::clock::SECOND;
use crate::net::Party;
use crate::oracle::Rule;
use crate::table::{Map, Set};

/// How long an answer may take after its request was accepted: the disk and the AI.
const SLACK: Duration = Duration::from_secs(15);

/// The lines so far, as far as later ones refer to them.
#[derive(Default)]
pub(crate) struct Wire {
    /// Who said which hello, and to whom.
    hellos: Map<Nonce, (Party, Option<PublicKey>)>,
    /// When each hello says that it was said, whoever said it, and whether it names whom it is for.
    dates: Map<Nonce, (WallTime, bool)>,
    /// Which hello a greeting answers.
    greetings: Map<Nonce, Option<Nonce>>,
    requests: Map<Nonce, Request>,
    streams: Map<(Party, StreamId), Handshake>,
    ephemerals: Set<(Party, EncryptKey)>,
}

/// What was asked.
#[derive(Clone)]
struct Request {
    from: PublicKey,
    /// The protocol version, if the request names one that binds.
    version: Option<u8>,
    at: WallTime,
    /// The greeting that it belongs to.
    re: Option<Nonce>,
    /// Whether it counts once only: a rotation can be told again and at any time.
    timed: bool,
}

/// What one end said to shake hands.
#[derive(Clone, Copy)]
enum Handshake {
    Hello {
        nonce: Nonce,
        since: Instant,
    },
    /// `bound` if the requests that follow must name the greeting.
    Greeting {
        nonce: Nonce,
        version: u8,
        bound: bool,
        since: Instant,
    },
}

type Fault = (Rule, String);

impl Wire {
    fn remember(&mut self, from: Party, stream: StreamId, message: &Message, since: Instant) {
        let (nonce, honest) = (message.header.nonce, from != Party::Mallory);
        if let Body::Hello(hello) = &message.body {
            self.dates.entry(nonce).or_insert((message.header.ts, hello.to.is_some()));
        }
        let (version, timed) = match &message.body {
            Body::Hello(hello) if honest => {
                self.hellos.insert(nonce, (from, hello.to));
                self.streams.insert((from, stream), Handshake::Hello { nonce, since });
                return;
            }
            Body::HelloAck(ack) if honest => {
                self.greetings.insert(nonce, ack.re);
                let bound = ack.re.and_then(|re| self.dates.get(&re)).is_some_and(|(_, named)| *named);
                let version = ack.version;
                self.streams.insert((from, stream), Handshake::Greeting { nonce, version, bound, since });
                return;
            }
            Body::Log(log) => (Some(log.v), true),
            Body::Inject(inject) => (Some(inject.v), true),
            Body::Claim(claim) => (Some(claim.v), true),
            Body::KeyRotation(_) => (None, false),
            _ => return,
        };
        let (from, at, re) = (message.header.from, message.header.ts, message.body.re());
        // What is said again stays what it was.
        self.requests.entry(nonce).or_insert(Request { from, version, at, re, timed });
    }

    fn fresh(&mut self, party: Party, key: Option<EncryptKey>) -> Result<(), Fault> {
        match key {
            Some(key) if !self.ephemerals.insert((party, key)) => {
                Err((Rule::FreshNonce, "an ephemeral key is used for a second handshake".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl World {
    /// Somebody sends a line. Ours are judged, the others' remembered.
    pub(crate) fn overhear(&mut self, from: Party, stream: StreamId, line: &[u8]) {
        let Ok(received) = decode(line) else {
            return;
        };
        let message = received.message();
        let mut since = Instant::ZERO;
        if let Party::Node(index) = from {
            since = self.hosts[index].now(self.now).mono;
            if let Err((rule, what)) = self.judge(index, stream, message) {
                self.violated(rule, from, what);
            }
        }
        self.wire.remember(from, stream, message, since);
    }

    fn judge(&mut self, index: usize, stream: StreamId, message: &Message) -> Result<(), Fault> {
        match &message.body {
            Body::Hello(hello) => self.wire.fresh(Party::Node(index), hello.ephemeral),
            Body::HelloAck(ack) => self.judge_greeting(index, ack),
            Body::Log(_) | Body::Inject(_) | Body::Claim(_) | Body::KeyRotation(_) => {
                self.judge_request(index, stream, message.body.re())
            }
            Body::Ack(ack) => self.judge_answer(index, stream, ack.re, None),
            Body::Response(response) => self.judge_answer(index, stream, response.re, response.session.as_ref()),
            Body::Reject(_) => Ok(()),
        }
    }

    /// A hello is answered: its author said it, to this node.
    fn judge_greeting(&mut self, index: usize, ack: &HelloAck) -> Result<(), Fault> {
        let party = Party::Node(index);
        self.wire.fresh(party, ack.ephemeral)?;
        let (Some(to), Some(re)) = (ack.to, ack.re) else {
            return Ok(());
        };
        if let Some((said, _)) = self.wire.dates.get(&re) {
            self.judge_date(index, *said)?;
        }
        if self.mallory.as_ref().is_some_and(|mallory| mallory.key() == to) {
            return Ok(());
        }
        let fault = |what: String| Err((Rule::Identity, what));
        let author = match self.keys.owner(&to) {
            None => return fault("a key of nobody is greeted".to_owned()),
            Some(Party::Mallory) => return Ok(()),
            Some(author) => author,
        };
        match self.wire.hellos.get(&re) {
            Some((by, whom)) if *by == author => {
                if whom.is_some_and(|whom| self.keys.owner(&whom) != Some(party)) {
                    return fault(format!("a hello of {author:?} for somebody else is answered"));
                }
            }
            _ => return fault(format!("{author:?} is greeted, but said no such hello")),
        }
        if ack.version < 2 && matches!(author, Party::Node(_)) {
            return Err((Rule::Secret, "two that speak protocol 2 agree on protocol 1".to_owned()));
        }
        Ok(())
    }

    /// Something is asked: in the handshake of this very stream, and under keys that are not too old.
    fn judge_request(&self, index: usize, stream: StreamId, re: Option<Nonce>) -> Result<(), Fault> {
        let Some(Handshake::Hello { nonce, since }) = self.wire.streams.get(&(Party::Node(index), stream)) else {
            return Err((Rule::Identity, "something is asked without a hello".to_owned()));
        };
        if let Some(Some(answered)) = re.and_then(|re| self.wire.greetings.get(&re))
            && answered != nonce
        {
            return Err((Rule::Identity, "something is asked in the handshake of another stream".to_owned()));
        }
        self.judge_age(index, *since)
    }

    /// The keys of a handshake may be used for their time, and for what is under way then.
    fn judge_age(&self, index: usize, since: Instant) -> Result<(), Fault> {
        let host = &self.hosts[index];
        if host.now(self.now).mono.since(since) > host.config.ephemeral_ttl + SLACK {
            return Err((Rule::Secret, "ephemeral keys are used beyond their time".to_owned()));
        }
        Ok(())
    }

    /// Something is acknowledged, or a question answered (then with its session): it was asked, in this handshake, in its
    /// version, not long ago; and who asked may hear the answer.
    fn judge_answer(
        &self,
        index: usize,
        stream: StreamId,
        re: Option<Nonce>,
        session: Option<&SessionName>,
    ) -> Result<(), Fault> {
        let handshake = self.wire.streams.get(&(Party::Node(index), stream));
        let Some(Handshake::Greeting { nonce, version, bound, since }) = handshake else {
            return Err((Rule::Identity, "something is answered without a handshake".to_owned()));
        };
        self.judge_age(index, *since)?;
        let Some(re) = re else {
            return Err((Rule::Identity, "an answer does not say what it answers".to_owned()));
        };
        let Some(request) = self.wire.requests.get(&re) else {
            return Err((Rule::Identity, "something is answered that nobody asked".to_owned()));
        };
        // The requests of the original name no handshake.
        if request.re.map_or(*bound, |re| re != *nonce) {
            return Err((Rule::Identity, "what belongs to another handshake is answered".to_owned()));
        }
        if request.version.is_some_and(|asked| asked != *version) {
            return Err((Rule::Secret, "what came in another protocol version is answered".to_owned()));
        }
        let host = &self.hosts[index];
        if request.timed {
            self.judge_date(index, request.at)?;
        }
        let wall = host.now(self.now).wall;
        match (session, self.keys.owner(&request.from)) {
            (Some(session), Some(asker)) if !host.books.may(asker, session, Needs::Inject, wall) => {
                Err((Rule::Granted, format!("{asker:?}, who may not ask in {}, gets an answer", session.as_str())))
            }
            _ => Ok(()),
        }
    }

    /// What is answered was said about now, by the clock of the node that answers it.
    fn judge_date(&self, index: usize, said: WallTime) -> Result<(), Fault> {
        let host = &self.hosts[index];
        let steady = self.now >= host.clock_set + SLACK.as_secs() * SECOND;
        if steady && host.now(self.now).wall.abs_diff(said) > host.config.replay.window + SLACK {
            return Err((Rule::Window, "what was said at another time is answered".to_owned()));
        }
        Ok(())
    }
}
