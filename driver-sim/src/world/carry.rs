//! Carrying out what a node wants, and looking at it: this is where most rules are checked.

use wopr_p2p_core::event::{Event, RejectReason};
use wopr_p2p_core::grant::Needs;
use wopr_p2p_core::identity::IdentityFile;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::{AskFailed, EntryKind, Output, Question, SessionEntry};

use super::{Happening, World};
use crate::clock::SECOND;
use crate::disk::Write;
use crate::net::{End, Party};
use crate::oracle::{Rule, accuses};
use crate::words;

impl World {
    /// Carries out one output. `cause` is who sent what the node was given, if somebody did.
    pub(crate) fn carry_out(&mut self, index: usize, output: Output, cause: Option<Party>) {
        let party = Party::Node(index);
        let life = self.hosts[index].life;
        match output {
            Output::Transmit { stream, bytes } => {
                self.check_line(index, stream, &bytes);
                self.transmit(End { party, stream }, bytes);
            }
            Output::CloseStream { stream } => self.close(End { party, stream }),
            Output::Dial { dial, topic } => self.dial(index, dial, topic),
            Output::StopDial { dial } => {
                self.hosts[index].dials.remove(&dial);
            }
            Output::Listen { topic } => self.net.listen(topic, party),
            Output::Unlisten { topic } => self.net.unlisten(topic, party),
            Output::Store { id, document, write } => {
                self.hosts[index].disk.take(id, Write::Document(document, write));
                self.settle_later(index);
            }
            Output::Record { id, session, entry } => {
                self.check_entry(index, session.as_str(), &entry);
                self.hosts[index].disk.take(id, Write::Line(session.as_str().to_owned(), entry));
                self.settle_later(index);
            }
            Output::Ask { id, question } => {
                self.check_question(index, &question);
                self.hosts[index].asks.insert(id);
                let result = if self.rng.chance(self.faults.ai_fails) {
                    self.fault(party, None, "no answer of the AI");
                    Err(AskFailed::Died)
                } else {
                    Ok(format!("re: {}", question.text))
                };
                let delay = self.rng.between(0, 5 * SECOND);
                self.after(delay, Happening::Answer { host: index, life, ask: id, result });
            }
            Output::CancelAsk { id } => {
                self.hosts[index].asks.remove(&id);
            }
            Output::Finished { id, result } => self.order_ended(index, id, result),
            Output::Event(event) => self.event(index, &event, cause),
        }
    }

    fn settle_later(&mut self, index: usize) {
        let delay = self.rng.between(0, self.faults.disk_latency * 1000);
        let life = self.hosts[index].life;
        self.after(delay, Happening::Settle { host: index, life });
    }

    fn check_line(&mut self, index: usize, stream: wopr_p2p_core::StreamId, line: &[u8]) {
        let party = Party::Node(index);
        let other = self.across(End { party, stream }).map(|end| end.party);
        self.stats.lines += 1;
        self.stats.bytes += line.len() as u64;
        if let Err((rule, what)) = self.seen.line(party, line) {
            self.violated(rule, party, what);
        }
        self.overhear(party, stream, line);
        self.mallory_taps(party, other, line);
    }

    /// A line is about to go into a session's file.
    fn check_entry(&mut self, index: usize, session: &str, entry: &SessionEntry) {
        let party = Party::Node(index);
        if entry.kind == EntryKind::Answer {
            return;
        }
        self.stats.delivered += 1;
        let needs = if entry.kind == EntryKind::Message { Needs::Log } else { Needs::Inject };
        let Some(from) = self.check_permission(index, session, &entry.peer, needs, "a text is stored") else {
            return;
        };
        self.count_text(index, entry.peer, needs);
        self.note(party, "stores", Some(from), || format!("a text in {session}"));
        let Some(sent) = self.seen.texts.get_mut(&entry.content) else {
            return self.violated(Rule::Once, party, format!("a text that nobody sent is stored as {from:?}'s"));
        };
        // A line that may be there already is counted when it is written.
        sent.delivered += u32::from(entry.once.is_none());
        let addressed = sent.from == from && sent.to == party;
        // What somebody was told, that one may say again as their own: protocol 2 binds no names into its keys, so
        // they can do so without reading it.
        let passed_on = sent.to == Party::Mallory && from == Party::Mallory;
        let (times, right) = (sent.delivered, (addressed || passed_on) && sent.session == session);
        if !right {
            let what = format!("a text of {:?} for {:?} is stored as {from:?}'s", sent.from, sent.to);
            self.violated(Rule::Identity, party, what);
        } else if times > 1 {
            self.violated(Rule::Once, party, format!("a text of {from:?} is stored {times} times"));
        }
    }

