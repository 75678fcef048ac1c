//! What is taken away: gone at once, whatever is on its way to the disk.

use wopr_p2p_core::invite::InviteState;
use wopr_p2p_core::{CommandError, Config};

use crate::original::{Channel, Original};
use crate::world::{World, grant, invite, revoke};
use crate::{A, claiming, dialled, hold};

/// A node whose writes are held, with one under way already, behind which others queue, if so wanted.
fn holding(one_under_way: bool) -> World {
    let mut world = World::new(1);
    hold(&mut world);
    if one_under_way {
        world.command(A, grant(Original::made(41).key(), &["other"], "inject"));
    }
    world
}

#[test]
fn a_revocation_holds_before_it_is_durable_and_even_if_it_never_is() {
    let peer = Original::made(40);
    let (mut world, mut channel) = dialled(&peer);
    let id = world.command(A, revoke(peer.key()));
    let line = channel.log(&world, "main", "too late");
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "unauthorized");
    assert!(!world.hosts[A].finished.contains_key(&id), "finished before it is durable");
    world.fail_held(A);
    assert!(matches!(world.hosts[A].finished.remove(&id), Some(Err(CommandError::NotStored(_)))));
    let line = channel.log(&world, "main", "still too late");
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "unauthorized");
}

#[test]
fn a_revocation_during_a_claim_wins() {
    for step in 0..2 {
        let peer = Original::made(40);
        let mut world = World::new(1);
        let (channel, line) = claiming(&mut world, &peer);
        hold(&mut world);
        channel.send(&mut world, &line);
        for _ in 0..step {
            world.let_through(A);
        }
        let id = world.command(A, revoke(peer.key()));
        world.let_all_through(A);
        assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized", "step {step}");
        assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(_))), "step {step}");
        assert!(world.hosts[A].node.snapshot().grants.is_empty(), "step {step}");
        world.restart(A, Config::default());
        assert!(world.hosts[A].node.snapshot().grants.is_empty(), "step {step}: back after a restart");
    }
}

#[test]
fn a_revocation_during_a_grant_wins() {
    let peer = Original::made(40);
    for queued in [false, true] {
        let mut world = holding(queued);
        let granted = world.command(A, grant(peer.key(), &["main"], "inject"));
        world.command(A, revoke(peer.key()));
        world.let_all_through(A);
        assert_eq!(world.hosts[A].finished.remove(&granted), Some(Err(CommandError::Cancelled)), "queued: {queued}");
        let grants = world.hosts[A].node.snapshot().grants;
        assert!(grants.iter().all(|grant| grant.peer != peer.key()), "queued: {queued}");
    }
}

#[test]
fn a_revocation_during_an_invite_wins() {
    let peer = Original::made(40);
    for queued in [false, true] {
        let mut world = holding(queued);
        world.command(A, invite(peer.key(), &["main"]));
        let revoked = world.command(A, revoke(peer.key()));
        world.let_all_through(A);
        assert!(matches!(world.hosts[A].finished.remove(&revoked), Some(Ok(_))), "queued: {queued}");
        for restarted in [false, true] {
            let invites = world.hosts[A].node.snapshot().invites;
            let open = invites.iter().any(|invite| invite.state == InviteState::Open);
            assert!(!open, "queued: {queued}, restarted: {restarted}");
            world.restart(A, Config::default());
        }
    }
}

#[test]
fn a_revocation_before_the_text_is_stored_keeps_it_out() {
    let peer = Original::made(40);
    let (mut world, mut channel) = dialled(&peer);
    let line = channel.log(&world, "main", "too late");
    channel.send(&mut world, &line);
    world.command(A, revoke(peer.key()));
    world.let_all_through(A);
    assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized");
    assert!(world.hosts[A].sessions.is_empty());
}

#[test]
fn a_revocation_stops_the_ai_and_withholds_its_answer() {
    let peer = Original::made(40);
    // While the AI thinks.
    let mut world = World::with_peer(peer.key());
    world.hosts[A].answers = false;
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    assert!(world.done(A, revoke(peer.key())).is_ok());
    assert_eq!((world.hosts[A].cancelled.len(), world.hosts[A].asked.len()), (1, 1));
    assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized");
    // While its answer is being stored.
    let (mut world, mut channel) = dialled(&peer);
    let line = channel.inject(&world, "main", "why?", "r");
    channel.send(&mut world, &line);
    world.let_through(A);
    world.let_through(A);
    world.command(A, revoke(peer.key()));
    world.let_all_through(A);
    assert_eq!(channel.received(&mut world)[0]["reason"], "unauthorized");
}
