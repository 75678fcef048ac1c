//! How unkind the world is: the rates of everything that goes wrong by itself, drawn anew for each seed.

use crate::rng::Rng;

/// Rates and sizes of the faults that nobody plans. Rates are in millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How long a piece of bytes travels at least, in milliseconds.
    pub latency: u64,
    /// How much longer it may take, in milliseconds.
    pub jitter: u64,
    /// Bytes a millisecond that a stream carries.
    pub bandwidth: u64,
    /// Writes that arrive in several pieces.
    pub cut: u32,
    /// Writes behind which a stream stalls for up to 20 seconds.
    pub stall: u32,
    /// Writes with which a stream breaks: a part arrives, then both ends hear that it is closed.
    pub truncate: u32,
    /// Closed streams of which the other end never hears.
    pub half_open: u32,
    /// Streams that cannot be opened.
    pub dial_fails: u32,
    /// Listeners that discovery does not name.
    pub omitted: u32,
    /// Listeners that discovery names although they are not there.
    pub lies: u32,
    /// How long a write to disk takes at most, in milliseconds.
    pub disk_latency: u64,
    /// Writes that fail.
    pub disk_errors: u32,
    /// Questions that the AI does not answer.
    pub ai_fails: u32,
    /// How far the wall clocks are off at most, in milliseconds.
    pub skew: u64,
    /// How much the clocks drift at most, in millionths.
    pub drift: u64,
}

impl Faults {
    /// A world in which nothing goes wrong by itself.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            latency: 5,
            jitter: 0,
            bandwidth: 10_000,
            cut: 0,
            stall: 0,
            truncate: 0,
            half_open: 0,
            dial_fails: 0,
            omitted: 0,
            lies: 0,
            disk_latency: 2,
            disk_errors: 0,
            ai_fails: 0,
            skew: 0,
            drift: 0,
        }
    }

    /// Every way to take one kind of fault away.
    pub(crate) const ONE_LESS: [fn(&mut Self); 15] = [
        |faults| faults.latency = Self::none().latency,
        |faults| faults.jitter = 0,
        |faults| faults.bandwidth = Self::none().bandwidth,
        |faults| faults.cut = 0,
        |faults| faults.stall = 0,
        |faults| faults.truncate = 0,
        |faults| faults.half_open = 0,
        |faults| faults.dial_fails = 0,
        |faults| faults.omitted = 0,
        |faults| faults.lies = 0,
        |faults| faults.disk_latency = Self::none().disk_latency,
        |faults| faults.disk_errors = 0,
        |faults| faults.ai_fails = 0,
        |faults| faults.skew = 0,
        |faults| faults.drift = 0,
    ];

    /// Draws every rate by itself; `level` is 0 (none) to 10 (as much as there is).
    #[must_use]
    pub(crate) fn draw(rng: &mut Rng, level: u32) -> Self {
        // A rate is often nothing at all, so that faults are also seen one by one.
        let mut rate = |most: u32| {
            if rng.chance(400_000) {
                0
            } else {
                u32::try_from(rng.below(u64::from(most) * u64::from(level) / 10 + 1)).unwrap_or(0)
            }
        };
        let (cut, stall, truncate) = (rate(500_000), rate(20_000), rate(20_000));
        let (half_open, dial_fails, omitted, lies) = (rate(300_000), rate(300_000), rate(200_000), rate(200_000));
        let (disk_errors, ai_fails) = (rate(30_000), rate(200_000));
        if level == 0 {
            return Self { cut, ..Self::none() };
        }
        Self {
            latency: rng.between(1, 150),
            jitter: rng.between(0, 200),
            bandwidth: rng.between(20, 10_000),
            cut,
            stall,
            truncate,
            half_open,
            dial_fails,
            omitted,
            lies,
            disk_latency: rng.between(1, 40),
            disk_errors,
            ai_fails,
            skew: rng.between(0, 100_000),
            drift: rng.between(0, 200),
        }
    }

    /// The same world once everything is well: slow perhaps, but reliable.
    #[must_use]
    pub(crate) fn healed(&self) -> Self {
        Self {
            latency: self.latency,
            jitter: self.jitter,
            bandwidth: self.bandwidth.max(200),
            cut: self.cut,
            skew: self.skew,
            drift: self.drift,
            ..Self::none()
        }
    }
}
