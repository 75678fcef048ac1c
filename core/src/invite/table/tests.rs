use alloc::string::ToString;
use alloc::vec;

use quickcheck::quickcheck;

use super::*;

const NOW: WallTime = WallTime::from_millis(500);
const MINE: PublicKey = PublicKey::from_bytes([1; 32]);
const OTHER: PublicKey = PublicKey::from_bytes([2; 32]);

fn invite(nonce: u8) -> InviteSummary {
    InviteSummary {
        nonce: Nonce([nonce; 16]),
        subject: MINE,
        sessions: SessionSet::All,
        capabilities: vec![Capability::inject()],
        created: WallTime::from_millis(nonce.into()),
        expires: WallTime::from_millis(1_000),
        state: InviteState::Open,
    }
}

fn table(nonces: &[u8]) -> Invites {
    let mut invites = Invites::default();
    for nonce in nonces {
        invites.issue(invite(*nonce), nonces.len()).expect("room");
    }
    invites
}

fn claim(invites: &mut Invites, nonce: u8, subject: PublicKey, now: u64) -> Result<InviteState, ClaimRefused> {
    invites.claim(&Nonce([nonce; 16]), &subject, WallTime::from_millis(now)).map(|invite| invite.state)
}

#[test]
fn flaw_07_a_token_can_be_claimed_once() {
    let mut invites = table(&[1]);
    assert_eq!(claim(&mut invites, 1, MINE, 500), Ok(InviteState::Claimed { at: NOW }));
    assert_eq!(claim(&mut invites, 1, MINE, 501), Err(ClaimRefused::AlreadyClaimed));
}

#[test]
fn flaw_07_a_token_cannot_be_claimed_after_it_was_revoked() {
    let mut invites = table(&[1]);
    invites.revoke(&Nonce([1; 16]), NOW).unwrap();
    assert_eq!(claim(&mut invites, 1, MINE, 500), Err(ClaimRefused::Revoked));
}

#[test]
fn flaw_07_revoking_a_peer_revokes_its_open_tokens_and_reclaims_nothing() {
    let mut invites = table(&[1, 2]);
    invites.issue(InviteSummary { subject: OTHER, ..invite(3) }, 3).unwrap();
    claim(&mut invites, 1, MINE, 400).unwrap();
    let revoked = invites.revoke_subject(&MINE, NOW);
    assert_eq!(revoked.iter().map(|invite| invite.nonce.0[0]).collect::<Vec<_>>(), [2]);
    assert_eq!(revoked[0].state, InviteState::Revoked { at: NOW });
    assert_eq!(claim(&mut invites, 1, MINE, 600), Err(ClaimRefused::AlreadyClaimed));
    assert_eq!(claim(&mut invites, 2, MINE, 600), Err(ClaimRefused::Revoked));
    assert!(claim(&mut invites, 3, OTHER, 600).is_ok());
}

#[test]
fn a_token_that_is_not_remembered_cannot_be_claimed() {
    assert_eq!(claim(&mut table(&[1]), 2, MINE, 500), Err(ClaimRefused::NotIssued));
}

#[test]
fn a_stranger_learns_nothing_of_a_token_and_does_not_use_it_up() {
    let mut invites = table(&[1, 2]);
    invites.revoke(&Nonce([2; 16]), NOW).unwrap();
    assert_eq!(claim(&mut invites, 1, OTHER, 500), Err(ClaimRefused::NotYours));
    assert_eq!(claim(&mut invites, 2, OTHER, 5_000), Err(ClaimRefused::NotYours));
    assert!(claim(&mut invites, 1, MINE, 500).is_ok());
}

#[test]
fn flaw_24_a_token_expires_after_its_last_millisecond() {
    let mut invites = table(&[1]);
    assert_eq!(claim(&mut invites, 1, MINE, 1_001), Err(ClaimRefused::Expired));
    assert!(claim(&mut invites, 1, MINE, 1_000).is_ok());
}

