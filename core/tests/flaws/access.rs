//! Who gets in, how far and how long: flaws 6 to 10 and 25.

use std::time::Duration;

use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, CommandError, Config, Reply};

use crate::original::{Channel, Original};
use crate::world::{World, claim, grant, inject, invite, log, revoke, session};
use crate::{A, B};

fn reason(error: Result<Reply, CommandError>) -> String {
    match error {
        Err(CommandError::Rejected { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn flaw_06_message_is_not_enough_to_ask_the_ai() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["main"], "message")).is_ok());
    assert_eq!(world.done(B, log(a, "main", "hello")), Ok(Reply::Logged));
    assert_eq!(world.done(B, inject(a, "main", "hello?")), Err(CommandError::Unauthorized(a)));
    assert!(world.hosts[A].asked.is_empty());
    assert_eq!(world.hosts[A].texts("main"), ["hello"]);
}

#[test]
fn flaw_06_a_refinement_asks_but_does_not_log_and_travels_to_the_handler() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["main"], "inject.tools")).is_ok());
    world.hosts[A].answers = false;
    world.command(B, inject(a, "main", "hello?"));
    let (_, question) = &world.hosts[A].asked[0];
    let words: Vec<&str> = question.capabilities.iter().map(|capability| capability.as_str()).collect();
    assert_eq!(words, ["inject.tools"]);
    assert_eq!(world.done(B, log(a, "main", "hello")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_07_a_token_is_not_claimed_twice() {
    let mut world = World::new(2);
    let b = world.key(B);
    let token = world.token(A, b, &["main"]);
    assert!(world.done(B, claim(&token)).is_ok());
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
    assert_eq!(world.hosts[A].node.snapshot().grants.len(), 1);
    // Not after a restart of the issuer, either.
    world.restart(A, Config::default());
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
}

#[test]
fn flaw_07_a_claim_whose_answer_was_lost_gave_access_once_and_claiming_again_gives_no_more() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let token = world.token(A, b, &["main"]);
    // The connection stands, so that the next thing that A says is the answer.
    world.done(B, log(a, "main", "not yet")).unwrap_err();
    world.lose_next(A, 1);
    assert_eq!(world.done(B, claim(&token)), Err(CommandError::NoAnswer(a)));
    assert_eq!(world.done(B, log(a, "main", "it stands")), Ok(Reply::Logged));
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
    assert_eq!(world.hosts[A].node.snapshot().grants.len(), 1);
    assert!(world.done(A, revoke(b)).is_ok());
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
    assert_eq!(world.done(B, log(a, "main", "and now?")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_07_a_revoked_peer_does_not_get_in_again_by_its_token() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let (used, open) = (world.token(A, b, &["main"]), world.token(A, b, &["other"]));
    assert!(world.done(B, claim(&used)).is_ok());
    let revoked = world.done(A, revoke(b));
    assert!(matches!(revoked, Ok(Reply::Revoked { ref invites, .. }) if invites.len() == 1));
    assert_eq!(reason(world.done(B, claim(&used))), "invalid token: already claimed");
    assert_eq!(reason(world.done(B, claim(&open))), "invalid token: revoked");
    assert_eq!(world.done(B, log(a, "main", "back")), Err(CommandError::Unauthorized(a)));
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
}

#[test]
fn flaw_07_an_invite_for_a_peer_that_was_revoked_before_it_was_known_is_void() {
    let mut world = World::new(2);
    let b = world.key(B);
    let token = world.token(A, b, &["main"]);
    // The subject has never been heard of: only its key is known, from the invite.
    let revoked = world.done(A, revoke(b));
    assert!(matches!(revoked, Ok(Reply::Revoked { ref invites, .. }) if invites.len() == 1), "{revoked:?}");
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: revoked");
}

#[test]
fn flaw_08_narrowing_a_grant_narrows_it() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["one", "two"], "inject")).is_ok());
    let narrowed = world.done(A, Command::RevokePeer { peer: PeerRef::Key(b), session: Some(session("two")) });
    assert!(matches!(narrowed, Ok(Reply::Revoked { ref narrowed, .. }) if narrowed.len() == 1));
    for restarted in [false, true] {
        if restarted {
            world.restart(A, Config::default());
        }
        assert_eq!(world.done(B, log(a, "one", "in")), Ok(Reply::Logged));
        assert_eq!(world.done(B, log(a, "two", "out")), Err(CommandError::Unauthorized(a)));
    }
}

#[test]
fn flaw_08_a_session_is_taken_out_of_a_grant_on_all_of_them() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["*"], "inject")).is_ok());
    assert!(world.done(A, Command::RevokePeer { peer: PeerRef::Key(b), session: Some(session("diary")) }).is_ok());
    assert_eq!(world.done(B, log(a, "diary", "out")), Err(CommandError::Unauthorized(a)));
    assert_eq!(world.done(B, log(a, "main", "in")), Ok(Reply::Logged));
}

