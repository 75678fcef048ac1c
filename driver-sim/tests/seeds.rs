//! Many seeds, none of which may break a rule, and the same seed twice, which must give the same run.

use std::fmt::Write as _;

use wopr_p2p_sim::World;
use wopr_p2p_sim::scenario::{Recipe, Scenario};

/// Runs the seeds; `SIM_SEED` moves them all, so that continuous integration also sees new ones.
fn no_rule_is_broken(seeds: core::ops::Range<u64>, faults: u32) {
    let offset: u64 = std::env::var("SIM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let recipe = Recipe { faults, ..Recipe::default() };
    let mut report = String::new();
    for seed in seeds {
        let scenario = Scenario::from_seed(offset.wrapping_add(seed), &recipe);
        for violation in wopr_p2p_sim::run(&scenario).violations {
            writeln!(report, "seed {} faults {faults} {:?}: {violation}", scenario.seed, scenario.attack).unwrap();
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
