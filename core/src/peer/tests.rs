use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::{
    AddError, KeyStatus, NameError, Opened, Peer, PeerRef, PeerRefError, Peers, ResolveError, RotateOutcome,
    RotateRefused, Rotation, SetNameError, check_name,
};
use crate::access::{Capability, SessionSet};
use crate::error::{MemberFault, StateError};
use crate::keys::{EncryptKey, PublicKey};
use crate::rotation::RotationReason;
use crate::time::WallTime;

const NOW: WallTime = WallTime::from_millis(1_767_225_600_000);
const HOUR: Duration = Duration::from_secs(3600);

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

fn encrypt(n: u8) -> EncryptKey {
    EncryptKey::from_bytes([n; 32])
}

fn known(numbers: &[u8]) -> Peers {
    let mut peers = Peers::new(100);
    for number in numbers {
        peers.add(key(*number), NOW).unwrap();
    }
    peers
}

fn rotation(old: u8, new: u8) -> Rotation {
    Rotation {
        old: key(old),
        new: key(new),
        new_encrypt: encrypt(new),
        reason: RotationReason::Scheduled,
        valid_until: NOW + HOUR,
    }
}

fn resolve(peers: &Peers, text: &str) -> Option<PublicKey> {
    peers.resolve(&text.parse().unwrap()).ok().map(|peer| peer.key)
}

/// Two keys with one short id, found by counting up.
fn short_id_twins() -> (PublicKey, PublicKey) {
    let numbered = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        PublicKey::from_bytes(bytes)
    };
    let mut seen = alloc::collections::BTreeMap::new();
    for n in 0.. {
        if let Some(first) = seen.insert(numbered(n).topic().0[..4].to_vec(), n) {
            return (numbered(first), numbered(n));
        }
    }
    unreachable!("32 bits collide long before 32 bits are counted")
}

#[test]
fn flaw_10_a_peer_is_found_by_full_key_short_id_and_name() {
    let mut peers = known(&[1, 2]);
    peers.set_name(&key(1), " alice ").unwrap();
    for text in [key(1).to_string(), key(1).short_id(), key(1).short_id().to_uppercase(), "alice".into()] {
        assert_eq!(resolve(&peers, &text), Some(key(1)), "{text}");
        assert_eq!(resolve(&peers, &format!(" {text}\n")), Some(key(1)), "{text} with space around it");
    }
    assert_eq!(resolve(&peers, "bob"), None);
    assert_eq!(resolve(&peers, &key(3).to_string()), None);
    assert_eq!(resolve(&peers, &key(3).short_id()), None);
}

#[test]
fn a_rotated_peer_is_still_found_by_its_former_key_and_short_id() {
    let mut peers = known(&[1]);
    peers.rotate(&rotation(1, 2), NOW).unwrap();
    for text in [key(1).to_string(), key(1).short_id(), key(2).to_string(), key(2).short_id()] {
        assert_eq!(resolve(&peers, &text), Some(key(2)), "{text}");
    }
}

#[test]
fn flaw_32_two_peers_with_one_short_id_both_exist_and_the_short_id_is_ambiguous() {
    let (one, other) = short_id_twins();
    assert_eq!(one.short_id(), other.short_id());
    let mut peers = Peers::new(10);
    peers.add(one, NOW).unwrap();
    assert_eq!(resolve(&peers, &one.short_id()), Some(one));
    peers.add(other, NOW).unwrap();
    assert_eq!(peers.len(), 2);
    let error = peers.resolve(&one.short_id().parse().unwrap()).unwrap_err();
    let ResolveError::Ambiguous { keys, .. } = &error else { panic!("{error}") };
    assert!(keys.contains(&one) && keys.contains(&other));
    assert!(error.to_string().contains(&other.to_string()));
    assert_eq!(resolve(&peers, &other.to_string()), Some(other));
}

#[test]
fn flaw_32_a_name_belongs_to_one_peer() {
    let mut peers = known(&[1, 2]);
    peers.set_name(&key(1), "alice").unwrap();
    assert_eq!(peers.set_name(&key(2), "alice"), Err(SetNameError::Taken { by: key(1) }));
    assert!(SetNameError::Taken { by: key(1) }.to_string().contains(&key(1).short_id()));
    assert_eq!(peers.set_name(&key(1), "alice").unwrap().name.as_deref(), Some("alice"));
    peers.set_name(&key(1), "anna").unwrap();
    peers.set_name(&key(2), "alice").unwrap();
    assert_eq!(resolve(&peers, "alice"), Some(key(2)));
    assert_eq!(peers.set_name(&key(3), "carl"), Err(SetNameError::Unknown));
}

