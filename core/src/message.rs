//! What nodes say to each other, whatever encoding carries it (`wire/`).
//!
//! The members `to`, `re`, `proof`, `id` with `since`, and `chain` are ours: peers that speak only the original protocol
//! leave them out and ignore ours. `to` names the node a handshake is meant for, `re` the message that this one belongs to, so that a signed
//! message is worth nothing to anybody else or at any other time:
//! * in [`HelloAck`] `re` is the hello's nonce;
//! * in [`Claim`], [`Log`], [`Inject`] and [`KeyRotation`] it is the hello-ack's nonce, which binds them to this handshake;
//! * in [`Ack`], [`Reject`] and [`Response`] it is the nonce of the message that is answered; in a [`Reject`] of one that
//!   was too long to be read it is the hello-ack's.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::de::Error as _;

use crate::access::SessionName;
use crate::chain::Chain;
use crate::keys::{EncryptKey, Nonce, PublicKey};
use crate::time::WallTime;

/// The original's limit of a payload, in bytes **of its base64 text**: a text of up to 786,404 bytes of UTF-8 fits.
///
/// This is also the count that its refusal names: `payload too large: N bytes exceeds M limit` has the length of the
/// `payload` string for N and this limit for M.
pub const MAX_PAYLOAD: usize = 1_048_576;

/// One message of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it, when.
    pub header: Header,
    /// What.
    pub body: Body,
}

/// What every message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's key, which signs the message. In a key rotation it is the old key.
    pub from: PublicKey,
    /// Makes the message unlike every other.
    pub nonce: Nonce,
    /// When it was written, by the sender's clock.
    pub ts: WallTime,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Opens the handshake.
    Hello(Hello),
    /// Ends the handshake.
    HelloAck(HelloAck),
    /// Claims an invite.
    Claim(Claim),
    /// A text for a session.
    Log(Log),
    /// A question to a session's AI.
    Inject(Inject),
    /// The AI's answer.
    Response(Response),
    /// Done.
    Ack(Ack),
    /// Refused.
    Reject(Reject),
    /// The sender has a new key.
    KeyRotation(KeyRotation),
}

impl Body {
    /// The nonce of the message that this one belongs to, if it names one.
    #[must_use]
    pub const fn re(&self) -> Option<Nonce> {
        match self {
            Self::Hello(_) => None,
            Self::HelloAck(body) => body.re,
            Self::Claim(body) => body.re,
            Self::Log(body) => body.re,
            Self::Inject(body) => body.re,
            Self::Response(body) => body.re,
            Self::Ack(body) => body.re,
            Self::Reject(body) => body.re,
            Self::KeyRotation(body) => body.re,
        }
    }

    /// The message's type, as the protocol calls it.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::HelloAck(_) => "hello-ack",
            Self::Claim(_) => "claim",
            Self::Log(_) => "log",
            Self::Inject(_) => "inject",
            Self::Response(_) => "response",
            Self::Ack(_) => "ack",
            Self::Reject(_) => "reject",
            Self::KeyRotation(_) => "key-rotation",
        }
    }
}

/// The client's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The protocol versions it speaks; only version 1 if it named none. At most [`Hello::MAX_VERSIONS`].
    pub versions: Vec<u64>,
    /// Its ephemeral key.
    pub ephemeral: Option<EncryptKey>,
    /// Whom it dialled.
    pub to: Option<PublicKey>,
}

impl Hello {
    /// The most versions that a hello can offer.
    pub const MAX_VERSIONS: usize = 16;
}

/// The listener's answer to a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloAck {
    /// The version chosen.
    pub version: u8,
    /// The listener's ephemeral key.
    pub ephemeral: Option<EncryptKey>,
    /// Whom it answers.
    pub to: Option<PublicKey>,
    /// The hello's nonce.
    pub re: Option<Nonce>,
}

/// Asks the issuer of an invite for what it promises.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The negotiated version.
    pub v: u8,
    /// The sender's static key.
    pub encrypt_key: EncryptKey,
    /// The `wop1://…` text; never empty.
    pub token: String,
    /// The hello-ack's nonce.
    pub re: Option<Nonce>,
}

/// A text to be appended to a session; no AI runs.
#[derive(Clone, PartialEq, Eq)]
pub struct Log {
    /// The negotiated version.
    pub v: u8,
    /// The sender's static key.
    pub encrypt_key: EncryptKey,
    /// The sender's ephemeral key, if the payload is encrypted with it.
    pub ephemeral: Option<EncryptKey>,
    /// Into which session.
    pub session: SessionName,
    /// The encrypted text, as base64 that is not checked yet; never empty.
    pub payload: String,
    /// What tells a repetition of this message from a new one.
    pub once: Option<Once>,
    /// The hello-ack's nonce.
    pub re: Option<Nonce>,
}

