//! What the owner changes: in force, and said to be done, when it is stored.

use std::time::Duration;

use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, Config, Reply};

use crate::original::Original;
use crate::world::{World, claim, grant, inject, invite, revoke};
use crate::{A, B, held, hold};

#[test]
fn our_new_key_is_used_when_it_is_durable() {
    for fails in [false, true] {
        let mut world = World::new(1);
        let old = world.key(A);
        hold(&mut world);
        let timeout = Duration::from_secs(5);
        let rotate = Command::RotateKeys { reason: RotationReason::Upgrade, notify_all: false, timeout };
        let id = world.command(A, rotate);
        assert_eq!((held(&world), world.key(A)), (vec!["identity.json"], old));
        assert_eq!(world.hosts[A].topics, [old.topic()]);
        if fails {
            world.fail_held(A);
            let result = world.hosts[A].finished.remove(&id);
            assert!(matches!(result, Some(Err(CommandError::NotStored(_)))), "{result:?}");
            assert_eq!((world.key(A), world.hosts[A].topics.len()), (old, 1));
        } else {
            world.let_through(A);
            assert_eq!(world.hosts[A].topics, [old.topic(), world.key(A).topic()]);
            assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(Reply::Rotated { .. }))));
        }
    }
}

#[test]
fn a_failed_rotation_does_not_stand_in_the_way_of_the_next() {
    let mut world = World::new(1);
    let timeout = Duration::from_secs(5);
    let rotate = || Command::RotateKeys { reason: RotationReason::Upgrade, notify_all: true, timeout };
    world.hosts[A].disk_full = true;
    assert!(matches!(world.done(A, rotate()), Err(CommandError::NotStored(_))));
    world.hosts[A].disk_full = false;
    assert!(matches!(world.done(A, rotate()), Ok(Reply::Rotated { .. })));
}

#[test]
fn what_is_noted_of_earlier_keys_does_not_take_the_place_of_new_ones() {
    // A has told B of its second key, and hears of that while its third is on its way to the disk.
    let mut world = World::friends(2);
    let b = world.key(B);
    world.hosts[B].holds_writes = true;
    let timeout = Duration::from_secs(300);
    let rotate = || Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: false, timeout };
    assert!(world.done(A, rotate()).is_ok());
    hold(&mut world);
    let third = world.command(A, rotate());
    assert_eq!(held(&world), ["identity.json"]);
    world.let_all_through(B);
    world.let_all_through(A);
    assert!(matches!(world.hosts[A].finished.remove(&third), Some(Ok(Reply::Rotated { .. }))));
    let (key, grace) = (world.key(A), world.hosts[A].node.snapshot().grace);
    assert_eq!(grace[0].told, [b], "B was told of the second key");
    world.restart(A, Config::default());
    assert_eq!((world.key(A), world.hosts[A].node.snapshot().grace), (key, grace));
}

#[test]
fn two_rotations_at_once_do_not_give_one_key_two_successors() {
    let mut world = World::new(1);
    hold(&mut world);
    let timeout = Duration::from_secs(5);
    let rotate = || Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: false, timeout };
    let (first, second) = (world.command(A, rotate()), world.command(A, rotate()));
    world.let_all_through(A);
    assert!(matches!(world.hosts[A].finished.remove(&first), Some(Ok(Reply::Rotated { .. }))));
    assert!(matches!(world.hosts[A].finished.remove(&second), Some(Err(CommandError::LimitReached(_)))));
}

#[test]
fn the_owners_commands_finish_when_their_changes_are_durable() {
    let peer = Original::made(40);
    type Case = (fn(&Original) -> Command, &'static [&'static str]);
    let commands: [Case; 3] = [
        (|peer| grant(peer.key(), &["more"], "inject"), &["peers.json", "access.json"]),
        (|peer| invite(peer.key(), &["more"]), &["access.json"]),
        (|peer| Command::NamePeer { peer: PeerRef::Key(peer.key()), name: "al".into() }, &["peers.json"]),
    ];
    for (command, documents) in commands {
        for failing in 0..=documents.len() {
            let mut world = World::with_peer(peer.key());
            let before = world.hosts[A].node.snapshot();
            hold(&mut world);
            let id = world.command(A, command(&peer));
            for document in documents.iter().take(failing) {
                assert!(!world.hosts[A].finished.contains_key(&id), "{document} is not durable yet");
                assert_eq!(world.let_through(A), *document);
            }
            if failing < documents.len() {
                world.fail_held(A);
                let result = world.hosts[A].finished.remove(&id);
                assert!(matches!(result, Some(Err(CommandError::NotStored(_)))), "{documents:?}: {result:?}");
                let after = world.hosts[A].node.snapshot();
                assert_eq!((after.grants, after.peers), (before.grants, before.peers), "{documents:?}");
                assert_eq!(after.invites, before.invites, "{documents:?}");
            } else {
                assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(_))), "{documents:?}");
            }
        }
    }
}

#[test]
fn a_claim_of_ours_is_done_when_what_it_opened_is_durable() {
    let mut world = World::new(2);
    let a = world.key(A);
    let token = world.token(B, a, &["main"]);
    hold(&mut world);
    let id = world.command(A, claim(&token));
    assert!(!world.hosts[A].finished.contains_key(&id));
    assert_eq!(world.let_through(A), "peers.json");
    assert!(matches!(world.hosts[A].finished.remove(&id), Some(Ok(Reply::Claimed { .. }))));
    world.hosts[A].holds_writes = false;
    let b = world.key(B);
    assert!(world.done(A, inject(b, "main", "?")).is_ok());
}

#[test]
fn changes_that_wait_for_the_disk_are_bounded() {
    let config = Config { max_pending_changes: 2, ..Config::default() };
    let mut world = World::with_config(1, &config);
    hold(&mut world);
    let ids: Vec<_> =
        (1..=4).map(|seed| world.command(A, grant(Original::made(seed).key(), &["x"], "inject"))).collect();
    let refused = CommandError::LimitReached("max_pending_changes");
    assert_eq!(world.hosts[A].finished.get(&ids[3]), Some(&Err(refused)));
    assert!(ids[..3].iter().all(|id| !world.hosts[A].finished.contains_key(id)));
    // Taking away always has room.
    let id = world.command(A, revoke(Original::made(2).key()));
    world.let_all_through(A);
    assert!(matches!(world.hosts[A].finished.get(&id), Some(Ok(_))));
    assert_eq!(world.hosts[A].node.snapshot().grants.len(), 2);
}
