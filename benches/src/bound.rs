//! The lower bound: the cryptography that a node cannot do without, and nothing else, in the crates that the core uses.

use std::hint::black_box;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

/// Bytes of a handshake message that are signed.
pub const HELLO: usize = 330;
/// Bytes of an acknowledgement that are signed.
pub const ACK: usize = 240;
/// Bytes of a log that are signed, beside its payload.
pub const LOG: usize = 400;

/// Keys, made once.
pub struct Bound {
    signing: SigningKey,
    verifying: VerifyingKey,
    secret: StaticSecret,
    theirs: PublicKey,
    cipher: Aes256Gcm,
}

impl Default for Bound {
    fn default() -> Self {
        let signing = SigningKey::from_bytes(&[3; 32]);
        let (secret, other) = (StaticSecret::from([4; 32]), StaticSecret::from([5; 32]));
        let (verifying, theirs) = (signing.verifying_key(), PublicKey::from(&other));
        Self { signing, verifying, secret, theirs, cipher: Aes256Gcm::new(&[6; 32].into()) }
    }
}

impl Bound {
    /// A signature of these bytes.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        self.signing.sign(black_box(bytes))
    }

    /// Checks one.
    ///
    /// # Panics
    /// It is not right.
    pub fn verify(&self, bytes: &[u8], signature: &Signature) {
        self.verifying.verify(black_box(bytes), signature).expect("a good signature");
    }

    /// An ephemeral key.
    pub fn ephemeral(&self) {
        black_box(PublicKey::from(black_box(&self.secret)));
    }

    /// The key of a channel's payloads.
    pub fn agree(&self) {
        let shared = black_box(&self.secret).diffie_hellman(&self.theirs);
        let key: [u8; 32] = Sha256::digest(shared.as_bytes()).into();
        black_box(Aes256Gcm::new(&key.into()));
    }

    /// One side of a handshake: an ephemeral key, a signature, and checking the other side's.
    pub fn handshake(&self, bytes: &[u8], signature: &Signature) {
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
