use alloc::vec;

use quickcheck::quickcheck;

use super::*;

#[path = "../../tests/support/vectors.rs"]
mod vectors;

fn key(byte: u8) -> PayloadKey {
    PayloadKey::from_bytes(&[byte; 32])
}

#[test]
fn sealing_gives_the_recorded_bytes() {
    let file = vectors::load("crypto.json");
    for case in file["positive"].as_array().unwrap() {
        let key = PayloadKey::from_bytes(&vectors::hex(case, "aesKeyHex").try_into().unwrap());
        let iv = vectors::hex(case, "ivHex").try_into().unwrap();
        let sealed = key.seal_with_iv(iv, &vectors::hex(&case["plaintext"], "utf8Hex"));
        assert_eq!(sealed, vectors::text(case, "ciphertext"), "{}", case["name"]);
    }
}

#[test]
fn the_two_sides_agree_on_one_key() {
    let mut rng = Rng::new([1; 32]);
    let (a, b) = (EphemeralKey::generate(&mut rng), EphemeralKey::generate(&mut rng));
    let at_a = PayloadKey::agree(a.secret(), &b.public()).unwrap();
    let at_b = PayloadKey::agree(b.secret(), &a.public()).unwrap();
    assert_eq!(at_b.open(&at_a.seal(&mut rng, b"hello")).unwrap().as_slice(), b"hello");
}

quickcheck! {
    /// Whichever library does it.
    fn an_exchange_gives_what_x25519_dalek_gives(ours: (u64, u64), theirs: (u64, u64)) -> bool {
        let bytes = |(a, b): (u64, u64)| -> [u8; 32] { Sha256::digest([a.to_le_bytes(), b.to_le_bytes()].concat()).into() };
        let (ours, theirs) = (StaticSecret::from(bytes(ours)), bytes(theirs));
        let expected = ours.diffie_hellman(&theirs.into());
        x25519::public_key(&ours).as_bytes() == x25519_dalek::PublicKey::from(&ours).as_bytes()
            && x25519::shared(&ours, &EncryptKey::from_bytes(theirs)).as_deref() == Some(expected.as_bytes())
    }
}

#[test]
fn flaw_24_an_exchange_that_gives_all_zeros_makes_no_key() {
    let ours = EphemeralKey::generate(&mut Rng::new([1; 32]));
    for small in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let result = PayloadKey::agree(ours.secret(), &EncryptKey::from_bytes(small));
        assert_eq!(result.err(), Some(CipherError::WeakKey));
    }
}

#[test]
fn every_seal_has_an_iv_of_its_own() {
    let mut rng = Rng::new([1; 32]);
    let (one, two) = (key(1).seal(&mut rng, b"same"), key(1).seal(&mut rng, b"same"));
    assert_ne!(one[..16], two[..16]);
}

#[test]
fn a_payload_shorter_than_iv_and_tag_is_refused() {
    for len in 0..HEADER_LEN {
        assert_eq!(key(1).open(&text::encode(&vec![0; len])).err(), Some(CipherError::TooShort), "{len}");
    }
}

#[test]
fn a_long_payload_is_as_strictly_read_as_a_short_one() {
    let mut rng = Rng::new([1; 32]);
    let long = key(1).seal(&mut rng, &[7; 1 << 20]);
    assert_eq!(key(1).open(&long).unwrap().as_slice(), [7; 1 << 20]);
    let cut = long.trim_end_matches('=');
    for loose in [cut.into(), long.replace('/', "_"), alloc::format!("{long}\n"), alloc::format!(" {long}")] {
        assert_ne!(loose, long);
        assert_eq!(key(1).open(&loose).err(), Some(CipherError::NotBase64));
    }
}

quickcheck! {
    fn what_is_sealed_is_opened(secret: u8, plaintext: Vec<u8>) -> bool {
        let payload = key(secret).seal(&mut Rng::new([2; 32]), &plaintext);
        key(secret).open(&payload).is_ok_and(|opened| *opened == plaintext)
    }

    fn another_key_opens_nothing(secret: u8, plaintext: Vec<u8>) -> bool {
        let payload = key(secret).seal(&mut Rng::new([2; 32]), &plaintext);
        key(secret.wrapping_add(1)).open(&payload).err() == Some(CipherError::NotAuthentic)
    }

    fn a_changed_bit_is_noticed(plaintext: Vec<u8>, at: usize, bit: u8) -> bool {
        let mut bytes = text::decode(&key(3).seal(&mut Rng::new([2; 32]), &plaintext)).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        key(3).open(&text::encode(&bytes)).err() == Some(CipherError::NotAuthentic)
    }

    fn no_text_makes_open_panic(text: String) -> bool {
        key(4).open(&text).is_err()
    }
}
