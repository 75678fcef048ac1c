//! Key rotation: the statement by which an old key names its successor.
//!
//! A statement that was read is one that the old key signed. How long the old key still counts is bounded by whoever
//! reads it ([`RotationStatement::grace_until`]), never by the statement alone. That the new key's owner agrees is
//! shown elsewhere: by the handshake under the new key in which the statement arrives.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::de::Error as _;

use crate::identity::Identity;
use crate::keys::{EncryptKey, KeyError, PublicKey};
use crate::time::WallTime;
use crate::wire::members::{MAX_EXACT, is_signed_by, member, whole_number};
use crate::wire::signed::{Object, ObjectError, ObjectWriter};

#[cfg(test)]
mod tests;

/// Why keys are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RotationReason {
    /// It was time.
    Scheduled,
    /// Somebody else may have the old key.
    Compromise,
    /// The software changed.
    Upgrade,
}

impl RotationReason {
    /// The reason's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Compromise => "compromise",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Not one of the three reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownReason;

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reason to rotate is \"scheduled\", \"compromise\" or \"upgrade\"")
    }
}

impl core::error::Error for UnknownReason {}

impl FromStr for RotationReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        [Self::Scheduled, Self::Compromise, Self::Upgrade]
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or(UnknownReason)
    }
}

impl fmt::Display for RotationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for RotationReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for RotationReason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Why a rotation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationError {
    /// Not one JSON object.
    NotObject(ObjectError),
    /// Of a later version.
    UnknownVersion,
    /// This member is missing or not what it must be.
    Member(&'static str),
    /// A key that names itself its successor.
    SameKey,
    /// Nobody may use the old or the new key.
    BadKey,
    /// The old key did not sign this.
    BadSignature,
    /// It takes effect later than the two clocks can differ.
    NotYetEffective,
}

impl fmt::Display for RotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotObject(error) => write!(f, "the key rotation is damaged: {error}"),
            Self::UnknownVersion => f.write_str("the key rotation is of a later version: update this program"),
            Self::Member(name) => write!(f, "the key rotation's \"{name}\" is missing or not valid"),
            Self::SameKey => f.write_str("the key rotation names the old key as the new one"),
            Self::BadKey => f.write_str("the key rotation has a key that is not usable"),
            Self::BadSignature => f.write_str("the key rotation is not signed by the old key"),
            Self::NotYetEffective => f.write_str("the key rotation takes effect in the future: compare the clocks"),
        }
    }
}

impl core::error::Error for RotationError {}

impl From<ObjectError> for RotationError {
    fn from(error: ObjectError) -> Self {
        Self::NotObject(error)
    }
}

impl From<KeyError> for RotationError {
    fn from(_: KeyError) -> Self {
        Self::BadKey
    }
}

/// What an old key says about its successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationStatement {
    /// The key that is replaced, and that signs.
    pub old: PublicKey,
    /// The key that follows it.
    pub new: PublicKey,
    /// The encryption key that comes with the new key.
    pub new_encrypt: EncryptKey,
    /// Why.
    pub reason: RotationReason,
    /// When the new key took over, by the sender's clock.
    pub effective_at: WallTime,
    /// For how long the sender would like the old key to count; see [`RotationStatement::grace_until`].
    pub grace: Duration,
}

impl RotationStatement {
    /// Writes and signs the statement; `old` must be the identity of the old key. Numbers above 2^53 - 1 are written
    /// as that.
    #[must_use]
    pub fn sign(&self, old: &Identity) -> String {
        debug_assert_eq!(self.old, old.public_key(), "signed by somebody else");
        let grace = u64::try_from(self.grace.as_millis()).unwrap_or(MAX_EXACT);
        ObjectWriter::new(512)
            .number("v", 1)
            .text("type", "key-rotation")
            .display("oldSignPub", self.old)
            .display("newSignPub", self.new)
            .display("newEncryptPub", self.new_encrypt)
            .display("reason", self.reason)
            .number("effectiveAt", self.effective_at.as_millis().min(MAX_EXACT))
            .number("gracePeriodMs", grace.min(MAX_EXACT))
            .sign(|bytes| old.sign(bytes))
    }

    /// Reads a statement and checks the old key's signature, after everything that is cheaper to check.
    ///
    /// # Errors
    /// Each [`RotationError`] but [`RotationError::NotYetEffective`].
    pub fn parse_and_verify(json: &[u8]) -> Result<Self, RotationError> {
        let object = Object::parse(json)?;
        let statement = Self::from_members(&object)?;
        statement.new.verifying_key()?;
        if is_signed_by(&object, &statement.old)? { Ok(statement) } else { Err(RotationError::BadSignature) }
    }

    /// Reads a statement that anybody may have signed.
    #[cfg(wopr_planted)]
    pub(crate) fn unverified(json: &[u8]) -> Option<Self> {
        Self::from_members(&Object::parse(json).ok()?).ok()
    }

    /// The last moment at which the old key may still count, for somebody who hears of the rotation `now` and grants
    /// `own_limit` at most. It starts when the rotation took effect, or now if that lies (within `clock_tolerance`) in
    /// the future. A result that is not after `now` means that the grace is over: the old key is invalid at once.
    ///
    /// Call it when the statement arrives for the first time and keep the result: it never moves later.
    ///
    /// # Errors
    /// [`RotationError::NotYetEffective`].
    pub fn grace_until(
        &self,
        now: WallTime,
        own_limit: Duration,
        clock_tolerance: Duration,
    ) -> Result<WallTime, RotationError> {
        if self.effective_at > now + clock_tolerance {
            return Err(RotationError::NotYetEffective);
        }
        Ok(self.effective_at.min(now) + self.grace.min(own_limit))
    }

    fn from_members(object: &Object<'_>) -> Result<Self, RotationError> {
        if member::<u64>(object, "v").ok_or(RotationError::Member("v"))? != 1 {
            return Err(RotationError::UnknownVersion);
        }
        if member::<&str>(object, "type") != Some("key-rotation") {
            return Err(RotationError::Member("type"));
        }
        let number = |name| whole_number(object, name).ok_or(RotationError::Member(name));
        let statement = Self {
            old: member(object, "oldSignPub").ok_or(RotationError::Member("oldSignPub"))?,
            new: member(object, "newSignPub").ok_or(RotationError::Member("newSignPub"))?,
            new_encrypt: member(object, "newEncryptPub").ok_or(RotationError::Member("newEncryptPub"))?,
            reason: member(object, "reason").ok_or(RotationError::Member("reason"))?,
            effective_at: WallTime::from_millis(number("effectiveAt")?),
            grace: Duration::from_millis(number("gracePeriodMs")?),
        };
        if statement.old == statement.new { Err(RotationError::SameKey) } else { Ok(statement) }
    }
}
