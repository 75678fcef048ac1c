//! What is said on a discovery stream: one JSON object a message, no line end, at most [`MAX_MESSAGE`] bytes.
//!
//! The original signs nothing here, so nothing it says proves a key. Ours add two members that the original ignores:
//! `challenge`, 16 random bytes in hex that are new for each stream, and `proof`:
//!
//! ```text
//! "proof": {"from": KEY, "to": KEY, "re": the other side's challenge, "nonce": HEX, "ts": MS, "sig": BASE64}
//! ```
//!
//! `sig` is `from`'s Ed25519 signature over `wopr:discovery:1` and, each written as its length, `:`, the text and `,`:
//! the message's type; `from`, `to`, `re`, `nonce` and `ts` as texts; then the JSON texts of the members [`SIGNED`], in
//! that order, empty for those that are absent. Since it names the receiver and this stream's challenge, it means
//! nothing to anybody else and nowhere else: whoever passes it on between two nodes can only pass on what was meant.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::BadSignature;
use super::signed::{ObjectWriter, format_signature, parse_signature};
use crate::access::{Capability, SessionSet};
use crate::keys::{EncryptKey, Nonce, PublicKey, VerifyingKey};
use crate::time::WallTime;

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// The members that a proof covers, in the order in which it does.
pub const SIGNED: [&str; 8] =
    ["topic", "profile", "accept", "sessions", "capabilities", "pending", "reason", "challenge"];

/// The longest reason that is kept, in characters: it is shown to the owner.
const MAX_REASON: usize = 256;

/// The longest list in a response, in bytes: it has to fit into a message whatever is in it.
const MAX_LIST: usize = 4096;

/// A profile as somebody shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whose it says it is.
    pub key: PublicKey,
    /// The encryption key in it.
    pub encrypt_key: Option<EncryptKey>,
    /// What is in it, as JSON text of a remote peer.
    pub content: String,
}

/// One message of a discovery stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who the sender says it is.
    Profile {
        /// What it shows.
        shown: Shown,
        /// What a proof for it has to name; the original has none.
        challenge: Option<Nonce>,
    },
    /// The sender wants to use our sessions.
    ConnectRequest {
        /// The topic it names.
        topic: String,
        /// Who it says it is.
        shown: Shown,
    },
    /// What became of such a request.
    ConnectResponse(Answer),
    /// Are you there?
    Ping {
        /// The JSON text of a number, to be sent back.
        ts: Option<String>,
    },
    /// Yes.
    Pong,
    /// `grant_update` and whatever else nobody asked for.
    Other,
}

/// What became of a connection request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The sender may use sessions.
    Accepted {
        /// Which, as far as it was told in a way that can be read.
        sessions: Option<SessionSet>,
        /// What it may do there.
        capabilities: Vec<Capability>,
    },
    /// Its owner has yet to decide.
    Pending,
    /// It may not.
    Refused {
        /// Why, in words of the other side.
        reason: String,
    },
}

/// Who vouches for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Who signed.
    pub from: PublicKey,
    /// For whom.
    pub to: PublicKey,
    /// The receiver's challenge of this stream.
    pub re: Nonce,
    /// Makes the message unlike every other.
    pub nonce: Nonce,
    /// When, by the signer's clock.
    pub ts: WallTime,
}

