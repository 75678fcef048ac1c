//! The recorded identities: how they are stored, what they are called, and what pairs of them agree on.

#[path = "support/vectors.rs"]
mod vectors;

use wopr_p2p_core::cipher::{CipherError, PayloadKey};
use wopr_p2p_core::identity::IdentityFile;
use wopr_p2p_core::keys::{EncryptKey, Topic};
use wopr_p2p_core::rng::Rng;

fn stored(case: &serde_json::Value) -> IdentityFile {
    let json = vectors::text(case, "storedJson");
    IdentityFile::from_json(json.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

#[test]
fn identities_are_read_and_written_byte_for_byte() {
    let file = vectors::load("identity.json");
    for case in file["identities"].as_array().unwrap() {
        let identity = stored(case);
        let again = identity.to_json();
        assert_eq!(std::str::from_utf8(&again).unwrap(), vectors::text(case, "storedJson"), "{}", case["name"]);
        let current = &identity.current;
        assert_eq!(current.public_key().to_string(), vectors::text(case, "publicKey"));
        assert_eq!(current.encrypt_key().to_string(), vectors::text(case, "encryptPub"));
        assert_eq!(Some(current.created().as_millis()), case["created"].as_u64());
        assert_eq!(current.rotated_from().map(|key| key.to_string()).as_deref(), case["rotatedFrom"].as_str());
        assert_eq!(current.rotated_at().map(|at| at.as_millis()), case["rotatedAt"].as_u64());
        assert_eq!(current.public_key().as_bytes(), &*vectors::hex(&case["rawHex"], "signPublic"));
        assert_eq!(current.encrypt_secret().as_bytes(), &*vectors::hex(&case["rawHex"], "encryptSecret"));
    }
}

#[test]
fn short_ids_and_topics_are_those_recorded() {
    let file = vectors::load("identity.json");
    for case in file["identities"].as_array().unwrap() {
        let current = stored(case).current;
        assert_eq!(current.public_key().short_id(), vectors::text(case, "shortId"));
        assert_eq!(current.topic().to_string(), vectors::text(case, "topicHex"));
    }
    for case in file["discoveryTopics"].as_array().unwrap() {
        assert_eq!(Topic::discovery(vectors::text(case, "topic")).to_string(), vectors::text(case, "topicHex"));
    }
}

#[test]
fn pairs_agree_on_the_recorded_static_keys() {
    let file = vectors::load("identity.json");
    let identities = file["identities"].as_array().unwrap();
    let by_name = |name: &serde_json::Value| {
        stored(identities.iter().find(|case| case["name"] == *name).expect("an identity of that name")).current
    };
    for case in file["staticSecrets"].as_array().unwrap() {
        let (one, two) = (by_name(&case["between"][0]), by_name(&case["between"][1]));
        let recorded = PayloadKey::from_bytes(&vectors::hex(case, "sha256KeyHex").try_into().unwrap());
        let sealed = recorded.seal(&mut Rng::new([0; 32]), b"text");
        for (ours, theirs) in [(&one, &two), (&two, &one)] {
            let key = PayloadKey::agree(ours.encrypt_secret(), &theirs.encrypt_key()).unwrap();
            assert_eq!(key.open(&sealed).unwrap().as_slice(), b"text");
        }
    }
}

#[test]
fn a_key_of_small_order_agrees_with_no_identity() {
    let file = vectors::load("identity.json");
    for case in file["identities"].as_array().unwrap() {
        let small = EncryptKey::from_bytes([0; 32]);
        let result = PayloadKey::agree(stored(case).current.encrypt_secret(), &small);
        assert_eq!(result.err(), Some(CipherError::WeakKey));
    }
}
