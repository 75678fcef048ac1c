//! Reaching a peer: every listener found on its topic is tried until one proves the peer's key.
//!
//! Anybody can announce a topic. An impostor costs a handshake and nothing else: it cannot end the search, and what it
//! says is believed by nobody.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::stream::Phase;
use super::{CommandError, DialEnd, DialId, Node, Output, StreamId, TransportKey};
use crate::handshake::{DialFault, Dialler};
use crate::keys::{PublicKey, VerifyingKey};
use crate::time::{Instant, Now};

/// What the owner hears of a peer whose messages are all too old, or of the future.
const CLOCKS: &str = "its clock and ours differ by more than five minutes";

/// The search for one peer.
pub(super) struct Dial {
    local: PublicKey,
    target: VerifyingKey,
    attempts: u32,
    stage: Stage,
    /// Why the peer itself, proved by its key, turned us away.
    refused: Option<Refused>,
    /// Somebody gave an answer of the peer's that is too old, or of the future.
    misdated: bool,
}

/// Where a search stands.
enum Stage {
    /// The driver is looking.
    Searching,
    /// Every listener has been found; some have yet to answer.
    Draining(DialEnd),
    /// The next attempt comes then.
    RetryAt(Instant),
}

enum Refused {
    Version,
    Words(String),
}

impl Dial {
    /// When the search needs the clock.
    pub(super) fn timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::RetryAt(at) => Some(at),
            Stage::Searching | Stage::Draining(_) => None,
        }
    }
}

impl Node {
    /// Looks for a peer, unless that is being done already.
    pub(super) fn dial(&mut self, local: PublicKey, target: PublicKey, now: Now) {
        if self.dials.values().any(|dial| dial.local == local && dial.target.public() == target) {
            return;
        }
        let Ok(key) = target.verifying_key() else {
            return self.fail_waiting(local, target, &CommandError::BadKey(crate::keys::KeyError::BadPoint), now);
        };
        let dial = DialId(self.next_id());
        let searching =
            Dial { local, target: key, attempts: 1, stage: Stage::Searching, refused: None, misdated: false };
        self.dials.insert(dial, searching);
        self.outputs.push_back(Output::Dial { dial, topic: target.topic() });
    }

    /// A listener was found: say hello.
    pub(super) fn dialled(&mut self, id: StreamId, dial: DialId, remote: TransportKey, now: Now) {
        let found = self.dials.get(&dial).filter(|_| self.streams.len() < self.config.max_streams);
        let Some((local, target)) = found.map(|dial| (dial.local, dial.target.clone())) else {
            self.outputs.push_back(Output::CloseStream { stream: id });
            return;
        };
        let Some(identity) = self.identity.find(&local) else {
            self.outputs.push_back(Output::CloseStream { stream: id });
            return;
        };
        let (dialler, line) = Dialler::start(identity, target, &self.config, &mut self.rng, now);
        self.add_stream(id, remote, vec![local], Phase::AwaitAck(dial, Box::new(dialler)), now);
        self.transmit(id, line);
    }

    /// A stream of this dial leads to the peer: the others are not needed.
    pub(super) fn dial_succeeded(&mut self, dial: DialId, winner: StreamId, now: Now) {
        let Some(found) = self.end_dial(dial, now) else {
            return self.close(winner, now);
        };
        self.answer_pings(found.local, found.target.public(), winner, now);
        self.pump(found.local, found.target.public(), now);
    }

    /// A stream of this dial does not lead to the peer.
    pub(super) fn dial_stream_failed(&mut self, dial: DialId, fault: Option<DialFault>, now: Now) {
        let Some(found) = self.dials.get_mut(&dial) else {
            return;
        };
        match fault {
            Some(DialFault::NoCommonVersion) => found.refused = Some(Refused::Version),
            Some(DialFault::Refused(words)) => found.refused = Some(Refused::Words(words)),
            Some(DialFault::ClockDiffers) => found.refused = Some(Refused::Words(CLOCKS.into())),
            Some(DialFault::OldAnswer) => found.misdated = true,
            Some(DialFault::Imposter) | None => {}
        }
        if let Stage::Draining(why) = found.stage {
            self.search_over(dial, why, now);
        } else if self.dials.get(&dial).is_some_and(|found| found.refused.is_some()) {
            self.give_up(dial, DialEnd::Exhausted, now);
        }
    }

    /// The driver will find no more listeners.
    pub(super) fn dial_ended(&mut self, dial: DialId, why: DialEnd, now: Now) {
        if self.topic_dial_ended(dial, why, now) {
            return;
        }
        if let Some(found) = self.dials.get_mut(&dial) {
            found.stage = Stage::Draining(why);
            self.search_over(dial, why, now);
        }
    }

    /// Tries again later, or gives up, if no stream of this dial is left.
    fn search_over(&mut self, dial: DialId, why: DialEnd, now: Now) {
        let pending = self.streams.values().any(|s| matches!(&s.phase, Phase::AwaitAck(of, _) if *of == dial));
        if pending {
            return;
        }
        let Some(found) = self.dials.get_mut(&dial) else {
            return;
        };
        if found.refused.is_some() || found.attempts >= self.config.dial_attempts {
            return self.give_up(dial, why, now);
        }
        let delay = self.config.dial_backoff * 2_u32.saturating_pow(found.attempts - 1);
        found.stage = Stage::RetryAt(now.mono + delay);
    }

    fn give_up(&mut self, dial: DialId, why: DialEnd, now: Now) {
        let Some(found) = self.end_dial(dial, now) else {
            return;
        };
        let target = found.target.public();
        let error = match (found.refused, why) {
            (Some(Refused::Version), _) => CommandError::VersionMismatch(target),
            (Some(Refused::Words(words)), _) => super::request::refusal(target, &words),
            (None, DialEnd::NetworkDown) => CommandError::NetworkDown,
            (None, DialEnd::Exhausted) if found.misdated => super::request::refusal(target, CLOCKS),
            (None, DialEnd::Exhausted) => CommandError::PeerOffline(target),
        };
        self.fail_waiting(found.local, target, &error, now);
    }

    /// Starts the searches that waited for this moment.
    pub(super) fn retry_dials(&mut self, now: Now) {
        for (id, dial) in &mut self.dials {
            if matches!(dial.stage, Stage::RetryAt(at) if at <= now.mono) {
                dial.stage = Stage::Searching;
                dial.attempts += 1;
                self.outputs.push_back(Output::Dial { dial: *id, topic: dial.target.public().topic() });
            }
        }
    }

    /// Ends the searches that nothing waits for any more.
    pub(super) fn stop_unwanted_dials(&mut self, now: Now) {
        let unwanted: Vec<_> = self
            .dials
            .iter()
            .filter(|(_, dial)| {
                !self.requests.values().any(|request| {
                    request.sent.is_none() && request.local == dial.local && request.target == dial.target.public()
                })
            })
            .map(|(id, _)| *id)
            .collect();
        for dial in unwanted {
            self.end_dial(dial, now);
        }
    }

    fn end_dial(&mut self, id: DialId, now: Now) -> Option<Dial> {
        let dial = self.dials.remove(&id)?;
        if matches!(dial.stage, Stage::Searching) {
            self.outputs.push_back(Output::StopDial { dial: id });
        }
        let open: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| matches!(&stream.phase, Phase::AwaitAck(of, _) if *of == id))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in open {
            self.close(stream, now);
        }
        Some(dial)
    }
}
