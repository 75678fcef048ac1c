//! rotation.json, `stateBefore` to `stateAfter`: what a peer's rotation does to its grants and to what is known of it.

use serde_json::Value;
use wopr_p2p_core::access::{SessionSet, TrustLevel};
use wopr_p2p_core::grant::{Grant, Grants, Needs};
use wopr_p2p_core::keys::{EncryptKey, Nonce, PublicKey};
use wopr_p2p_core::peer::{KeyStatus, Peer, Peers, RotateOutcome, Rotation};
use wopr_p2p_core::time::WallTime;

#[path = "support/vectors.rs"]
mod vectors;

/// The JSON text in a member of a member.
fn inner(file: &Value, state: &str, table: &str) -> Vec<Value> {
    serde_json::from_str(vectors::text(&file[state], table)).expect("a list")
}

fn key(value: &Value, name: &str) -> PublicKey {
    vectors::text(value, name).parse().expect("a key")
}

fn encrypt_key(value: &Value, name: &str) -> EncryptKey {
    vectors::text(value, name).parse().expect("a key")
}

fn time(value: &Value, name: &str) -> WallTime {
    WallTime::from_millis(value[name].as_u64().expect("a time"))
}

fn peers_of(file: &Value) -> Peers {
    let mut peers = Peers::new(100);
    for peer in inner(file, "stateBefore", "peers") {
        let key = key(&peer, "publicKey");
        assert_eq!(peers.add(key, time(&peer, "added")).expect("room").key.short_id(), vectors::text(&peer, "id"));
        peers.set_encrypt_key(&key, encrypt_key(&peer, "encryptPub"));
    }
    peers
}

/// The original's grants; their ids, a millisecond each, become numbers.
fn grants_of(file: &Value) -> Grants {
    let grants = inner(file, "stateBefore", "grants").into_iter().zip(0..).map(|(grant, number)| Grant {
        id: Nonce([number; 16]),
        peer: key(&grant, "peerKey"),
        sessions: serde_json::from_value(grant["sessions"].clone()).expect("sessions"),
        except: [].into(),
        capabilities: serde_json::from_value(grant["caps"].clone()).expect("capabilities"),
        trust: TrustLevel::SemiTrusted,
        created: time(&grant, "created"),
        expires: None,
        invite: None,
    });
    Grants::load(100, grants)
}

fn rotation_of(file: &Value) -> Rotation {
    let statement: Value = serde_json::from_str(vectors::text(file, "rotation")).expect("a statement");
    let grace = std::time::Duration::from_millis(statement["gracePeriodMs"].as_u64().expect("a duration"));
    Rotation {
        old: key(&statement, "oldSignPub"),
        new: key(&statement, "newSignPub"),
        new_encrypt: encrypt_key(&statement, "newEncryptPub"),
        reason: vectors::text(&statement, "reason").parse().expect("a reason"),
        valid_until: time(&statement, "effectiveAt") + grace,
    }
}

/// When the original processed the statement.
fn processed(file: &Value) -> WallTime {
    time(file, "now") + std::time::Duration::from_secs(5)
}

#[test]
fn a_rotation_leaves_the_peers_that_the_original_leaves() {
    let file = vectors::load("rotation.json");
    let mut peers = peers_of(&file);
    assert_eq!(peers.rotate(&rotation_of(&file), processed(&file)), Ok(RotateOutcome::Moved));
    let expected = inner(&file, "stateAfter", "peers");
    assert_eq!(peers.len(), expected.len());
    for recorded in expected {
        let peer: &Peer = peers.get(&key(&recorded, "publicKey")).expect("the peer under its new key");
        let ours = serde_json::to_value(peer).expect("JSON");
        for member in ["publicKey", "encryptPub", "added", "keyHistory"] {
            assert_eq!(ours[member], recorded[member], "{member}");
        }
        assert_eq!(peer.key.short_id(), vectors::text(&recorded, "id"));
    }
}

#[test]
fn a_rotation_leaves_the_grants_that_the_original_leaves() {
    let file = vectors::load("rotation.json");
    let (mut grants, rotation) = (grants_of(&file), rotation_of(&file));
    grants.rekey(&rotation.old, &rotation.new);
    let expected = inner(&file, "stateAfter", "grants");
    assert_eq!(grants.len(), expected.len());
    for (ours, recorded) in grants.iter().zip(&expected) {
        let ours = serde_json::to_value(ours).expect("JSON");
        for member in ["peerKey", "sessions", "caps", "created"] {
            assert_eq!(ours[member], recorded[member], "{member}");
        }
        let sessions: SessionSet = serde_json::from_value(recorded["sessions"].clone()).expect("sessions");
        let session = sessions.names()[0].parse().expect("a session");
        let now = processed(&file);
        assert!(grants.authorise(&rotation.new, &session, Needs::Inject, now).is_some());
        assert!(grants.authorise(&rotation.old, &session, Needs::Log, now).is_none());
    }
}

#[test]
fn processing_a_statement_a_second_time_changes_nothing() {
    let file = vectors::load("rotation.json");
    let (mut peers, rotation) = (peers_of(&file), rotation_of(&file));
    assert_eq!(file["processTwice"]["first"], true);
    assert_eq!(peers.rotate(&rotation, processed(&file)), Ok(RotateOutcome::Moved));
    let before: Vec<Peer> = peers.iter().cloned().collect();
    assert_eq!(file["processTwice"]["second"], false);
    assert_eq!(peers.rotate(&rotation, processed(&file)), Ok(RotateOutcome::AlreadyDone));
    assert_eq!(peers.iter().cloned().collect::<Vec<_>>(), before);
}

#[test]
fn the_old_key_acts_until_the_recorded_end_of_its_grace_period() {
    let file = vectors::load("rotation.json");
    let (mut peers, rotation) = (peers_of(&file), rotation_of(&file));
    peers.rotate(&rotation, processed(&file)).expect("a move");
    let last = WallTime::from_millis(rotation.valid_until.as_millis() - 1);
    assert!(matches!(peers.current_of(&rotation.old, last), Some(KeyStatus::Grace { .. })));
    assert_eq!(peers.current_of(&rotation.old, rotation.valid_until), Some(KeyStatus::Expired));
}
