//! The Ed25519 pair that signs, in one of two libraries. Both give the same bytes: a signature of RFC 8032 follows from
//! key and text alone.

#[cfg(feature = "aws-lc")]
use aws_lc_rs::signature::{Ed25519KeyPair as Pair, KeyPair as _};
#[cfg(not(feature = "aws-lc"))]
use ed25519_dalek::{Signer as _, SigningKey as Pair};
use zeroize::Zeroizing;

use crate::keys::PublicKey;

/// An Ed25519 pair. Its seed is wiped when it is dropped, and so is what the library made of it.
pub(super) struct Signer {
    seed: Zeroizing<[u8; 32]>,
    pair: Pair,
}

#[cfg(not(feature = "aws-lc"))]
impl Signer {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self { seed: Zeroizing::new(*seed), pair: Pair::from_bytes(seed) }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.pair.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.pair.sign(bytes).to_bytes()
    }
}

#[cfg(feature = "aws-lc")]
impl Signer {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let pair = Pair::from_seed_unchecked(seed).expect("any 32 bytes are a seed");
        Self { seed: Zeroizing::new(*seed), pair }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.pair.public_key().as_ref().try_into().expect("a public key has 32 bytes"))
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.pair.sign(bytes).as_ref().try_into().expect("a signature has 64 bytes")
    }
}

impl Signer {
    /// What the pair is made of: the private key as `identity.json` has it.
    pub(super) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}
