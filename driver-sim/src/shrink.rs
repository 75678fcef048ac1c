//! Scenarios for quickcheck: made from a seed, and made smaller until nothing can be left out.

use quickcheck::{Arbitrary, Gen};

use crate::faults::Faults;
use crate::scenario::{Recipe, Scenario, Step};

impl Arbitrary for Scenario {
    /// The generator's size is how much happens.
    fn arbitrary(generator: &mut Gen) -> Self {
        let size = generator.size();
        let recipe = Recipe {
            nodes: (2, 3 + size / 20),
            seconds: 60 + 2 * size as u64,
            faults: u32::arbitrary(generator) % 11,
            ..Recipe::default()
        };
        Self::from_seed(u64::arbitrary(generator), &recipe)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let (steps, surroundings) = (self.clone(), self.clone());
        Box::new(fewer_steps(steps).chain(calmer(&surroundings)).chain(earlier(&surroundings)))
    }
}

/// Makes a scenario smaller as long as it still fails, and at most `tries` times looks whether it does.
pub fn shrink(scenario: Scenario, mut tries: usize, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut smallest = scenario;
    loop {
        let fitting = smallest.shrink().take(tries).find(|candidate| {
            tries = tries.saturating_sub(1);
            fails(candidate)
        });
        match fitting {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Without half of the steps, without a quarter, and so on to each one.
fn fewer_steps(scenario: Scenario) -> impl Iterator<Item = Scenario> {
    let count = scenario.steps.len();
    let sizes = core::iter::successors(Some(count), |size| (*size > 1).then_some(size / 2)).filter(|size| *size > 0);
    sizes.flat_map(move |size| (0..count).step_by(size).map(move |start| start..(start + size).min(count))).map(
        move |left_out| {
            let kept = scenario.steps.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
            Scenario { steps: kept.map(|(_, step)| step.clone()).collect(), ..scenario.clone() }
        },
    )
}

/// Fewer nodes, nobody who attacks, less that goes wrong by itself.
fn calmer(scenario: &Scenario) -> impl Iterator<Item = Scenario> + use<> {
    let mut candidates = Vec::new();
    let mut change = |change: &dyn Fn(&mut Scenario)| {
        let mut changed = scenario.clone();
        change(&mut changed);
        if changed != *scenario {
            candidates.push(changed);
        }
    };
    for nodes in [2, scenario.nodes / 2, scenario.nodes.saturating_sub(1)] {
        if (2..scenario.nodes).contains(&nodes) {
            change(&|s| s.nodes = nodes);
        }
    }
    change(&|s| s.originals = 0);
    change(&|s| s.attack = None);
    change(&|s| s.max_nonces = 0);
    change(&|s| s.faults = Faults::none());
    for one in Faults::ONE_LESS {
        change(&|s| one(&mut s.faults));
    }
    candidates.into_iter()
}

/// The same in less time.
fn earlier(scenario: &Scenario) -> impl Iterator<Item = Scenario> + use<> {
    let last = scenario.steps.iter().map(|step| step.at).max().unwrap_or(0) / 1000 + 1;
    let halved = scenario.steps.iter().map(|step| Step { at: step.at / 2, what: step.what.clone() }).collect();
    let shorter = Scenario { seconds: last.min(scenario.seconds), ..scenario.clone() };
    let faster = Scenario { seconds: scenario.seconds / 2 + 1, steps: halved, ..scenario.clone() };
    let smaller = |candidate: &Scenario, seconds: u64| candidate.seconds < seconds;
    let seconds = scenario.seconds;
    [shorter, faster].into_iter().filter(move |candidate| smaller(candidate, seconds))
}
