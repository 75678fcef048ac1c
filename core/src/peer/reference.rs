//! How the owner says which peer is meant, and what a peer's name may be.
//!
//! Names never look like keys or short ids, so a text means one thing only.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::str::FromStr;

use crate::keys::{KeyError, PublicKey};

/// How every key's base64 text begins, signing and encryption keys alike.
const KEY_PREFIX: &str = "MCowBQYDK2V";

/// A peer as the owner names it: by its full public key, its short id or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRef {
    /// The full public key: also that of a peer not known yet.
    Key(PublicKey),
    /// The 8 hex digits of [`PublicKey::short_id`], in lower case.
    ShortId(String),
    /// The name the owner gave it.
    Name(String),
}

/// Why a text names no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRefError {
    /// It begins like a key but is none.
    Key(KeyError),
    /// It could only be a name, but is not one.
    Name(NameError),
}

impl fmt::Display for PeerRefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => write!(f, "{error}; give the whole key, as `wopr p2p identity --export` prints it"),
            Self::Name(error) => write!(f, "{error}; give a peer's public key, short id or name"),
        }
    }
}

impl core::error::Error for PeerRefError {}

impl FromStr for PeerRef {
    type Err = PeerRefError;

    fn from_str(text: &str) -> Result<Self, PeerRefError> {
        let text = text.trim();
        if text.starts_with(KEY_PREFIX) {
            text.parse().map(Self::Key).map_err(PeerRefError::Key)
        } else if is_short_id(text) {
            Ok(Self::ShortId(text.to_ascii_lowercase()))
        } else {
            check_name(text).map(|name| Self::Name(name.to_owned())).map_err(PeerRefError::Name)
        }
    }
}

impl From<PublicKey> for PeerRef {
    fn from(key: PublicKey) -> Self {
        Self::Key(key)
    }
}

impl fmt::Display for PeerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::Key(key) => key.to_string(),
            Self::ShortId(text) | Self::Name(text) => text.clone(),
        })
    }
}

/// Why a text cannot be a peer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing but space.
    Empty,
    /// More than [`MAX_NAME_LEN`] bytes.
    TooLong,
    /// A control character in it.
    Control,
    /// It could be read as a public key or a short id.
    LooksLikeKey,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a peer's name must not be empty"),
            Self::TooLong => write!(f, "a peer's name may have at most {MAX_NAME_LEN} bytes"),
            Self::Control => f.write_str("a peer's name must not hold control characters"),
            Self::LooksLikeKey => f.write_str("a peer's name must not look like a public key or a short id"),
        }
    }
}

impl core::error::Error for NameError {}

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_LEN: usize = 64;

/// The name without the space around it, if it may be one.
///
/// # Errors
/// Empty, too long, with control characters, or to be mistaken for a key or a short id.
pub fn check_name(text: &str) -> Result<&str, NameError> {
    let name = text.trim();
    if name.is_empty() {
        Err(NameError::Empty)
    } else if name.len() > MAX_NAME_LEN {
        Err(NameError::TooLong)
    } else if name.chars().any(char::is_control) {
        Err(NameError::Control)
    } else if name.starts_with(KEY_PREFIX) || is_short_id(name) {
        Err(NameError::LooksLikeKey)
    } else {
        Ok(name)
    }
}

fn is_short_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
