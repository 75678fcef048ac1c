//! What is going to happen in a run, written down: who there is, what the owners do and when, which faults strike. A
//! scenario is plain data: it can be made from a seed, made smaller, compared and printed as a test.

use crate::adversary::Kind;
use crate::faults::Faults;
use crate::rng::Rng;
use crate::trouble::Trouble;

/// One run, completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Decides whatever is not said here: keys, delays, which unconfirmed writes a crash loses.
    pub seed: u64,
    /// How many nodes of ours.
    pub nodes: usize,
    /// How many nodes that speak the original protocol only; every other one of them speaks version 1.
    pub originals: usize,
    /// How long the trouble lasts, in seconds.
    pub seconds: u64,
    /// What goes wrong by itself.
    pub faults: Faults,
    /// Who attacks.
    pub attack: Option<Kind>,
    /// How many messages are remembered; the node's own default if it is 0.
    pub max_nonces: usize,
    /// What the owners do and what befalls the nodes, in any order.
    pub steps: Vec<Step>,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, in milliseconds.
    pub at: u64,
    /// What.
    pub what: Action,
}

/// What owners do and what befalls nodes. Nodes are given by number, modulo how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what the variant's sentence names")]
pub enum Action {
    /// A text of this many bytes for a session.
    Log { from: usize, to: usize, session: u8, size: usize },
    /// A text that waits until its receiver can be reached.
    Queue { from: usize, to: usize, session: u8 },
    /// A question to a session's AI.
    Inject { from: usize, to: usize, session: u8 },
    /// Access: bit `n` of `sessions` is session `n`, 0 is all of them. Ends after so many seconds, if that is not 0.
    Grant { by: usize, to: usize, sessions: u8, message_only: bool, seconds: u64 },
    /// Ends every access of a peer.
    RevokePeer { by: usize, whom: usize },
    /// Ends the first grant of a peer.
    RevokeGrant { by: usize, whom: usize },
    /// Takes one session from a peer.
    Narrow { by: usize, whom: usize, session: u8 },
    /// Makes an invite and hands it over; the peer claims it so many seconds later, twice if told so.
    Invite { by: usize, to: usize, sessions: u8, seconds: u64, twice: bool },
    /// Takes back the latest invite that is open.
    RevokeInvite { by: usize },
    /// New keys.
    Rotate { by: usize, wait: bool },
    /// The power of a node goes, and comes back so many milliseconds later.
    Crash { at: usize, down: u64 },
    /// The same, when so many more writes of the node have been confirmed, or (`before`) just before the last is.
    CrashAtWrite { at: usize, writes: u64, before: bool, down: u64 },
    /// No write succeeds for so many seconds.
    DiskFull { at: usize, seconds: u64 },
    /// The wall clock is set, by so many milliseconds.
    SetClock { at: usize, by: i64 },
    /// What one sends does not reach the other for so many seconds; `both` ways or one.
    Cut { from: usize, to: usize, both: bool, seconds: u64 },
    /// A copy is made of a node's disk.
    Backup { at: usize },
    /// The copy takes the place of the disk, if there is one, and the node starts from it.
    Restore { at: usize },
}

