//! Scenarios in which the simulator found a fault of the core, each named after the rule that it broke.

use wopr_p2p_sim::faults::Faults;
use wopr_p2p_sim::scenario::{Action, Scenario, Step};

/// A node that was led to the wrong one said hello to it in another's name, was charged for that, and banned.
#[test]
fn a_node_that_discovery_leads_to_the_wrong_one_is_not_accused() {
    let log = |number: u64| Step { at: number * 10_000, what: Action::Log { from: 0, to: 1, session: 0, size: 20 } };
    let scenario = Scenario {
        seed: 1,
        nodes: 4,
        originals: 0,
        seconds: 240,
        faults: Faults { omitted: 1_000_000, lies: 1_000_000, ..Faults::none() },
        attack: None,
        max_nonces: 0,
        steps: (0..20).map(log).collect(),
    };
    let outcome = wopr_p2p_sim::run(&scenario);
    assert!(outcome.stats.faults["wrong listener named by discovery"] > 3, "{}", outcome.stats);
    assert_eq!(outcome.violations, []);
}
