//! The clocks of one node: a monotonic one that starts anew at each boot and drifts, and a wall clock that is off,
//! drifts and can be set. The world's own time is true time, in microseconds since the simulation began.

use wopr_p2p_core::time::{Instant, Now, WallTime};

/// What the wall shows when a simulation begins, in milliseconds since 1970: the start of 2026.
pub(crate) const START: u64 = 1_767_225_600_000;

/// A span of true time, in microseconds.
pub(crate) type Micros = u64;

/// A second of true time.
pub(crate) const SECOND: Micros = 1_000_000;

/// The clocks of one node.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    booted: Micros,
    /// What the monotonic clock showed at boot, in milliseconds.
    origin: u64,
    /// How much too fast it runs, in millionths.
    drift: i64,
    /// How far ahead the wall clock is, in milliseconds.
    pub(crate) ahead: i64,
}

impl Clock {
    /// Clocks of a machine that boots at `booted`.
    #[must_use]
    pub(crate) const fn new(booted: Micros, origin: u64, drift: i64, ahead: i64) -> Self {
        Self { booted, origin, drift, ahead }
    }

    /// Starts the monotonic clock anew; the wall clock goes on.
    pub(crate) fn reboot(&mut self, booted: Micros, origin: u64) {
        let elapsed = self.elapsed(booted);
        let true_elapsed = i64::try_from((booted - self.booted) / 1000).unwrap_or(i64::MAX);
        self.ahead += elapsed.saturating_sub(true_elapsed);
        (self.booted, self.origin) = (booted, origin);
    }

    /// Both clocks at a moment of true time.
    #[must_use]
    pub(crate) fn read(&self, at: Micros) -> Now {
        let elapsed = self.elapsed(at);
        let mono = self.origin.saturating_add_signed(elapsed);
        let true_boot = i64::try_from(self.booted / 1000).unwrap_or(i64::MAX);
        let wall = START.saturating_add_signed(true_boot.saturating_add(elapsed).saturating_add(self.ahead));
        Now { mono: Instant::from_millis(mono), wall: WallTime::from_millis(wall) }
    }

    /// When the monotonic clock shows `instant`, in true time; the present if it has passed.
    #[must_use]
    pub(crate) fn when(&self, instant: Instant, now: Micros) -> Micros {
        let wanted = u128::from(instant.as_millis().saturating_sub(self.origin));
        let rate = u128::try_from(1_000_000 + self.drift).unwrap_or(1_000_000);
        let mut at = (wanted * 1_000 * 1_000_000).div_ceil(rate);
        at += u128::from(self.booted);
        let mut at = u64::try_from(at).unwrap_or(u64::MAX).max(now);
        while at < u64::MAX && self.read(at).mono < instant {
            at = at.saturating_add(1000);
        }
        at
    }

    /// How much too fast this clock runs, in millionths.
    #[must_use]
    pub(crate) const fn drift(&self) -> i64 {
        self.drift
    }

    /// Milliseconds since boot as this machine counts them.
    fn elapsed(&self, at: Micros) -> i64 {
        let span = i128::from(at.saturating_sub(self.booted));
        i64::try_from(span * i128::from(1_000_000 + self.drift) / 1_000_000 / 1000).unwrap_or(i64::MAX)
    }
}
