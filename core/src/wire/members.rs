//! The members of tokens and rotation statements, read strictly: a value of another JSON type is as good as none.

use serde::Deserialize;

use super::signed::{Object, parse_signature};
use crate::keys::{KeyError, PublicKey};

/// The largest whole number that every reader of JSON takes for the same: 2^53 - 1.
pub(crate) const MAX_EXACT: u64 = (1 << 53) - 1;

/// A member of the given type.
pub(crate) fn member<'a, T: Deserialize<'a>>(object: &Object<'a>, name: &str) -> Option<T> {
    serde_json::from_str(object.get(name)?).ok()
}

/// A member that is a finite JavaScript number and not negative, rounded down; saturates at the largest `u64`.
pub(crate) fn whole_number(object: &Object<'_>, name: &str) -> Option<u64> {
    let number: f64 = member(object, name)?;
    // The cast rounds towards zero and saturates.
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

/// Whether the object's `sig` is this key's over the bytes as received; a missing or unreadable one is not.
///
/// # Errors
/// [`KeyError::BadPoint`] if nobody may use this key.
pub(crate) fn is_signed_by(object: &Object<'_>, key: &PublicKey) -> Result<bool, KeyError> {
    let key = key.verifying_key()?;
    let Ok((signed, signature)) = object.cut_signature() else { return Ok(false) };
    Ok(parse_signature(signature).is_some_and(|signature| key.verifies(&signed, &signature)))
}
