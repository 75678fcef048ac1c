//! What must never happen, and what must have happened in the end.

use std::fmt;

use memchr::{memchr, memmem};
use wopr_p2p_core::event::RejectReason;

use crate::clock::Micros;
use crate::net::Party;
use crate::table::{Map, Set};
use crate::trace::Name;

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $rule:ident)*) => {
        /// The rules. Each is a promise of the core.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[doc = $doc])* $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: [Self; [$(stringify!($rule)),*].len()] = [$(Self::$rule),*];
        }
    };
}

rules! {
    /// Nothing is delivered, asked or answered without a grant in force at that moment.
    Granted
    /// Nothing is delivered or asked twice, crashes included; and nothing that nobody sent.
    Once
    /// Whatever was acknowledged is stored.
    Stored
    /// A plaintext is seen only by those whom it was for.
    Secret
    /// No key encrypts two texts under one nonce, and no message's nonce comes twice.
    FreshNonce
    /// Nothing that was revoked or claimed comes back, nothing that was confirmed gets lost.
    Access
    /// What strangers and peers make a node keep is bounded.
    Memory
    /// Honest peers never accuse or ban each other.
    Accusation
    /// After healing, and for those who are not attacked always, everything that may be delivered is.
    Service
    /// An input causes a bounded number of outputs.
    Outputs
    /// Every order of an owner ends once.
    Ended
    /// A node starts from whatever a crash left on its disk.
    Starts
    /// Nobody is believed to be somebody else.
    Identity
    /// Nothing is taken that was said at another time.
    Window
    /// Nobody gets more through than the limits allow, and a nuisance is heard for a short time only.
    Limits
    /// Nothing makes a node panic.
    NoPanic
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in microseconds since the beginning.
    pub at: Micros,
    /// Which rule.
    pub rule: Rule,
    /// By whom.
    pub party: Party,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} {} {:?}: {}", self.at as f64 / 1e6, Name(self.party), self.rule, self.what)
    }
}

/// A text that somebody sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Who.
    pub(crate) from: Party,
    /// To whom.
    pub(crate) to: Party,
    /// Into which session.
    pub(crate) session: String,
    /// How often it reached the session's file in the life of the receiver's present disk.
    pub(crate) delivered: u32,
    /// How often the AI was asked.
    pub(crate) asked: u32,
    /// When it was sent.
    pub(crate) at: Micros,
}

/// What every text begins with, so that it is found wherever it shows up.
pub(crate) const MARK: &[u8] = b"wopr secret ";

/// The texts and numbers that the rules are about.
#[derive(Default)]
pub(crate) struct Seen {
    /// Every text that was sent, by itself.
    pub(crate) texts: Map<String, Sent>,
    /// Initialisation vectors, each with who encrypted under which ephemeral key.
    ivs: Set<(Party, Vec<u8>)>,
    nonces: Set<(Party, Vec<u8>)>,
}

impl Seen {
    /// Looks at a line that a node sends: no plaintext, no nonce used before.
    pub(crate) fn line(&mut self, party: Party, line: &[u8]) -> Result<(), (Rule, String)> {
        if contains(line, MARK) {
            return Err((Rule::Secret, "a text is sent as it is".to_owned()));
        }
        if let Some(nonce) = member(line, b"\"nonce\":\"")
            && !self.nonces.insert((party, nonce.to_vec()))
        {
            return Err((Rule::FreshNonce, "a message's nonce is used twice".to_owned()));
        }
        let Some(payload) = member(line, b"\"payload\":\"") else {
            return Ok(());
        };
        use base64::Engine as _;
        let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(payload) else {
            return Err((Rule::Secret, "a payload is not base64".to_owned()));
        };
        if contains(&bytes, MARK) {
            return Err((Rule::Secret, "a text is sent in base64, not encrypted".to_owned()));
        }
        // The static keys (protocol 1) go on for ever, so their vectors are kept apart by sender only.
        let key = member(line, b"\"ephemeralPub\":\"").unwrap_or_default();
        let iv = bytes.get(..12).unwrap_or_default();
        if !self.ivs.insert((party, [key, iv].concat())) {
            return Err((Rule::FreshNonce, "a payload's initialisation vector is used twice".to_owned()));
        }
        Ok(())
    }
}

/// The text of a member that is a plain string, found without reading the JSON.
#[must_use]
pub(crate) fn member<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = memmem::find(line, name)? + name.len();
    let len = memchr(b'"', &line[start..])?;
    Some(&line[start..start + len])
}

/// Whether `bytes` contain `part`.
#[must_use]
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memmem::find(bytes, part).is_some()
}

/// Whether a refusal says that the other side misbehaved.
#[must_use]
pub(crate) const fn accuses(reason: RejectReason) -> bool {
    matches!(
        reason,
        RejectReason::Malformed
            | RejectReason::TooLong
            | RejectReason::BadSignature
            | RejectReason::NotForUs
            | RejectReason::Replayed
            | RejectReason::Undecryptable
            | RejectReason::RateLimited
    )
}
