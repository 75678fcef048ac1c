//! `wopr sim`: the simulator on all cores, its summary, and the files that show one run.
//!
//! A broken rule ends the program with the exit code for what was refused, and with the command that shows it again.

mod pool;
mod record;
mod summary;

use std::time::{Duration, Instant};

use wopr_p2p_sim::{Outcome, Scenario};

use self::summary::Summary;
use crate::args::Sim;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// The commit that this program was built from, where the one who built it said so.
const COMMIT: Option<&str> = option_env!("WOPR_COMMIT");

/// `sim`.
///
/// # Errors
/// A rule was broken, or a file cannot be written.
pub(crate) fn run(sim: &Sim, out: Output) -> Result<(), Failure> {
    let (seeds, started) = (sim.range(), Instant::now());
    let (total, waiting) = (seeds.end - seeds.start, out.waiting("running the first seed"));
    let mut summary = Summary::default();
    pool::run_all(
        seeds,
        |seed| one(&Scenario::from_seed(seed, &sim.recipe(seed))),
        |seed, (outcome, cpu): (Outcome, Duration)| {
            summary.add(seed, &outcome, cpu);
            waiting.now_for(format!("{} of {total} seeds, {} rules broken", summary.seeds, summary.violations));
        },
    );
    drop(waiting);
    if let Some(seed) = sim.seed {
        record::write(sim, &Scenario::from_seed(seed, &sim.recipe(seed)))?;
    }
    if sim.shrink
        && let Some(first) = summary.broken.first()
    {
        let waiting = out.waiting("looking for a smaller scenario");
        summary.test = Some(smallest(sim, first.seed).to_test());
        drop(waiting);
    }
    summary.elapsed = started.elapsed();
    out.show(&out.render(&summary)?)?;
    verdict(sim, &summary)
}

/// Runs a scenario, and says for how long this thread computed.
fn one(scenario: &Scenario) -> (Outcome, Duration) {
    let before = pool::cpu_time();
    let outcome = wopr_p2p_sim::run(scenario);
    (outcome, pool::cpu_time().saturating_sub(before))
}

/// So often it is looked whether something smaller breaks the same rule.
const TRIES: usize = 2000;

/// The smallest scenario found that breaks the rule that a seed broke first.
fn smallest(sim: &Sim, seed: u64) -> Scenario {
    let rule = |scenario: &Scenario| wopr_p2p_sim::run(scenario).violations.first().map(|violation| violation.rule);
    let scenario = Scenario::from_seed(seed, &sim.recipe(seed));
    let broken = rule(&scenario);
    wopr_p2p_sim::shrink::shrink(scenario, TRIES, |candidate| rule(candidate) == broken)
}

/// A broken rule is a failure.
fn verdict(sim: &Sim, summary: &Summary) -> Result<(), Failure> {
    let Some(first) = summary.broken.first() else {
        return Ok(());
    };
    let built = COMMIT.map_or(String::new(), |commit| format!(", commit {commit}"));
    let message = format!(
        "seed {} broke the rule {}: {} (wopr {}{built})",
        first.seed,
        first.rule,
        first.what,
        env!("CARGO_PKG_VERSION")
    );
    Err(Failure::new(Exit::Rejected, message, format!("run it again: {}", sim.replay(first.seed))))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Area, Cli};

    fn typed(line: &str) -> Sim {
        match Cli::try_parse_from(line.split(' ')).map(|cli| cli.area) {
            Ok(Area::Sim(sim)) => sim,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_broken_rule_is_a_failure_that_says_how_to_see_it_again() {
        let sim = typed("wopr sim --seeds 50 --nodes 3..4 --hours 0.5 --faults 7 --scenario junk");
        let mut summary = Summary::default();
        assert_eq!(verdict(&sim, &summary), Ok(()));
        let violation = wopr_p2p_sim::oracle::Violation {
            at: 1_500_000,
            rule: wopr_p2p_sim::oracle::Rule::Once,
            party: wopr_p2p_sim::Party::Node(2),
            what: "a text is stored 2 times".to_owned(),
        };
        for (seed, violations) in [(11, Vec::new()), (12, vec![violation])] {
            summary.add(seed, &Outcome { violations, stats: Default::default(), hash: 7 }, Duration::ZERO);
        }
        let failure = verdict(&sim, &summary).unwrap_err();
        assert_eq!(failure.exit, Exit::Rejected);
        assert!(failure.message.contains("seed 12 broke the rule Once"), "{failure}");
        let again = "wopr sim --seed 12 --nodes 3..4 --hours 0.5 --faults 7 --scenario junk";
        assert_eq!(failure.next, format!("run it again: {again}"));
        // It makes the same scenario.
        assert_eq!(typed(again).recipe(12), sim.recipe(12));
        assert_eq!(typed(again).range(), 12..13);
    }

    #[test]
    fn what_is_not_said_is_the_same_for_one_seed_as_for_many() {
        let (many, one) = (typed("wopr sim --seeds 50"), typed("wopr sim --seed 17"));
        assert_eq!(many.recipe(17), one.recipe(17));
        assert_eq!(many.replay(17), "wopr sim --seed 17");
    }
}
