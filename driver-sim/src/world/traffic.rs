//! Bytes on their way: sending, cutting, stalling, breaking, arriving, and how streams come to be.

use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::{DialId, Input, StreamId, StreamOrigin, TransportKey};

use super::{Happening, World};
use crate::clock::{Micros, SECOND};
use crate::net::{End, Party, Piece};
use crate::oracle::member;
use crate::trace::Line;

impl World {
    /// A party sends bytes on a stream. What is sent into a stream that is no more is lost.
    pub(crate) fn transmit(&mut self, end: End, bytes: Vec<u8>) {
        let Some((link, side)) = self.net.find(end) else {
            return;
        };
        let to = 1 - side;
        self.trace.bytes(self.now, end.party, 1, &bytes);
        if !matches!(end.party, Party::Node(_)) {
            self.overhear(end.party, end.stream, &bytes);
            if let Party::Original(_) = end.party {
                let other = self.across(end).map(|end| end.party);
                self.mallory_taps(end.party, other, &bytes);
            }
        }
        let broken = self.rng.chance(self.faults.truncate);
        let message = self.note_message(end, link, to, &bytes);
        let sent = if broken { self.rng.index(bytes.len() + 1) } else { bytes.len() };
        let ours = self.net.link(link).is_some_and(|l| l.ends.iter().all(|end| matches!(end.party, Party::Node(_))));
        let mut rest = bytes;
        rest.truncate(sent);
        // The original reads one line a piece, so its pieces stay whole.
        let cuts = if ours && self.rng.chance(self.faults.cut) { self.rng.between(1, 4) } else { 0 };
        for _ in 0..cuts {
            let left = rest.split_off(self.rng.index(rest.len() + 1));
            self.send_piece(link, to, Piece::Bytes(core::mem::replace(&mut rest, left)), None);
        }
        // What arrives with its last piece has arrived.
        let arrives = Some(message).filter(|_| !broken);
        self.send_piece(link, to, Piece::Bytes(rest), arrives);
        if broken {
            let other = self.net.link(link).map(|link| link.ends[to].party);
            self.fault(end.party, other, "stream broken");
            self.send_piece(link, to, Piece::Hangup, None);
            self.send_piece(link, side, Piece::Hangup, None);
        }
    }

    /// A party closes its end.
    pub(crate) fn close(&mut self, end: End) {
        if let Some(other) = self.across(end) {
            self.note(end.party, "closes", Some(other.party), String::new);
        }
        self.gone(end);
    }

    pub(crate) fn send_piece(&mut self, link: u64, to: usize, piece: Piece, message: Option<u64>) {
        let len = if let Piece::Bytes(bytes) = &piece { bytes.len() } else { 0 };
        let (at, stalled) = self.net.arrival(link, to, len, &self.faults, &mut self.rng, self.now);
        if stalled && let Some(ends) = self.net.link(link).map(|link| link.ends) {
            self.fault(ends[1 - to].party, Some(ends[to].party), "stream stalled");
        }
        self.at(at, Happening::Arrive { link, to, piece, message });
    }

    pub(crate) fn arrive(&mut self, link: u64, to: usize, piece: Piece, message: Option<u64>) {
        let Some(ends) = self.net.link(link).map(|link| link.ends) else {
            return;
        };
        let cut = self.net.cut_until(ends[1 - to].party, ends[to].party, self.now);
        let Some(lane) = self.net.lane(link, to).filter(|lane| !lane.dead) else {
            return;
        };
        if cut.is_some() || !lane.held.is_empty() {
            lane.held.push_back((piece, message));
            if let Some(until) = cut {
                self.at(until, Happening::Release { link, to });
            }
            return;
        }
        self.receive(ends, to, piece, message);
    }

    pub(crate) fn release(&mut self, link: u64, to: usize) {
        while let Some(ends) = self.net.link(link).map(|link| link.ends) {
            if let Some(until) = self.net.cut_until(ends[1 - to].party, ends[to].party, self.now) {
                return self.at(until, Happening::Release { link, to });
            }
            match self.net.lane(link, to).and_then(|lane| lane.held.pop_front()) {
                Some((piece, message)) => self.receive(ends, to, piece, message),
                None => return,
            }
        }
    }

    fn receive(&mut self, ends: [End; 2], to: usize, piece: Piece, message: Option<u64>) {
        let (end, from) = (ends[to], ends[1 - to].party);
        let (party, stream) = (end.party, end.stream);
        if message.is_some() {
            let at = self.now;
            self.trace.line(|| Line { message, ..Line::new(at, party, "receives", Some(from), String::new()) });
        }
        if let Piece::Hangup = piece {
            self.net.leave(end);
        }
        match (party, piece) {
            (Party::Node(index), Piece::Bytes(bytes)) => {
                self.trace.bytes(self.now, party, 2, &bytes);
                self.drive(index, Some(Input::Received { stream, bytes }));
            }
            (Party::Node(index), Piece::Hangup) => self.drive(index, Some(Input::StreamClosed { stream })),
            (Party::Original(index), piece) => self.original_hears(index, stream, piece),
            (Party::Mallory, piece) => self.mallory_hears(stream, piece),
        }
    }

