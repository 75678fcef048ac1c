//! Messages of the owner that wait until their peers can be reached: the table, its bounds, its document.
//!
//! `outbox.jsonl` has a line for each thing that happened to a message: `queue` with all of it, `tried` before it is
//! sent to a peer that cannot tell a repetition, `refused` when that peer then said no, `done` when it no longer waits.
//! Reading the lines in order leads to the same table. After an append that failed, put `Outbox::compacted` in its
//! place.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::access::SessionName;
use crate::config::ConfigError;
use crate::error::StateError;
use crate::keys::{Nonce, PublicKey};
use crate::message::Once;
use crate::time::WallTime;

#[cfg(test)]
mod tests;

const DOCUMENT: &str = "outbox.jsonl";

/// The longest time that a message can wait.
pub const MAX_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many messages may wait, and how they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxConfig {
    /// The most messages waiting.
    pub max_messages: usize,
    /// The most messages waiting for one peer.
    pub max_per_peer: usize,
    /// The most text waiting, in bytes; it is kept in memory, too.
    pub max_bytes: usize,
    /// From a failed attempt to reach a peer to the next; doubled each time, and spread by up to a quarter.
    pub first_retry: Duration,
    /// The longest such delay: about how late a message is if its peer was away for long.
    pub last_retry: Duration,
    /// How long one attempt may take when nobody waits for it.
    pub attempt: Duration,
    /// The most peers that are tried at once without anybody waiting.
    pub parallel: usize,
    /// Whether messages are tried when nobody waits for them: not by a node that runs for one command.
    pub background: bool,
}

impl OutboxConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("outbox.max_messages", self.max_messages),
            ("outbox.max_per_peer", self.max_per_peer),
            ("outbox.max_bytes", self.max_bytes),
            ("outbox.parallel", self.parallel),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((field, _)) => Err(ConfigError { field, accepted: "at least 1" }),
            None if self.first_retry.is_zero() => {
                Err(ConfigError { field: "outbox.first_retry", accepted: "more than nothing" })
            }
            None => Ok(()),
        }
    }
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            max_messages: 1000,
            max_per_peer: 100,
            max_bytes: 16 << 20,
            first_retry: Duration::from_secs(30),
            last_retry: Duration::from_secs(900),
            attempt: Duration::from_secs(30),
            parallel: 4,
            background: true,
        }
    }
}

/// A message that waits.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Queued {
    /// What tells it from every other; the peer gets it as well.
    pub id: Nonce,
    /// For whom: the key that the peer had when it was queued.
    pub peer: PublicKey,
    /// For which of the peer's sessions.
    pub session: SessionName,
    /// The text.
    pub text: String,
    /// Since when it waits.
    pub queued: WallTime,
    /// When it is given up.
    pub expires: WallTime,
}

impl fmt::Debug for Queued {
    /// Prints the text's length instead of the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queued({}, for {}, {} bytes)", self.id, self.peer.short_id(), self.text.len())
    }
}

/// How far a message has come towards a peer that cannot tell a repetition. Towards our own nodes this plays no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// Not sent, or refused.
    No,
    /// The mark is being stored.
    Marking,
    /// The mark is stored: it may be sent once.
    Marked,
    /// Sent, and nobody knows what became of it.
    Unknown,
}

/// A message and its state.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) message: Queued,
    pub(crate) tried: Tried,
    /// Whether it is on disk: before that it is not sent.
    pub(crate) stored: bool,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line<M> {
    Queue(M),
    Tried(Nonce),
    Refused(Nonce),
    Done(Nonce),
}

impl<M: serde::Serialize> Line<M> {
    /// Writing to memory cannot fail, and none of the types refuses to be written.
    fn write(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// All messages that wait, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    lines: usize,
    torn: bool,
}

impl Outbox {
    /// Reads the document. A last line that was cut off was never reported as stored, and is passed over.
    pub(crate) fn load(document: &[u8]) -> Result<Self, StateError> {
        let mut outbox = Self::default();
        for line in document.split_inclusive(|byte| *byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else {
                outbox.torn = true;
                break;
            };
            outbox.lines += 1;
            let line: Line<Queued> = serde_json::from_slice(text).map_err(|error| StateError::Malformed {
                document: DOCUMENT,
                line: outbox.lines,
                column: error.column(),
            })?;
            match line {
                Line::Queue(message) if outbox.get(&message.id).is_none() => {
                    outbox.entries.push_back(Entry { message, tried: Tried::No, stored: true });
                }
                Line::Queue(_) => {}
                Line::Tried(id) => outbox.mark(&id, Tried::Unknown),
                Line::Refused(id) => outbox.mark(&id, Tried::No),
                Line::Done(id) => outbox.entries.retain(|entry| entry.message.id != id),
            }
        }
        Ok(outbox)
    }

