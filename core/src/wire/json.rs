//! Protocol versions 1 and 2: one line of signed JSON a message.
//!
//! What [`decode`] gives is well-formed, not believed: only [`Received::verify`] hands out a [`Message`] to act upon.
//! [`encode`] writes what the original writes, to the byte, and our own members right before `nonce`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::Deserialize;
use serde::de::Error as _;

use super::signed::{self, Object, ObjectError, ObjectWriter, parse_signature};
use crate::keys::{EncryptKey, Nonce, PublicKey, VerifyingKey};
use crate::message::{
    Ack, Body, Claim, Header, Hello, HelloAck, Inject, KeyRotation, Log, Message, Once, Reject, RequestId, Response,
};
use crate::time::WallTime;

/// Why a line is no message. It is always the sender's doing: [`DecodeError::UnknownType`] and
/// [`DecodeError::UnknownVersion`] can be a newer node, the others are a broken or hostile one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not a signed JSON object.
    Object(ObjectError),
    /// This member is missing.
    Missing(&'static str),
    /// This member is not what it has to be.
    Invalid(&'static str),
    /// A `type` that this protocol does not have.
    UnknownType,
    /// A `v` that is neither 1 nor 2.
    UnknownVersion,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(error) => write!(f, "malformed message: {error}"),
            Self::Missing(name) => write!(f, "malformed message: \"{name}\" is missing"),
            Self::Invalid(name) => write!(f, "malformed message: \"{name}\" is not valid"),
            Self::UnknownType => f.write_str("unknown message type: the peer may run a newer version"),
            Self::UnknownVersion => f.write_str("unknown message version: the peer may run a newer version"),
        }
    }
}

impl core::error::Error for DecodeError {}

impl From<ObjectError> for DecodeError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Unsigned => Self::Missing("sig"),
            ObjectError::SignatureNotText => Self::Invalid("sig"),
            error => Self::Object(error),
        }
    }
}

/// The signature is not one of the sender's key over these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message's signature is not its sender's")
    }
}

impl core::error::Error for BadSignature {}

/// A well-formed message that anybody may have written.
pub struct Received {
    message: Message,
    /// The bytes that were signed, and the signature. None for a key rotation.
    signed: Option<(Vec<u8>, [u8; 64])>,
    /// A planted bug: whatever is signed counts as its sender's.
    #[cfg(wopr_planted)]
    believed: bool,
}

impl Received {
    /// What the message claims, unproven: good for refusing it cheaply, for nothing else.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// Checks that the message was signed by its sender, whose key the caller has at hand.
    ///
    /// # Errors
    /// The key is not that of `from`, the signature is not this key's over the bytes as they came, or the message is a
    /// key rotation, which carries no signature of its own: see [`Received::into_rotation`].
    pub fn verify(self, key: &VerifyingKey) -> Result<Message, BadSignature> {
        #[cfg(wopr_planted)]
        if self.believed {
            return Ok(self.message);
        }
        match self.signed {
            Some((bytes, signature))
                if key.public() == self.message.header.from && key.verifies(&bytes, &signature) =>
            {
                Ok(self.message)
            }
            _ => Err(BadSignature),
        }
    }

    /// The message, which its signature need not prove if a bug is planted.
    #[cfg(wopr_planted)]
    #[must_use]
    pub(crate) fn believed_if(self, planted: bool) -> Self {
        Self { believed: planted, ..self }
    }

