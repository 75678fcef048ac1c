//! The sending half of a stream: what is under way, what was lost, and how much may be under way at once.
//!
//! A packet counts as lost when one that was sent clearly later has arrived (as in RACK). When nothing comes back, the
//! first and the last packet under way are sent once more, after pauses that double (as in QUIC); that costs the window
//! nothing until it has been in vain a few times. The window grows as in TCP: doubled each round trip in the beginning,
//! by a packet later, and shrinks by a third when something is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::Broken;
use super::packet::{DATA, END, PAYLOAD, extend, ranges};

/// Packets that may be under way in the beginning, at least, and at most.
const FIRST_WINDOW: f64 = 16.0;
const LEAST_WINDOW: f64 = 8.0;
const LARGEST_WINDOW: f64 = 4096.0;
/// Packets that may have arrived after a missing one, at least: an acknowledgement has room for a few gaps only.
const AHEAD: usize = 96;
/// What is left of the window after a loss.
const SHRINK: f64 = 0.7;
/// Packets that arrived after one that did not, until that one counts as lost.
const REORDERED: u64 = 3;
/// Pauses: before the first measurement, what a measured one has to spare, and the longest.
const FIRST_TIMEOUT: Duration = Duration::from_millis(300);
const SPARE: Duration = Duration::from_millis(10);
const LARGEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses in vain, and silence, that mean that the line is down or full; a busy peer may be silent for a while.
const IN_VAIN: u32 = 3;
const LINE_DOWN: Duration = Duration::from_millis(200);
/// The shortest span between sending two packets that tells that the first one was overtaken.
const REORDERING: Duration = Duration::from_millis(1);
/// The stream is given up when nothing was acknowledged for so long.
const SILENCE: Duration = Duration::from_secs(45);

#[derive(Debug)]
struct Sent {
    payload: Vec<u8>,
    flags: u8,
    at: Instant,
    /// It was sent more than once, so its acknowledgement tells nothing of the round trip.
    again: bool,
    sacked: bool,
}

#[derive(Debug)]
pub(super) struct Sender {
    unsent: VecDeque<Vec<u8>>,
    unsent_bytes: usize,
    /// Sent and not acknowledged.
    flight: BTreeMap<u64, Sent>,
    flight_bytes: usize,
    sacked: usize,
    /// Under way: neither known to have arrived nor known to be lost. Acknowledgements are frequent and the flight is
    /// large, so they look only at these and the lost ones.
    open: BTreeSet<u64>,
    /// To be sent again.
    lost: BTreeSet<u64>,
    /// The last one that arrived before its turn.
    highest: u64,
    next: u64,
    acked: u64,
    ending: bool,
    end_sent: bool,
    /// Bytes that the other side can take.
    remote_window: usize,
    window: f64,
    threshold: f64,
    /// A loss before this number is part of the last one.
    recovery: u64,
    round_trip: Option<(Duration, Duration)>,
    /// When the latest packet was sent that has arrived.
    newest: Option<Instant>,
    /// The same, if it tells the round trip.
    sample: Option<Instant>,
    /// Pauses since something was acknowledged.
    timeouts: u32,
    deadline: Option<Instant>,
    /// When the last pause ended, until something is acknowledged.
    pause: Option<Instant>,
    /// Packets that may be sent again although the window is full.
    probes: u32,
    /// The window was cut down since something was acknowledged.
    collapsed: bool,
    progress: Instant,
}

