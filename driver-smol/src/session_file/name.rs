//! File names for session names. A session's name is any text, and comes from remote peers; its file's name
//!
//! - holds nothing but `a-z 0-9 - _ % .`, so it stays in its folder and is no hidden file;
//! - is another for every session, also where the file system ignores case or rewrites Unicode;
//! - is at most 219 bytes long and is no device's name;
//! - can be read: letters stay letters, anything else is `%` and two lower-case hex digits a byte.

use sha2::{Digest as _, Sha256};
use wopr_p2p_core::access::SessionName;

const CONVERSATION: &str = ".conversation.jsonl";
const FULL_NAME: &str = ".name";

/// The longest encoded name that is used as it is. File systems allow 255 bytes with the ending.
const MAX_LEN: usize = 200;

/// Length of a SHA-256 in hex.
const HASH_LEN: usize = 64;

/// A file's name without its ending: the session's name, encoded, or if that is too long, its beginning, a dot (which the
/// encoding never leaves) and the SHA-256 of the whole session name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileName(String);

impl FileName {
    pub(super) fn of(session: &SessionName) -> Self {
        let session = session.as_str();
        let mut encoded = encode(session);
        if encoded.len() > MAX_LEN {
            let mut end = MAX_LEN - HASH_LEN - 1;
            // Not in the middle of `%2f`.
            if let Some(escape) = encoded[end - 2..end].find('%') {
                end = end - 2 + escape;
            }
            encoded.truncate(end);
            encoded.push('.');
            for byte in Sha256::digest(session) {
                push_hex(&mut encoded, byte);
            }
        }
        Self(encoded)
    }

    /// From the name of a file in the `sessions` folder, if it can be that of a session.
    pub(super) fn from_conversation(file_name: &str) -> Option<Self> {
        file_name.strip_suffix(CONVERSATION).map(|stem| Self(stem.to_owned()))
    }

    /// The name of the session's file.
    pub(super) fn conversation(&self) -> String {
        format!("{}{CONVERSATION}", self.0)
    }

    /// The name of the file that holds the session's full name, where [`Self::decode`] cannot tell it.
    pub(super) fn full_name(&self) -> String {
        format!("{}{FULL_NAME}", self.0)
    }

    /// The session's name, unless it was too long or nothing of ours.
    pub(super) fn decode(&self) -> Option<String> {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = match (first, tail) {
                (b'%', [high, low, tail @ ..]) => {
                    bytes.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
                    tail
                }
                (b'%' | b'.', _) => return None,
                (byte, tail) => {
                    bytes.push(*byte);
                    tail
                }
            };
        }
        String::from_utf8(bytes).ok()
    }
}

fn encode(session: &str) -> String {
    let mut encoded = String::with_capacity(session.len());
    let is_device = is_device(session);
    for (at, byte) in session.bytes().enumerate() {
        match byte {
            // A leading dash reads as an option in a shell.
            b'-' if at == 0 => push_escape(&mut encoded, byte),
            _ if at == 0 && is_device => push_escape(&mut encoded, byte),
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(char::from(byte)),
            _ => push_escape(&mut encoded, byte),
        }
    }
    encoded
}

/// Names that Windows takes for devices whatever their ending: a home may lie on a disk of its. In upper case they are
/// escaped anyway.
fn is_device(name: &str) -> bool {
    matches!(name, "con" | "prn" | "aux" | "nul")
        || matches!(name.as_bytes(), [b'c', b'o', b'm', b'0'..=b'9'] | [b'l', b'p', b't', b'0'..=b'9'])
}

fn push_escape(text: &mut String, byte: u8) {
    text.push('%');
    push_hex(text, byte);
}

fn push_hex(text: &mut String, byte: u8) {
    text.push_str(&format!("{byte:02x}"));
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
