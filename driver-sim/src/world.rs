//! The world: everybody in it, one queue of what happens next, and one true time. It is a machine to be stepped and
//! looked at; it reads no clock and has no source of chance but its seed.

mod carry;
mod life;
mod limits;
mod outbox;
mod owner;
mod service;
mod traffic;
mod wire;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::{AskFailed, AskId, Config, DialEnd, DialId, Input, Node};

use crate::adversary::Mallory;
use crate::clock::{Clock, Micros, SECOND};
use crate::faults::Faults;
use crate::host::Host;
use crate::ledger::Keys;
use crate::net::{End, Network, Party, Piece};
use crate::oracle::{Rule, Seen, Violation};
use crate::original::Original;
use crate::rng::Rng;
use crate::scenario::{Action, Scenario};
use crate::stats::Stats;
use crate::trace::{Line, Trace};

pub(crate) use self::limits::Let;
pub(crate) use self::owner::session;
use self::wire::Wire;

/// Something that is going to happen.
pub(crate) enum Happening {
    /// A node's timer.
    Wake { host: usize, life: u32 },
    /// A piece reaches the end of its lane.
    Arrive { link: u64, to: usize, piece: Piece, message: Option<u64> },
    /// A partition may be over.
    Release { link: u64, to: usize },
    /// A write ends.
    Settle { host: usize, life: u32 },
    /// An AI is done.
    Answer { host: usize, life: u32, ask: AskId, result: Result<String, AskFailed> },
    /// A dial reaches a listener.
    Reach { host: usize, life: u32, dial: DialId, topic: Topic, listener: Party },
    /// A dial finds nobody any more.
    DialOver { host: usize, life: u32, dial: DialId, why: DialEnd },
    /// A step of the scenario.
    Step(Action),
    /// An invite is claimed.
    Claim { by: usize, at: Party, token: String },
    /// A node starts.
    Boot { host: usize },
    /// A disk has room again.
    DiskFreed { host: usize },
    /// An original node does something.
    Original { index: usize },
    /// The attacker's turn.
    Mallory,
    /// An owner takes back whatever the attacker was given.
    Disown { by: usize },
    /// The faults end.
    Heal,
    /// Time to see whether everything that may be delivered is.
    Probe,
    /// Something that has to arrive is sent anew.
    ProbeAgain { at: usize },
    /// The end.
    End,
}

/// What is waiting to be delivered in the end.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) session: String,
    pub(crate) tries: u32,
    pub(crate) last: String,
    pub(crate) done: bool,
    pub(crate) given_up: bool,
}

/// Everybody and everything.
pub struct World {
    pub(crate) now: Micros,
    queue: BTreeMap<(Micros, u64), Happening>,
    queued: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) originals: Vec<Original>,
    pub(crate) mallory: Option<Mallory>,
    pub(crate) net: Network,
    pub(crate) keys: Keys,
    pub(crate) seen: Seen,
    wire: Wire,
    pub(crate) rng: Rng,
    pub(crate) faults: Faults,
    pub(crate) scenario: Scenario,
    /// The steps are over: only what must hold in quiet times happens now.
    pub(crate) healed: bool,
    pub(crate) wanted: Vec<Wanted>,
    /// Whom a fault struck.
    struck: BTreeSet<Party>,
    pub(crate) texts: u64,
    /// How many writes to streams there were: each has its number in the record.
    pub(crate) messages: u64,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    pub(crate) violations: Vec<Violation>,
    /// The node that was given something last.
    pub(crate) driven: usize,
    ended: bool,
}

/// Bounds and times that a run can reach: a bound that nobody comes near shows nothing.
fn config(scenario: &Scenario) -> Config {
    let mut config = Config {
        max_stranger_streams: 24,
        max_asks: 6,
        rotation_grace_compromise: Duration::from_secs(60),
        ..Config::default()
    };
    (config.rates.max_peers, config.rates.max_transports) = (64, 32);
    if scenario.max_nonces > 0 {
        config.replay.max_nonces = scenario.max_nonces;
    }
    if scenario.attack.is_some() && !scenario.seed.is_multiple_of(2) {
        config.ephemeral_ttl = Duration::from_secs(30);
    }
    config
}

/// How long the healed world is watched at most.
const TAIL: Micros = 3 * 3600 * SECOND;

/// More violations than this tell nothing new.
const ENOUGH: usize = 16;

impl World {
    /// A world at its beginning: every node has just been started, and the friends among them know each other.
    #[must_use]
    pub fn new(scenario: &Scenario, keep_trace: bool) -> Self {
        Self::with_config(scenario, keep_trace, config(scenario))
    }