#[test]
fn a_name_never_looks_like_a_key_or_a_short_id() {
    let (sign, seal) = (key(1).to_string(), encrypt(1).to_string());
    for text in [&*sign, &sign[..20], &seal, "0a58ede0", "DEADBEEF", "12345678"] {
        assert_eq!(check_name(text), Err(NameError::LooksLikeKey));
    }
    assert_eq!(check_name(" \t"), Err(NameError::Empty));
    assert_eq!(check_name("a\nb"), Err(NameError::Control));
    assert_eq!(check_name("a\u{9b}b"), Err(NameError::Control));
    assert_eq!(check_name(&"é".repeat(33)), Err(NameError::TooLong));
    for fine in [&*"é".repeat(32), "my-laptop", "decade", "1234567", "Anna Müller", "deadbeef0"] {
        assert_eq!(check_name(fine), Ok(fine));
    }
}

#[test]
fn a_damaged_key_is_reported_as_a_key_not_as_an_unknown_name() {
    let whole = key(1).to_string();
    for text in [&whole[..59], "MCowBQYDK2VwAy...", &encrypt(1).to_string()] {
        assert!(matches!(text.parse::<PeerRef>(), Err(PeerRefError::Key(_))), "{text}");
    }
    assert_eq!("a\tb".parse::<PeerRef>(), Err(PeerRefError::Name(NameError::Control)));
}

#[test]
fn a_peer_reference_shows_as_it_is_read() {
    for text in [key(1).to_string(), "0a58ede0".into(), "alice".into()] {
        assert_eq!(text.parse::<PeerRef>().unwrap().to_string(), text);
    }
}

#[test]
fn adding_a_known_peer_changes_nothing_and_a_full_table_takes_no_more() {
    let mut peers = Peers::new(1);
    peers.add(key(1), NOW).unwrap();
    peers.set_name(&key(1), "alice").unwrap();
    assert_eq!(peers.add(key(1), NOW + HOUR).unwrap().added, NOW);
    assert_eq!(peers.get(&key(1)).unwrap().name.as_deref(), Some("alice"));
    assert_eq!(peers.add(key(2), NOW), Err(AddError::Full { max: 1 }));
    peers.rotate(&rotation(1, 3), NOW).unwrap();
    assert_eq!(peers.add(key(1), NOW), Err(AddError::PastKey { current: key(3) }));
}

#[test]
fn a_rotation_keeps_the_peer_and_writes_its_history() {
    let mut peers = known(&[1]);
    peers.set_encrypt_key(&key(1), encrypt(1));
    peers.set_name(&key(1), "alice").unwrap();
    assert_eq!(peers.rotate(&rotation(1, 2), NOW + HOUR), Ok(RotateOutcome::Moved));
    assert_eq!(peers.get(&key(1)), None);
    let peer = peers.get(&key(2)).unwrap();
    assert_eq!((peer.encrypt_key, peer.name.as_deref()), (Some(encrypt(2)), Some("alice")));
    assert_eq!((peer.added, peer.key_since), (NOW, NOW + HOUR));
    let past = &peer.history[0];
    assert_eq!((past.key, past.encrypt_key), (key(1), Some(encrypt(1))));
    assert_eq!((past.valid_from, past.valid_until, past.expired), (NOW, NOW + HOUR, false));
}

#[test]
fn flaw_31_a_former_key_acts_for_its_peer_only_until_the_grace_period_ends() {
    let mut peers = known(&[1]);
    peers.rotate(&rotation(1, 2), NOW).unwrap();
    let last = WallTime::from_millis((NOW + HOUR).as_millis() - 1);
    let peer = peers.get(&key(2)).unwrap();
    assert_eq!(peers.current_of(&key(2), NOW), Some(KeyStatus::Current(peer)));
    assert_eq!(peers.current_of(&key(1), last), Some(KeyStatus::Grace { peer, until: NOW + HOUR }));
    assert_eq!(peers.current_of(&key(1), NOW + HOUR), Some(KeyStatus::Expired));
    assert_eq!(peers.current_of(&key(3), NOW), None);
}

#[test]
fn flaw_31_a_clock_that_steps_back_does_not_bring_an_expired_key_back() {
    let mut peers = known(&[1]);
    peers.rotate(&rotation(1, 2), NOW).unwrap();
    assert!(!peers.prune(NOW));
    assert!(peers.prune(NOW + HOUR));
    assert!(!peers.prune(NOW + HOUR));
    assert_eq!(peers.current_of(&key(1), NOW), Some(KeyStatus::Expired));
    let text = serde_json::to_string(&peers).unwrap();
    let again = Peers::load(100, serde_json::from_str::<Vec<Peer>>(&text).unwrap()).unwrap();
    assert_eq!(again.current_of(&key(1), NOW), Some(KeyStatus::Expired), "and neither does a restart");
}

