//! Two nodes, the main path: invite, claim, log, inject, revoke, rotate.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, EntryKind, Reply};
use world::{World, grant, inject, invite, log};

const A: usize = 0;
const B: usize = 1;

/// A world in which B has claimed an invite of A for the session `main`.
fn invited() -> World {
    let mut world = World::new(2);
    let b = world.key(B);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(b, &["main"])) else {
        panic!("no invite");
    };
    let claimed = world.done(B, Command::Claim { token, timeout: Duration::from_secs(10) });
    assert!(matches!(claimed, Ok(Reply::Claimed { .. })), "{claimed:?}");
    world
}

#[test]
fn a_claimed_invite_opens_its_sessions_and_no_other() {
    let mut world = invited();
    let a = world.key(A);
    assert_eq!(world.done(B, log(a, "main", "hello")), Ok(Reply::Logged));
    assert_eq!(world.done(B, log(a, "private", "hello")), Err(CommandError::Unauthorized(a)));
    assert_eq!(world.hosts[A].texts("main"), ["hello"]);
    assert!(world.hosts[A].texts("private").is_empty());
}

#[test]
fn a_claim_opens_nothing_in_the_other_direction() {
    let mut world = invited();
    let b = world.key(B);
    assert_eq!(world.done(A, log(b, "main", "hello")), Err(CommandError::Unauthorized(b)));
}

#[test]
fn an_inject_is_recorded_answered_and_the_answer_recorded() {
    let mut world = invited();
    let a = world.key(A);
    assert_eq!(world.done(B, inject(a, "main", "why?")), Ok(Reply::Answer("re: why?".to_owned())));
    let kinds: Vec<_> = world.hosts[A].sessions["main"].iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Question, EntryKind::Answer]);
}

#[test]
fn a_second_question_is_answered_while_the_first_waits() {
    let mut world = invited();
    let a = world.key(A);
    world.hosts[A].answers = false;
    let first = world.command(B, inject(a, "main", "slow"));
    let second = world.command(B, inject(a, "main", "quick"));
    assert_eq!(world.hosts[A].asked.len(), 2);
    let (quick, _) = world.hosts[A].asked.pop().expect("the second question");
    world.input(A, wopr_p2p_core::Input::Answered { id: quick, result: Ok("q".to_owned()) });
    assert_eq!(world.hosts[B].finished.remove(&second), Some(Ok(Reply::Answer("q".to_owned()))));
    assert!(!world.hosts[B].finished.contains_key(&first));
    let (slow, _) = world.hosts[A].asked.pop().expect("the first question");
    world.input(A, wopr_p2p_core::Input::Answered { id: slow, result: Ok("s".to_owned()) });
    assert_eq!(world.hosts[B].finished.remove(&first), Some(Ok(Reply::Answer("s".to_owned()))));
}

#[test]
fn a_revoked_peer_is_unauthorised_at_once() {
    let mut world = invited();
    let (a, b) = (world.key(A), world.key(B));
    assert_eq!(world.done(B, log(a, "main", "before")), Ok(Reply::Logged));
    let revoked = world.done(A, Command::RevokePeer { peer: PeerRef::Key(b), session: None });
    assert!(matches!(revoked, Ok(Reply::Revoked { ref grants, .. }) if grants.len() == 1));
    assert_eq!(world.done(B, log(a, "main", "after")), Err(CommandError::Unauthorized(a)));
    assert_eq!(world.hosts[A].texts("main"), ["before"]);
}

#[test]
fn a_grant_outlives_a_restart() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["*"], "inject")).is_ok());
    world.restart(A, wopr_p2p_core::Config::default());
    assert_eq!(world.key(A), a);
    assert_eq!(world.done(B, log(a, "anything", "hello")), Ok(Reply::Logged));
}

#[test]
fn after_a_rotation_the_node_is_reached_under_both_keys_and_its_peer_knows() {
    let mut world = invited();
    let (a, b) = (world.key(A), world.key(B));
    let rotated = world.done(
        B,
        Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: true, timeout: Duration::from_secs(20) },
    );
    let Ok(Reply::Rotated { public_key, rotated_from, told, untold, .. }) = rotated else {
        panic!("{rotated:?}");
    };
    assert_eq!((rotated_from, public_key), (b, world.key(B)));
    assert_eq!((told.as_slice(), untold.len()), ([a].as_slice(), 0));
    // The grant has moved: B writes under its new key.
    assert_eq!(world.done(B, log(a, "main", "new key")), Ok(Reply::Logged));
    // And A reaches B, whichever of its keys it uses.
    assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
    assert_eq!(world.done(A, log(b, "main", "old name")), Ok(Reply::Logged));
    assert_eq!(world.done(A, log(public_key, "main", "new name")), Ok(Reply::Logged));
}

#[test]
fn an_offline_peer_is_reported_as_such() {
    let mut world = invited();
    let a = world.key(A);
    world.sleep(Duration::from_secs(300));
    world.hosts[A].online = false;
    assert_eq!(world.done(B, log(a, "main", "hello")), Err(CommandError::PeerOffline(a)));
}