    /// The same, but every node has this bug.
    #[cfg(wopr_planted)]
    #[must_use]
    pub fn with_bug(scenario: &Scenario, bug: wopr_p2p_core::Bug) -> Self {
        Self::with_config(scenario, false, Config { planted: Some(bug), ..config(scenario) })
    }

    fn with_config(scenario: &Scenario, keep_trace: bool, config: Config) -> Self {
        let mut rng = Rng::new(scenario.seed);
        let mut world = Self {
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            hosts: Vec::new(),
            originals: Vec::new(),
            mallory: None,
            net: Network::default(),
            keys: Keys::default(),
            seen: Seen::default(),
            wire: Wire::default(),
            rng: rng.fork(),
            faults: scenario.faults.clone(),
            scenario: scenario.clone(),
            healed: false,
            wanted: Vec::new(),
            struck: BTreeSet::new(),
            texts: 0,
            messages: 0,
            trace: Trace::new(keep_trace),
            stats: Stats::default(),
            violations: Vec::new(),
            driven: 0,
            ended: false,
        };
        for index in 0..scenario.nodes.max(1) {
            let spread = |rng: &mut Rng, most: u64| {
                i64::try_from(rng.between(0, 2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
            };
            let (drift, ahead) = (spread(&mut rng, scenario.faults.drift), spread(&mut rng, scenario.faults.skew));
            let clock = Clock::new(0, rng.below(1 << 40), drift, ahead);
            world.hosts.push(Host::new(config.clone(), clock, index));
            world.boot(index);
        }
        for index in 0..scenario.originals {
            let original = Original::new(index, if index % 2 == 0 { 2 } else { 1 }, &mut rng);
            world.keys.add(original.key(), Party::Original(index));
            world.net.listen(original.key().topic(), Party::Original(index));
            world.originals.push(original);
        }
        world.mallory = scenario.attack.map(|kind| Mallory::new(kind, rng.fork()));
        world.befriend();
        world.mallory_settles_in();
        for step in &scenario.steps {
            world.at(step.at * 1000 + 30 * SECOND, Happening::Step(step.what.clone()));
        }
        for index in 0..scenario.originals {
            world.after((45 + index as u64) * SECOND, Happening::Original { index });
        }
        if world.mallory.is_some() {
            world.after(40 * SECOND, Happening::Mallory);
        }
        world.at(world.heals_at(), Happening::Heal);
        world
    }

    /// When the trouble ends.
    pub(crate) const fn heals_at(&self) -> Micros {
        (self.scenario.seconds + 60) * SECOND
    }

    /// True time, in microseconds since the beginning.
    #[must_use]
    pub const fn now(&self) -> Micros {
        self.now
    }

    /// The rules that were broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What happened so far.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Figures so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The node of that number, while it runs.
    #[must_use]
    pub fn node(&self, index: usize) -> Option<&Node> {
        self.hosts.get(index).and_then(|host| host.node.as_ref())
    }

    /// Lets the next thing happen; false when nothing is left to happen.
    pub fn step(&mut self) -> bool {
        if self.ended || self.violations.len() >= ENOUGH {
            return false;
        }
        let Some(((at, _), happening)) = self.queue.pop_first() else {
            return false;
        };
        self.now = at;
        self.stats.steps += 1;
        self.happen(happening);
        true
    }

    /// Lets everything happen.
    pub fn run(&mut self) {
        // A panic is a broken promise like any other; it must not take the others' results with it.
        while catch_unwind(AssertUnwindSafe(|| self.step())).unwrap_or_else(|panic| self.panicked(&*panic)) {}
        self.stats.simulated = self.now;
    }

    /// A node panicked: nothing goes on from there.
    fn panicked(&mut self, panic: &(dyn Any + Send)) -> bool {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
        self.violated(Rule::NoPanic, Party::Node(self.driven), text);
        false
    }

    /// Something happens at a moment that has not passed.
    pub(crate) fn at(&mut self, at: Micros, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), happening);
    }

