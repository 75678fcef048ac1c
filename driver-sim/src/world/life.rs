//! The life of a node: it starts from its disk, is given inputs, and loses power.

use wopr_p2p_core::node::Load;
use wopr_p2p_core::{Input, Node, StreamId};

use super::{Happening, Let, World};
use crate::clock::Micros;
use crate::net::{End, Party, Piece};
use crate::oracle::Rule;

/// More timeouts than this at one moment mean a timer that never moves.
const MOST_WAKES: u32 = 50;

impl World {
    /// Starts a node from its disk.
    pub(crate) fn boot(&mut self, index: usize) {
        let seed = self.rng.seed();
        let origin = self.rng.below(1 << 40);
        let host = &mut self.hosts[index];
        host.life += 1;
        host.let_in = Let::default();
        if host.life > 1 {
            host.clock.reboot(self.now, origin);
        }
        let now = host.now(self.now);
        let life = host.life;
        match Node::new(host.config.clone(), host.disk.content.stored(), seed, now) {
            Ok(node) => {
                self.keys.add(node.public_key(), Party::Node(index));
                host.node = Some(node);
                self.note(Party::Node(index), "starts", None, || format!("life {life}"));
                if life > 1 {
                    self.check_restart(index);
                }
                self.drive(index, None);
            }
            Err(error) => self.violated(Rule::Starts, Party::Node(index), error.to_string()),
        }
    }

    /// What was confirmed before must be there again.
    fn check_restart(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let Some(node) = &host.node else {
            return;
        };
        let snapshot = node.snapshot();
        let mut grants = Vec::new();
        for grant in &snapshot.grants {
            match self.keys.owner(&grant.peer) {
                Some(peer) => grants.push((peer, grant)),
                None => {
                    let what = format!("a grant for a key of nobody: {}", grant.peer);
                    return self.violated(Rule::Access, Party::Node(index), what);
                }
            }
        }
        let now = host.clock.read(self.now).wall;
        if let Err(what) = host.books.restarted(&grants, now) {
            self.violated(Rule::Access, Party::Node(index), what);
        }
    }

    /// The power goes.
    pub(crate) fn crash(&mut self, index: usize, down: Micros) {
        let Some(node) = self.hosts[index].node.take() else {
            return;
        };
        drop(node);
        self.struck(Party::Node(index));
        self.stats.fault("crash");
        self.note(Party::Node(index), "crashes", None, String::new);
        self.note_state(index);
        let host = &mut self.hosts[index];
        host.disk.crash(&mut self.rng);
        host.orders.clear();
        host.dials.clear();
        host.asks.clear();
        (host.fuse, host.wake) = (None, None);
        self.net.silence(Party::Node(index));
        for end in self.net.ends_of(Party::Node(index)) {
            self.gone(end);
        }
        self.after(down, Happening::Boot { host: index });
    }

    /// An end of a stream is gone without a word; the other end hears of it, or not.
    pub(crate) fn gone(&mut self, end: End) {
        if let Some((link, to)) = self.net.leave(end) {
            if self.rng.chance(self.faults.half_open) {
                let other = self.net.link(link).map(|link| link.ends[to].party);
                self.fault(end.party, other, "half-open stream");
                return;
            }
            self.send_piece(link, to, Piece::Hangup, None);
        }
    }

    /// Ends a write.
    pub(crate) fn settle(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let mut blown = None;
        if let Some((left, before, down)) = &mut host.fuse {
            *left = left.saturating_sub(1);
            if *left == 0 {
                blown = Some((*before, *down));
            }
        }
        if let Some((true, down)) = blown {
            self.fault(Party::Node(index), None, "crash before a write was confirmed");
            return self.crash(index, down * 1000);
        }
        let Some((id, result)) = host.disk.settle(&mut self.rng) else {
            return;
        };
        if let Some((session, text)) = host.disk.content.appended.take() {
            self.check_appended(index, &session, &text);
        }
        if let Some((_, down)) = blown {
            self.fault(Party::Node(index), None, "crash after a write, unconfirmed");
            return self.crash(index, down * 1000);
        }
        if result.is_err() {
            self.fault(Party::Node(index), None, "write failed");
        }
        self.drive(index, Some(Input::Written { id, result }));
    }

