//! What a node shows of itself on a discovery topic, and what a topic may be called.
//!
//! Both come from the owner; what others show is text from a remote peer and stays text.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::de::Error as _;

use crate::keys::Topic;
use crate::time::WallTime;

/// The name of a discovery topic: 1 to 256 bytes without control characters. Whoever knows it can look for its members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(String);

impl TopicName {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_LEN: usize = 256;

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its members meet.
    #[must_use]
    pub fn topic(&self) -> Topic {
        Topic::discovery(&self.0)
    }
}

/// Not the name of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicNameError;

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a topic's name has 1 to 256 bytes and no control characters")
    }
}

impl core::error::Error for TopicNameError {}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<Self, TopicNameError> {
        if text.is_empty() || text.len() > Self::MAX_LEN || text.contains(char::is_control) {
            return Err(TopicNameError);
        }
        Ok(Self(text.to_string()))
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for TopicName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for TopicName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// What the owner lets others on a topic know: any JSON object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Profile {
    /// The object, as compact JSON text.
    content: String,
    /// When it was set.
    updated: WallTime,
}

impl Profile {
    /// The longest content, in bytes of compact JSON.
    pub const MAX_LEN: usize = 4096;

    /// Takes a JSON object.
    ///
    /// # Errors
    /// Another text, or one whose compact form is too long.
    pub fn new(json: &str, now: WallTime) -> Result<Self, ProfileError> {
        let mut value: serde_json::Value = serde_json::from_str(json).map_err(|_| ProfileError::NotJson)?;
        // The same bytes whichever features other crates of a build ask of the JSON library.
        value.sort_all_objects();
        if !value.is_object() {
            return Err(ProfileError::NotObject);
        }
        let content = value.to_string();
        if content.len() > Self::MAX_LEN {
            return Err(ProfileError::TooLong { size: content.len() });
        }
        Ok(Self { content, updated: now })
    }

    /// The object, as compact JSON text.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }

    /// When it was set.
    #[must_use]
    pub const fn updated(&self) -> WallTime {
        self.updated
    }
}

impl Default for Profile {
    /// Nothing is shown.
    fn default() -> Self {
        Self { content: "{}".to_string(), updated: WallTime::default() }
    }
}

/// Why a text is no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileError {
    /// It cannot be read.
    NotJson,
    /// A value of another kind.
    NotObject,
    /// More than [`Profile::MAX_LEN`] bytes.
    TooLong {
        /// How many it has, as compact JSON.
        size: usize,
    },
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("a profile is a JSON object, and this is not JSON"),
            Self::NotObject => f.write_str("a profile is a JSON object, such as {\"name\": \"my agent\"}"),
            Self::TooLong { size } => {
                write!(f, "a profile has at most {} bytes of JSON, and this has {size}", Profile::MAX_LEN)
            }
        }
    }
}

impl core::error::Error for ProfileError {}

#[cfg(test)]
mod tests;
