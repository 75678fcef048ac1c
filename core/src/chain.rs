//! A chain of questions: who asked whom to answer whom, so that it cannot come back to somebody who waits in it.
//!
//! A question may make its answerer ask a third peer, and so on. Each question carries the chain so far, and nobody asks
//! a peer that is in it, or answers one in which it is itself. Peers stand there as salted hashes: whoever gets a
//! question can look for keys that it knows, and learns no others. A peer that leaves the chain out starts a new one;
//! what it can do then is bounded by its rate limits, like everything else.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::de::Error as _;
use sha2::{Digest as _, Sha256};

use crate::keys::{Nonce, PublicKey};

/// The peers that wait for an answer, the first asker first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    id: Nonce,
    hops: Vec<[u8; 8]>,
}

impl Chain {
    /// The longest chain that can be read or written, in questions.
    pub const MAX_LEN: usize = 16;

    /// A chain in which nobody waits yet.
    #[must_use]
    pub const fn start(id: Nonce) -> Self {
        Self { id, hops: Vec::new() }
    }

    /// The chain in which this peer waits as well; `None` if it is as long as a chain can be.
    #[must_use]
    pub fn with(mut self, peer: &PublicKey) -> Option<Self> {
        if self.hops.len() >= Self::MAX_LEN {
            return None;
        }
        self.hops.push(self.hop(peer));
        Some(self)
    }

    /// Whether the owner of this key waits in it.
    #[must_use]
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.hops.contains(&self.hop(key))
    }

    /// How many questions it is long.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hops.len()
    }

    /// Whether nobody waits in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hops.is_empty()
    }

    fn hop(&self, key: &PublicKey) -> [u8; 8] {
        let hash: [u8; 32] = Sha256::digest(alloc::format!("wopr:chain:{}:{key}", self.id)).into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        [a, b, c, d, e, f, g, h]
    }
}

/// Not a chain as [`Chain`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainError;

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a chain of questions: 32 hex digits, \":\", and at most 16 times 16 hex digits joined by dots")
    }
}

impl core::error::Error for ChainError {}

impl fmt::Display for Chain {
    /// `ID:HOP.HOP`, all in hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.id)?;
        for (place, hop) in self.hops.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{:016x}", u64::from_be_bytes(*hop))?;
        }
        Ok(())
    }
}

impl FromStr for Chain {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        let (id, hops) = text.split_once(':').ok_or(ChainError)?;
        let id = id.parse().map_err(|_| ChainError)?;
        if hops.is_empty() {
            return Ok(Self::start(id));
        }
        let hops: Vec<[u8; 8]> = hops.split('.').take(Self::MAX_LEN + 1).map(hop).collect::<Result<_, _>>()?;
        if hops.len() > Self::MAX_LEN { Err(ChainError) } else { Ok(Self { id, hops }) }
    }
}

/// Lower-case digits only, so that a chain has one spelling.
fn hop(text: &str) -> Result<[u8; 8], ChainError> {
    let digits = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    if text.len() != 16 || !text.chars().all(digits) {
        return Err(ChainError);
    }
    u64::from_str_radix(text, 16).map(u64::to_be_bytes).map_err(|_| ChainError)
}

impl<'de> serde::Deserialize<'de> for Chain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    fn key(number: u8) -> PublicKey {
        PublicKey::from_bytes([number; 32])
    }

    #[test]
    fn a_chain_knows_who_waits_in_it_and_reads_what_it_writes() {
        let empty = Chain::start(Nonce([7; 16]));
        assert_eq!(empty.to_string().parse(), Ok(empty.clone()));
        let chain = empty.with(&key(1)).unwrap().with(&key(2)).unwrap();
        assert!(chain.contains(&key(1)) && chain.contains(&key(2)) && !chain.contains(&key(3)));
        assert_eq!(chain.to_string().parse(), Ok(chain));
    }

    #[test]
    fn the_same_peer_looks_different_in_another_chain() {
        let hops = |id| Chain::start(Nonce([id; 16])).with(&key(1)).unwrap().hops;
        assert_ne!(hops(1), hops(2));
    }

    #[test]
    fn a_chain_ends_at_its_longest() {
        let mut chain = Chain::start(Nonce([7; 16]));
        for number in 0..16 {
            chain = chain.with(&key(number)).unwrap();
        }
        let longer = chain.to_string() + ".0000000000000000";
        assert_eq!(longer.parse::<Chain>(), Err(ChainError));
        assert_eq!(chain.with(&key(16)), None);
    }

    #[test]
    fn other_spellings_are_refused() {
        let id = "07070707070707070707070707070707";
        for text in ["", id, ":", "x:", "07:0000000000000000"] {
            assert_eq!(text.parse::<Chain>(), Err(ChainError), "{text}");
        }
        for hops in ["0", ".", "0000000000000000.", "000000000000000A", "+000000000000000", "0000000000000000 "] {
            assert_eq!(alloc::format!("{id}:{hops}").parse::<Chain>(), Err(ChainError), "{hops}");
        }
    }
}
