//! The receiving half of a stream: puts packets in order and says what arrived.

use std::collections::BTreeMap;

use super::packet::{MAX_RANGES, extend};

/// Bytes that the other side may send ahead of what is used.
pub(crate) const RECEIVE_WINDOW: usize = 4 * 1024 * 1024;
/// More packets than these for one acknowledgement are many.
const MANY: u32 = 3;
/// Packets that may wait for one before them.
const MAX_EARLY: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// The number of the next packet in order.
    expected: u64,
    /// Packets that came before their turn, and whether they are the last one.
    early: BTreeMap<u64, (Vec<u8>, bool)>,
    early_bytes: usize,
    /// Bytes that were given out and are not used yet.
    unused: usize,
    ended: bool,
    ack_due: bool,
    /// Times that the gaps are to be told.
    sacks_due: u32,
    /// Packets since an acknowledgement was sent.
    unanswered: u32,
}

impl Receiver {
    pub(super) fn expected(&self) -> u32 {
        self.expected as u32
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Bytes that the other side may still send.
    pub(super) fn window(&self) -> u32 {
        RECEIVE_WINDOW.saturating_sub(self.unused + self.early_bytes) as u32
    }

    pub(super) fn set_unused(&mut self, bytes: usize) {
        let before = self.window();
        self.unused = bytes;
        // Who stopped sending has to hear that there is room again.
        let half = RECEIVE_WINDOW as u32 / 2;
        self.ack_due |= before < half && self.window() >= half;
    }

    /// Takes a packet; what is next in order goes to `bytes`.
    pub(super) fn arrived(&mut self, seq: u32, payload: &[u8], end: bool, bytes: &mut Vec<u8>) {
        let Some(seq) = extend(self.expected, seq) else { return };
        self.ack_due = true;
        self.unanswered += 1;
        if seq < self.expected || self.ended {
            return;
        }
        if seq > self.expected {
            self.keep(seq, payload, end);
            // Acknowledgements get lost as well, and where there are gaps they are likely to. One for many is worth two.
            self.sacks_due = if self.unanswered > MANY { 2 } else { 1 };
            return;
        }
        // A sender that keeps to the window never gets here; a packet may be under way when the window closes.
        if self.unused > RECEIVE_WINDOW {
            return;
        }
        self.next(payload, end, bytes);
        while let Some((payload, end)) = self.early.remove(&self.expected) {
            self.early_bytes -= payload.len();
            self.next(&payload, end, bytes);
        }
    }

    fn next(&mut self, payload: &[u8], end: bool, bytes: &mut Vec<u8>) {
        self.expected += 1;
        self.unused += payload.len();
        bytes.extend_from_slice(payload);
        if end {
            self.ended = true;
            self.early.clear();
            self.early_bytes = 0;
        }
    }

    fn keep(&mut self, seq: u64, payload: &[u8], end: bool) {
        let room = self.early.len() < MAX_EARLY && self.early_bytes + payload.len() <= RECEIVE_WINDOW;
        if room && !self.early.contains_key(&seq) {
            self.early_bytes += payload.len();
            self.early.insert(seq, (payload.to_vec(), end));
        }
    }

    /// An acknowledgement has to be sent.
    pub(super) fn acknowledge(&mut self) {
        self.ack_due = true;
    }

    /// An acknowledgement was sent with something else.
    pub(super) fn acknowledged(&mut self) {
        self.ack_due = false;
        self.unanswered = 0;
    }

    pub(super) fn take_ack(&mut self) -> bool {
        self.unanswered = 0;
        std::mem::take(&mut self.ack_due)
    }

    /// The ranges that arrived before their turn, if they are to be told.
    pub(super) fn take_sack(&mut self) -> Option<Vec<(u32, u32)>> {
        if self.sacks_due == 0 || self.early.is_empty() {
            return None;
        }
        self.sacks_due -= 1;
        self.acknowledged();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for seq in self.early.keys().map(|seq| *seq as u32) {
            let full = ranges.len() == MAX_RANGES;
            match ranges.last_mut() {
                Some((_, end)) if *end == seq => *end = seq.wrapping_add(1),
                _ if full => break,
                _ => ranges.push((seq, seq.wrapping_add(1))),
            }
        }
        Some(ranges)
    }
}