    /// A key rotation, unproven: its `sig` repeats the one inside the statement, so nothing vouches for the header. The
    /// statement and the proof stand for themselves, and the rotation module judges them. None for other messages.
    #[must_use]
    pub fn into_rotation(self) -> Option<(Header, KeyRotation)> {
        match self.message.body {
            Body::KeyRotation(rotation) => Some((self.message.header, rotation)),
            _ => None,
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Received").field(&self.message).finish()
    }
}

/// Reads one line (its line end may still be there). Members that the protocol does not know are ignored: they are
/// signed like the others. Takes time and memory linear in the line's length, at most three times the line.
///
/// # Errors
/// The first thing found wrong.
pub fn decode(line: &[u8]) -> Result<Received, DecodeError> {
    let object = Object::parse(line)?;
    let fields = Fields(&object);
    let header = Header {
        from: fields.parsed("from")?.ok_or(DecodeError::Missing("from"))?,
        nonce: fields.parsed("nonce")?.ok_or(DecodeError::Missing("nonce"))?,
        ts: WallTime::from_millis(fields.required("ts")?),
    };
    let body = fields.body()?;
    let signed = match &body {
        Body::KeyRotation(rotation) => {
            let (_, inner) = signed::cut_signature(rotation.statement.as_bytes())
                .map_err(|_| DecodeError::Invalid("keyRotation"))?;
            let outer = fields.required::<String>("sig")?;
            if parse_signature(&outer).is_none() || outer != inner {
                return Err(DecodeError::Invalid("sig"));
            }
            None
        }
        _ => {
            let (bytes, signature) = object.cut_signature()?;
            Some((bytes, parse_signature(signature).ok_or(DecodeError::Invalid("sig"))?))
        }
    };
    Ok(Received {
        message: Message { header, body },
        signed,
        #[cfg(wopr_planted)]
        believed: false,
    })
}

/// Reads a line as JavaScript's `JSON.parse` would, and does not mind what stands behind it; the signature is looked for
/// in the bytes as they came.
#[cfg(wopr_planted)]
pub(crate) fn decode_leniently(line: &[u8]) -> Option<Received> {
    let value = serde_json::Deserializer::from_slice(line).into_iter::<serde_json::Value>().next()?.ok()?;
    let message = decode(value.to_string().as_bytes()).ok()?.message;
    let (signed, _) = core::str::from_utf8(line).ok()?.split_once(",\"sig\":")?;
    let signature = parse_signature(value.get("sig")?.as_str()?)?;
    Some(Received { message, signed: Some((alloc::format!("{signed}}}").into_bytes(), signature)), believed: false })
}

struct Fields<'o, 'a>(&'o Object<'a>);

impl<'a> Fields<'_, 'a> {
    fn body(&self) -> Result<Body, DecodeError> {
        let v = self.version()?;
        Ok(match self.required::<String>("type")?.as_str() {
            "hello" => Body::Hello(Hello {
                versions: self.optional::<Versions>("versions")?.map_or_else(|| [1].into(), |versions| versions.0),
                ephemeral: self.ephemeral()?,
                to: self.parsed("to")?,
            }),
            "hello-ack" => Body::HelloAck(HelloAck {
                version: self.required("version")?,
                ephemeral: self.ephemeral()?,
                to: self.parsed("to")?,
                re: self.re()?,
            }),
            "claim" => Body::Claim(Claim {
                v,
                encrypt_key: self.encrypt_key()?.ok_or(DecodeError::Missing("encryptPub"))?,
                token: self.text("token")?,
                re: self.re()?,
            }),
            "log" => Body::Log(Log {
                v,
                encrypt_key: self.encrypt_key()?.ok_or(DecodeError::Missing("encryptPub"))?,
                ephemeral: self.ephemeral()?,
                session: self.required("session")?,
                payload: self.text("payload")?,
                once: self.once()?,
                re: self.re()?,
            }),
            "inject" => Body::Inject(Inject {
                v,
                encrypt_key: self.encrypt_key()?.ok_or(DecodeError::Missing("encryptPub"))?,
                ephemeral: self.ephemeral()?,
                session: self.required("session")?,
                payload: self.text("payload")?,
                request_id: self.required::<RequestId>("requestId")?,
                chain: self.optional("chain")?,
                re: self.re()?,
            }),
            "response" => Body::Response(Response {
                v,
                encrypt_key: self.encrypt_key()?,
                ephemeral: self.ephemeral()?,
                session: self.optional("session")?,
                payload: self.text("payload")?,
                request_id: self.required::<RequestId>("requestId")?,
                re: self.re()?,
            }),
            "ack" => {
                Body::Ack(Ack { encrypt_key: self.encrypt_key()?, session: self.optional("session")?, re: self.re()? })
            }
            "reject" => Body::Reject(Reject {
                session: self.optional("session")?,
                reason: self.text("reason")?,
                re: self.re()?,
            }),
            "key-rotation" => Body::KeyRotation(KeyRotation {
                statement: self.0.get("keyRotation").ok_or(DecodeError::Missing("keyRotation"))?.to_string(),
                proof: self.proof()?,
                re: self.re()?,
            }),
            _ => return Err(DecodeError::UnknownType),
        })
    }

