//! What happened, step by step: always as a hash over every byte, as text only when somebody wants to read it.

use std::fmt;

use crate::clock::Micros;
use crate::net::Party;

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in microseconds since the beginning.
    pub at: Micros,
    /// Where.
    pub party: Option<Party>,
    /// What kind of thing: a word.
    pub kind: &'static str,
    /// To or from whom, if it is about two.
    pub other: Option<Party>,
    /// Which message: the same number when it is sent and when it arrives.
    pub message: Option<u64>,
    /// What exactly.
    pub detail: String,
    /// How a node looks from now on, as far as that changed.
    pub state: Option<serde_json::Value>,
}

impl Line {
    /// A line about a party.
    #[must_use]
    pub(crate) const fn new(
        at: Micros,
        party: Party,
        kind: &'static str,
        other: Option<Party>,
        detail: String,
    ) -> Self {
        Self { at, party: Some(party), kind, other, message: None, detail, state: None }
    }

    /// The line as a JSON object, in the shape that docs/sim.md describes.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::Map::new();
        json.insert("at".to_owned(), self.at.into());
        json.insert("kind".to_owned(), self.kind.into());
        let name = |party: Option<Party>| party.map(|party| Name(party).to_string());
        for (member, value) in [("party", name(self.party)), ("other", name(self.other))] {
            if let Some(value) = value {
                json.insert(member.to_owned(), value.into());
            }
        }
        if let Some(message) = self.message {
            json.insert("message".to_owned(), message.into());
        }
        if !self.detail.is_empty() {
            json.insert("detail".to_owned(), self.detail.as_str().into());
        }
        if let Some(state) = &self.state {
            json.insert("state".to_owned(), state.clone());
        }
        json.into()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} ", self.at as f64 / 1e6)?;
        match self.party {
            Some(party) => write!(f, "{}", Name(party))?,
            None => write!(f, "-")?,
        }
        if let Some(other) = self.other {
            write!(f, " {}", Name(other))?;
        }
        write!(f, " {} {}", self.kind, self.detail)
    }
}

/// A party as people read it: `n3`, `o1`, `mallory`.
#[derive(Clone, Copy, Debug)]
pub struct Name(pub Party);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Party::Node(index) => write!(f, "n{index}"),
            Party::Original(index) => write!(f, "o{index}"),
            Party::Mallory => f.write_str("mallory"),
        }
    }
}

/// The record of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: [u64; 2],
    lines: Option<Vec<Line>>,
}

impl Trace {
    /// A record that keeps its lines, or only the hash.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self { hash: [0xcbf2_9ce4_8422_2325, 0x8422_2325_cbf2_9ce4], lines: keep.then(Vec::new) }
    }

    /// Whether lines are kept: only then is it worth making their text.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        self.lines.is_some()
    }

    /// Records bytes that moved.
    pub fn bytes(&mut self, at: Micros, party: Party, kind: u8, bytes: &[u8]) {
        let (tag, index) = match party {
            Party::Node(index) => (0, index as u64),
            Party::Original(index) => (1, index as u64),
            Party::Mallory => (2, 0),
        };
        self.mix(at);
        self.mix(u64::from(kind) << 32 | tag << 16 | index);
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    /// Adds a line for people.
    pub fn line(&mut self, line: impl FnOnce() -> Line) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    /// The hash over everything so far, 128 bits. It shows that two runs were the same, not that nobody cheated.
    #[must_use]
    pub const fn hash(&self) -> u128 {
        (self.hash[0] as u128) << 64 | self.hash[1] as u128
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        self.lines.as_deref().unwrap_or_default()
    }

    fn mix(&mut self, word: u64) {
        self.hash[0] = (self.hash[0] ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        self.hash[1] = (self.hash[1].rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