/// How a scenario is to be made from a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// How many nodes, at least and at most.
    pub nodes: (usize, usize),
    /// How long the trouble lasts, in seconds.
    pub seconds: u64,
    /// 0 (no faults) to 10.
    pub faults: u32,
    /// The attack; `None` takes each in turn.
    pub attack: Option<Kind>,
    /// One kind of trouble instead of all of them, and no attack.
    pub trouble: Option<Trouble>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { nodes: (5, 20), seconds: 600, faults: 5, attack: None, trouble: None }
    }
}

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn from_seed(seed: u64, recipe: &Recipe) -> Self {
        if let Some(trouble) = recipe.trouble {
            return trouble.scenario(seed, recipe);
        }
        let mut rng = Rng::new(seed ^ 0x5eed);
        let nodes = usize::try_from(rng.between(recipe.nodes.0 as u64, recipe.nodes.1 as u64)).unwrap_or(5);
        let mut originals = if rng.chance(500_000) { rng.index(3) } else { 0 };
        let mut faults = Faults::draw(&mut rng, recipe.faults);
        let attack = recipe.attack.or_else(|| rng.pick(&Kind::ALL).copied().filter(|_| !seed.is_multiple_of(4)));
        let mut max_nonces = 0;
        if attack == Some(Kind::NonceFlood) {
            // Where few messages are remembered, clocks that differ are enough to be refused.
            (max_nonces, faults.skew) = (12, 0);
        }
        if attack == Some(Kind::Replay) {
            // One of them speaks protocol 1, whose messages are bound to nothing.
            originals = 2;
        }
        let mut scenario =
            Self { seed, nodes, originals, seconds: recipe.seconds, faults, attack, max_nonces, steps: Vec::new() };
        let mut owners = rng.fork();
        let count = nodes as u64 * recipe.seconds / 40;
        for _ in 0..count {
            scenario.owner_step(&mut owners);
        }
        let mut fate = rng.fork();
        for _ in 0..u64::from(recipe.faults) * nodes as u64 * recipe.seconds / 10_000 {
            scenario.fault_step(&mut fate);
        }
        scenario.attack_steps();
        scenario
    }

    /// What has to happen for an attack to have its chance; a friend who goes on writing to the attacked; a conversation
    /// that outlives young keys; texts that wait for somebody who cannot be reached.
    fn attack_steps(&mut self) {
        if self.attack.is_some() {
            let log = |at| Step { at, what: Action::Log { from: 2, to: 0, session: 0, size: 20 } };
            self.steps.extend((20_000..self.seconds.min(300) * 1000).step_by(20_000).map(log));
        }
        if self.attack.is_some() && self.seed.is_multiple_of(2) {
            self.steps.push(Step { at: 20_000, what: Action::Cut { from: 1, to: 0, both: true, seconds: 40 } });
            let queue = |at| Step { at, what: Action::Queue { from: 1, to: 0, session: 0 } };
            self.steps.extend((21_000..25_000).step_by(1000).map(queue));
        }
        if self.attack.is_some() && !self.seed.is_multiple_of(2) {
            let conversation = (0..10).map(|number| number * 15_000 + 5_000);
            let log = |at| Step { at, what: Action::Log { from: 0, to: 1, session: 0, size: 20 } };
            self.steps.extend(conversation.map(log));
        }
        if self.attack == Some(Kind::Replay) {
            let crash = |number| Step { at: number * 90_000 + 60_000, what: Action::Crash { at: 1, down: 200 } };
            self.steps.extend((0..self.seconds / 90).map(crash));
        }
    }

    fn owner_step(&mut self, rng: &mut Rng) {
        let at = rng.below(self.seconds * 1000);
        let (by, to) = (rng.index(self.nodes), rng.index(self.nodes));
        let session = u8::try_from(rng.below(4)).unwrap_or(0);
        let sessions = u8::try_from(rng.below(16)).unwrap_or(0);
        let what = match rng.below(100) {
            0..8 => Action::Queue { from: by, to, session },
            8..50 => {
                let size = if rng.chance(20_000) { rng.between(10_000, 700_000) } else { rng.below(600) };
                Action::Log { from: by, to, session, size: usize::try_from(size).unwrap_or(0) }
            }
            50..68 => Action::Inject { from: by, to, session },
            68..76 => {
                let seconds = if rng.chance(300_000) { rng.between(5, self.seconds) } else { 0 };
                Action::Grant { by, to, sessions, message_only: rng.chance(200_000), seconds }
            }
            76..80 => Action::RevokePeer { by, whom: to },
            80..83 => Action::RevokeGrant { by, whom: to },
            83..86 => Action::Narrow { by, whom: to, session },
            86..94 => Action::Invite { by, to, sessions, seconds: rng.between(0, 120), twice: rng.chance(300_000) },
            94..98 => Action::RevokeInvite { by },
            _ => Action::Rotate { by, wait: rng.chance(500_000) },
        };
        self.steps.push(Step { at, what });
    }

    fn fault_step(&mut self, rng: &mut Rng) {
        let step_at = rng.below(self.seconds * 1000);
        let at = rng.index(self.nodes);
        let down = rng.between(10, 20_000);
        let what = match rng.below(100) {
            0..20 => Action::Crash { at, down },
            20..45 => Action::CrashAtWrite { at, writes: rng.between(1, 6), before: rng.chance(500_000), down },
            45..55 => Action::DiskFull { at, seconds: rng.between(1, 60) },
            55..70 => {
                let span = *rng.pick(&[5_000, 200_000, 3_600_000, DAY, 3650 * DAY]).unwrap_or(&0);
                let by = i64::try_from(rng.below(span as u64)).unwrap_or(0);
                Action::SetClock { at, by: if rng.chance(500_000) { by } else { -by } }
            }
            70..90 => {
                let (to, both) = (rng.index(self.nodes), rng.chance(500_000));
                Action::Cut { from: at, to, both, seconds: rng.between(1, 120) }
            }
            90..96 => Action::Backup { at },
            _ => Action::Restore { at },
        };
        self.steps.push(Step { at: step_at, what });
    }

    /// The whole file of a Rust test that runs exactly this: it compiles as it stands in a `tests` folder.
    #[must_use]
    pub fn to_test(&self) -> String {
        let mut text =
            format!("//! A scenario of seed {}, made as small as it goes by `wopr sim --shrink`.\n\n", self.seed);
        if self.attack.is_some() {
            text += "use wopr_p2p_sim::adversary::Kind;\n";
        }
        text += "use wopr_p2p_sim::faults::Faults;\n";
        text += if self.steps.is_empty() {
            "use wopr_p2p_sim::scenario::Scenario;\n"
        } else {
            "use wopr_p2p_sim::scenario::{Action, Scenario, Step};\n"
        };
        text += "\n#[test]\n#[rustfmt::skip]\nfn no_rule_is_broken() {\n    let scenario = Scenario {\n";
        let Self { seed, nodes, originals, seconds, faults, attack, max_nonces, steps } = self;
        let attack = attack.map_or_else(|| "None".to_owned(), |kind| format!("Some(Kind::{kind:?})"));
        text += &format!("        seed: {seed},\n        nodes: {nodes},\n        originals: {originals},\n");
        text += &format!("        seconds: {seconds},\n        faults: {faults:?},\n        attack: {attack},\n");
        text += &format!("        max_nonces: {max_nonces},\n        steps: vec![\n");
        for Step { at, what } in steps {
            text += &format!("            Step {{ at: {at}, what: Action::{what:?} }},\n");
        }
        text += "        ],\n    };\n";
        text + "    assert_eq!(wopr_p2p_sim::run(&scenario).violations, []);\n}\n"
    }
}
