//! Signed JSON objects: reading the members of a received text, cutting its `sig` out, writing a text and signing it.
//!
//! A signature is checked over the bytes as they came, without the `sig` member. The original parses the text, writes it
//! anew with JavaScript's `JSON.stringify` and checks over that. Both come to the same verdict because [`Object::parse`]
//! takes only a text that `JSON.stringify` writes: no white space, one spelling for each string and number, no member
//! twice. So there is also one reading of it, whoever reads.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr2;

/// How deep objects and arrays may nest; the object itself is the first level.
pub const MAX_DEPTH: usize = 8;

/// How many members one object may have, those that nobody knows included.
pub const MAX_MEMBERS: usize = 64;

/// Why a text is not a signed JSON object. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectError {
    /// Not UTF-8.
    NotUtf8,
    /// Another JSON value than an object, or nothing at all.
    NotObject,
    /// Not JSON, or JSON that `JSON.stringify` would write otherwise.
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
            Self::Syntax => "not JSON as JSON.stringify writes it",
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
    /// Without its quotes; escapes stay, as there is one way to write them.
    name: &'a str,
    /// The value's JSON text.
    value: &'a str,
    /// Where the name starts in the object's text, and where the value ends.
    start: usize,
    end: usize,
}

impl<'a> Object<'a> {
    /// Finds the members of a JSON object; white space around it is left out. Takes time linear in the length.
    ///
    /// Members whose names start with a digit are refused: `JSON.stringify` moves them to the front.
    ///
    /// # Errors
    /// Whatever is not exactly one JSON object within the bounds; [`ObjectError::Unsigned`] and
    /// [`ObjectError::SignatureNotText`] come only from [`Object::cut_signature`].
    pub fn parse(json: &'a [u8]) -> Result<Self, ObjectError> {
        let text = core::str::from_utf8(json).map_err(|_| ObjectError::NotUtf8)?.trim_matches([' ', '\t', '\n', '\r']);
        if !text.starts_with('{') {
            return Err(ObjectError::NotObject);
        }
        let mut scanner = Scanner { text, at: 0 };
        let members = scanner.object(1)?;
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

/// Walks through a JSON text and checks every byte of it. It recurses [`MAX_DEPTH`] times at most.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn object(&mut self, depth: usize) -> Result<Vec<Member<'a>>, ObjectError> {
        if depth > MAX_DEPTH {
            return Err(ObjectError::TooDeep);
        }
        self.expect(b'{')?;
        // No message has more members than this; objects inside one, which a stranger can send by the thousand, get no
        // room in advance.
        let mut members: Vec<Member<'a>> = Vec::with_capacity(if depth == 1 { 16 } else { 0 });
        let mut more = !self.take(b'}');
        while more {
            let member = self.member(depth)?;
            if members.iter().any(|known| known.name == member.name) {
                return Err(ObjectError::DuplicateMember);
            }
            if members.len() == MAX_MEMBERS {
                return Err(ObjectError::TooManyMembers);
            }
            members.push(member);
            more = self.take(b',');
            if !more {
                self.expect(b'}')?;
            }
        }
        Ok(members)
    }

    fn array(&mut self, depth: usize) -> Result<(), ObjectError> {
        if depth > MAX_DEPTH {
            return Err(ObjectError::TooDeep);
        }
        self.expect(b'[')?;
        let mut more = !self.take(b']');
        while more {
            self.value(depth)?;
            more = self.take(b',');
            if !more {
                self.expect(b']')?;
            }
        }
        Ok(())
    }

