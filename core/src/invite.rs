//! Invite tokens, `wop1://…`: what one node lets one other node claim.
//!
//! A token that was read is one that its issuer signed, in the form that the issuer wrote. Whether it may still be
//! claimed is for the issuer's own table to say ([`Invites`]): there a token counts once, for its subject only.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::access::{Capability, SessionSet};
use crate::identity::Identity;
use crate::keys::{KeyError, Nonce, PublicKey};
use crate::time::WallTime;
use crate::wire::members::{MAX_EXACT, is_signed_by, member, whole_number};
use crate::wire::signed::{Object, ObjectError, ObjectWriter};

mod table;
#[cfg(test)]
mod tests;

pub use table::{ClaimRefused, InviteState, InviteSummary, Invites, InvitesFull, RevokeRefused};

/// Why a text is not a token that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteError {
    /// Longer than [`InviteToken::MAX_LEN`].
    TooLong,
    /// It does not start with [`InviteToken::PREFIX`].
    NotToken,
    /// Not base64url without padding.
    NotBase64,
    /// Not one JSON object.
    NotObject(ObjectError),
    /// Of a later version.
    UnknownVersion,
    /// This member is missing or not what it must be.
    Member(&'static str),
    /// Nobody may use the issuer's key.
    BadIssuer,
    /// The issuer did not sign this.
    BadSignature,
}

impl fmt::Display for InviteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("longer than 65536 characters: make one with fewer or shorter session names"),
            Self::NotToken => f.write_str("it does not start with wop1://: copy the whole token"),
            Self::NotBase64 => f.write_str("damaged (not base64url): copy the whole token again"),
            Self::NotObject(error) => write!(f, "damaged ({error}): copy the whole token again"),
            Self::UnknownVersion => f.write_str("of a later version: update this program"),
            Self::Member(name) => write!(f, "its \"{name}\" is missing or not valid: ask the issuer for a new one"),
            Self::BadIssuer => f.write_str("its issuer's key is not usable: ask the issuer for a new one"),
            Self::BadSignature => f.write_str("its signature is wrong: ask the issuer for a new one"),
        }
    }
}

impl core::error::Error for InviteError {}

impl From<ObjectError> for InviteError {
    fn from(error: ObjectError) -> Self {
        Self::NotObject(error)
    }
}

impl From<KeyError> for InviteError {
    fn from(_: KeyError) -> Self {
        Self::BadIssuer
    }
}

/// What an invite token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteToken {
    /// Who opens their sessions.
    pub issuer: PublicKey,
    /// The only key that may claim it.
    pub subject: PublicKey,
    /// What it opens.
    pub sessions: SessionSet,
    /// What may be done there; not empty, at most [`InviteToken::MAX_CAPABILITIES`].
    pub capabilities: Vec<Capability>,
    /// The last millisecond in which it can be claimed.
    pub expires: WallTime,
    /// What tells it from every other token.
    pub nonce: Nonce,
}

impl InviteToken {
    /// How every token starts.
    pub const PREFIX: &'static str = "wop1://";
    /// The longest token, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;
    /// The most capabilities a token can give.
    pub const MAX_CAPABILITIES: usize = 64;

    /// Writes and signs the token; `identity` must be the issuer's. An expiry after 2^53 - 1 ms is written as that,
    /// the last number that every node reads alike.
    ///
    /// # Errors
    /// [`InviteError::TooLong`], and [`InviteError::Member`] for none or too many capabilities: nobody could claim it.
    pub fn to_token(&self, identity: &Identity) -> Result<String, InviteError> {
        debug_assert_eq!(self.issuer, identity.public_key(), "signed by somebody else");
        check_capabilities(&self.capabilities)?;
        let token = self.signed_with(|bytes| identity.sign(bytes));
        if token.len() > Self::MAX_LEN { Err(InviteError::TooLong) } else { Ok(token) }
    }

    /// Reads a token and checks the issuer's signature, after everything that is cheaper to check. Says nothing about
    /// its expiry.
    ///
    /// # Errors
    /// Each [`InviteError`].
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        if text.len() > Self::MAX_LEN {
            return Err(InviteError::TooLong);
        }
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(InviteError::NotToken)?;
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InviteError::NotBase64)?;
        let object = Object::parse(&json)?;
        let token = Self::from_members(&object)?;
        if is_signed_by(&object, &token.issuer)? { Ok(token) } else { Err(InviteError::BadSignature) }
    }

    /// Whether it can no longer be claimed. The millisecond of its expiry still counts as valid.
    #[must_use]
    pub fn is_expired(&self, now: WallTime) -> bool {
        now > self.expires
    }

    fn signed_with(&self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
        let json = ObjectWriter::new(512)
            .number("v", 1)
            .display("iss", self.issuer)
            .display("sub", self.subject)
            .raw("ses", &array(self.sessions.names()))
            .raw("cap", &array(self.capabilities.iter().map(Capability::as_str).collect()))
            .number("exp", self.expires.as_millis().min(MAX_EXACT))
            .display("nonce", self.nonce)
            .sign(sign);
        let mut token = String::from(Self::PREFIX);
        URL_SAFE_NO_PAD.encode_string(json, &mut token);
        token
    }

    fn from_members(object: &Object<'_>) -> Result<Self, InviteError> {
        if member::<u64>(object, "v").ok_or(InviteError::Member("v"))? != 1 {
            return Err(InviteError::UnknownVersion);
        }
        let token = Self {
            issuer: member(object, "iss").ok_or(InviteError::Member("iss"))?,
            subject: member(object, "sub").ok_or(InviteError::Member("sub"))?,
            sessions: member(object, "ses").ok_or(InviteError::Member("ses"))?,
            capabilities: member(object, "cap").ok_or(InviteError::Member("cap"))?,
            expires: WallTime::from_millis(whole_number(object, "exp").ok_or(InviteError::Member("exp"))?),
            nonce: member(object, "nonce").ok_or(InviteError::Member("nonce"))?,
        };
        check_capabilities(&token.capabilities)?;
        Ok(token)
    }
}

fn check_capabilities(capabilities: &[Capability]) -> Result<(), InviteError> {
    match capabilities.len() {
        1..=InviteToken::MAX_CAPABILITIES => Ok(()),
        _ => Err(InviteError::Member("cap")),
    }
}

fn array(texts: Vec<&str>) -> String {
    serde_json::Value::from(texts).to_string()
}
