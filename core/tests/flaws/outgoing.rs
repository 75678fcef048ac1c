//! What a node sends and tells: flaws 12, 13, 34 and 36.

use std::time::Duration;

use wopr_p2p_core::chain::Chain;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{AskId, Command, CommandError, Config, Event, Input, Reply};

use crate::world::{World, claim, grant, inject, log, queue, revoke};
use crate::{A, B, C};

/// A world in which everybody may ask everybody, and the test answers.
fn open(hosts: usize) -> World {
    let mut world = World::new(hosts);
    for host in 0..hosts {
        for other in (0..hosts).filter(|other| *other != host) {
            let key = world.key(other);
            assert!(world.done(host, grant(key, &["*"], "inject")).is_ok());
        }
        world.hosts[host].answers = false;
    }
    world
}

fn rotate(reason: RotationReason) -> Command {
    Command::RotateKeys { reason, notify_all: true, timeout: Duration::from_secs(20) }
}

/// The question that waits at a host, and the chain that its handler finds.
fn asked(world: &World, host: usize) -> (AskId, Chain) {
    let (id, question) = world.hosts[host].asked.last().expect("a question");
    (*id, question.chain.clone())
}

fn in_chain(chain: &Chain, command: Command) -> Command {
    Command::InChain { chain: chain.clone(), command: Box::new(command) }
}

#[test]
fn flaw_12_after_a_rotation_the_node_is_reached_under_the_new_key_at_once() {
    let mut world = World::granted();
    let (a, b) = (world.key(A), world.key(B));
    // B is away and hears of nothing.
    world.hosts[B].online = false;
    assert!(world.done(A, rotate(RotationReason::Scheduled)).is_ok());
    let new = world.key(A);
    assert!(new != a && world.hosts[A].topics.contains(&new.topic()) && world.hosts[A].topics.contains(&a.topic()));
    // An invite of the new key is claimable without a restart, and so is one from before.
    let token = world.token(A, b, &["docs"]);
    let claimed = world.done(B, claim(&token));
    assert!(matches!(claimed, Ok(Reply::Claimed { ref peer, .. }) if peer.key == new), "{claimed:?}");
    assert_eq!(world.done(B, log(new, "docs", "to the new key")), Ok(Reply::Logged));
    assert_eq!(world.done(B, log(a, "docs", "to the old key")), Ok(Reply::Logged));
}

#[test]
fn flaw_13_grantees_that_never_spoke_are_told_and_those_away_when_they_are_back() {
    let mut world = World::new(4);
    let keys: Vec<_> = (0..4).map(|host| world.key(host)).collect();
    // B was granted something, C granted something, the last one is away.
    world.grants(A, keys[B]);
    for other in [B, C, 3] {
        world.grants(other, keys[A]);
    }
    world.grants(A, keys[C]);
    world.grants(A, keys[3]);
    world.hosts[3].online = false;
    let Ok(Reply::Rotated { told, untold, .. }) = world.done(A, rotate(RotationReason::Scheduled)) else {
        panic!("no rotation");
    };
    assert_eq!((told.len(), untold), (2, vec![keys[3]]), "a failure is not counted as told");
    world.hosts[3].online = true;
    world.sleep(Duration::from_secs(3600));
    let new = world.key(A);
    for other in [B, C, 3] {
        assert!(world.hosts[other].events.iter().any(|event| matches!(event, Event::KeyRotated { .. })), "{other}");
        assert_eq!(world.done(A, log(world.key(other), "main", "under the new key")), Ok(Reply::Logged));
        assert!(world.hosts[other].node.peer(&new).is_some());
    }
}

#[test]
fn flaw_13_a_peer_that_was_away_for_longer_than_the_grace_period_is_told_when_it_is_back() {
    for before_the_restart in [Duration::ZERO, Duration::from_secs(3 * 24 * 3600)] {
        told_after_the_grace(before_the_restart);
    }
}

fn told_after_the_grace(before_the_restart: Duration) {
    let mut world = World::friends(2);
    let b = world.key(B);
    world.hosts[B].online = false;
    assert!(world.done(A, rotate(RotationReason::Compromise)).is_ok());
    world.sleep(before_the_restart);
    // A process that stands still, if the grace is to end while nobody looks.
    world.now.wall = world.now.wall + Duration::from_secs(3 * 24 * 3600);
    world.restart(A, Config::default());
    let untold = |world: &World| world.hosts[A].node.snapshot().grace.iter().map(|key| key.untold.len()).sum::<usize>();
    assert_eq!(untold(&world), 1, "it is shown who has yet to hear");
    world.hosts[B].online = true;
    world.sleep(Duration::from_secs(2 * 3600));
    assert_eq!(untold(&world), 0);
    assert_eq!(world.done(A, log(b, "main", "it is me")), Ok(Reply::Logged));
    let new = world.key(A);
    assert_eq!(world.done(B, log(new, "main", "I know")), Ok(Reply::Logged));
}

