//! Signed JSON objects: reading the members of a received text, cutting its `sig` out, writing a text and signing it.
//!
//! A signature is checked over the bytes as they came, without the `sig` member, never over JSON written anew. For
//! that the text must have one meaning: [`Object::parse`] refuses whatever two readers could read differently
//! (a member given twice, bytes after the object, bytes that are not UTF-8) and whatever is needlessly large.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

/// How deep objects and arrays may nest; the object itself is the first level.
pub const MAX_DEPTH: usize = 8;

/// How many members an object may have, those that nobody knows included.
pub const MAX_MEMBERS: usize = 64;

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Why a text is not a signed JSON object. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectError {
    /// Not UTF-8.
    NotUtf8,
    /// Another JSON value than an object, or nothing at all.
    NotObject,
    /// Not JSON.
    Syntax,
    /// Something follows the object.
    TrailingData,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// More members than [`MAX_MEMBERS`].
    TooManyMembers,
    /// The same member twice.
    DuplicateMember,
    /// No `sig`.
    Unsigned,
    /// A `sig` that is not a plain string.
    SignatureNotText,
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not UTF-8",
            Self::NotObject => "not a JSON object",
            Self::Syntax => "not JSON",
            Self::TrailingData => "there is something after the JSON object",
            Self::TooDeep => "nested deeper than 8 levels",
            Self::TooManyMembers => "more than 64 members",
            Self::DuplicateMember => "a member is given twice",
            Self::Unsigned => "not signed: there is no \"sig\"",
            Self::SignatureNotText => "\"sig\" is not a plain string",
        })
    }
}

impl core::error::Error for ObjectError {}

/// The members of a JSON object, as they stand in its text.
pub struct Object<'a> {
    text: &'a str,
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    name: Cow<'a, str>,
    /// The value's JSON text.
    value: &'a str,
    /// Where the name starts in the object's text, and where the value ends.
    start: usize,
    end: usize,
}

impl<'a> Object<'a> {
    /// Finds the members of a JSON object; white space around it is left out. Takes time linear in the length.
    ///
    /// # Errors
    /// Whatever is not exactly one JSON object within the bounds; [`ObjectError::Unsigned`] and
    /// [`ObjectError::SignatureNotText`] come only from [`Object::cut_signature`].
    pub fn parse(json: &'a [u8]) -> Result<Self, ObjectError> {
        let text = core::str::from_utf8(json).map_err(|_| ObjectError::NotUtf8)?.trim_matches(SPACE);
        let mut scanner = Scanner { text, at: 0 };
        if !scanner.take(b'{') {
            return Err(ObjectError::NotObject);
        }
        let mut members: Vec<Member<'a>> = Vec::new();
        scanner.skip_space();
        let mut more = !scanner.take(b'}');
        while more {
            let member = scanner.member()?;
            if members.iter().any(|known| known.name == member.name) {
                return Err(ObjectError::DuplicateMember);
            }
            if members.len() == MAX_MEMBERS {
                return Err(ObjectError::TooManyMembers);
            }
            members.push(member);
            scanner.skip_space();
            more = scanner.take(b',');
            if !more && !scanner.take(b'}') {
                return Err(ObjectError::Syntax);
            }
        }
        if scanner.at < text.len() {
            return Err(ObjectError::TrailingData);
        }
        Ok(Self { text, members })
    }

    /// The JSON text of a member's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|member| member.name == name).map(|member| member.value)
    }

    /// The bytes that were signed (the text without its `sig` member and the comma that joins it) and the signature's
    /// text.
    ///
    /// # Errors
    /// [`ObjectError::Unsigned`], [`ObjectError::SignatureNotText`].
    pub fn cut_signature(&self) -> Result<(Vec<u8>, &'a str), ObjectError> {
        let index = self.members.iter().position(|member| member.name == "sig").ok_or(ObjectError::Unsigned)?;
        let sig = &self.members[index];
        let signature = sig.value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let signature = signature.filter(|value| !value.contains('\\')).ok_or(ObjectError::SignatureNotText)?;
        let (from, to) = match (index.checked_sub(1), self.members.get(index + 1)) {
            (Some(before), _) => (self.members[before].end, sig.end),
            (None, Some(after)) => (sig.start, after.start),
            (None, None) => (sig.start, sig.end),
        };
        let mut signed = Vec::with_capacity(self.text.len() - (to - from));
        signed.extend_from_slice(&self.text.as_bytes()[..from]);
        signed.extend_from_slice(&self.text.as_bytes()[to..]);
        Ok((signed, signature))
    }
}

/// Cuts the `sig` member out of a JSON object, wherever it stands: the bytes that were signed, and the signature's text.
///
/// # Errors
/// As [`Object::parse`] and [`Object::cut_signature`].
pub fn cut_signature(json: &[u8]) -> Result<(Vec<u8>, &str), ObjectError> {
    Object::parse(json)?.cut_signature()
}