#[test]
fn only_a_claimed_token_is_opened_again() {
    let mut invites = table(&[1, 2]);
    claim(&mut invites, 1, MINE, 500).unwrap();
    invites.unclaim(&Nonce([1; 16]));
    assert!(claim(&mut invites, 1, MINE, 500).is_ok());
    invites.revoke(&Nonce([2; 16]), NOW).unwrap();
    invites.unclaim(&Nonce([2; 16]));
    assert_eq!(claim(&mut invites, 2, MINE, 500), Err(ClaimRefused::Revoked));
}

#[test]
fn a_claimed_token_cannot_be_revoked_and_a_revoked_one_keeps_its_time() {
    let mut invites = table(&[1, 2]);
    claim(&mut invites, 1, MINE, 500).unwrap();
    assert_eq!(invites.revoke(&Nonce([1; 16]), NOW), Err(RevokeRefused::AlreadyClaimed));
    assert_eq!(invites.revoke(&Nonce([9; 16]), NOW), Err(RevokeRefused::NotIssued));
    for at in [500, 600] {
        let invite = invites.revoke(&Nonce([2; 16]), WallTime::from_millis(at)).unwrap();
        assert_eq!(invite.state, InviteState::Revoked { at: NOW });
    }
}

#[test]
fn open_tokens_never_give_way_to_new_ones() {
    let mut invites = table(&[1, 2]);
    assert_eq!(invites.issue(invite(3), 2), Err(InvitesFull));
    claim(&mut invites, 2, MINE, 500).unwrap();
    assert_eq!(invites.issue(invite(3), 2), Ok(()));
    assert_eq!(invites.iter().map(|invite| invite.nonce.0[0]).collect::<Vec<_>>(), [1, 3]);
    // A token that gave way stays unclaimable.
    assert_eq!(claim(&mut invites, 2, MINE, 500), Err(ClaimRefused::NotIssued));
    assert_eq!(Invites::default().issue(invite(1), 0), Err(InvitesFull));
}

#[test]
fn tokens_are_listed_for_a_week_after_they_expired() {
    let mut invites = table(&[1]);
    let week = 7 * 24 * 60 * 60 * 1_000;
    invites.prune(WallTime::from_millis(1_000 + week));
    assert_eq!(invites.len(), 1);
    invites.prune(WallTime::from_millis(1_001 + week));
    assert!(invites.is_empty());
}

#[test]
fn a_list_with_the_same_token_twice_is_refused() {
    let list = serde_json::to_string(&[invite(1), invite(1)]).unwrap();
    assert!(serde_json::from_str::<Invites>(&list).unwrap_err().to_string().contains("listed twice"));
}

quickcheck! {
    fn the_table_survives_the_store(steps: Vec<(u8, u8)>) -> bool {
        let mut invites = Invites::default();
        for (nonce, step) in steps {
            match step % 3 {
                0 => drop(invites.issue(invite(nonce), 50)),
                1 => drop(invites.claim(&Nonce([nonce; 16]), &MINE, NOW).is_ok()),
                _ => drop(invites.revoke(&Nonce([nonce; 16]), NOW).is_ok()),
            }
        }
        let json = serde_json::to_string(&invites).unwrap();
        serde_json::from_str::<Invites>(&json).unwrap() == invites
    }

    fn whatever_happens_a_token_is_claimed_once_at_most(steps: Vec<(u8, u64)>) -> bool {
        let mut invites = table(&[1]);
        let mut claims = 0;
        for (step, now) in steps {
            let now = WallTime::from_millis(now % 2_000);
            match step % 3 {
                0 => claims += u32::from(invites.claim(&Nonce([1; 16]), &MINE, now).is_ok()),
                1 => invites.prune(now),
                _ => drop(invites.revoke_subject(&OTHER, now)),
            }
        }
        claims <= 1
    }
}
