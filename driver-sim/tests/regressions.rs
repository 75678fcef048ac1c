//! Scenarios in which the simulator found a fault of the core, each named after the rule that it broke.

use wopr_p2p_sim::adversary::Kind;
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

/// Peers whose grants were taken back kept their streams beside as many strangers as there are places for.
#[test]
fn who_loses_their_grants_takes_a_strangers_place() {
    let friends = [1, 2, 3];
    let log = |from: usize| Step { at: 100_000, what: Action::Log { from, to: 0, session: 0, size: 20 } };
    let revoke = |whom: usize| Step { at: 101_000, what: Action::RevokePeer { by: 0, whom } };
    let scenario = |seed| Scenario {
        seed,
        nodes: 4,
        originals: 0,
        seconds: 120,
        faults: Faults::none(),
        attack: Some(Kind::Slow),
        max_nonces: 0,
        steps: friends.map(log).into_iter().chain(friends.map(revoke)).collect(),
    };
    // In some of them every place was taken when it happened.
    for seed in 0..20 {
        assert_eq!(wopr_p2p_sim::run(&scenario(seed)).violations, [], "seed {seed}");
    }
}
