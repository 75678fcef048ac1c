//! Figures of a run, and of many together.

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::Micros;

/// What happened how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Things that happened.
    pub steps: u64,
    /// Inputs that nodes were given.
    pub inputs: u64,
    /// Texts that reached a session.
    pub delivered: u64,
    /// Lines that nodes sent.
    pub lines: u64,
    /// Lines that reached a node.
    pub frames: u64,
    /// Bytes that nodes sent.
    pub bytes: u64,
    /// Handshakes that ended well, counted at each end.
    pub handshakes: u64,
    /// Orders of owners that succeeded.
    pub done: u64,
    /// Orders that failed.
    pub failed: u64,
    /// The most bytes that a node held for lines that have not ended.
    pub most_buffered: usize,
    /// True time that passed, in microseconds.
    pub simulated: Micros,
    /// Faults that struck, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Attempts of attackers, by attack.
    pub attacks: BTreeMap<&'static str, Attempts>,
}

/// How an attack went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How often it was tried.
    pub tried: u64,
    /// How often it was answered by a refusal or a closed stream.
    pub repelled: u64,
}

impl Stats {
    /// A fault struck.
    pub fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// Adds the figures of another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.inputs += other.inputs;
        self.delivered += other.delivered;
        self.lines += other.lines;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.handshakes += other.handshakes;
        self.done += other.done;
        self.failed += other.failed;
        self.most_buffered = self.most_buffered.max(other.most_buffered);
        self.simulated += other.simulated;
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        for (name, attempts) in &other.attacks {
            let sum = self.attacks.entry(name).or_default();
            sum.tried += attempts.tried;
            sum.repelled += attempts.repelled;
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "steps           {:>12}", self.steps)?;
        writeln!(f, "inputs          {:>12}", self.inputs)?;
        writeln!(f, "lines sent      {:>12}", self.lines)?;
        writeln!(f, "lines received  {:>12}", self.frames)?;
        writeln!(f, "bytes sent      {:>12}", self.bytes)?;
        writeln!(f, "handshakes      {:>12}", self.handshakes)?;
        writeln!(f, "delivered       {:>12}", self.delivered)?;
        writeln!(f, "orders done     {:>12}", self.done)?;
        writeln!(f, "orders failed   {:>12}", self.failed)?;
        writeln!(f, "most buffered   {:>12}", self.most_buffered)?;
        writeln!(f, "simulated hours {:>12.1}", self.simulated as f64 / 3.6e9)?;
        for (name, count) in &self.faults {
            writeln!(f, "fault  {name:<24} {count:>8}")?;
        }
        for (name, Attempts { tried, repelled }) in &self.attacks {
            writeln!(f, "attack {name:<24} {tried:>8} tried {repelled:>8} repelled")?;
        }
        Ok(())
    }
}
