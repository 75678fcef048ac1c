//! Base64 of payloads: the standard alphabet, padded, no stray bits. Long ones with SIMD where the feature `simd` and
//! the processor have it: at a megabyte, plain base64 takes as long as the encryption.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Below this length setting up the wide engine costs more than it saves.
const WIDE_FROM: usize = 4096;

#[cfg(all(feature = "simd", any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon"))))]
fn wide() -> base64::engine::Simd {
    base64::engine::Simd::standard(base64::engine::general_purpose::PAD)
}

#[cfg(not(all(feature = "simd", any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))))]
const fn wide() -> base64::engine::GeneralPurpose {
    STANDARD
}

pub(super) fn encode(bytes: &[u8]) -> String {
    if bytes.len() < WIDE_FROM { STANDARD.encode(bytes) } else { wide().encode(bytes) }
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() < WIDE_FROM { STANDARD.decode(text).ok() } else { wide().decode(text).ok() }
}
