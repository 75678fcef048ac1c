//! Named kinds of trouble that nobody causes on purpose, each alone and often; and two quiet worlds to measure speed in.
//! [`Kind`](crate::adversary::Kind) has those that somebody causes.

use crate::faults::Faults;
use crate::named::catalogue;
use crate::rng::Rng;
use crate::scenario::{Action, Recipe, Scenario, Step};

catalogue! {
    /// The kinds of trouble.
    Trouble

    /// No trouble: every node writes every 30 seconds, ten minutes to one friend and then to the next.
    Chat "chat"
    /// No trouble: every node writes to many others as often as they let it.
    Busy "busy"
    /// What one node sends does not reach another, while the other way is open.
    OneWay "one-way-partitions"
    /// Streams that one end has closed while the other takes them for open.
    HalfOpen "half-open-streams"
    /// Streams that carry a few bytes a millisecond, stall, and deliver in fragments.
    Narrow "narrow-streams"
    /// Streams that break in the middle of a message.
    Broken "broken-streams"
    /// Discovery that names nodes that are not there or somebody else's, and keeps silent about others.
    Lying "lying-discovery"
    /// The power goes at every step of every write, one after the other.
    EveryWrite "crash-at-every-write"
    /// Disks that are full for a while, or fail now and then.
    Disks "failing-disks"
    /// The disk's content of before is put back, so that random numbers and counters could repeat.
    Backups "restored-backups"
    /// Wall clocks that are set by up to ten years, forwards and backwards.
    Clocks "clock-jumps"
    /// Many nodes of the original, of both protocol versions, among ours.
    Mixed "mixed-versions"
}

/// Ten years, in milliseconds.
const TEN_YEARS: u64 = 3650 * 86_400_000;

impl Trouble {
    /// What the trouble makes of a seed.
    #[must_use]
    pub(crate) fn scenario(self, seed: u64, recipe: &Recipe) -> Scenario {
        let plain = Recipe { faults: 0, attack: None, trouble: None, ..recipe.clone() };
        let mut scenario = Scenario { attack: None, originals: 0, ..Scenario::from_seed(seed, &plain) };
        let mut rng = Rng::new(seed ^ 0x7402_b1e5);
        match self {
            Self::Chat => (scenario.faults, scenario.steps) = (Faults::none(), chat(&scenario)),
            Self::Busy => (scenario.faults, scenario.steps) = (Faults::none(), busy(&scenario)),
            Self::Mixed => scenario.originals = scenario.nodes.max(3),
            _ => {
                self.adjust(&mut scenario.faults, &mut rng);
                for _ in 0..scenario.nodes as u64 * scenario.seconds / 120 {
                    self.strike(&mut scenario, &mut rng);
                }
            }
        }
        scenario
    }

    /// The rates that belong to it.
    fn adjust(self, faults: &mut Faults, rng: &mut Rng) {
        match self {
            Self::HalfOpen => (faults.half_open, faults.truncate) = (700_000, 20_000),
            Self::Narrow => {
                (faults.bandwidth, faults.stall, faults.cut) = (rng.between(2, 30), 20_000, 500_000);
                (faults.latency, faults.jitter) = (rng.between(1, 400), rng.between(0, 400));
            }
            Self::Broken => (faults.truncate, faults.half_open) = (60_000, 100_000),
            Self::Lying => (faults.lies, faults.omitted, faults.dial_fails) = (500_000, 300_000, 100_000),
            Self::Disks => (faults.disk_errors, faults.disk_latency) = (50_000, 80),
            _ => {}
        }
    }

    /// Something that befalls a node, if the trouble is of that kind.
    fn strike(self, scenario: &mut Scenario, rng: &mut Rng) {
        let step_at = rng.below(scenario.seconds * 1000);
        let at = rng.index(scenario.nodes);
        let nth = scenario.steps.len() as u64;
        let what = match self {
            Self::OneWay => {
                Action::Cut { from: at, to: rng.index(scenario.nodes), both: false, seconds: rng.between(1, 90) }
            }
            Self::HalfOpen if rng.chance(300_000) => Action::Crash { at, down: rng.between(10, 5000) },
            Self::EveryWrite => Action::CrashAtWrite {
                at,
                writes: 1 + nth % 12,
                before: rng.chance(500_000),
                down: rng.between(10, 2000),
            },
            Self::Disks => Action::DiskFull { at, seconds: rng.between(1, 60) },
            Self::Backups if rng.chance(500_000) => Action::Backup { at },
            Self::Backups => Action::Restore { at },
            Self::Clocks => {
                let by = i64::try_from(rng.below(TEN_YEARS)).unwrap_or(0);
                Action::SetClock { at, by: if rng.chance(500_000) { by } else { -by } }
            }
            _ => return,
        };
        scenario.steps.push(Step { at: step_at, what });
    }
}

/// Every node writes every 30 seconds: to each of its two neighbours on both sides for ten minutes, in turn.
fn chat(scenario: &Scenario) -> Vec<Step> {
    let each = |from: usize| {
        (0..scenario.seconds / 30).map(move |turn| {
            let to = (from + [1, 2, scenario.nodes - 1, scenario.nodes - 2][turn as usize / 20 % 4]) % scenario.nodes;
            let at = turn * 30_000 + from as u64 * 1000;
            Step { at, what: Action::Log { from, to, session: 0, size: 300 } }
        })
    };
    (0..scenario.nodes).flat_map(each).collect()
}

/// Every node writes to four others, four times a minute each, for 24 minutes: almost the hundred texts that an hour of
/// the limits allows. Then to the next four, and after 96 minutes to the first again. Small worlds run out of others, and
/// pause.
fn busy(scenario: &Scenario) -> Vec<Step> {
    const TURNS: u64 = 96;
    let nodes = scenario.nodes;
    let others = move |turn: u64| {
        let nearest = 1 + 2 * (turn / TURNS % 4) as usize;
        let both_sides = [nearest, nearest + 1, nodes.saturating_sub(nearest), nodes.saturating_sub(nearest + 1)];
        // Each side has half of the circle, and whoever is opposite is written to once.
        let on_its_side =
            move |(nth, step): &(usize, usize)| if *nth < 2 { step * 2 <= nodes } else { step * 2 > nodes };
        both_sides.into_iter().enumerate().filter(on_its_side)
    };
    let each = |from: usize| {
        (0..scenario.seconds / 15).flat_map(move |turn| {
            others(turn).map(move |(nth, step)| {
                let at = turn * 15_000 + from as u64 * 100 + nth as u64 * 3000;
                Step { at, what: Action::Log { from, to: (from + step) % nodes, session: 0, size: 300 } }
            })
        })
    };
    (0..nodes).flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::Named;

    #[test]
    fn a_busy_world_of_any_size_keeps_to_its_limits_however_long_it_runs() {
        for (nodes, minutes) in [(2, 30), (4, 30), (5, 110), (9, 50)] {
            let recipe = Recipe { nodes: (nodes, nodes), seconds: minutes * 60, ..Recipe::default() };
            let scenario = Scenario::from_seed(1, &Named::from_name("busy").unwrap().put_into(recipe));
            assert!(scenario.steps.iter().all(|step| matches!(step.what, Action::Log { .. })));
            let outcome = crate::run(&scenario);
            assert_eq!(outcome.violations, [], "{nodes} nodes for {minutes} minutes");
            assert!(outcome.stats.frames > minutes * 10, "{nodes} nodes for {minutes} minutes");
        }
    }
}
