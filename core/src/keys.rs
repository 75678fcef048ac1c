//! Public keys as they travel: base64 of the SPKI DER (RFC 8410), Ed25519 for signing and X25519 for encryption.
//!
//! Parsing is cheap and only checks the form, so that junk costs nothing; [`PublicKey::verifying_key`] does the curve
//! arithmetic and refuses non-canonical and small-order points.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey as DalekKey};
use serde::de::Error as _;
use sha2::{Digest as _, Sha256};

const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const X25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00];

/// What is wrong with a key's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not standard base64 with padding.
    NotBase64,
    /// Not a 44-byte SPKI of the expected algorithm.
    NotSpki,
    /// Not a point that may be used as a key: non-canonical or of small order.
    BadPoint,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBase64 => "not a public key: it is not standard base64",
            Self::NotSpki => "not a public key of the expected kind (an Ed25519 key starts with MCowBQYDK2VwAy)",
            Self::BadPoint => "not a usable public key: the point is non-canonical or of small order",
        })
    }
}

impl core::error::Error for KeyError {}

/// An Ed25519 public key: who a node is. 32 bytes; shown as base64 SPKI (`MCowBQYDK2VwAy…`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// An X25519 public key: what is encrypted to. 32 bytes; shown as base64 SPKI (`MCowBQYDK2VuAy…`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncryptKey([u8; 32]);

macro_rules! spki_key {
    ($name:ident, $prefix:ident) => {
        impl $name {
            /// The key with these 32 raw bytes; the point is not checked.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = KeyError;

            fn from_str(text: &str) -> Result<Self, KeyError> {
                let mut der = [0; 44];
                // 60 characters are 44 or 45 bytes: `decode_slice` refuses what does not fit.
                if text.len() != 60 {
                    return Err(KeyError::NotSpki);
                }
                let len = STANDARD.decode_slice(text, &mut der).map_err(|_| KeyError::NotBase64)?;
                match der.split_first_chunk::<12>() {
                    Some((prefix, key)) if len == 44 && *prefix == $prefix => {
                        key.try_into().map(Self).map_err(|_| KeyError::NotSpki)
                    }
                    _ => Err(KeyError::NotSpki),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut der = [0; 44];
                der[..12].copy_from_slice(&$prefix);
                der[12..].copy_from_slice(&self.0);
                let mut text = [0; 60];
                let len = STANDARD.encode_slice(der, &mut text).map_err(|_| fmt::Error)?;
                f.write_str(core::str::from_utf8(&text[..len]).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

spki_key!(PublicKey, ED25519_SPKI);
spki_key!(EncryptKey, X25519_SPKI);

impl PublicKey {
    /// Decompresses the point (4 µs): keep the result for keys that sign more than once.
    ///
    /// # Errors
    /// [`KeyError::BadPoint`] for a non-canonical encoding, a point that is not on the curve, or one of small order.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        let key = DalekKey::from_bytes(&self.0).map_err(|_| KeyError::BadPoint)?;
        if key.is_weak() || key.to_edwards().compress().to_bytes() != self.0 {
            return Err(KeyError::BadPoint);
        }
        Ok(VerifyingKey { key, public: *self })
    }

    /// The key without a check of its order.
    #[cfg(wopr_planted)]
    pub(crate) fn unchecked_verifying_key(&self) -> Option<VerifyingKey> {
        DalekKey::from_bytes(&self.0).ok().map(|key| VerifyingKey { key, public: *self })
    }

    /// SHA-256 of the key's base64 text: where the node can be met.
    #[must_use]
    pub fn topic(&self) -> Topic {
        Topic(Sha256::digest(self.to_string()).into())
    }

    /// The first 8 hex digits of the topic. For people to read; too short to be trusted.
    #[must_use]
    pub fn short_id(&self) -> String {
        let mut text = self.topic().to_string();
        text.truncate(8);
        text
    }
}

/// An Ed25519 public key whose point has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    key: DalekKey,
    public: PublicKey,
}

impl VerifyingKey {
    /// The key's bytes.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Whether `signature` is this key's over `bytes`: RFC 8032, and what ed25519-dalek's `verify_strict` asks beyond it.
    ///
    /// That function decompresses the signature's R, a ninth of its time, to see that it has no small order. But
    /// `verify` computes R and compares the encodings, so an R that it takes is written canonically: it is enough to
    /// look whether it is one of the few encodings of such points. That the key has no small order was seen when it was
    /// decompressed.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        let strict = !has_small_order(signature.r_bytes());
        #[cfg(wopr_planted)]
        let strict = strict || self.key.is_weak();
        strict && self.key.verify(bytes, &signature).is_ok()
    }
}

/// The y coordinates of the eight points of small order, canonically encoded; the sign of x is the topmost bit.
const SMALL_ORDER: [[u8; 32]; 5] = [
    // x = 0, y = 1: the neutral element.
    *b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    // x = 0, y = -1: of order 2.
    *b"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    // y = 0: of order 4.
    [0; 32],
    // Of order 8.
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

/// Whether a canonical encoding is that of a point of small order.
fn has_small_order(point: &[u8; 32]) -> bool {
    let mut y = *point;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

/// Where nodes meet on Hyperswarm: 32 bytes, a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub [u8; 32]);

impl Topic {
    /// The topic on which nodes that know `name` discover each other: SHA-256 of `wopr:discovery:` and the name.
    #[must_use]
    pub fn discovery(name: &str) -> Self {
        Self(Sha256::new().chain_update("wopr:discovery:").chain_update(name).finalize().into())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 16 random bytes that make a message, a request, a grant or a token unlike any other; 32 hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 16]);

impl FromStr for Nonce {
    type Err = NonceError;

    /// Takes lower-case hex only, so that a nonce has one spelling.
    fn from_str(text: &str) -> Result<Self, NonceError> {
        let digits: &[u8; 32] = text.as_bytes().try_into().map_err(|_| NonceError)?;
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

/// Not 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonceError;

impl fmt::Display for NonceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 32 lower-case hex digits")
    }
}

impl core::error::Error for NonceError {}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Nonce {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Every message names nonces: their digits are not formatted one by one.
fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    for part in bytes.chunks(16) {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(part) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        f.write_str(core::str::from_utf8(&digits[..2 * part.len()]).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

const HEX: &[u8; 16] = b"0123456789abcdef";

const fn hex_digit(digit: u8) -> Result<u8, NonceError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NonceError),
    }
}

#[cfg(test)]
mod tests;