    fn version(&self) -> Result<u8, DecodeError> {
        match self.required::<u64>("v")? {
            1 => Ok(1),
            2 => Ok(2),
            _ => Err(DecodeError::UnknownVersion),
        }
    }

    fn once(&self) -> Result<Option<Once>, DecodeError> {
        match (self.parsed("id")?, self.optional("since")?) {
            (None, None) => Ok(None),
            (Some(id), Some(since)) => Ok(Some(Once { id, since })),
            (None, Some(_)) => Err(DecodeError::Missing("id")),
            (Some(_), None) => Err(DecodeError::Missing("since")),
        }
    }

    fn re(&self) -> Result<Option<Nonce>, DecodeError> {
        self.parsed("re")
    }

    fn encrypt_key(&self) -> Result<Option<EncryptKey>, DecodeError> {
        self.parsed("encryptPub")
    }

    /// The original writes an empty text where it has no ephemeral key.
    fn ephemeral(&self) -> Result<Option<EncryptKey>, DecodeError> {
        if self.0.get("ephemeralPub") == Some("\"\"") { Ok(None) } else { self.parsed("ephemeralPub") }
    }

    fn proof(&self) -> Result<Option<[u8; 64]>, DecodeError> {
        self.optional::<String>("proof")?
            .map(|text| parse_signature(&text).ok_or(DecodeError::Invalid("proof")))
            .transpose()
    }

    /// A text that is not empty.
    fn text(&self, name: &'static str) -> Result<String, DecodeError> {
        Some(self.required::<String>(name)?).filter(|text| !text.is_empty()).ok_or(DecodeError::Invalid(name))
    }

    fn required<T: Deserialize<'a>>(&self, name: &'static str) -> Result<T, DecodeError> {
        self.optional(name)?.ok_or(DecodeError::Missing(name))
    }

    /// A key or a nonce: those have one spelling, and none with an escape.
    fn parsed<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, DecodeError> {
        let text = |value: &'a str| value.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        self.0.get(name).map(|value| text(value).ok_or(DecodeError::Invalid(name))).transpose()
    }

    fn optional<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, DecodeError> {
        self.0.get(name).map(serde_json::from_str).transpose().map_err(|_| DecodeError::Invalid(name))
    }
}

/// A list of versions that stops allocating at its limit.
struct Versions(Vec<u64>);

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Versions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {} whole numbers", Hello::MAX_VERSIONS)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Versions, A::Error> {
                let mut versions = Vec::new();
                while let Some(version) = seq.next_element()? {
                    if versions.len() == Hello::MAX_VERSIONS {
                        return Err(A::Error::invalid_length(versions.len() + 1, &self));
                    }
                    versions.push(version);
                }
                Ok(Versions(versions))
            }
        }

        deserializer.deserialize_seq(Visitor)
    }
}

