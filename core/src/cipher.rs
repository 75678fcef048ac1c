//! The payloads of protocol versions 1 and 2: AES-256-GCM under the SHA-256 of an X25519 result.
//!
//! A payload's text is base64 of IV (12 bytes), tag (16) and ciphertext. Nothing is released before the whole tag has
//! been checked, and no key is made from an exchange to which the other side contributed nothing.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use sha2::{Digest as _, Sha256};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::keys::EncryptKey;
use crate::rng::Rng;

mod text;
pub(crate) mod x25519;

#[cfg(test)]
mod tests;

const IV_LEN: usize = 12;
const HEADER_LEN: usize = IV_LEN + 16;

/// The length of the payload of a text of `len` bytes, in bytes of base64.
#[must_use]
pub const fn payload_len(len: usize) -> usize {
    (HEADER_LEN + len).div_ceil(3) * 4
}

/// Why a payload was not opened, or no key was made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherError {
    /// The other side's encryption key has small order: everybody knows the result of the exchange.
    WeakKey,
    /// The payload is not standard base64 with padding.
    NotBase64,
    /// The payload is shorter than its IV and tag.
    TooShort,
    /// The tag does not fit: another key, or the payload was changed on its way.
    NotAuthentic,
    /// The text inside is not UTF-8.
    NotText,
    /// The other side's key is not known: an ephemeral key of protocol 2, or the static one of protocol 1.
    NoKey,
}

impl fmt::Display for CipherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WeakKey => "the other side's encryption key is of small order and protects nothing",
            Self::NotBase64 => "the payload is not standard base64 with padding",
            Self::TooShort => "the payload is shorter than its IV and tag (28 bytes)",
            Self::NotAuthentic => "the payload was changed on its way or encrypted for another key",
            Self::NotText => "the text in the payload is not UTF-8",
            Self::NoKey => "the other side's encryption key is not known",
        })
    }
}

impl core::error::Error for CipherError {}

/// An X25519 pair for one handshake or one answer. Wiped when dropped.
pub struct EphemeralKey {
    secret: StaticSecret,
    /// Kept, since every message of a channel names it and it takes as long as a signature to make.
    public: EncryptKey,
}

impl EphemeralKey {
    /// Makes a fresh pair.
    #[must_use]
    pub fn generate(rng: &mut Rng) -> Self {
        Self::from_bytes(&Zeroizing::new(rng.bytes()))
    }

    /// The pair with these 32 secret bytes.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*secret);
        let public = x25519::public_key(&secret);
        Self { secret, public }
    }

    /// The half that is sent.
    #[must_use]
    pub const fn public(&self) -> EncryptKey {
        self.public
    }

    /// The half that is kept, for [`PayloadKey::agree`].
    #[must_use]
    pub const fn secret(&self) -> &StaticSecret {
        &self.secret
    }
}

/// The key of payloads between two X25519 keys, ready for use. Wiped when dropped.
pub struct PayloadKey(Aes256Gcm);

impl PayloadKey {
    /// The key between our secret and their public key; both sides come to the same. Costs an X25519 (some 50 µs, or 35
    /// with the feature `aws-lc`): keep the result for the life of the channel.
    ///
    /// # Errors
    /// [`CipherError::WeakKey`] if their key is of small order.
    pub fn agree(ours: &StaticSecret, theirs: &EncryptKey) -> Result<Self, CipherError> {
        let shared = x25519::shared(ours, theirs).ok_or(CipherError::WeakKey)?;
        Ok(Self::from_bytes(&Zeroizing::new(Sha256::digest(shared.as_slice()).into())))
    }

    /// The key with these 32 bytes.
    #[must_use]
    pub fn from_bytes(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Encrypts a text under a random IV and returns the payload's text.
    #[must_use]
    pub fn seal(&self, rng: &mut Rng, plaintext: &[u8]) -> String {
        self.seal_with_iv(rng.bytes(), plaintext)
    }

    /// Checks and decrypts a payload's text.
    ///
    /// # Errors
    /// Each [`CipherError`] but [`CipherError::WeakKey`].
    pub fn open(&self, payload: &str) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        let mut bytes = Zeroizing::new(text::decode(payload).ok_or(CipherError::NotBase64)?);
        let (header, body) = bytes.split_first_chunk_mut::<HEADER_LEN>().ok_or(CipherError::TooShort)?;
        let (iv, tag) = header.split_first_chunk::<IV_LEN>().ok_or(CipherError::TooShort)?;
        let tag = Tag::try_from(tag).map_err(|_| CipherError::TooShort)?;
        self.0
            .decrypt_inout_detached(&Nonce::from(*iv), &[], body.into(), &tag)
            .map_err(|_| CipherError::NotAuthentic)?;
        bytes.drain(..HEADER_LEN);
        Ok(bytes)
    }

    /// GCM cannot fail below its limit of 64 GiB, which no text in memory of ours comes near.
    fn seal_with_iv(&self, iv: [u8; IV_LEN], plaintext: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(HEADER_LEN + plaintext.len());
        bytes.extend_from_slice(&iv);
        bytes.extend_from_slice(&[0; HEADER_LEN - IV_LEN]);
        bytes.extend_from_slice(plaintext);
        let body = (&mut bytes[HEADER_LEN..]).into();
        match self.0.encrypt_inout_detached(&Nonce::from(iv), &[], body) {
            Ok(tag) => bytes[IV_LEN..HEADER_LEN].copy_from_slice(&tag),
            Err(_) => unreachable!("a payload of 64 GiB"),
        }
        text::encode(&bytes)
    }
}
