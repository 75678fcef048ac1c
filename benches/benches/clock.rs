//! The processor's time of this thread instead of the wall clock's: others may use the machine meanwhile.

use std::sync::LazyLock;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Measures the time that this thread was running.
pub(crate) struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        now()
    }

    fn end(&self, start: Duration) -> Duration {
        now().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What reading the clock twice takes by itself: as much as the shortest things measured.
static OVERHEAD: LazyLock<Duration> = LazyLock::new(|| {
    let mut spans: Vec<_> = (0..1000).map(|_| raw(|| ())).collect();
    spans.sort_unstable();
    spans[spans.len() / 2]
});

fn raw<T>(what: impl FnOnce() -> T) -> Duration {
    let start = now();
    std::hint::black_box(what());
    now().saturating_sub(start)
}

/// The time that something takes.
pub(crate) fn timed<T>(what: impl FnOnce() -> T) -> Duration {
    let overhead = *OVERHEAD;
    raw(what).saturating_sub(overhead)
}