/// Reads a signature's text: strict base64 of 64 bytes.
#[must_use]
pub fn parse_signature(text: &str) -> Option<[u8; 64]> {
    // 88 characters are 64 to 66 bytes; the padding must make it 64.
    let mut bytes = [0; 66];
    let len = (text.len() == 88).then(|| STANDARD.decode_slice(text, &mut bytes).ok())??;
    bytes[..len].try_into().ok()
}

/// A signature's text: base64.
#[must_use]
pub fn format_signature(signature: [u8; 64]) -> String {
    STANDARD.encode(signature)
}

/// Finds where names and values end. It does not recurse, and it leaves the grammar of a value to `serde_json`.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn member(&mut self) -> Result<Member<'a>, ObjectError> {
        self.skip_space();
        let start = self.at;
        self.skip_string()?;
        let quoted = &self.text[start..self.at];
        let name = if quoted.contains('\\') {
            Cow::Owned(serde_json::from_str(quoted).map_err(|_| ObjectError::Syntax)?)
        } else {
            Cow::Borrowed(&quoted[1..quoted.len() - 1])
        };
        self.skip_space();
        if !self.take(b':') {
            return Err(ObjectError::Syntax);
        }
        self.skip_space();
        let value = self.value()?;
        Ok(Member { name, value, start, end: self.at })
    }

    fn value(&mut self) -> Result<&'a str, ObjectError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.skip_string()?,
            Some(b'{' | b'[') => self.skip_nested()?,
            _ => {
                while matches!(self.peek(), Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')) {
                    self.at += 1;
                }
            }
        }
        let value = &self.text[start..self.at];
        serde_json::from_str::<IgnoredAny>(value).map_err(|_| ObjectError::Syntax)?;
        Ok(value)
    }

    /// Goes to the bracket that closes the one here.
    fn skip_nested(&mut self) -> Result<(), ObjectError> {
        let mut depth = 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            match depth {
                1 => return Ok(()),
                2..=MAX_DEPTH => {}
                _ => return Err(ObjectError::TooDeep),
            }
        }
        Err(ObjectError::Syntax)
    }

    fn skip_string(&mut self) -> Result<(), ObjectError> {
        if !self.take(b'"') {
            return Err(ObjectError::Syntax);
        }
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.at += 1,
                0..0x20 => return Err(ObjectError::Syntax),
                _ => {}
            }
        }
        Err(ObjectError::Syntax)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Writes a JSON object as JavaScript's `JSON.stringify` does, member by member, and signs it.
#[derive(Debug)]
pub struct ObjectWriter {
    text: String,
}

impl ObjectWriter {
    /// An object without members; `capacity` is the length in bytes that it is going to have, roughly.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity);
        text.push('{');
        Self { text }
    }

    /// Adds a string.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.name(name).string(value)
    }

    /// Adds a string made from a value, such as a key.
    #[must_use]
    pub fn display(self, name: &str, value: impl fmt::Display) -> Self {
        self.text(name, &value.to_string())
    }

    /// Adds a string made from a value, if there is one.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.display(name, value),
            None => self,
        }
    }

    /// Adds a whole number; up to 2^53 it is written as JavaScript would.
    #[must_use]
    pub fn number(self, name: &str, value: u64) -> Self {
        self.raw(name, &value.to_string())
    }

    /// Adds a value that is JSON text already.
    #[must_use]
    pub fn raw(mut self, name: &str, json: &str) -> Self {
        self = self.name(name);
        self.text.push_str(json);
        self
    }

    /// Ends the object and adds `sig`, made by `sign` from the text without it.
    #[must_use]
    pub fn sign(mut self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
        self.text.push('}');
        let signature = sign(self.text.as_bytes());
        self.text.pop();
        self.with_signature(&format_signature(signature))
    }

    /// Ends the object and adds a `sig` that was made elsewhere.
    #[must_use]
    pub fn with_signature(self, signature: &str) -> String {
        let mut text = self.text("sig", signature).text;
        text.push('}');
        text
    }

    fn name(mut self, name: &str) -> Self {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self = self.string(name);
        self.text.push(':');
        self
    }

    fn string(mut self, value: &str) -> Self {
        self.text.push('"');
        let mut plain = 0;
        for (at, byte) in value.bytes().enumerate().filter(|(_, byte)| matches!(byte, 0..0x20 | b'"' | b'\\')) {
            self.text.push_str(&value[plain..at]);
            plain = at + 1;
            self.text.push('\\');
            match byte {
                b'"' | b'\\' => self.text.push(char::from(byte)),
                0x08 => self.text.push('b'),
                b'\t' => self.text.push('t'),
                b'\n' => self.text.push('n'),
                0x0c => self.text.push('f'),
                b'\r' => self.text.push('r'),
                _ => {
                    self.text.push_str(if byte < 0x10 { "u000" } else { "u001" });
                    self.text.push(char::from_digit(u32::from(byte % 16), 16).unwrap_or('0'));
                }
            }
        }
        self.text.push_str(&value[plain..]);
        self.text.push('"');
        self
    }
}

#[cfg(test)]
mod tests;
