//! A scenario of seed 30, made as small as it goes by `wopr sim --shrink`.

use wopr_p2p_sim::faults::Faults;
use wopr_p2p_sim::scenario::{Action, Scenario, Step};

#[test]
#[rustfmt::skip]
fn no_rule_is_broken() {
    let scenario = Scenario {
        seed: 30,
        nodes: 2,
        originals: 0,
        seconds: 2,
        faults: Faults { latency: 5, jitter: 0, bandwidth: 10000, cut: 0, stall: 0, truncate: 0, half_open: 0, dial_fails: 0, omitted: 0, lies: 0, disk_latency: 2, disk_errors: 0, ai_fails: 0, skew: 0, drift: 0 },
        attack: None,
        max_nonces: 0,
        steps: vec![
            Step { at: 1019, what: Action::DiskFull { at: 0, seconds: 37 } },
            Step { at: 59, what: Action::Crash { at: 0, down: 10185 } },
        ],
    };
    assert_eq!(wopr_p2p_sim::run(&scenario).violations, []);
}