#[test]
fn flaw_08_a_narrower_grant_widens_no_other() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["one"], "inject")).is_ok());
    assert!(world.done(A, grant(b, &["two"], "message")).is_ok());
    assert_eq!(world.done(B, inject(a, "two", "?")), Err(CommandError::Unauthorized(a)));
    assert!(world.done(B, inject(a, "one", "?")).is_ok());
}

#[test]
fn flaw_08_a_grant_ends_when_its_time_is_over() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let hour = Duration::from_secs(3600);
    let Command::Grant { peer, sessions, capabilities, trust, .. } = grant(b, &["main"], "inject") else { panic!() };
    let limited = Command::Grant { peer, sessions, capabilities, trust, expires_in: Some(hour) };
    assert!(world.done(A, limited).is_ok());
    world.sleep(hour - Duration::from_secs(1));
    assert_eq!(world.done(B, log(a, "main", "in time")), Ok(Reply::Logged));
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.done(B, log(a, "main", "too late")), Err(CommandError::Unauthorized(a)));
    world.sleep(Duration::from_secs(61));
    assert!(world.hosts[A].node.snapshot().grants.is_empty(), "an ended grant is still listed");
}

#[test]
fn flaw_09_a_removed_peer_has_no_grant_left() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["one"], "inject")).is_ok());
    assert!(world.done(A, grant(b, &["*"], "message")).is_ok());
    assert_eq!(world.done(B, log(a, "one", "in")), Ok(Reply::Logged));
    assert!(world.done(A, revoke(b)).is_ok());
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
    assert_eq!(world.done(B, log(a, "one", "out")), Err(CommandError::Unauthorized(a)));
    world.restart(A, Config::default());
    assert_eq!(world.done(B, log(a, "one", "out")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_10_a_peer_is_revoked_by_whatever_names_it() {
    for how in 0..4 {
        let mut world = World::new(2);
        let (a, b) = (world.key(A), world.key(B));
        let Ok(Reply::Granted(first)) = world.done(A, grant(b, &["one"], "inject")) else { panic!("no grant") };
        assert!(world.done(A, Command::NamePeer { peer: PeerRef::Key(b), name: "bob".into() }).is_ok());
        let peer = match how {
            0 => b.to_string().parse().expect("a full key"),
            1 => b.short_id().parse().expect("a short id"),
            2 => "bob".parse().expect("a name"),
            _ => {
                assert!(world.done(A, Command::RevokeGrant { grant: first.id.to_string() }).is_ok());
                PeerRef::Key(b)
            }
        };
        if how < 3 {
            assert!(world.done(A, grant(b, &["two"], "inject")).is_ok());
            let revoked = world.done(A, revoke(peer));
            assert!(
                matches!(revoked, Ok(Reply::Revoked { ref grants, .. }) if grants.len() == 2),
                "{how}: {revoked:?}"
            );
        }
        assert_eq!(world.done(B, log(a, "one", "out")), Err(CommandError::Unauthorized(a)), "{how}");
    }
}

#[test]
fn flaw_25_an_invite_gives_what_it_says_and_no_more() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let Command::CreateInvite { subject, sessions, expires_in, .. } = invite(b, &["main"]) else { panic!() };
    let capabilities = vec!["message".parse().expect("a capability")];
    let created = world.done(A, Command::CreateInvite { subject, sessions, capabilities, expires_in });
    let Ok(Reply::InviteCreated { token, .. }) = created else { panic!("{created:?}") };
    assert!(world.done(B, claim(&token)).is_ok());
    assert_eq!(world.done(B, log(a, "main", "in")), Ok(Reply::Logged));
    assert_eq!(world.done(B, inject(a, "main", "out?")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_25_an_expired_invite_is_refused_by_its_issuer() {
    let peer = Original::made(40);
    let mut world = World::new(1);
    let token = world.token(A, peer.key(), &["main"]);
    world.sleep(Duration::from_secs(3601));
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.claim(&world, &token);
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "invalid token: expired");
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
}

#[test]
fn flaw_25_a_token_is_claimed_by_its_subject_only() {
    let (peer, thief) = (Original::made(40), Original::made(66));
    let mut world = World::new(1);
    let token = world.token(A, peer.key(), &["main"]);
    let mut channel = Channel::dial(&mut world, A, &thief, 66);
    let line = channel.claim(&world, &token);
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "token not issued for you");
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
    // The attempt does not spend it.
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.claim(&world, &token);
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}
