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

/// The faults of a network that only takes its time.
fn slow(latency: u64, disk_latency: u64) -> Faults {
    Faults { latency, disk_latency, ..Faults::none() }
}

/// A listener closed an idle stream while a text was on its way: nobody could know what became of it.
#[test]
fn nothing_is_sent_into_a_stream_that_its_listener_is_about_to_close() {
    let log = |at| Step { at, what: Action::Log { from: 0, to: 1, session: 0, size: 20 } };
    for later in (59_000..61_000).step_by(50) {
        let scenario = Scenario {
            seed: 3664,
            nodes: 2,
            originals: 0,
            seconds: 120,
            faults: slow(139, 2),
            attack: None,
            max_nonces: 0,
            steps: vec![log(10_000), log(10_000 + later)],
        };
        assert_eq!(wopr_p2p_sim::run(&scenario).violations, [], "{later} ms later");
    }
}

/// A peer's new key arrived while a text of its old one was being stored, which was then refused.
#[test]
fn a_text_that_is_being_stored_is_taken_after_its_sender_rotates() {
    for seed in 0..40 {
        let scenario = Scenario {
            seed,
            nodes: 2,
            originals: 0,
            seconds: 60,
            faults: slow(40, 100),
            attack: None,
            max_nonces: 0,
            steps: vec![
                Step { at: 10_000, what: Action::Log { from: 0, to: 1, session: 0, size: 20 } },
                Step { at: 10_010 + seed, what: Action::Rotate { by: 0, wait: false } },
            ],
        };
        assert_eq!(wopr_p2p_sim::run(&scenario).violations, [], "seed {seed}");
    }
}

/// Whoever does not know a node refuses each of its new keys, and was told of them again until it banned the node.
#[test]
fn a_peer_that_refuses_new_keys_is_not_told_of_them_without_a_pause() {
    let scenario = Scenario {
        seed: 2577,
        nodes: 11,
        originals: 0,
        seconds: 600,
        faults: Faults {
            jitter: 132,
            stall: 1792,
            truncate: 3604,
            half_open: 77_041,
            dial_fails: 82_296,
            lies: 6531,
            ..Faults::none()
        },
        attack: Some(Kind::NonceFlood),
        max_nonces: 0,
        steps: vec![
            Step { at: 2_775, what: Action::Log { from: 5, to: 0, session: 1, size: 107 } },
            Step { at: 34_876, what: Action::Grant { by: 0, to: 5, sessions: 0, message_only: false, seconds: 0 } },
            Step { at: 64_111, what: Action::Grant { by: 5, to: 3, sessions: 10, message_only: false, seconds: 0 } },
            Step { at: 108_969, what: Action::Log { from: 1, to: 7, session: 2, size: 175 } },
            Step { at: 130_829, what: Action::Log { from: 4, to: 9, session: 2, size: 95 } },
            Step { at: 144_706, what: Action::Rotate { by: 0, wait: false } },
            Step { at: 144_940, what: Action::Narrow { by: 8, whom: 6, session: 0 } },
        ],
    };
    assert_eq!(wopr_p2p_sim::run(&scenario).violations, []);
}

/// What a node had said to an original names no hello, so it passed for an answer to anybody's.
#[test]
fn an_answer_to_an_original_is_none_to_anybody_else() {
    let scenario = Scenario {
        seed: 3175,
        nodes: 2,
        originals: 2,
        seconds: 51,
        faults: Faults {
            latency: 5,
            stall: 3074,
            truncate: 190,
            dial_fails: 43_059,
            disk_latency: 2,
            ..Faults::none()
        },
        attack: Some(Kind::VictimBan),
        max_nonces: 0,
        steps: vec![Step { at: 50_000, what: Action::Log { from: 0, to: 1, session: 0, size: 20 } }],
    };
    assert_eq!(wopr_p2p_sim::run(&scenario).violations, []);
}

/// An impostor's unsigned word that the clocks differ ended a search, and was taken for a refusal of the new key.
#[test]
fn an_impostors_date_is_no_answer_of_the_peer() {
    let scenario = Scenario {
        seed: 8062,
        nodes: 2,
        originals: 0,
        seconds: 2,
        faults: Faults::none(),
        attack: Some(Kind::Impostor),
        max_nonces: 0,
        steps: vec![
            Step { at: 623, what: Action::SetClock { at: 1, by: -1_492_335 } },
            Step { at: 1_780, what: Action::Rotate { by: 1, wait: true } },
        ],
    };
    assert_eq!(wopr_p2p_sim::run(&scenario).violations, []);
}