    fn check_question(&mut self, index: usize, question: &Question) {
        let party = Party::Node(index);
        let session = question.session.as_str();
        let asker = self.check_permission(index, session, &question.peer, Needs::Inject, "an AI is asked");
        if asker == Some(Party::Mallory) {
            self.mallory_is_asked_for(index);
        }
        let stored = self.hosts[index].disk.content.count(session, &question.text);
        if stored != 1 {
            self.violated(Rule::Stored, party, format!("an AI is asked what is in its session {stored} times"));
        }
        if let Some(sent) = self.seen.texts.get_mut(&question.text) {
            sent.asked += 1;
            if sent.asked > 1 {
                self.violated(Rule::Once, party, "an AI is asked the same again");
            }
        }
    }

    /// Whether the books allow it; returns whose key it is.
    fn check_permission(
        &mut self,
        index: usize,
        session: &str,
        peer: &PublicKey,
        needs: Needs,
        what: &str,
    ) -> Option<Party> {
        let party = Party::Node(index);
        let Some(from) = self.keys.owner(peer) else {
            self.violated(Rule::Granted, party, format!("{what} for a key of nobody"));
            return None;
        };
        let host = &self.hosts[index];
        let now = host.clock.read(self.now).wall;
        let name = wopr_p2p_core::access::SessionName::new(session).ok()?;
        if !host.books.may(from, &name, needs, now) {
            self.violated(Rule::Granted, party, format!("{what} in {session} for {from:?}, who may not"));
        }
        Some(from)
    }

    fn event(&mut self, index: usize, event: &Event, cause: Option<Party>) {
        let party = Party::Node(index);
        if self.trace.keeps() {
            let text = words::event(&self.keys, event);
            self.note(party, "event", cause, || text);
        }
        match event {
            Event::PeerConnected { peer, .. } => {
                self.stats.handshakes += 1;
                let owner = self.keys.owner(peer);
                // Mallory may pass messages on: then the peer is who it is, and Mallory is the wire.
                if owner != cause && cause != Some(Party::Mallory) {
                    self.violated(Rule::Identity, party, format!("{cause:?} is taken for {owner:?}"));
                }
            }
            Event::PeerRejected { reason, remote } => {
                self.check_accusation(party, *reason, cause);
                self.count_nuisance(index, *remote, *reason);
            }
            Event::MessageRejected { reason, .. } => self.check_accusation(party, *reason, cause),
            Event::GrantCreated { peer, grant, sessions } => {
                let Some(from) = self.keys.owner(peer) else {
                    return self.violated(Rule::Access, party, "a grant for a key of nobody");
                };
                // What the owner ordered is judged when the order ends; everything else must come from an invite.
                if !self.hosts[index].books.is_ordered(from, sessions) {
                    let now = self.hosts[index].clock.read(self.now).wall;
                    if let Err(what) = self.hosts[index].books.claimed(from, grant, sessions, now) {
                        self.violated(Rule::Access, party, what);
                    }
                }
            }
            Event::KeyRotated { old, new, .. } => {
                let (before, after) = (self.keys.owner(old), self.keys.owner(new));
                if before != after {
                    self.violated(Rule::Identity, party, format!("{before:?}'s key is now {after:?}'s"));
                }
            }
            Event::OwnKeyRotated { old, new } => {
                if self.keys.owner(old) != Some(party) {
                    self.violated(Rule::Identity, party, "a rotation of somebody else's key");
                }
                self.keys.add(*new, party);
                self.hosts[index].rotations += 1;
                let others = (0..self.hosts.len()).map(Party::Node).filter(|other| *other != party);
                let unknown: Vec<Party> = others.filter(|other| self.entries(index, *other).is_empty()).collect();
                self.hosts[index].untold.extend(unknown);
                let stored = self.hosts[index].disk.content.stored().identity;
                let stored = stored.and_then(|json| IdentityFile::from_json(&json).ok());
                if stored.is_none_or(|file| file.current.public_key() != *new) {
                    self.violated(Rule::Stored, party, "new keys are used that are not stored");
                }
            }
            Event::QueuedDelivered { id, .. } => self.queued_delivered(index, id),
            // The owner knows.
            Event::QueuedFailed { id, .. } => {
                self.hosts[index].waiting.remove(id);
            }
            _ => {}
        }
    }

    fn check_accusation(&mut self, party: Party, reason: RejectReason, cause: Option<Party>) {
        if cause == Some(Party::Mallory) {
            self.repelled();
        } else if let Some(other) = cause
            && accuses(reason)
            && !(reason == RejectReason::Replayed && self.mallory_is_first(other))
        {
            self.violated(Rule::Accusation, party, format!("{other:?} is accused: {}", reason.as_str()));
        }
    }
}