#[test]
fn flaw_11_a_rotation_cannot_take_a_key_that_some_peer_has_or_had() {
    let mut peers = known(&[1, 2]);
    peers.rotate(&rotation(2, 3), NOW).unwrap();
    for taken in [2, 3] {
        assert_eq!(peers.rotate(&rotation(1, taken), NOW), Err(RotateRefused::KeyInUse { by: key(3) }));
    }
    assert_eq!(peers.rotate(&rotation(3, 2), NOW), Err(RotateRefused::KeyInUse { by: key(3) }), "its own former key");
    assert_eq!(peers.rotate(&rotation(1, 1), NOW), Err(RotateRefused::KeyInUse { by: key(1) }));
    assert_eq!(peers.rotate(&rotation(4, 5), NOW), Err(RotateRefused::UnknownKey));
    assert_eq!(peers.iter().map(|peer| peer.key).collect::<Vec<_>>(), [key(1), key(3)]);
}

#[test]
fn flaw_11_a_key_has_one_successor_and_a_second_one_is_reported() {
    let mut peers = known(&[1]);
    peers.rotate(&rotation(1, 2), NOW).unwrap();
    let before = peers.get(&key(2)).cloned();
    assert_eq!(peers.rotate(&rotation(1, 2), NOW), Ok(RotateOutcome::AlreadyDone));
    assert_eq!(peers.rotate(&rotation(1, 3), NOW), Err(RotateRefused::Conflict { known: key(2) }));
    let other_encrypt = Rotation { new_encrypt: encrypt(9), ..rotation(1, 2) };
    assert_eq!(peers.rotate(&other_encrypt, NOW), Err(RotateRefused::Conflict { known: key(2) }));
    let longer = Rotation { valid_until: NOW + HOUR * 1000, ..rotation(1, 2) };
    assert_eq!(peers.rotate(&longer, NOW), Ok(RotateOutcome::AlreadyDone));
    assert_eq!(peers.get(&key(2)).cloned(), before, "a repetition does not even lengthen the grace period");
    peers.prune(NOW + HOUR);
    assert_eq!(peers.rotate(&rotation(1, 3), NOW), Err(RotateRefused::Conflict { known: key(2) }));
    peers.rotate(&rotation(2, 4), NOW).unwrap();
    assert_eq!(peers.rotate(&rotation(1, 2), NOW), Err(RotateRefused::Superseded { by: key(4) }));
    assert_eq!(peers.rotate(&rotation(1, 3), NOW), Err(RotateRefused::Conflict { known: key(2) }));
}

#[test]
fn a_revoked_peer_cannot_rotate_until_the_owner_grants_anew() {
    let mut peers = known(&[1]);
    assert!(peers.revoke(&key(1), NOW));
    assert_eq!(peers.get(&key(1)).unwrap().revoked, Some(NOW));
    assert_eq!(peers.rotate(&rotation(1, 2), NOW), Err(RotateRefused::Revoked));
    assert!(peers.restore(&key(1)));
    assert_eq!(peers.rotate(&rotation(1, 2), NOW), Ok(RotateOutcome::Moved));
    assert!(!peers.revoke(&key(1), NOW), "the former key is not the peer's any more");
}

#[test]
fn the_history_is_bounded_and_what_leaves_it_acts_for_nobody() {
    let mut peers = known(&[0]);
    for n in 0..20 {
        peers.rotate(&rotation(n, n + 1), NOW).unwrap();
    }
    let history = &peers.get(&key(20)).unwrap().history;
    assert_eq!(history.iter().map(|past| past.key).collect::<Vec<_>>(), (4..20).map(key).collect::<Vec<_>>());
    assert_eq!(peers.current_of(&key(3), NOW), None);
    assert!(matches!(peers.current_of(&key(4), NOW), Some(KeyStatus::Grace { .. })));
    peers.add(key(3), NOW).unwrap();
}

#[test]
fn a_forgotten_peer_leaves_no_key_behind() {
    let mut peers = known(&[1]);
    peers.rotate(&rotation(1, 2), NOW).unwrap();
    assert_eq!(peers.forget(&key(1)), None);
    assert_eq!(peers.forget(&key(2)).map(|peer| peer.key), Some(key(2)));
    assert_eq!(peers.current_of(&key(1), NOW), None);
    assert!(peers.add(key(1), NOW).is_ok());
}