impl Sender {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            flight: BTreeMap::new(),
            flight_bytes: 0,
            sacked: 0,
            open: BTreeSet::new(),
            highest: 0,
            lost: BTreeSet::new(),
            next: 0,
            acked: 0,
            ending: false,
            end_sent: false,
            remote_window: super::RECEIVE_WINDOW,
            window: FIRST_WINDOW,
            threshold: LARGEST_WINDOW,
            recovery: 0,
            round_trip: None,
            newest: None,
            sample: None,
            timeouts: 0,
            deadline: None,
            pause: None,
            probes: 0,
            collapsed: false,
            progress: now,
        }
    }

    pub(super) fn next_seq(&self) -> u32 {
        self.next as u32
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.unsent_bytes + self.flight_bytes
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.end_sent && self.flight.is_empty()
    }

    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) {
        self.begin(now);
        self.unsent_bytes += bytes.len();
        self.unsent.extend(bytes.chunks(PAYLOAD).map(<[u8]>::to_vec));
    }

    pub(super) fn end(&mut self, now: Instant) {
        self.begin(now);
        self.ending = true;
    }

    /// Silence counts from when there was something to answer.
    fn begin(&mut self, now: Instant) {
        if self.flight.is_empty() && self.unsent.is_empty() {
            self.progress = now;
        }
    }

    /// The next packet that may be sent: its number, flags and payload.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u32, u8, &[u8])> {
        let room = (self.open.len() as f64) < self.window;
        let seq = match self.lost.first() {
            Some(seq) if room || self.probes > 0 => *seq,
            None if room && self.sacked < AHEAD.max(self.window as usize * 4) => self.next_new(now)?,
            _ => return None,
        };
        if self.lost.remove(&seq) {
            self.probes = self.probes.saturating_sub(1);
        }
        if self.deadline.is_none() {
            self.deadline = Some(now + self.timeout_span());
        }
        self.open.insert(seq);
        let sent = self.flight.get_mut(&seq)?;
        sent.at = now;
        Some((seq as u32, sent.flags, &sent.payload))
    }

    fn next_new(&mut self, now: Instant) -> Option<u64> {
        // With nothing under way one packet is always allowed: its acknowledgement brings the window's news.
        let allowed =
            |payload: &Vec<u8>| self.flight.is_empty() || self.flight_bytes + payload.len() <= self.remote_window;
        let (payload, flags) = match self.unsent.front() {
            Some(payload) if allowed(payload) => (self.unsent.pop_front()?, DATA),
            None if self.ending && !self.end_sent => (Vec::new(), END),
            _ => return None,
        };
        self.end_sent |= flags == END;
        self.unsent_bytes -= payload.len();
        self.flight_bytes += payload.len();
        let seq = self.next;
        self.next += 1;
        self.flight.insert(seq, Sent { payload, flags, at: now, again: false, sacked: false });
        Some(seq)
    }

    /// Everything before `ack` has arrived, and the ranges of `sack`.
    pub(super) fn acknowledged(&mut self, ack: u32, sack: &[u8], window: u32, now: Instant) {
        let Some(ack) = extend(self.acked, ack).filter(|ack| (self.acked..=self.next).contains(ack)) else { return };
        self.remote_window = window as usize;
        let mut arrived = 0;
        while let Some(entry) = self.flight.first_entry().filter(|entry| *entry.key() < ack) {
            let (seq, sent) = entry.remove_entry();
            self.flight_bytes -= sent.payload.len();
            self.open.remove(&seq);
            self.lost.remove(&seq);
            if sent.sacked {
                self.sacked -= 1;
            } else {
                arrived += 1;
                self.note(sent.at, sent.again);
            }
        }
        self.acked = ack;
        arrived += self.selectively(sack);
        self.measure(now);
        if arrived > 0 {
            self.progress = now;
            self.timeouts = 0;
            self.grow(arrived);
            self.after_pause(now);
            self.probes = 0;
            self.collapsed = false;
            self.find_lost(now);
            self.deadline = (!self.flight.is_empty()).then(|| now + self.timeout_span());
        }
    }

    fn selectively(&mut self, sack: &[u8]) -> usize {
        let mut arrived = 0;
        for (start, end) in ranges(sack) {
            let (Some(start), Some(end)) = (extend(self.acked, start), extend(self.acked, end)) else { continue };
            // Only what is under way is looked at, whatever the range claims.
            let news: Vec<u64> = match start < end {
                true => self.open.range(start..end).chain(self.lost.range(start..end)).copied().collect(),
                false => continue,
            };
            for seq in news {
                self.highest = self.highest.max(seq);
                self.open.remove(&seq);
                self.lost.remove(&seq);
                self.sacked += 1;
                arrived += 1;
                if let Some(sent) = self.flight.get_mut(&seq) {
                    sent.sacked = true;
                    let (at, again) = (sent.at, sent.again);
                    self.note(at, again);
                }
            }
        }
        arrived
    }

    /// Notes a packet that has arrived. Of one that was sent again nobody knows which copy it was. After a pause it was
    /// most likely the first: taken for the other, it would make everything sent in between look lost.
    fn note(&mut self, sent: Instant, again: bool) {
        if (!again || self.pause.is_none()) && self.newest.is_none_or(|newest| newest <= sent) {
            self.newest = Some(sent);
            self.sample = (!again).then_some(sent);
        }
    }

    /// Takes the time of the latest packet that has arrived. Of the others the acknowledgement may have been lost.
    fn measure(&mut self, now: Instant) {
        let Some(sent) = self.sample.take() else { return };
        let sample = now.saturating_duration_since(sent);
        self.round_trip = Some(match self.round_trip {
            None => (sample, sample / 2),
            Some((mean, deviation)) => ((mean * 7 + sample) / 8, (deviation * 3 + mean.abs_diff(sample)) / 4),
        });
    }

    fn grow(&mut self, arrived: usize) {
        let arrived = arrived as f64;
        self.window += if self.window < self.threshold { arrived } else { arrived / self.window };
        self.window = self.window.min(LARGEST_WINDOW);
    }

    fn find_lost(&mut self, now: Instant) {
        let Some(newest) = self.newest else { return };
        let reordering = self.round_trip.map_or(REORDERING, |(mean, _)| mean / 4).max(REORDERING);
        let highest = self.highest;
        let missing = self.open.range(..highest).filter(|seq| {
            let overtaken = |sent: &Sent| {
                let skipped = !sent.again && **seq + REORDERED <= highest;
                skipped || sent.at + reordering < newest
            };
            self.flight.get(seq).is_some_and(overtaken)
        });
        let missing: Vec<u64> = missing.copied().collect();
        let mut first = None;
        for seq in missing {
            if self.lose(seq, now) {
                first = first.or(Some(seq));
            }
        }
        if first.is_some() && highest >= self.recovery {
            self.recovery = self.next;
            self.threshold = (self.window * SHRINK).max(LEAST_WINDOW);
            self.window = self.threshold;
        }
    }

    /// The first answer after a pause: what was sent before the pause and is not in it is lost. It may be a whole burst,
    /// of which no gap ever tells. If it is only late, it costs a few packets sent twice.
    fn after_pause(&mut self, now: Instant) {
        let Some(pause) = self.pause.take() else { return };
        let sent_before = |seq: &&u64| self.flight.get(seq).is_some_and(|sent| sent.at < pause);
        let missing: Vec<u64> = self.open.iter().filter(sent_before).copied().collect();
        if missing.is_empty() {
            return;
        }
        for seq in missing {
            self.lose(seq, now);
        }
        self.cut();
    }

    /// Begins anew with a small window, which grows fast to most of what it was.
    fn cut(&mut self) {
        self.threshold = (self.window * SHRINK).max(LEAST_WINDOW);
        self.window = LEAST_WINDOW;
        self.recovery = self.next;
    }

    /// Marks a packet to be sent again; `false` if it is marked already.
    fn lose(&mut self, seq: u64, now: Instant) -> bool {
        let Some(sent) = self.flight.get_mut(&seq) else { return false };
        sent.again = true;
        sent.at = now;
        self.open.remove(&seq);
        self.lost.insert(seq)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn timeout_span(&self) -> Duration {
        let span = self.round_trip.map_or(FIRST_TIMEOUT, |(mean, deviation)| mean + deviation * 4 + SPARE);
        (span * 2_u32.pow(self.timeouts.min(9))).min(LARGEST_TIMEOUT)
    }

    pub(super) fn timeout(&mut self, now: Instant) -> Result<(), Broken> {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return Ok(());
        }
        let silence = now.saturating_duration_since(self.progress);
        if silence >= SILENCE {
            return Err(Broken::Silent);
        }
        self.timeouts += 1;
        self.pause = Some(now);
        let (first, last) = (self.open.first().copied(), self.open.last().copied());
        for seq in first.into_iter().chain(last) {
            self.lose(seq, now);
        }
        if self.timeouts >= IN_VAIN && silence >= LINE_DOWN && !self.collapsed {
            self.collapsed = true;
            self.cut();
            for seq in std::mem::take(&mut self.open) {
                self.lose(seq, now);
            }
        }
        self.probes = 2;
        self.deadline = (!self.flight.is_empty()).then(|| now + self.timeout_span());
        Ok(())
    }
}