    /// Writes down that something is sent; returns the number by which its arrival is found.
    fn note_message(&mut self, end: End, link: u64, to: usize, bytes: &[u8]) -> u64 {
        self.messages += 1;
        let (at, message, net) = (self.now, self.messages, &self.net);
        self.trace.line(|| {
            let other = net.link(link).map(|link| link.ends[to].party);
            let detail = describe(bytes);
            Line { message: Some(message), ..Line::new(at, end.party, "sends", other, detail) }
        });
        message
    }

    /// A node looks for listeners on a topic.
    pub(crate) fn dial(&mut self, index: usize, dial: DialId, topic: Topic) {
        let party = Party::Node(index);
        let life = self.hosts[index].life;
        self.hosts[index].dials.insert(dial);
        let mut last = self.now + self.faults.latency * 4000;
        for listener in self.net.listeners(&topic) {
            if listener == party {
                continue;
            }
            if self.rng.chance(self.faults.omitted) || self.mallory_hides(listener) {
                self.fault(party, Some(listener), "listener omitted by discovery");
                continue;
            }
            let at = self.now + (self.faults.latency * 4 + self.rng.between(0, self.faults.jitter)) * 1000;
            last = last.max(at);
            self.at(at, Happening::Reach { host: index, life, dial, topic, listener });
        }
        if self.rng.chance(self.faults.lies) {
            last = last.max(self.lie_to(index, dial, topic));
        }
        let why = wopr_p2p_core::DialEnd::Exhausted;
        self.at(last + 1, Happening::DialOver { host: index, life, dial, why });
    }

    /// Discovery names somebody who is not there, or who listens elsewhere. Returns until when that keeps a dial busy.
    fn lie_to(&mut self, index: usize, dial: DialId, topic: Topic) -> Micros {
        let (party, at) = (Party::Node(index), self.now + self.rng.between(1, 5) * SECOND);
        let other = self.rng.index(self.hosts.len());
        if other == index || self.rng.chance(500_000) {
            self.fault(party, None, "listener invented by discovery");
        } else {
            let (listener, life) = (Party::Node(other), self.hosts[index].life);
            self.fault(party, Some(listener), "wrong listener named by discovery");
            self.at(at, Happening::Reach { host: index, life, dial, topic, listener });
        }
        at
    }

    /// A dial reaches a listener.
    pub(crate) fn reach(&mut self, index: usize, dial: DialId, topic: Topic, listener: Party) {
        let party = Party::Node(index);
        let cut = |from, to| self.net.cut_until(from, to, self.now).is_some();
        if cut(party, listener) || cut(listener, party) || self.rng.chance(self.faults.dial_fails) {
            return self.fault(party, Some(listener), "stream not opened");
        }
        let Some((far, far_key)) = self.accept(listener) else {
            return;
        };
        let near = End { party, stream: self.hosts[index].stream() };
        let near_key = self.hosts[index].transport;
        self.net.join([near, far], [near_key, far_key], self.now);
        self.welcome(far, near_key, topic, Some(party));
        let origin = StreamOrigin::Dialled(dial);
        let (stream, remote) = (near.stream, far_key);
        self.drive(index, Some(Input::StreamOpened { stream, origin, remote }));
    }

    /// An end for somebody who is dialled, and their transport key; `None` if they are not there.
    pub(crate) fn accept(&mut self, listener: Party) -> Option<(End, TransportKey)> {
        let (stream, key) = match listener {
            Party::Node(index) => {
                self.hosts[index].node.as_ref()?;
                (self.hosts[index].stream(), self.hosts[index].transport)
            }
            Party::Original(index) => (self.originals[index].stream(), self.originals[index].transport()),
            Party::Mallory => self.mallory.as_mut()?.new_stream(),
        };
        Some((End { party: listener, stream }, key))
    }

    /// Tells a listener that somebody came.
    pub(crate) fn welcome(&mut self, far: End, remote: TransportKey, topic: Topic, from: Option<Party>) {
        let stream: StreamId = far.stream;
        if let Some(from) = from {
            self.note(from, "opens", Some(far.party), String::new);
        }
        match far.party {
            Party::Node(index) => {
                let strange = !self.net.listeners(&topic).contains(&far.party);
                let topics = if self.rng.chance(300_000) || strange { Vec::new() } else { vec![topic] };
                let origin = StreamOrigin::Accepted { topics };
                self.drive(index, Some(Input::StreamOpened { stream, origin, remote }));
            }
            Party::Original(index) => self.originals[index].accepted(stream),
            Party::Mallory => self.mallory_visited(stream, topic, from),
        }
    }
}

/// What a write is, in a few words: the message's type, for a refusal the reason, and how long it is.
fn describe(bytes: &[u8]) -> String {
    let text = |name| member(bytes, name).map(|value| String::from_utf8_lossy(value).into_owned());
    let what = match (text(b"\"type\":\""), text(b"\"reason\":\"")) {
        (Some(kind), Some(reason)) => format!("{kind} ({reason})"),
        (Some(kind), None) => kind,
        (None, _) => "no message".to_owned(),
    };
    format!("{what}, {} bytes", bytes.len())
}
