//! A scenario that fails is made small and printed as a test that can be kept.

use quickcheck::{Arbitrary as _, Gen, QuickCheck, TestResult};
use wopr_p2p_sim::faults::Faults;
use wopr_p2p_sim::scenario::{Action, Recipe, Scenario};
use wopr_p2p_sim::shrink::shrink;

/// Stands in for a broken rule, since none is known: a node loses power, and later its disk is full.
fn fails(scenario: &Scenario) -> bool {
    let node = |at: usize| at % scenario.nodes;
    scenario.steps.iter().any(|first| match first.what {
        Action::Crash { at, .. } => scenario.steps.iter().any(|then| match then.what {
            Action::DiskFull { at: full, .. } => then.at > first.at && node(full) == node(at),
            _ => false,
        }),
        _ => false,
    })
}

#[test]
fn a_failing_scenario_shrinks_to_what_it_needs_and_is_printed_as_a_test() {
    let recipe = Recipe { nodes: (5, 20), seconds: 600, faults: 10, ..Recipe::default() };
    let scenario = (1..).map(|seed| Scenario::from_seed(seed, &recipe)).find(fails).unwrap();
    assert!(scenario.steps.len() > 50, "{}", scenario.steps.len());
    let smallest = shrink(scenario, 10_000, fails);
    assert!(fails(&smallest));
    let Scenario { nodes, originals, attack, ref faults, ref steps, .. } = smallest;
    assert_eq!((nodes, originals, attack, faults, steps.len()), (2, 0, None, &Faults::none(), 2), "{steps:?}");
    assert!(!smallest.shrink().any(|smaller| fails(&smaller)), "something can be left out yet");
    // The file beside this one is such a text: that it compiles and runs shows that every such text does.
    assert_eq!(smallest.to_test(), include_str!("shrunk_example.rs"));
}

#[test]
fn nothing_smaller_than_its_tries_is_looked_at() {
    let scenario = Scenario::from_seed(1, &Recipe { nodes: (3, 3), seconds: 100, ..Recipe::default() });
    let mut looked = 0;
    let same = shrink(scenario.clone(), 17, |_| {
        looked += 1;
        false
    });
    assert_eq!((same, looked), (scenario, 17));
}

#[test]
fn what_a_scenario_shrinks_to_is_never_itself() {
    let mut generator = Gen::from_size_and_seed(60, 2);
    for _ in 0..10 {
        let scenario = Scenario::arbitrary(&mut generator);
        assert!(scenario.shrink().all(|smaller| smaller != scenario));
    }
}

#[test]
fn generated_scenarios_break_no_rule() {
    fn property(scenario: Scenario) -> TestResult {
        let violations = wopr_p2p_sim::run(&scenario).violations;
        match violations.first() {
            None => TestResult::passed(),
            Some(first) => TestResult::error(format!("{first}\n{}", scenario.to_test())),
        }
    }
    QuickCheck::new().rng(Gen::from_size_and_seed(60, 1)).tests(10).quickcheck(property as fn(Scenario) -> TestResult);
}