/// Why a text is no message. It is the sender's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not JSON.
    Syntax,
    /// This member is missing.
    Missing(&'static str),
    /// This member is not what it has to be.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("malformed message: not JSON"),
            Self::Missing(name) => write!(f, "malformed message: \"{name}\" is missing"),
            Self::Invalid(name) => write!(f, "malformed message: \"{name}\" is not valid"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A message that anybody may have written.
#[derive(Debug)]
pub struct Received {
    message: Message,
    proof: Option<(Proof, [u8; 64])>,
    /// What the proof's signature has to be over; empty without a proof.
    signed: Vec<u8>,
}

impl Received {
    /// Who is said to vouch for the message; `None` if nobody.
    #[must_use]
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref().map(|(proof, _)| proof)
    }

    /// Whether taking it in costs a signature or a write.
    #[must_use]
    pub const fn is_dear(&self) -> bool {
        self.proof.is_some() || !matches!(self.message, Message::Ping { .. } | Message::Pong | Message::Other)
    }

    /// Checks that the owner of `key` signed the message. Whom it is for is another matter.
    ///
    /// # Errors
    /// There is no proof, or it is not this key's over this message.
    pub fn verify(self, key: &VerifyingKey) -> Result<Message, BadSignature> {
        match self.proof {
            Some((proof, sig)) if proof.from == key.public() && key.verifies(&self.signed, &sig) => Ok(self.message),
            _ => Err(BadSignature),
        }
    }

    /// The message, whoever wrote it.
    #[must_use]
    pub fn unproven(self) -> Message {
        self.message
    }
}

/// Reads one message. Members that nobody knows are ignored.
///
/// # Errors
/// The first thing found wrong.
pub fn decode(text: &[u8]) -> Result<Received, DecodeError> {
    let text = core::str::from_utf8(text).map_err(|_| DecodeError::Syntax)?;
    let members = Members::read(text).ok_or(DecodeError::Syntax)?;
    let kind: String = members.required("type")?;
    let message = match kind.as_str() {
        "profile" => Message::Profile { shown: members.profile()?, challenge: members.optional("challenge")? },
        "connect_request" => Message::ConnectRequest { topic: members.required("topic")?, shown: members.profile()? },
        "connect_response" => Message::ConnectResponse(members.answer()?),
        "ping" => Message::Ping { ts: members.get("ts").filter(|ts| is_number(ts)).map(ToString::to_string) },
        "pong" => Message::Pong,
        _ => Message::Other,
    };
    let proof = members.proof()?;
    let signed = proof.as_ref().map_or_else(Vec::new, |(proof, _)| {
        signed_bytes(&kind, proof, SIGNED.map(|name| members.get(name).unwrap_or_default()))
    });
    Ok(Received { message, proof, signed })
}

/// The members of an object, each as JSON text; of a member that is given twice the last counts, as in JavaScript.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    fn read(json: &'a str) -> Option<Self> {
        // Without this, serde would take other values than objects in some places.
        json.starts_with('{').then(|| serde_json::from_str(json).ok().map(Self)).flatten()
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get())
    }

    fn optional<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, DecodeError> {
        self.get(name).map(serde_json::from_str).transpose().map_err(|_| DecodeError::Invalid(name))
    }

    fn required<T: Deserialize<'a>>(&self, name: &'static str) -> Result<T, DecodeError> {
        self.optional(name)?.ok_or(DecodeError::Missing(name))
    }

    fn object(&self, name: &'static str) -> Result<Members<'a>, DecodeError> {
        let json = self.get(name).ok_or(DecodeError::Missing(name))?;
        Members::read(json).ok_or(DecodeError::Invalid(name))
    }

    fn profile(&self) -> Result<Shown, DecodeError> {
        let profile = self.object("profile")?;
        // Without an encryption key, or with one that is none, the profile still says who it is.
        let encrypt_key = profile.optional("encryptPub").ok().flatten();
        let content = profile.get("content").unwrap_or("{}").to_string();
        Ok(Shown { key: profile.required("publicKey")?, encrypt_key, content })
    }

    fn answer(&self) -> Result<Answer, DecodeError> {
        if self.required::<bool>("accept")? {
            let sessions = self.optional("sessions").ok().flatten();
            let capabilities = self.optional("capabilities").ok().flatten().unwrap_or_default();
            return Ok(Answer::Accepted { sessions, capabilities });
        }
        if self.optional("pending")?.unwrap_or(false) {
            return Ok(Answer::Pending);
        }
        let reason: Option<String> = self.optional("reason").ok().flatten();
        Ok(Answer::Refused { reason: reason.unwrap_or_default().chars().take(MAX_REASON).collect() })
    }

    fn proof(&self) -> Result<Option<(Proof, [u8; 64])>, DecodeError> {
        if self.get("proof").is_none() {
            return Ok(None);
        }
        let proof = self.object("proof")?;
        let sig = parse_signature(&proof.required::<String>("sig")?).ok_or(DecodeError::Invalid("sig"))?;
        let ts = WallTime::from_millis(proof.required("ts")?);
        let (from, to) = (proof.required("from")?, proof.required("to")?);
        Ok(Some((Proof { from, to, re: proof.required("re")?, nonce: proof.required("nonce")?, ts }, sig)))
    }
}