    fn member(&mut self, depth: usize) -> Result<Member<'a>, ObjectError> {
        let start = self.at;
        self.string()?;
        let name = &self.text[start + 1..self.at - 1];
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(ObjectError::Syntax);
        }
        self.expect(b':')?;
        let value = self.value(depth)?;
        Ok(Member { name, value, start, end: self.at })
    }

    fn value(&mut self, depth: usize) -> Result<&'a str, ObjectError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{') => {
                self.object(depth + 1)?;
            }
            Some(b'[') => self.array(depth + 1)?,
            _ => self.word()?,
        }
        Ok(&self.text[start..self.at])
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), ObjectError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            "true" | "false" | "null" => Ok(()),
            number if is_written_by_javascript(number) => Ok(()),
            _ => Err(ObjectError::Syntax),
        }
    }

    fn string(&mut self) -> Result<(), ObjectError> {
        self.expect(b'"')?;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = memchr2(b'"', b'\\', rest).ok_or(ObjectError::Syntax)?;
            // Without a way out of the loop it takes many bytes at once: payloads are long.
            if rest[..plain].iter().fold(false, |found, byte| found | (*byte < 0x20)) {
                return Err(ObjectError::Syntax);
            }
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return Ok(());
            }
            self.escape()?;
        }
    }

    /// What follows a backslash: `JSON.stringify` escapes quotes, backslashes, control characters and lone surrogates.
    fn escape(&mut self) -> Result<(), ObjectError> {
        let rest = &self.text.as_bytes()[self.at..];
        let (len, fine) = match rest {
            [b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => (1, true),
            [b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => (5, true),
            [b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => (5, true),
            [b'u', b'd', half @ (b'8'..=b'9' | b'a'..=b'f'), x, y, after @ ..] => {
                let hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
                let high = *half <= b'b';
                let pair = high && matches!(after, [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..]);
                (5, hex(x) && hex(y) && !pair)
            }
            _ => (0, false),
        };
        self.at += len;
        if fine { Ok(()) } else { Err(ObjectError::Syntax) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), ObjectError> {
        if self.take(byte) { Ok(()) } else { Err(ObjectError::Syntax) }
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

/// Whether a number is spelled as JavaScript does (ECMAScript, `Number::toString`).
fn is_written_by_javascript(text: &str) -> bool {
    // Most are plain whole numbers.
    if text.len() <= 15 && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return text == "0" || text.starts_with(|first| first != '0');
    }
    // The longest are like -0.0000012345678901234567.
    let number = if text.len() <= 25 { text.parse().unwrap_or(f64::NAN) } else { f64::NAN };
    if !number.is_finite() {
        return false;
    }
    let shortest = format!("{:e}", number.abs());
    let Some((mantissa, exponent)) = shortest.split_once('e') else { return false };
    let digits = mantissa.replace('.', "");
    let Ok(point) = exponent.parse::<i32>().map(|exponent| exponent + 1) else { return false };
    let zeros = |count: usize| "0".repeat(count);
    let size = point.unsigned_abs() as usize;
    let written = match point {
        1..=21 if digits.len() <= size => [digits.as_str(), &zeros(size - digits.len())].concat(),
        1..=21 => [&digits[..size], ".", &digits[size..]].concat(),
        -5..=0 => ["0.", &zeros(size), &digits].concat(),
        _ => format!("{mantissa}e{:+}", point - 1),
    };
    text == if number < 0.0 { format!("-{written}") } else { written }
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
        self.name(name).quoted(|text| write!(text, "{value}"))
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
    pub fn number(mut self, name: &str, value: u64) -> Self {
        self = self.name(name);
        // Writing to memory cannot fail.
        write!(self.text, "{value}").unwrap_or_default();
        self
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
        self.text("sig", signature).finish()
    }

    /// Ends the object without a signature.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }

    fn name(mut self, name: &str) -> Self {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self = self.string(name);
        self.text.push(':');
        self
    }

    fn string(self, value: &str) -> Self {
        self.quoted(|text| text.write_str(value))
    }

    fn quoted(mut self, write: impl FnOnce(&mut Escaped<'_>) -> fmt::Result) -> Self {
        self.text.push('"');
        // Writing to memory cannot fail.
        write(&mut Escaped(&mut self.text)).unwrap_or_default();
        self.text.push('"');
        self
    }
}

/// The inside of a JSON string: what is written into it is escaped as `JSON.stringify` does.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, value: &str) -> fmt::Result {
        let mut plain = 0;
        let special = |byte: u8| matches!(byte, 0..0x20 | b'"' | b'\\');
        // Payloads are long and need no escapes: without a way out, this loop looks at many bytes at once.
        let any = value.bytes().fold(false, |found, byte| found | special(byte));
        let escaped = if any { value } else { "" };
        for (at, byte) in escaped.bytes().enumerate().filter(|(_, byte)| special(*byte)) {
            self.0.push_str(&value[plain..at]);
            plain = at + 1;
            self.0.push('\\');
            match byte {
                b'"' | b'\\' => self.0.push(char::from(byte)),
                0x08 => self.0.push('b'),
                b'\t' => self.0.push('t'),
                b'\n' => self.0.push('n'),
                0x0c => self.0.push('f'),
                b'\r' => self.0.push('r'),
                _ => {
                    self.0.push_str(if byte < 0x10 { "u000" } else { "u001" });
                    self.0.push(char::from_digit(u32::from(byte % 16), 16).unwrap_or('0'));
                }
            }
        }
        self.0.push_str(&value[plain..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
