//! Many seeds on all cores: one world a seed, results in the order of the seeds whichever ends first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Works on every seed, and gives each result to `each` in order.
pub(super) fn run_all<T: Send>(seeds: Range<u64>, work: impl Fn(u64) -> T + Sync, mut each: impl FnMut(u64, T)) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, (sender, results)) = (AtomicU64::new(seeds.start), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender, work, end) = (&next, sender.clone(), &work, seeds.end);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send((seed, work(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut early, mut due) = (BTreeMap::new(), seeds.start);
        for (seed, result) in results {
            early.insert(seed, result);
            while let Some(result) = early.remove(&due) {
                each(due, result);
                due += 1;
            }
        }
    });
}

/// How long this thread has been computing.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_seeds() {
        let (mut seen, gate) = (Vec::new(), std::sync::Barrier::new(1));
        run_all(
            10..200,
            |seed| {
                gate.wait();
                if seed % 7 == 0 {
                    std::thread::yield_now();
                }
                seed * 2
            },
            |seed, result| seen.push((seed, result)),
        );
        assert_eq!(seen, (10..200).map(|seed| (seed, seed * 2)).collect::<Vec<_>>());
    }
}
