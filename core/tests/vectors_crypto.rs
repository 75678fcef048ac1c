//! The recorded payloads and the recorded reading of base64: ours opens nothing that the original refuses, and refuses
//! more only by a rule of `docs/stricter.md`.

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/vectors.rs"]
mod vectors;

use serde_json::Value;
use wopr_p2p_core::cipher::{CipherError, EphemeralKey, PayloadKey};
use wopr_p2p_core::invite::{InviteError, InviteToken};
use wopr_p2p_core::keys::EncryptKey;
use wopr_p2p_core::rng::Rng;

/// The secret of an X25519 key in PKCS#8. It is never somebody else's, so its base64 needs no care.
fn secret(case: &Value, member: &str) -> Option<EphemeralKey> {
    let der = lenient::base64(vectors::text(case, member));
    Some(EphemeralKey::from_bytes(der.last_chunk().filter(|_| der.len() == 48)?))
}

fn open(case: &Value) -> Option<Vec<u8>> {
    let theirs: EncryptKey = vectors::text(case, "publicKey").parse().ok()?;
    let key = PayloadKey::agree(secret(case, "privateKey")?.secret(), &theirs).ok()?;
    key.open(vectors::text(case, "ciphertext")).ok().map(|plaintext| plaintext.to_vec())
}

fn stricter(case: &Value) -> Option<&'static str> {
    let payload = vectors::text(case, "ciphertext");
    let rule = if !lenient::is_strict_base64(payload) {
        "a payload that is not strict base64"
    } else if lenient::base64(payload).len() < 28 {
        "a tag of fewer than 16 bytes"
    } else if lenient::spki(&case["publicKey"], 0x6e).is_none() {
        "a key that is not X25519 in strict base64 of its SPKI"
    } else {
        return None;
    };
    Some(vectors::explained(rule))
}

#[test]
fn payloads_of_the_original_are_opened() {
    for case in vectors::load("crypto.json")["positive"].as_array().expect("cases") {
        let secret = |member| secret(case, member).expect("a private key");
        let (local, remote) = (secret("localPrivateKey"), secret("remotePrivateKey"));
        assert_eq!(local.public().to_string(), vectors::text(case, "localPublicKey"), "{}", case["name"]);
        assert_eq!(remote.public().to_string(), vectors::text(case, "remotePublicKey"), "{}", case["name"]);
        let plaintext = vectors::hex(&case["decryptsTo"], "utf8Hex");
        let recorded = PayloadKey::from_bytes(&vectors::hex(case, "aesKeyHex").try_into().expect("32 bytes"));
        let at_local = PayloadKey::agree(local.secret(), &remote.public()).expect("a key");
        let at_remote = PayloadKey::agree(remote.secret(), &local.public()).expect("a key");
        for key in [recorded, at_local, at_remote] {
            let opened = key.open(vectors::text(case, "ciphertext"));
            assert_eq!(opened.as_deref(), Ok(&plaintext), "{}", case["name"]);
        }
    }
}

#[test]
fn flaw_24_payloads_have_the_recorded_verdict_or_a_stricter_one() {
    for case in vectors::load("crypto.json")["negative"].as_array().expect("cases") {
        let expected =
            (case["ok"] == true && stricter(case).is_none()).then(|| vectors::hex(&case["plaintext"], "utf8Hex"));
        assert_eq!(open(case), expected, "{}", case["name"]);
    }
}

#[test]
fn base64_has_one_spelling() {
    let key = PayloadKey::from_bytes(&[0; 32]);
    for case in vectors::load("base64.json")["cases"].as_array().expect("cases") {
        let text = vectors::text(case, "text");
        // What the rules call lenient is what Node does.
        assert_eq!(lenient::base64(text), vectors::hex(case, "base64Hex"), "{text:?}");
        assert_eq!(lenient::base64(text), vectors::hex(case, "base64urlHex"), "{text:?}");
        let payload = key.open(text).err();
        assert_eq!(payload == Some(CipherError::NotBase64), !lenient::is_strict_base64(text), "{text:?} {payload:?}");
        let token = InviteToken::parse(&format!("{}{text}", InviteToken::PREFIX)).err();
        assert_eq!(token == Some(InviteError::NotBase64), !lenient::is_strict_base64url(text), "{text:?} {token:?}");
    }
}

#[test]
fn a_payload_of_ours_is_one_of_the_originals() {
    let mut rng = Rng::new([3; 32]);
    let key = PayloadKey::from_bytes(&[1; 32]);
    for len in 0..100 {
        let payload = key.seal(&mut rng, &vec![7; len]);
        assert!(lenient::is_strict_base64(&payload));
        assert_eq!(lenient::base64(&payload).len(), 28 + len);
    }
}
