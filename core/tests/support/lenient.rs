//! Base64 as Node's `Buffer.from` reads it, and keys as the original takes them: what the rules are measured against.

#![allow(dead_code, reason = "every test file uses a part of this")]

use serde_json::Value;

/// Both alphabets, no padding needed; other characters are skipped, and everything from the first `=` on is left out.
pub(crate) fn base64(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    // Node looks at the low byte of each UTF-16 unit.
    for unit in text.encode_utf16().map(|unit| unit.to_le_bytes()[0]).take_while(|unit| *unit != b'=') {
        let Some(digit) = digit(unit) else { continue };
        (bits, count) = (bits << 6 | digit, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("a byte"));
        }
    }
    bytes
}

fn digit(unit: u8) -> Option<u32> {
    let digit = match unit {
        b'A'..=b'Z' => unit - b'A',
        b'a'..=b'z' => unit - b'a' + 26,
        b'0'..=b'9' => unit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(digit.into())
}

/// Whether a text is the standard alphabet with padding, and no other spelling of its bytes.
pub(crate) fn is_strict_base64(text: &str) -> bool {
    let padding = text.len() - text.trim_end_matches('=').len();
    let body = &text[..text.len() - padding];
    text.len().is_multiple_of(4)
        && padding < 3
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && no_stray_bits(body)
}

/// Whether a text is the URL alphabet without padding, and no other spelling of its bytes.
pub(crate) fn is_strict_base64url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) && no_stray_bits(text)
}

/// The last character of an incomplete group has bits that are in no byte: they must be zero.
fn no_stray_bits(body: &str) -> bool {
    let last = body.bytes().last().and_then(digit).unwrap_or(0);
    match body.len() % 4 {
        0 => true,
        2 => last & 0b1111 == 0,
        3 => last & 0b11 == 0,
        _ => false,
    }
}

/// The 32 raw bytes of a key in strict base64 of its SPKI; `algorithm` is the last byte of the OID.
pub(crate) fn spki(key: &Value, algorithm: u8) -> Option<[u8; 32]> {
    let text = key.as_str().filter(|text| is_strict_base64(text))?;
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, algorithm, 0x03, 0x21, 0x00];
    base64(text).strip_prefix(&prefix)?.try_into().ok()
}

/// Whether 32 bytes are an Ed25519 point that nobody may use as a key.
pub(crate) fn is_weak(point: &[u8; 32]) -> bool {
    // p = 2^255 - 19, little-endian; the top bit is the sign of x.
    let not_below_p = point[0] >= 0xed && point[1..31].iter().all(|byte| *byte == 0xff) && point[31] & 0x7f == 0x7f;
    not_below_p || ed25519_dalek::VerifyingKey::from_bytes(point).is_ok_and(|key| key.is_weak())
}
