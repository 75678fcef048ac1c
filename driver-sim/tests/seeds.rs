//! Many seeds, none of which may break a rule.

use wopr_p2p_sim::scenario::{Recipe, Scenario};

#[test]
fn some_seeds() {
    let from: u64 = std::env::var("SIM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(40);
    let faults: u32 = std::env::var("SIM_FAULTS").ok().and_then(|s| s.parse().ok()).unwrap_or(5);
    let start = std::time::Instant::now();
    let mut sum = wopr_p2p_sim::stats::Stats::default();
    for seed in from..from + count {
        let recipe = Recipe { faults, ..Recipe::default() };
        let outcome = wopr_p2p_sim::run(&Scenario::from_seed(seed, &recipe));
        sum.add(&outcome.stats);
        for violation in outcome.violations.iter().take(3) {
            println!("seed {seed}: {violation}");
        }
    }
    println!("{sum}{:?}", start.elapsed());
}
