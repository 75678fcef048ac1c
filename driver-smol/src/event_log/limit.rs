//! How often the same thing is written: what others can make happen at will must not push out everything else.
//!
//! The same thing is the same name and reason, of the same known peer; all strangers together are one.

use std::collections::BTreeMap;
use std::time::Instant;

use wopr_p2p_core::Event;
use wopr_p2p_core::keys::PublicKey;

use super::WINDOW;
use super::line::Line;

/// How often the same thing is written within [`WINDOW`].
const MAX: u32 = 20;

/// What counts as the same: name, reason, known peer.
type Key = (&'static str, &'static str, Option<PublicKey>);

/// What happened lately, and how often.
#[derive(Default)]
pub(super) struct Limiter {
    windows: BTreeMap<Key, Window>,
}

struct Window {
    end: Instant,
    written: u32,
    /// The first line that was left out, and how many there were.
    left_out: Option<(Line, u64)>,
}

impl Limiter {
    /// Whether to write this now; it is counted if not.
    pub(super) fn allows(&mut self, event: &Event, line: &Line, known: Option<PublicKey>, now: Instant) -> bool {
        let Some(reason) = limited(event) else {
            return true;
        };
        let key = (event.name(), reason, known);
        let window =
            self.windows.entry(key).or_insert_with(|| Window { end: now + WINDOW, written: 0, left_out: None });
        if window.written < MAX {
            window.written += 1;
            return true;
        }
        match &mut window.left_out {
            Some((_, count)) => *count += 1,
            None => window.left_out = Some((line.clone(), 1)),
        }
        false
    }

    /// When the next window ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.windows.values().map(|window| window.end).min()
    }

    /// Closes the windows that are over, or all, and gives a line for each that left something out.
    pub(super) fn take_counts(&mut self, now: Instant, all: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        self.windows.retain(|_, window| {
            let over = all || window.end <= now;
            if over && let Some((line, count)) = window.left_out.take() {
                lines.push(line.repeated(count));
            }
            !over
        });
        lines
    }
}

/// The reason, for what others can make happen; `None` for what is bounded by itself or the owner's own doing.
const fn limited(event: &Event) -> Option<&'static str> {
    match event {
        Event::PeerRejected { reason, .. } | Event::MessageRejected { reason, .. } => Some(reason.as_str()),
        Event::GrantCreated { .. }
        | Event::GrantRevoked { .. }
        | Event::KeyRotated { .. }
        | Event::OwnKeyRotated { .. }
        | Event::RotationTold { .. }
        | Event::RotationMissed { .. }
        | Event::MessageDelivered { .. }
        | Event::QuestionAnswered { .. }
        | Event::MessageQueued { .. }
        | Event::QueuedDelivered { .. }
        | Event::QueuedFailed { .. } => None,
        _ => Some(""),
    }
}
