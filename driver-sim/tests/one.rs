use wopr_p2p_sim::scenario::{Recipe, Scenario};
#[test]
fn one() {
    let env = |n: &str, d: u64| std::env::var(n).ok().and_then(|s| s.parse().ok()).unwrap_or(d);
    let recipe = Recipe { faults: env("SIM_FAULTS", 5) as u32, ..Recipe::default() };
    let mut world = wopr_p2p_sim::World::new(&Scenario::from_seed(env("SIM_SEED", 0), &recipe), true);
    world.run();
    for line in world.trace().lines() {
        println!("{line}");
    }
}
