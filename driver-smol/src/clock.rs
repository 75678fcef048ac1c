//! The operating system's clocks, as the core wants them.

use std::time::{SystemTime, UNIX_EPOCH};

use wopr_p2p_core::time::{Instant, Now, WallTime};

/// Reads both clocks. The monotonic one counts from the clock's start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// Both clocks, now. A wall clock before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Now { mono: Instant::from_millis(mono), wall: WallTime::from_millis(wall) }
    }
}
