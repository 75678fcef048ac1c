use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use quickcheck::quickcheck;

use super::*;
use crate::error::MemberFault;

fn file(seed: u8) -> IdentityFile {
    let mut rng = Rng::new([seed; 32]);
    let old = Identity::generate(&mut rng, WallTime::from_millis(1_000));
    let current = old.successor(&mut rng, WallTime::from_millis(2_000));
    let told = BTreeSet::from([PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32])]);
    let retired = RetiredIdentity {
        identity: old,
        valid_until: WallTime::from_millis(3_000),
        reason: RotationReason::Upgrade,
        statement: "{\"a \\\"statement\\\"\":\"é\\u0001\"}".into(),
        told,
    };
    let former = FormerKey {
        public_key: PublicKey::from_bytes([3; 32]),
        valid_until: WallTime::from_millis(900),
        reason: RotationReason::Compromise,
        statement: "{}".into(),
        told: BTreeSet::from([PublicKey::from_bytes([4; 32])]),
    };
    IdentityFile { current, retired: vec![retired], former: Some(Box::new(former)) }
}

fn json(file: &IdentityFile) -> String {
    String::from_utf8(file.to_json().to_vec()).unwrap()
}

fn error(json: &str) -> StateError {
    IdentityFile::from_json(json.as_bytes()).expect_err("a damaged document was read")
}

#[test]
fn a_successor_names_its_predecessor_and_shares_no_key_with_it() {
    let mut rng = Rng::new([7; 32]);
    let old = Identity::generate(&mut rng, WallTime::from_millis(1));
    let new = old.successor(&mut rng, WallTime::from_millis(2));
    assert_eq!((old.rotated_from(), old.rotated_at()), (None, None));
    assert_eq!((new.rotated_from(), new.rotated_at()), (Some(old.public_key()), Some(WallTime::from_millis(2))));
    assert_eq!(new.created(), WallTime::from_millis(2));
    assert_ne!(new.public_key(), old.public_key());
    assert_ne!(new.encrypt_key(), old.encrypt_key());
    assert_eq!(new.topic(), new.public_key().topic());
}

#[test]
fn a_signature_verifies_under_the_public_key_and_no_other() {
    let mut rng = Rng::new([8; 32]);
    let identity = Identity::generate(&mut rng, WallTime::default());
    let other = Identity::generate(&mut rng, WallTime::default());
    let signature = identity.sign(b"text");
    assert!(identity.public_key().verifying_key().unwrap().verifies(b"text", &signature));
    assert!(!identity.public_key().verifying_key().unwrap().verifies(b"Text", &signature));
    assert!(!other.public_key().verifying_key().unwrap().verifies(b"text", &signature));
}

quickcheck! {
    /// Whichever library signs.
    fn a_signature_is_that_of_ed25519_dalek(seed: u8, text: Vec<u8>) -> bool {
        let identity = Identity::generate(&mut Rng::new([seed; 32]), WallTime::default());
        let dalek = ed25519_dalek::SigningKey::from_bytes(identity.signing.seed());
        identity.public_key().as_bytes() == dalek.verifying_key().as_bytes()
            && identity.sign(&text) == ed25519_dalek::Signer::sign(&dalek, &text).to_bytes()
    }
}

#[test]
fn the_document_keeps_retired_identities_and_who_was_told() {
    let before = file(1);
    let after = IdentityFile::from_json(&before.to_json()).unwrap();
    assert_eq!(json(&after), json(&before));
    let (old, kept) = (&before.retired[0], &after.retired[0]);
    assert_eq!(kept.identity.public_key(), old.identity.public_key());
    assert_eq!((kept.valid_until, kept.reason), (old.valid_until, old.reason));
    assert_eq!((&kept.statement, &kept.told), (&old.statement, &old.told));
}

#[test]
fn the_document_has_no_member_retired_when_there_is_none() {
    let mut file = file(1);
    file.retired.clear();
    assert!(!json(&file).contains("retired"));
}

#[test]
fn each_missing_member_is_named() {
    let json = json(&file(1));
    for member in ["publicKey", "privateKey", "encryptPub", "encryptPriv", "created", "rotatedFrom", "rotatedAt"] {
        let fault = MemberFault::Missing;
        let damaged = json.replacen(&format!("\"{member}\""), "\"other\"", 1);
        assert_eq!(error(&damaged), StateError::Member { document: "identity.json", member, fault });
    }
    for member in ["validUntil", "reason", "statement", "told"] {
        let fault = MemberFault::Missing;
        let damaged = json.replace(&format!("\"{member}\""), "\"other\"");
        assert_eq!(error(&damaged), StateError::Member { document: "identity.json", member, fault });
    }
}

#[test]
fn a_public_key_of_another_private_key_is_refused() {
    let (one, two) = (file(1), file(2));
    let swapped = json(&one).replace(&one.current.public_key().to_string(), &two.current.public_key().to_string());
    let fault = MemberFault::Contradicts("privateKey");
    assert_eq!(error(&swapped), StateError::Member { document: "identity.json", member: "publicKey", fault });
    let swapped = json(&one).replace(&one.current.encrypt_key().to_string(), &two.current.encrypt_key().to_string());
    let fault = MemberFault::Contradicts("encryptPriv");
    assert_eq!(error(&swapped), StateError::Member { document: "identity.json", member: "encryptPub", fault });
}

#[test]
fn no_error_and_no_debug_text_shows_a_private_key() {
    let file = file(1);
    let json = json(&file);
    let private = json.split("\"privateKey\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!format!("{file:?}").contains(private));
    // A private key where something else belongs, and one that is cut short.
    for damaged in [
        json.replacen("\"created\":2000", &format!("\"created\":\"{private}\""), 1),
        json.replacen("\"reason\":\"upgrade\"", &format!("\"reason\":\"{private}\""), 1),
        json.replacen(private, &private[..60], 1),
        json.replacen(private, &format!("{private}AAAA"), 1),
        json.replacen(private, &private.replacen("MC4C", "MC4D", 1), 1),
    ] {
        let error = error(&damaged);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&private[20..40]), "{text}");
    }
}

#[test]
fn a_member_given_twice_is_refused() {
    let json = json(&file(1));
    let twice = json.replacen("{\"publicKey\"", "{\"created\":1,\"publicKey\"", 1);
    assert!(matches!(error(&twice), StateError::Malformed { document: "identity.json", .. }));
}

quickcheck! {
    fn any_identity_survives_the_document(seed: u8, created: u64) -> bool {
        let identity = Identity::generate(&mut Rng::new([seed; 32]), WallTime::from_millis(created));
        let file = IdentityFile { current: identity, retired: Vec::new(), former: None };
        let again = IdentityFile::from_json(&file.to_json()).unwrap();
        again.to_json() == file.to_json() && again.current.created().as_millis() == created
    }

    fn a_document_cut_anywhere_is_refused(cut: usize) -> bool {
        let json = file(3).to_json();
        IdentityFile::from_json(&json[..cut % json.len()]).is_err()
    }

    fn no_byte_of_the_document_can_be_damaged_into_a_panic(at: usize, byte: u8) -> bool {
        let mut json = file(3).to_json();
        let at = at % json.len();
        json[at] = byte;
        IdentityFile::from_json(&json).map_or(true, |file| file.retired.len() <= 1)
    }
}