/// Writes a message as one line with its `\n`, signed by `sign`, which is given the bytes to sign and must use the key
/// of `header.from`. For a key rotation `sign` is not called: its `sig` is the statement's.
#[must_use]
pub fn encode(message: &Message, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Vec<u8> {
    let mut line = match &message.body {
        Body::KeyRotation(rotation) => {
            let inner = signed::cut_signature(rotation.statement.as_bytes());
            // A statement without a signature gives a message without one: every node refuses it.
            write(message).with_signature(inner.map_or("", |(_, signature)| signature))
        }
        _ => write(message).sign(sign),
    };
    line.push('\n');
    line.into_bytes()
}

/// Everything but the signature.
fn write(message: &Message) -> ObjectWriter {
    let Message { header, body } = message;
    let Written { v, long, to, re, proof } = Written::of(body);
    // The other members have about 600 bytes; a session name may double by escapes.
    let start = ObjectWriter::new(long + 1024)
        .number("v", u64::from(v))
        .text("type", body.type_name())
        .display("from", header.from);
    let middle = match body {
        Body::Hello(hello) => {
            start.raw("versions", &versions(&hello.versions)).optional("ephemeralPub", hello.ephemeral)
        }
        Body::HelloAck(ack) => start.number("version", u64::from(ack.version)).optional("ephemeralPub", ack.ephemeral),
        Body::Claim(claim) => start.display("encryptPub", claim.encrypt_key).text("token", &claim.token),
        Body::Log(log) => start
            .display("encryptPub", log.encrypt_key)
            .optional("ephemeralPub", log.ephemeral)
            .text("session", log.session.as_str())
            .text("payload", &log.payload)
            .once(log.once),
        Body::Inject(inject) => start
            .display("encryptPub", inject.encrypt_key)
            .optional("ephemeralPub", inject.ephemeral)
            .text("session", inject.session.as_str())
            .text("payload", &inject.payload)
            .text("requestId", inject.request_id.as_str())
            .optional("chain", inject.chain.as_ref()),
        Body::Response(response) => start
            .optional("encryptPub", response.encrypt_key)
            .optional("ephemeralPub", response.ephemeral)
            .optional("session", response.session.as_ref())
            .text("payload", &response.payload)
            .text("requestId", response.request_id.as_str()),
        Body::Ack(ack) => start.optional("encryptPub", ack.encrypt_key).optional("session", ack.session.as_ref()),
        Body::Reject(reject) => start.optional("session", reject.session.as_ref()).text("reason", &reject.reason),
        Body::KeyRotation(rotation) => start.raw("keyRotation", &rotation.statement),
    };
    middle
        .optional("to", to)
        .optional("re", re)
        .optional("proof", proof.map(signed::format_signature))
        .display("nonce", header.nonce)
        .number("ts", header.ts.as_millis())
}

impl ObjectWriter {
    fn once(self, once: Option<Once>) -> Self {
        match once {
            Some(Once { id, since }) => self.display("id", id).number("since", since.as_millis()),
            None => self,
        }
    }
}

/// What [`write`] puts at the same place for every type.
struct Written {
    v: u8,
    /// The length of the one member that can be long.
    long: usize,
    to: Option<PublicKey>,
    re: Option<Nonce>,
    proof: Option<[u8; 64]>,
}

impl Written {
    fn of(body: &Body) -> Self {
        let (v, long, re) = match body {
            Body::Hello(_) => (2, 0, None),
            Body::HelloAck(ack) => (2, 0, ack.re),
            Body::Claim(claim) => (claim.v, claim.token.len(), claim.re),
            Body::Log(log) => (log.v, log.payload.len(), log.re),
            Body::Inject(inject) => (inject.v, inject.payload.len(), inject.re),
            Body::Response(response) => (response.v, response.payload.len(), response.re),
            Body::Ack(ack) => (2, 0, ack.re),
            Body::Reject(reject) => (2, reject.reason.len(), reject.re),
            Body::KeyRotation(rotation) => (2, rotation.statement.len(), rotation.re),
        };
        let (to, proof) = match body {
            Body::Hello(hello) => (hello.to, None),
            Body::HelloAck(ack) => (ack.to, None),
            Body::KeyRotation(rotation) => (None, rotation.proof),
            _ => (None, None),
        };
        Self { v, long, to, re, proof }
    }
}

fn versions(versions: &[u64]) -> String {
    let texts: Vec<String> = versions.iter().map(ToString::to_string).collect();
    ["[", &texts.join(","), "]"].concat()
}

#[cfg(test)]
mod tests;
