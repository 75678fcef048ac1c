//! The words of access: session names, sets of them, capabilities and trust levels.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::de::Error as _;

/// Why a word of access was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// A session name is empty.
    EmptySession,
    /// A session name is longer than [`SessionName::MAX_LEN`] bytes.
    SessionTooLong,
    /// `*` where one session must be named.
    WildcardSession,
    /// No session at all.
    NoSessions,
    /// More sessions than [`SessionSet::MAX_LEN`].
    TooManySessions,
    /// Not lower-case words joined by dots.
    BadCapability,
    /// Not one of the three levels.
    BadTrust,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptySession => "a session name must not be empty",
            Self::SessionTooLong => "a session name may have at most 1024 bytes",
            Self::WildcardSession => "\"*\" stands for all sessions: name one session here",
            Self::NoSessions => "at least one session must be named (or \"*\" for all)",
            Self::TooManySessions => "at most 256 sessions can be named at once (or \"*\" for all)",
            Self::BadCapability => "a capability is \"message\", \"inject\" or a refinement such as \"inject.tools\"",
            Self::BadTrust => "a trust level is \"untrusted\", \"semi-trusted\" or \"trusted\"",
        })
    }
}

impl core::error::Error for AccessError {}

/// The name of one WOPR session: any text of 1 to 1024 bytes but `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionName(String);

impl SessionName {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Checks a name.
    ///
    /// # Errors
    /// Empty, too long, or the wildcard.
    pub fn new(name: impl Into<String>) -> Result<Self, AccessError> {
        let name = name.into();
        match name.as_str() {
            "" => Err(AccessError::EmptySession),
            "*" => Err(AccessError::WildcardSession),
            _ if name.len() > Self::MAX_LEN => Err(AccessError::SessionTooLong),
            _ => Ok(Self(name)),
        }
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which sessions a grant or an invite opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionSet {
    /// Every session, those not yet made too: `*`.
    All,
    /// These sessions; never empty.
    Named(BTreeSet<SessionName>),
}

impl SessionSet {
    /// The most sessions that one set can name.
    pub const MAX_LEN: usize = 256;

    /// Makes a set from names; one `*` among them means all.
    ///
    /// # Errors
    /// No name, too many, or one that is not a session name.
    pub fn new<I: IntoIterator<Item: Into<String>>>(names: I) -> Result<Self, AccessError> {
        let mut set = BTreeSet::new();
        let mut all = false;
        for (count, name) in names.into_iter().enumerate() {
            if count == Self::MAX_LEN {
                return Err(AccessError::TooManySessions);
            }
            match SessionName::new(name) {
                Ok(name) => {
                    set.insert(name);
                }
                Err(AccessError::WildcardSession) => all = true,
                Err(error) => return Err(error),
            }
        }
        match (all, set.is_empty()) {
            (true, _) => Ok(Self::All),
            (false, true) => Err(AccessError::NoSessions),
            (false, false) => Ok(Self::Named(set)),
        }
    }

    /// Whether a session is among them.
    #[must_use]
    pub fn contains(&self, session: &SessionName) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(session),
        }
    }

    /// The names in order, `*` for all.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::All => alloc::vec!["*"],
            Self::Named(names) => names.iter().map(SessionName::as_str).collect(),
        }
    }
}

impl serde::Serialize for SessionSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> serde::Deserialize<'de> for SessionSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::<String>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What a grant lets a peer do: `message`, `inject`, or a refinement such as `inject.tools` that travels to the handler.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(String);

impl Capability {
    /// The longest capability, in bytes.
    pub const MAX_LEN: usize = 64;

    /// May log and ask, without restriction.
    #[must_use]
    pub fn inject() -> Self {
        Self("inject".to_string())
    }

    /// May log only.
    #[must_use]
    pub fn message() -> Self {
        Self("message".to_string())
    }

    /// The capability's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A log needs `message` or `inject`.
    #[must_use]
    pub fn allows_log(&self) -> bool {
        matches!(self.0.as_str(), "message" | "inject")
    }

    /// Whether whoever has this may do what `other` allows: `inject` has everything, `a` has `a.b`.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let refined = other.0.strip_prefix(self.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        refined || *self == Self::inject() && *other == Self::message()
    }

    /// An inject needs `inject` or one of its refinements.
    #[must_use]
    pub fn allows_inject(&self) -> bool {
        self.0.strip_prefix("inject").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl FromStr for Capability {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        let word =
            |part: &str| !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if text.len() > Self::MAX_LEN || !text.split('.').all(word) {
            return Err(AccessError::BadCapability);
        }
        Ok(Self(text.to_string()))
    }
}

/// How far a peer is trusted; ordered from least to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrustLevel {
    /// Met on a discovery topic: the gateway session at most.
    #[default]
    Untrusted,
    /// Claimed an invite: the sessions of that invite.
    SemiTrusted,
    /// Granted by the owner in so many words.
    Trusted,
}

impl TrustLevel {
    /// The level's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::SemiTrusted => "semi-trusted",
            Self::Trusted => "trusted",
        }
    }
}

impl FromStr for TrustLevel {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        [Self::Untrusted, Self::SemiTrusted, Self::Trusted]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or(AccessError::BadTrust)
    }
}

impl FromStr for SessionName {
    type Err = AccessError;

    fn from_str(text: &str) -> Result<Self, AccessError> {
        Self::new(text)
    }
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(SessionName Capability TrustLevel);

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