    /// Whether there is room for one more text of this length; if not, the bound that is reached. `same_peer` says which
    /// messages wait for the same peer.
    pub(crate) fn room(
        &self,
        len: usize,
        same_peer: impl Fn(&PublicKey) -> bool,
        config: &OutboxConfig,
    ) -> Result<(), &'static str> {
        let bytes: usize = self.iter().map(|entry| entry.message.text.len()).sum();
        if self.entries.len() >= config.max_messages {
            Err("outbox.max_messages")
        } else if bytes.saturating_add(len) > config.max_bytes {
            Err("outbox.max_bytes")
        } else if self.iter().filter(|entry| same_peer(&entry.message.peer)).count() >= config.max_per_peer {
            Err("outbox.max_per_peer")
        } else {
            Ok(())
        }
    }

    /// Adds a message that is not stored yet, and gives the line to store.
    pub(crate) fn push(&mut self, message: Queued) -> Vec<u8> {
        self.lines += 1;
        let line = Line::Queue(&message).write();
        self.entries.push_back(Entry { message, tried: Tried::No, stored: false });
        line
    }

    /// Puts the newest message before all others.
    #[cfg(wopr_planted)]
    pub(crate) fn jump(&mut self) {
        self.entries.rotate_right(1);
    }

    /// The message is on disk; whether it still waits.
    pub(crate) fn stored(&mut self, id: &Nonce) -> bool {
        self.get_mut(id).map(|entry| entry.stored = true).is_some()
    }

    /// The line that says that a message is about to be sent to a peer that cannot tell a repetition.
    pub(crate) fn mark_tried(&mut self, id: &Nonce) -> Vec<u8> {
        self.lines += 1;
        self.mark(id, Tried::Marking);
        Line::<Queued>::Tried(*id).write()
    }

    /// The line that says that such a peer refused it.
    pub(crate) fn mark_refused(&mut self, id: &Nonce) -> Vec<u8> {
        self.lines += 1;
        self.mark(id, Tried::No);
        Line::<Queued>::Refused(*id).write()
    }

    pub(crate) fn mark(&mut self, id: &Nonce, tried: Tried) {
        if let Some(entry) = self.get_mut(id) {
            entry.tried = tried;
        }
    }

    /// Takes a message out, with the line that says so.
    pub(crate) fn remove(&mut self, id: &Nonce) -> Option<(Entry, Vec<u8>)> {
        let place = self.entries.iter().position(|entry| entry.message.id == *id)?;
        self.lines += 1;
        Some((self.entries.remove(place)?, Line::<Queued>::Done(*id).write()))
    }

    pub(crate) fn get(&self, id: &Nonce) -> Option<&Entry> {
        self.iter().find(|entry| entry.message.id == *id)
    }

    /// A message, and what it carries so that it is delivered once.
    pub(crate) fn message(&self, id: &Nonce, now: WallTime) -> Option<(&Queued, Once)> {
        let message = &self.get(id)?.message;
        // A clock that was ahead when the message was queued cannot tell since when it was sent: look far back then.
        let long_ago = WallTime::from_millis(now.as_millis().saturating_sub(MAX_WAIT.as_secs() * 1000));
        let since = if message.queued > now { long_ago } else { message.queued.max(long_ago) };
        Some((message, Once { id: *id, since }))
    }

    fn get_mut(&mut self, id: &Nonce) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.message.id == *id)
    }

    /// All messages, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// A document that says the same as the present one in as few lines as possible.
    pub(crate) fn compacted(&mut self) -> Vec<u8> {
        let mut document = Vec::new();
        self.lines = 0;
        self.torn = false;
        for entry in &self.entries {
            document.extend(Line::Queue(&entry.message).write());
            self.lines += 1;
            if entry.tried != Tried::No {
                document.extend(Line::<Queued>::Tried(entry.message.id).write());
                self.lines += 1;
            }
        }
        document
    }

    /// Whether the document should be replaced by [`Outbox::compacted`] before the next line is appended.
    pub(crate) fn needs_compaction(&self) -> bool {
        self.torn || self.lines > 4 * self.entries.len() + 64
    }
}
