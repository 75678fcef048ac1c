//! The lower bound: the cryptography that a node cannot do without, and nothing else, in the crates that the core uses.

use std::hint::black_box;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// Bytes of a handshake message that are signed.
pub const HELLO: usize = 330;
/// Bytes of an acknowledgement that are signed.
pub const ACK: usize = 240;
/// Bytes of a log that are signed, beside its payload.
pub const LOG: usize = 400;

/// Keys, made once.
pub struct Bound {
    signing: Ed25519KeyPair,
    verifying: VerifyingKey,
    secret: [u8; 32],
    theirs: UnparsedPublicKey<Vec<u8>>,
    cipher: Aes256Gcm,
}

impl Default for Bound {
    fn default() -> Self {
        let signing = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).expect("a seed");
        let public = signing.public_key().as_ref().try_into().expect("32 bytes");
        let verifying = VerifyingKey::from_bytes(public).expect("a point");
        let other = private(&[5; 32]).compute_public_key().expect("a public key");
        let theirs = UnparsedPublicKey::new(&X25519, other.as_ref().to_vec());
        Self { signing, verifying, secret: [4; 32], theirs, cipher: Aes256Gcm::new(&[6; 32].into()) }
    }
}

fn private(secret: &[u8; 32]) -> PrivateKey {
    PrivateKey::from_private_key(&X25519, secret).expect("32 bytes")
}

impl Bound {
    /// A signature of these bytes.
    ///
    /// # Panics
    /// Never: a signature has 64 bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.signing.sign(black_box(bytes)).as_ref().try_into().expect("64 bytes")
    }

    /// Checks one.
    ///
    /// # Panics
    /// It is not right.
    pub fn verify(&self, bytes: &[u8], signature: &[u8; 64]) {
        self.verifying.verify(black_box(bytes), &Signature::from_bytes(signature)).expect("a good signature");
    }

    /// An ephemeral key.
    ///
    /// # Panics
    /// Never: every secret has a public key.
    pub fn ephemeral(&self) {
        black_box(private(black_box(&self.secret)).compute_public_key().expect("a public key"));
    }

    /// The key of a channel's payloads.
    ///
    /// # Panics
    /// Never: their key is a good one.
    pub fn agree(&self) {
        let digest = |shared: &[u8]| Ok(Sha256::digest(shared));
        let key = agree(&private(black_box(&self.secret)), &self.theirs, "a key of small order", digest);
        black_box(Aes256Gcm::new(&key.expect("a good key")));
    }

    /// One side of a handshake: an ephemeral key, a signature, and checking the other side's.
    pub fn handshake(&self, bytes: &[u8], signature: &[u8; 64]) {
        self.ephemeral();
        black_box(self.sign(bytes));
        self.verify(bytes, signature);
    }

    /// Encrypts in place; gives the tag.
    ///
    /// # Panics
    /// Never: no text is that long.
    pub fn seal(&self, text: &mut [u8]) -> aes_gcm::Tag {
        let sealed = self.cipher.encrypt_inout_detached(&Nonce::from([1; 12]), &[], black_box(text).into());
        sealed.expect("a text of less than 64 GiB")
    }

    /// Decrypts in place what [`Bound::seal`] made of it.
    ///
    /// # Panics
    /// It was changed.
    pub fn open(&self, text: &mut [u8], tag: &aes_gcm::Tag) {
        let opened = self.cipher.decrypt_inout_detached(&Nonce::from([1; 12]), &[], black_box(text).into(), tag);
        opened.expect("an unchanged text");
    }
}