fn is_number(json: &str) -> bool {
    json.len() <= 32 && json.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn signed_bytes(kind: &str, proof: &Proof, members: [&str; SIGNED.len()]) -> Vec<u8> {
    let Proof { from, to, re, nonce, ts } = proof;
    let [from, to, re, nonce] = [from.to_string(), to.to_string(), re.to_string(), nonce.to_string()];
    let ts = ts.as_millis().to_string();
    let mut bytes = b"wopr:discovery:1".to_vec();
    for part in [kind, &from, &to, &re, &nonce, &ts].into_iter().chain(members) {
        bytes.extend_from_slice(alloc::format!("{}:{part},", part.len()).as_bytes());
    }
    bytes
}

/// A message to be sent, as its members.
#[derive(Debug)]
pub struct Outgoing {
    kind: &'static str,
    members: Vec<(&'static str, String)>,
}

impl Outgoing {
    /// Who we are; `profile` is what [`profile_json`] wrote.
    #[must_use]
    pub fn profile(profile: String, challenge: Nonce) -> Self {
        Self { kind: "profile", members: Vec::from([("profile", profile), ("challenge", quoted(challenge))]) }
    }

    /// We want to use the other side's sessions.
    #[must_use]
    pub fn connect_request(topic: &str, profile: String) -> Self {
        Self { kind: "connect_request", members: Vec::from([("topic", quoted(topic)), ("profile", profile)]) }
    }

    /// What became of the other side's request.
    #[must_use]
    pub fn connect_response(answer: &Answer) -> Self {
        let (accept, sessions, capabilities) = match answer {
            Answer::Accepted { sessions, capabilities } => {
                let names = sessions.as_ref().map(SessionSet::names).unwrap_or_default();
                (true, names, capabilities.iter().map(Capability::as_str).collect())
            }
            Answer::Pending | Answer::Refused { .. } => (false, Vec::new(), Vec::new()),
        };
        let mut members = Vec::from([("accept", accept.to_string()), ("sessions", list(sessions))]);
        match answer {
            Answer::Accepted { .. } => members.push(("capabilities", list(capabilities))),
            Answer::Pending => {
                members.push(("pending", true.to_string()));
                members.push(("reason", quoted("waits for the owner's approval")));
            }
            Answer::Refused { reason } => members.push(("reason", quoted(reason))),
        }
        Self { kind: "connect_response", members }
    }

    /// Are you there?
    #[must_use]
    pub fn ping(now: WallTime) -> Self {
        Self { kind: "ping", members: Vec::from([("ts", now.as_millis().to_string())]) }
    }

    /// Yes; `ts` is the JSON text of the ping's.
    #[must_use]
    pub fn pong(ts: Option<String>) -> Self {
        Self { kind: "pong", members: ts.map(|ts| ("ts", ts)).into_iter().collect() }
    }

    /// The message as the original writes it.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        self.write().finish().into_bytes()
    }

    /// The message with a proof; `sign` must use the key `proof.from`.
    #[must_use]
    pub fn proven(&self, proof: &Proof, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Vec<u8> {
        let value = |name: &str| self.members.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value);
        let sig = sign(&signed_bytes(self.kind, proof, SIGNED.map(value)));
        let object = ObjectWriter::new(512)
            .display("from", proof.from)
            .display("to", proof.to)
            .display("re", proof.re)
            .display("nonce", proof.nonce)
            .number("ts", proof.ts.as_millis())
            .with_signature(&format_signature(sig));
        self.write().raw("proof", &object).finish().into_bytes()
    }

    fn write(&self) -> ObjectWriter {
        let start = ObjectWriter::new(1024).text("type", self.kind);
        self.members.iter().fold(start, |object, (name, value)| object.raw(name, value))
    }
}

/// A profile of ours as the original writes it. `topic` is the one on which the other side met us: it learns of no
/// other from here.
#[must_use]
pub fn profile_json(
    key: &PublicKey,
    encrypt_key: &EncryptKey,
    content: &str,
    topic: &str,
    updated: WallTime,
) -> String {
    ObjectWriter::new(512 + content.len())
        .text("id", &key.short_id())
        .display("publicKey", key)
        .display("encryptPub", encrypt_key)
        .raw("content", content)
        .raw("topics", &list(Vec::from([topic])))
        .number("updated", updated.as_millis())
        .finish()
}

fn quoted(text: impl fmt::Display) -> String {
    serde_json::Value::from(text.to_string()).to_string()
}

fn list(texts: Vec<&str>) -> String {
    let mut json = String::from("[");
    for text in texts {
        let text = quoted(text);
        // Cut off rather than too long: what is granted is not decided here.
        if json.len() + text.len() > MAX_LIST {
            break;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&text);
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests;
