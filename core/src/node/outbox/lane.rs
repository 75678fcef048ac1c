//! When a peer may be sent the next of the messages that wait for it.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use crate::outbox::OutboxConfig;
use crate::time::{Instant, Now};

/// What is known of one peer.
#[derive(Default)]
pub(super) struct Lane {
    /// When it is to be tried next, if nobody wants it earlier.
    pub(super) next: Instant,
    /// How long that was from the last failure; nothing once a message has got through.
    pub(super) delay: Duration,
    /// When it was tried last.
    pub(super) last: Option<Instant>,
    /// When messages were sent within the last hour.
    pub(super) sent: VecDeque<Instant>,
    /// What came in the way last.
    pub(super) failure: Option<String>,
}

impl Lane {
    /// The delay after one more failure: twice the last one, within the configured bounds.
    pub(super) fn longer_delay(&mut self, config: &OutboxConfig) -> Duration {
        self.delay = (self.delay * 2).clamp(config.first_retry, config.last_retry.max(config.first_retry));
        self.delay
    }

    /// Forgets what was sent more than an hour ago; whether anything is left.
    pub(super) fn sent_lately(&mut self, now: Now) -> bool {
        while self.sent.front().is_some_and(|at| now.mono.since(*at) >= Duration::from_secs(3600)) {
            self.sent.pop_front();
        }
        !self.sent.is_empty()
    }

    /// When the next message keeps below four fifths of these limits.
    pub(super) fn room(&mut self, per_minute: usize, per_hour: usize, now: Now) -> Instant {
        self.sent_lately(now);
        let after = |limit: usize, window| {
            let limit = (limit * 4 / 5).max(1);
            let place = self.sent.len().checked_sub(limit)?;
            self.sent.get(place).map(|at| *at + Duration::from_secs(window))
        };
        after(per_minute, 60).max(after(per_hour, 3600)).unwrap_or(now.mono)
    }
}
