//! Many cases on one network, one after the other: starting the network anew for each would cost more than the case.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// A case's name and what it does.
pub(crate) type Case<World> = (&'static str, fn(&mut World));

/// Runs every case, also after one has failed, and fails at the end with the names of those that did.
pub(crate) fn run_all<World>(world: &mut World, cases: &[Case<World>]) {
    let mut failed = Vec::new();
    for (name, case) in cases {
        let started = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(|| case(world))).is_ok();
        eprintln!("{} {name} ({} ms)", if passed { "ok  " } else { "FAIL" }, started.elapsed().as_millis());
        if !passed {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {}", failed.join("; "));
}