#[test]
fn flaw_33_what_they_opened_to_us_is_no_grant_of_ours() {
    let mut peers = known(&[1]);
    let opened = |names: &[&str], word: &str, expires| Opened {
        sessions: SessionSet::new(names.iter().copied()).unwrap(),
        capabilities: [word.parse::<Capability>().unwrap()].into(),
        since: NOW,
        expires,
    };
    assert!(peers.open(&key(1), opened(&["theirs"], "message", Some(NOW + HOUR))));
    assert!(peers.open(&key(1), opened(&["more"], "inject", Some(NOW))));
    assert!(!peers.open(&key(2), opened(&["*"], "inject", None)));
    let peer = peers.get(&key(1)).unwrap();
    let mut both = opened(&["more", "theirs"], "inject", Some(NOW + HOUR));
    both.capabilities.push(Capability::message());
    assert_eq!(peer.opened, Some(both));
    let document = serde_json::to_value(peer).unwrap();
    let mut members: Vec<&String> = document.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["added", "keySince", "opened", "publicKey"], "no sessions of ours among its members");
}

#[test]
fn peers_read_back_from_json_spelled_as_documented() {
    let mut peers = known(&[1, 5]);
    peers.set_encrypt_key(&key(1), encrypt(1));
    peers.set_name(&key(1), "alice").unwrap();
    peers.saw(&key(1), NOW);
    peers.revoke(&key(5), NOW);
    peers.rotate(&rotation(1, 2), NOW).unwrap();
    let text = serde_json::to_string(&peers).unwrap();
    let again = Peers::load(100, serde_json::from_str::<Vec<Peer>>(&text).unwrap()).unwrap();
    assert_eq!(again.iter().collect::<Vec<_>>(), peers.iter().collect::<Vec<_>>());
    assert_eq!(resolve(&again, &key(1).to_string()), Some(key(2)));
    let history = serde_json::to_value(peers.get(&key(2)).unwrap()).unwrap()["keyHistory"].clone();
    let expected = format!(
        r#"[{{"encryptPub":"{}","publicKey":"{}","rotationReason":"scheduled","validFrom":1767225600000,"validUntil":1767229200000}}]"#,
        encrypt(1),
        key(1)
    );
    assert_eq!(history, serde_json::from_str::<serde_json::Value>(&expected).unwrap());
}

#[test]
fn a_document_that_contradicts_itself_is_refused() {
    let peer = |n: u8, past: &[u8], name: Option<&str>| {
        let mut peers = known(&[n]);
        let mut peer = peers.forget(&key(n)).unwrap();
        peer.name = name.map(String::from);
        peers.add(key(0), NOW).unwrap();
        peers.rotate(&rotation(0, 99), NOW).unwrap();
        let pattern = peers.get(&key(99)).unwrap().history[0].clone();
        peer.history.extend(past.iter().map(|n| super::PastKey { key: key(*n), ..pattern.clone() }));
        peer
    };
    let fault = |list: &[Peer]| match Peers::load(100, list.to_vec()) {
        Ok(_) => None,
        Err(StateError::Member { document, member, fault }) => {
            assert_eq!(document, "peers.json");
            Some((member, fault))
        }
        Err(other) => panic!("{other}"),
    };
    use MemberFault::{Contradicts, Unreadable};
    assert_eq!(fault(&[peer(1, &[2, 3], Some("a")), peer(4, &[], Some("b"))]), None);
    assert_eq!(fault(&[peer(1, &[], None), peer(1, &[], None)]), Some(("publicKey", Contradicts("publicKey"))));
    assert_eq!(fault(&[peer(1, &[2], None), peer(2, &[], None)]), Some(("publicKey", Contradicts("publicKey"))));
    assert_eq!(fault(&[peer(2, &[], None), peer(1, &[2], None)]), Some(("keyHistory", Contradicts("publicKey"))));
    assert_eq!(fault(&[peer(1, &[2], None), peer(3, &[2], None)]), Some(("keyHistory", Contradicts("publicKey"))));
    assert_eq!(fault(&[peer(1, &[1], None)]), Some(("keyHistory", Contradicts("publicKey"))));
    assert_eq!(fault(&[peer(1, &[2, 2], None)]), Some(("keyHistory", Contradicts("publicKey"))));
    assert_eq!(fault(&[peer(40, &(0..17).collect::<Vec<_>>(), None)]), Some(("keyHistory", Unreadable)));
    assert_eq!(fault(&[peer(1, &[], Some("0a58ede0"))]), Some(("name", Unreadable)));
    assert_eq!(fault(&[peer(1, &[], Some("a")), peer(2, &[], Some("a"))]), Some(("name", Contradicts("name"))));
}