/// What a message that may be sent again carries each time, beside a fresh nonce and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// The same each time, and of no other message.
    pub id: Nonce,
    /// Not later than the first time, by the sender's clock.
    pub since: WallTime,
}

/// A question to a session's AI.
#[derive(Clone, PartialEq, Eq)]
pub struct Inject {
    /// The negotiated version.
    pub v: u8,
    /// The sender's static key.
    pub encrypt_key: EncryptKey,
    /// The sender's ephemeral key, if the payload is encrypted with it.
    pub ephemeral: Option<EncryptKey>,
    /// In which session.
    pub session: SessionName,
    /// The encrypted text, as base64 that is not checked yet; never empty.
    pub payload: String,
    /// What the response will carry.
    pub request_id: RequestId,
    /// Who waits for the sender to get this answer.
    pub chain: Option<Chain>,
    /// The hello-ack's nonce.
    pub re: Option<Nonce>,
}

/// The answer to an [`Inject`].
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// 2, whatever was negotiated.
    pub v: u8,
    /// The responder's static key.
    pub encrypt_key: Option<EncryptKey>,
    /// A fresh key of the responder, if the payload is encrypted with it.
    pub ephemeral: Option<EncryptKey>,
    /// In which session.
    pub session: Option<SessionName>,
    /// The encrypted text, as base64 that is not checked yet; never empty.
    pub payload: String,
    /// That of the inject.
    pub request_id: RequestId,
    /// The inject's nonce.
    pub re: Option<Nonce>,
}

/// Something was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The issuer's static key, after a claim.
    pub encrypt_key: Option<EncryptKey>,
    /// The session, after a log.
    pub session: Option<SessionName>,
    /// The nonce of what was asked.
    pub re: Option<Nonce>,
}

/// Something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The session, if one was named.
    pub session: Option<SessionName>,
    /// Why, in words of the other side: they may hold anything, control characters too. Never empty.
    pub reason: String,
    /// The nonce of what was asked.
    pub re: Option<Nonce>,
}

/// A statement of the old key that a new one takes its place.
///
/// The statement is signed, the message around it is not: nobody vouches for its nonce and time.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRotation {
    /// The signed statement, byte for byte as it came: a JSON object.
    pub statement: String,
    /// The new key's signature over [`KeyRotation::proof_bytes`].
    pub proof: Option<[u8; 64]>,
    /// The hello-ack's nonce.
    pub re: Option<Nonce>,
}

impl KeyRotation {
    /// What the new key signs, to show that its owner agrees, on the connection whose hello-ack has this nonce.
    #[must_use]
    pub fn proof_bytes(statement: &str, hello_ack: Nonce) -> Vec<u8> {
        let nonce = hello_ack.to_string();
        ["wopr:key-rotation:", statement, ":", &nonce].concat().into_bytes()
    }
}

/// The sender's name for a request: 1 to 64 bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// The longest request id, in bytes of UTF-8.
    pub const MAX_LEN: usize = 64;

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not 1 to 64 bytes without control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestIdError;

impl fmt::Display for RequestIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request id has 1 to 64 bytes and no control characters")
    }
}

impl core::error::Error for RequestIdError {}

impl From<Nonce> for RequestId {
    /// A request id as the original makes them: 32 hex digits.
    fn from(nonce: Nonce) -> Self {
        Self(nonce.to_string())
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        if text.is_empty() || text.len() > Self::MAX_LEN || text.contains(char::is_control) {
            return Err(RequestIdError);
        }
        Ok(Self(text.to_string()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> serde::Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Prints the length of the long member instead of its text: payloads and tokens must not fill a log.
macro_rules! debug_short {
    ($($name:ident: $long:ident, $($field:ident)*;)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))*
                    .field(stringify!($long), &format_args!("{} bytes", self.$long.len()))
                    .finish()
            }
        }
    )*};
}

debug_short! {
    Claim: token, v encrypt_key re;
    Log: payload, v encrypt_key ephemeral session once re;
    Inject: payload, v encrypt_key ephemeral session request_id chain re;
    Response: payload, v encrypt_key ephemeral session request_id re;
    KeyRotation: statement, re;
}