    /// Gives a node an input (or the time) and carries out what it wants.
    pub(crate) fn drive(&mut self, index: usize, input: Option<Input>) {
        let party = Party::Node(index);
        let cause = match &input {
            Some(Input::Received { stream, .. } | Input::StreamOpened { stream, .. }) => self.remote(party, *stream),
            _ => None,
        };
        let lines = match &input {
            Some(Input::Received { bytes, .. }) => memchr::memchr_iter(b'\n', bytes).count(),
            _ => 0,
        };
        self.driven = index;
        let host = &mut self.hosts[index];
        let Some(node) = host.node.as_mut() else {
            return;
        };
        let now = host.clock.read(self.now);
        host.books.watch(now);
        self.stats.inputs += 1;
        self.stats.frames += lines as u64;
        match input {
            Some(input) => node.handle_input(now, input),
            None => node.handle_timeout(now),
        }
        let mut outputs = Vec::new();
        while let Some(output) = node.poll_output() {
            outputs.push(output);
        }
        let load = node.load();
        let most = 32 + 8 * lines + 4 * (load.streams + load.requests + load.asks + load.peers + load.notices);
        if outputs.len() > most {
            let what = format!("{} outputs after one input, where {most} were to be expected", outputs.len());
            self.violated(Rule::Outputs, party, what);
        }
        for output in outputs {
            self.carry_out(index, output, cause);
        }
        self.check_memory(index, &load);
        self.note_state(index);
        self.set_alarm(index);
    }

    /// Who is at the other end of a node's stream.
    fn remote(&self, party: Party, stream: StreamId) -> Option<Party> {
        self.across(End { party, stream }).map(|end| end.party)
    }

    fn set_alarm(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        let Some((at, reason)) = host.node.as_ref().and_then(Node::poll_timeout) else {
            return;
        };
        let at = host.clock.when(at, self.now);
        if at > self.now {
            host.wakes_now = 0;
        } else {
            host.wakes_now += 1;
            if host.wakes_now > MOST_WAKES {
                host.wakes_now = 0;
                let what = format!("the timer {reason:?} is due again and again");
                self.violated(Rule::Outputs, Party::Node(index), what);
                return;
            }
        }
        if host.wake != Some(at) {
            host.wake = Some(at);
            let life = host.life;
            self.at(at, Happening::Wake { host: index, life });
        }
    }

    fn check_memory(&mut self, index: usize, load: &Load) {
        let host = &self.hosts[index];
        let Some(node) = &host.node else {
            return;
        };
        let config = &host.config;
        self.stats.most_buffered = self.stats.most_buffered.max(node.buffered());
        let bounds = [
            ("bytes of one stranger", load.most_of_stranger, wopr_p2p_core::Config::MAX_STRANGER_LINE),
            ("bytes of one stream", load.most_of_stream, config.max_line() + 64 * 1024),
            ("streams", load.streams, config.max_streams),
            ("strangers' streams", load.strangers, config.max_stranger_streams + 1),
            ("questions", load.asks, config.max_asks),
            ("requests", load.requests, config.max_commands + load.notices),
            ("peers", load.peers, config.max_peers),
            ("grants", load.grants, config.max_grants),
            ("nonces", load.nonces, config.replay.max_nonces),
            ("writes", load.writes, config.max_streams * config.max_requests_per_stream + 8),
            ("subjects", load.subjects, config.rates.max_peers + config.rates.max_transports),
        ];
        let broken: Vec<String> = bounds
            .into_iter()
            .filter(|(_, is, most)| is > most)
            .map(|(what, is, most)| format!("{is} {what}, where {most} are allowed"))
            .collect();
        for what in broken {
            self.violated(Rule::Memory, Party::Node(index), what);
        }
    }
}