    /// Something happens after a delay.
    pub(crate) fn after(&mut self, delay: Micros, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { host, life } => {
                if self.lives(host, life) && self.hosts[host].wake == Some(self.now) {
                    self.hosts[host].wake = None;
                    self.drive(host, None);
                }
            }
            Happening::Arrive { link, to, piece, message } => self.arrive(link, to, piece, message),
            Happening::Release { link, to } => self.release(link, to),
            Happening::Settle { host, life } => {
                if self.lives(host, life) {
                    self.settle(host);
                }
            }
            Happening::Answer { host, life, ask, result } => {
                if self.lives(host, life) && self.hosts[host].asks.remove(&ask) {
                    self.drive(host, Some(Input::Answered { id: ask, result }));
                }
            }
            Happening::Reach { host, life, dial, topic, listener } => {
                if self.lives(host, life) && self.hosts[host].dials.contains(&dial) {
                    self.reach(host, dial, topic, listener);
                }
            }
            Happening::DialOver { host, life, dial, why } => {
                if self.lives(host, life) && self.hosts[host].dials.remove(&dial) {
                    self.drive(host, Some(Input::DialEnded { dial, why }));
                }
            }
            Happening::Step(action) => self.act(&action),
            Happening::Claim { by, at, token } => self.claim(by, at, token),
            Happening::Boot { host } => {
                if self.hosts[host].node.is_none() {
                    self.boot(host);
                }
            }
            Happening::DiskFreed { host } => self.hosts[host].disk.full = false,
            Happening::Original { index } => self.original_acts(index),
            Happening::Mallory => self.mallory_acts(),
            Happening::Disown { by } => self.revoke_peer(by, Party::Mallory),
            Happening::Heal => self.heal(),
            Happening::Probe => self.probe(),
            Happening::ProbeAgain { at } => self.try_again(at),
            Happening::End => self.finish(),
        }
    }

    pub(crate) fn lives(&self, host: usize, life: u32) -> bool {
        self.hosts[host].node.is_some() && self.hosts[host].life == life
    }

    /// Writes a broken rule down.
    pub(crate) fn violated(&mut self, rule: Rule, party: Party, what: impl Into<String>) {
        let violation = Violation { at: self.now, rule, party, what: what.into() };
        self.note(party, "VIOLATION", None, || format!("{:?}: {}", violation.rule, violation.what));
        self.violations.push(violation);
    }

    /// Writes a line into the record, if it is kept.
    pub(crate) fn note(
        &mut self,
        party: Party,
        kind: &'static str,
        other: Option<Party>,
        detail: impl FnOnce() -> String,
    ) {
        let at = self.now;
        self.trace.line(|| Line::new(at, party, kind, other, detail()));
    }

    /// A fault strikes a party.
    pub(crate) fn fault(&mut self, party: Party, other: Option<Party>, name: &'static str) {
        self.stats.fault(name);
        self.struck.insert(party);
        self.struck.extend(other);
        self.note(party, "fault", other, || name.to_owned());
    }

    /// The trouble ends: what is down comes back, what is broken is whole, clocks are set right.
    fn heal(&mut self) {
        self.healed = true;
        self.faults = self.scenario.faults.healed();
        self.net.heal();
        for (link, to) in self.net.held() {
            self.after(0, Happening::Release { link, to });
        }
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            (host.disk.full, host.disk.failing, host.fuse) = (false, 0, None);
            let (skew, drift) = (self.faults.skew, host.clock.drift());
            let ahead = i64::try_from(self.rng.between(0, skew)).unwrap_or(0);
            let origin = host.now(self.now).mono.as_millis();
            host.clock = Clock::new(self.now, origin, drift, ahead);
            host.clock_set = self.now;
            if host.node.is_none() {
                self.boot(index);
            }
        }
        let at = self.now;
        self.trace.line(|| Line { party: None, ..Line::new(at, Party::Node(0), "healed", None, String::new()) });
        // Long enough for every timer of the core to have run once, and for what was under way to end.
        self.after(400 * SECOND, Happening::Probe);
        self.after(TAIL, Happening::End);
    }

    /// Everything that was wanted has been delivered, or the time is over.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
        for wanted in core::mem::take(&mut self.wanted) {
            if !wanted.done {
                let Wanted { from, to, session, tries, last, .. } = wanted;
                let what = format!("n{from} may write to {session} of n{to}, but {tries} tries ended with {last}");
                self.violated(Rule::Service, Party::Node(from), what);
            }
        }
        self.check_waiting();
        for index in 0..self.hosts.len() {
            if let Some(order) = self.hosts[index].orders.values().next().cloned() {
                self.violated(Rule::Ended, Party::Node(index), format!("an order never ended: {order:?}"));
            }
        }
    }

    /// The end of a stream that a party holds, by its number.
    pub(crate) fn across(&self, end: End) -> Option<End> {
        self.net.other(end).map(|(other, _)| other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Recipe;

    #[test]
    fn a_panic_is_a_broken_rule_that_ends_the_run() {
        let recipe = Recipe { nodes: (2, 2), seconds: 10, faults: 0, ..Recipe::default() };
        let mut world = World::new(&Scenario::from_seed(4, &recipe), false);
        // A node that is not there.
        world.after(0, Happening::Wake { host: 7, life: 1 });
        world.run();
        let rules: Vec<Rule> = world.violations().iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, [Rule::NoPanic]);
    }
}
