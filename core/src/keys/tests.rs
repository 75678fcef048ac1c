use alloc::vec::Vec;

use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
use curve25519_dalek::{EdwardsPoint, Scalar};
use sha2::Sha512;

use super::*;

/// A scalar that is different for each text.
fn scalar(text: &str) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&Sha512::digest(text).into())
}

/// What a signature's equation asks of R, A and S: S·B = R + k·A with this k.
fn challenge(r: &[u8; 32], a: &[u8; 32], bytes: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(a).chain_update(bytes);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// The verdicts of `verify`, of `verify_strict`, and ours; they take the key as it is.
fn verdicts(a: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> (bool, bool, bool) {
    let (key, public) = (DalekKey::from_bytes(a).unwrap(), PublicKey::from_bytes(*a));
    let lenient = key.verify(bytes, &Signature::from_bytes(signature)).is_ok();
    let strict = key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok();
    let ours = public.verifying_key().is_ok_and(|key| key.verifies(bytes, signature));
    (lenient, strict, ours)
}

/// Every encoding of 32 bytes that some reader takes for a point of small order: y below 2^255 that is one of theirs
/// modulo p, with both signs of x.
fn small_order_encodings() -> Vec<[u8; 32]> {
    let canonical = EIGHT_TORSION.map(|point| point.compress().to_bytes());
    // p = 2^255 - 19, and p + 1: other names of y = 0 and y = 1. All other y of theirs plus p are above 2^255.
    let mut others = [[0xff; 32]; 2];
    (others[0][0], others[1][0]) = (0xed, 0xee);
    let signs = canonical.into_iter().chain(others).flat_map(|mut encoding| {
        encoding[31] &= 0x7f;
        let mut negative = encoding;
        negative[31] |= 0x80;
        [encoding, negative]
    });
    let mut all: Vec<_> = signs.collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn the_points_of_small_order_are_known_by_their_encodings() {
    for point in EIGHT_TORSION {
        assert!(has_small_order(point.compress().as_bytes()));
    }
    assert_eq!(small_order_encodings().len(), 14);
    for number in 0..100 {
        let mixed = ED25519_BASEPOINT_TABLE * &scalar(&number.to_string()) + EIGHT_TORSION[number % 8];
        assert!(!has_small_order(mixed.compress().as_bytes()));
    }
}

/// Whoever knows a key's scalar can sign with any R and any key that differ from theirs by a point of small order. Such
/// signatures are what `verify` and `verify_strict` disagree about; ours has to agree with the latter.
#[test]
fn signatures_with_points_of_small_order_are_judged_as_by_verify_strict() {
    let (a, nonce) = (scalar("key"), scalar("nonce"));
    let mut seen = [0; 3];
    for torsion_of_key in EIGHT_TORSION {
        let keys = [ED25519_BASEPOINT_TABLE * &a + torsion_of_key, torsion_of_key];
        let scalars = [a, Scalar::ZERO];
        for (key, a) in keys.map(|key| key.compress().to_bytes()).into_iter().zip(scalars) {
            for torsion in EIGHT_TORSION {
                for r in [Scalar::ZERO, nonce] {
                    let r_point: EdwardsPoint = ED25519_BASEPOINT_TABLE * &r + torsion;
                    let r_bytes = r_point.compress().to_bytes();
                    for number in 0..24_u8 {
                        let s = r + challenge(&r_bytes, &key, &[number]) * a;
                        let signature = Signature::from_components(r_bytes, s.to_bytes()).to_bytes();
                        let (lenient, strict, ours) = verdicts(&key, &[number], &signature);
                        assert_eq!(ours, strict);
                        seen[usize::from(lenient) + usize::from(strict)] += 1;
                    }
                }
            }
        }
    }
    // There were enough that both refuse, that only `verify` takes, and that both take.
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

#[test]
fn signatures_with_other_encodings_of_points_are_judged_as_by_verify_strict() {
    let a = scalar("key");
    let key = (ED25519_BASEPOINT_TABLE * &a).compress().to_bytes();
    for r_bytes in small_order_encodings() {
        let s = challenge(&r_bytes, &key, b"text") * a;
        let signature = Signature::from_components(r_bytes, s.to_bytes()).to_bytes();
        let (lenient, strict, ours) = verdicts(&key, b"text", &signature);
        assert_eq!((strict, ours), (false, false));
        let neutral = EIGHT_TORSION[0].compress().to_bytes();
        assert_eq!(lenient, r_bytes == neutral);
    }
    for weak in small_order_encodings() {
        assert_eq!(PublicKey::from_bytes(weak).verifying_key(), Err(KeyError::BadPoint));
    }
}

#[test]
fn damaged_signatures_are_judged_as_by_verify_strict() {
    let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let key = signing.verifying_key().to_bytes();
    let good = ed25519_dalek::Signer::sign(&signing, b"text").to_bytes();
    assert_eq!(verdicts(&key, b"text", &good), (true, true, true));
    assert_eq!(verdicts(&key, b"test", &good), (false, false, false));
    for bit in 0..512 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verdicts(&key, b"text", &bad), (false, false, false), "bit {bit}");
    }
    // S + l, which is S modulo the order of the group.
    let order = *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
    let (mut malleated, mut carry) = (good, 0);
    for (byte, add) in malleated[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert_eq!(verdicts(&key, b"text", &malleated), (false, false, false));
}