#[test]
fn flaw_34_a_question_never_comes_back_to_who_waits_for_its_answer() {
    let mut world = open(3);
    let (a, b, c) = (world.key(A), world.key(B), world.key(C));
    let question = world.command(A, inject(b, "main", "what does C say?"));
    let (_, at_b) = asked(&world, B);
    // B's handler asks back, in any session.
    assert_eq!(world.done(B, in_chain(&at_b, inject(a, "other", "tell me"))), Err(CommandError::Loop(a)));
    // It may ask C, whose handler may ask neither of the two.
    let onward = world.command(B, in_chain(&at_b, inject(c, "main", "and you?")));
    let (ask, at_c) = asked(&world, C);
    for key in [a, b] {
        assert_eq!(world.done(C, in_chain(&at_c, inject(key, "main", "and you?"))), Err(CommandError::Loop(key)));
    }
    assert!(world.hosts[A].asked.is_empty());
    // The chain ends with the answers: C's is B's, and B's is A's.
    world.input(C, Input::Answered { id: ask, result: Ok("yes".to_owned()) });
    assert_eq!(world.hosts[B].finished.remove(&onward), Some(Ok(Reply::Answer("yes".to_owned()))));
    let (ask, _) = asked(&world, B);
    world.input(B, Input::Answered { id: ask, result: Ok("C says yes".to_owned()) });
    assert_eq!(world.hosts[A].finished.remove(&question), Some(Ok(Reply::Answer("C says yes".to_owned()))));
}

#[test]
fn flaw_34_parallel_questions_do_not_open_the_guard_and_are_not_held_up_by_it() {
    let mut world = open(2);
    let (a, b) = (world.key(A), world.key(B));
    world.command(A, inject(b, "main", "one"));
    let (first, chain) = asked(&world, B);
    world.command(A, inject(b, "main", "two"));
    world.input(B, Input::Answered { id: first, result: Ok("done".to_owned()) });
    assert_eq!(world.done(B, in_chain(&chain, inject(a, "main", "back"))), Err(CommandError::Loop(a)));
    // A question of B's own is no part of it.
    world.command(B, inject(a, "main", "by the way"));
    assert_eq!(world.hosts[A].asked.len(), 1);
}

#[test]
fn flaw_34_a_chain_that_a_node_in_between_does_not_check_is_refused_by_who_waits_in_it() {
    let mut world = open(3);
    let (a, b, c) = (world.key(A), world.key(B), world.key(C));
    world.command(A, inject(b, "main", "x"));
    let (_, at_b) = asked(&world, B);
    world.command(B, in_chain(&at_b, inject(c, "main", "x")));
    let (_, at_c) = asked(&world, C);
    // C has never heard of A's new key, under which A is asked now; A knows both of its keys.
    world.hosts[C].online = false;
    assert!(world.done(A, rotate(RotationReason::Scheduled)).is_ok());
    let new = world.key(A);
    assert_ne!(new, a);
    let back = world.done(C, in_chain(&at_c, inject(new, "main", "x")));
    assert!(matches!(&back, Err(CommandError::Rejected { reason, .. }) if reason.starts_with("loop")), "{back:?}");
    assert!(world.hosts[A].asked.is_empty());
}

#[test]
fn flaw_34_a_chain_has_an_end() {
    let mut world = open(2);
    let b = world.key(B);
    let mut chain = Chain::start(wopr_p2p_core::keys::Nonce([9; 16]));
    for number in 0..8 {
        chain = chain.with(&wopr_p2p_core::keys::PublicKey::from_bytes([number; 32])).expect("room");
    }
    assert_eq!(world.done(A, in_chain(&chain, inject(b, "main", "x"))), Err(CommandError::ChainTooLong(8)));
    // A node with a higher limit gets no further.
    let config = Config { max_chain: 16, ..Config::default() };
    world.restart(A, config);
    let refused = world.done(A, in_chain(&chain, inject(b, "main", "x")));
    assert!(
        matches!(&refused, Err(CommandError::Rejected { reason, .. }) if reason.starts_with("loop")),
        "{refused:?}"
    );
}

