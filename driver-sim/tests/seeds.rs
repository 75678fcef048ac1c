//! Many seeds, none of which may break a rule, and the same seed twice, which must give the same run.

use std::fmt::Write as _;

use wopr_p2p_sim::World;
use wopr_p2p_sim::named::Named;
use wopr_p2p_sim::scenario::{Recipe, Scenario};

/// Runs the seeds, at this level of faults.
fn no_rule_is_broken(seeds: core::ops::Range<u64>, faults: u32) {
    let recipe = Recipe { faults, ..Recipe::default() };
    let mut report = String::new();
    for seed in seeds {
        let scenario = Scenario::from_seed(seed, &recipe);
        for violation in wopr_p2p_sim::run(&scenario).violations {
            writeln!(report, "wopr sim --seed {seed} --faults {faults}: {violation}").unwrap();
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn a_quiet_world_breaks_no_rule() {
    no_rule_is_broken(0..60, 0);
}

#[test]
fn a_troubled_world_breaks_no_rule() {
    no_rule_is_broken(1000..1090, 3);
}

#[test]
fn a_hard_world_breaks_no_rule() {
    no_rule_is_broken(2000..2090, 6);
}

#[test]
fn the_hardest_world_breaks_no_rule() {
    no_rule_is_broken(3000..3060, 10);
}

/// Continuous integration names a seed of its own for each commit, so that it sees new ones.
#[test]
fn the_seeds_of_this_commit_break_no_rule() {
    let first = std::env::var("WOPR_SIM_SEED").map_or(0, |text| text.parse().expect("WOPR_SIM_SEED is a number"));
    for level in [2, 5, 8, 10] {
        no_rule_is_broken(first..first + 3, level);
    }
}

#[test]
fn every_named_scenario_breaks_no_rule() {
    let mut report = String::new();
    for named in Named::all() {
        let recipe = named.put_into(Recipe { nodes: (4, 6), seconds: 300, ..Recipe::default() });
        for seed in 0..2 {
            for violation in wopr_p2p_sim::run(&Scenario::from_seed(seed, &recipe)).violations {
                writeln!(report, "{} seed {seed}: {violation}", named.name()).unwrap();
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let recipe = Recipe { faults: 8, seconds: 300, ..Recipe::default() };
    for seed in 0..6 {
        let scenario = Scenario::from_seed(seed, &recipe);
        let (first, second) = (wopr_p2p_sim::run(&scenario), wopr_p2p_sim::run(&scenario));
        assert_eq!(first, second, "seed {seed}");
        let mut traced = World::new(&scenario, true);
        traced.run();
        assert_eq!(traced.trace().hash(), first.hash, "reading along changed seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_runs() {
    let recipe = Recipe { nodes: (3, 3), seconds: 60, ..Recipe::default() };
    let hash = |seed| wopr_p2p_sim::run(&Scenario::from_seed(seed, &recipe)).hash;
    assert_ne!(hash(1), hash(2));
}