#[test]
fn flaw_36_no_event_and_no_debug_text_holds_what_was_said() {
    const SECRET: &str = "xyzzy-plugh";
    let mut world = open(2);
    let (a, b) = (world.key(A), world.key(B));
    world.hosts[A].answers = true;
    assert_eq!(world.done(B, log(a, "main", SECRET)), Ok(Reply::Logged));
    assert!(world.done(B, inject(a, "main", SECRET)).is_ok());
    assert!(world.done(A, revoke(b)).is_ok());
    assert_eq!(world.done(B, log(a, "main", SECRET)), Err(CommandError::Unauthorized(a)));
    world.hosts[A].online = false;
    world.cut();
    assert!(matches!(world.done(B, queue(a, "main", SECRET)), Ok(Reply::Queued { .. })));
    world.hosts[B].disk_full = true;
    assert!(world.done(B, queue(a, "main", SECRET)).is_err());
    for host in [A, B] {
        assert!(!world.hosts[host].events.is_empty());
        for event in &world.hosts[host].events {
            assert!(!format!("{event:?}").contains(SECRET), "{event:?}");
        }
        assert!(!format!("{:?}", world.hosts[host].node.snapshot()).contains(SECRET));
        for text in &world.hosts[host].debugged {
            assert!(!text.contains(SECRET), "{text}");
        }
        assert!(!world.hosts[host].debugged.is_empty());
    }
}

#[test]
fn a_compromised_key_counts_for_the_short_grace_only_with_us_and_with_our_peers() {
    let mut world = World::friends(2);
    let (a, b) = (world.key(A), world.key(B));
    let Ok(Reply::Rotated { grace_until, told, .. }) = world.done(A, rotate(RotationReason::Compromise)) else {
        panic!("no rotation");
    };
    assert_eq!((grace_until.since(world.now.wall).as_secs(), told), (3600, vec![b]));
    let new = world.key(A);
    let peer = world.hosts[B].node.peer(&new).expect("B follows").clone();
    assert_eq!(peer.history[0].valid_until.since(world.now.wall).as_secs(), 3600);
    world.sleep(Duration::from_secs(2 * 3600));
    assert!(!world.hosts[A].topics.contains(&a.topic()));
}

#[test]
fn a_peer_sets_a_limit_of_its_own_to_a_compromised_key() {
    let config = Config { rotation_grace_compromise: Duration::from_secs(24 * 3600), ..Config::default() };
    let mut world = World::with_config(1, &config);
    let b = world.add(Config::default(), wopr_p2p_core::Stored::default());
    let (a, key) = (world.key(A), world.key(b));
    world.grants(A, key);
    world.grants(b, a);
    assert!(world.done(A, rotate(RotationReason::Compromise)).is_ok());
    let new = world.key(A);
    let peer = world.hosts[b].node.peer(&new).expect("B follows").clone();
    assert_eq!(peer.history[0].valid_until.since(world.now.wall).as_secs(), 3600);
}

#[test]
fn under_a_compromised_key_peers_are_told_and_nothing_else_is_done() {
    let mut world = World::new(3);
    let (a, b, c) = (world.key(A), world.key(B), world.key(C));
    world.grants(A, b);
    world.grants(B, a);
    let token = world.token(A, c, &["main"]);
    world.hosts[B].online = false;
    assert!(world.done(A, rotate(RotationReason::Compromise)).is_ok());
    // A stranger with an invite of that key gets nowhere.
    let claimed = world.done(C, claim(&token));
    assert!(
        matches!(&claimed, Err(CommandError::Rejected { reason, .. }) if reason.contains("given up")),
        "{claimed:?}"
    );
    assert!(world.hosts[A].node.snapshot().grants.iter().all(|grant| grant.peer == b));
    // A peer that has not heard of it hears of it, and its message waits for that.
    world.hosts[B].online = true;
    let logged = world.done(B, log(a, "main", "hello"));
    assert!(matches!(&logged, Err(CommandError::Rejected { reason, .. }) if reason.contains("given up")), "{logged:?}");
    world.sleep(Duration::from_secs(1));
    let new = world.key(A);
    assert!(world.hosts[B].node.peer(&new).is_some(), "told at once");
    assert_eq!(world.done(B, log(a, "main", "hello")), Ok(Reply::Logged));
    assert_eq!(world.hosts[A].texts("main"), ["hello"]);
}

#[test]
fn a_request_right_after_a_rotation_waits_until_the_peer_has_been_told() {
    let mut world = World::friends(2);
    let a = world.key(A);
    let rotate = Command::RotateKeys { reason: RotationReason::Upgrade, notify_all: false, timeout: Duration::ZERO };
    world.command(B, rotate);
    assert_eq!(world.done(B, log(a, "main", "under the new key")), Ok(Reply::Logged));
}
