//! The steps at which a write can be cut off, so that a test can kill the process at every one of them.
//!
//! Without the cargo feature `crash-points` (off by default) all of this is nothing. With it, the environment variable
//! `WOPR_CRASH_AT=step[:n]` makes the process kill itself with SIGKILL the `n`-th time (from 1, the default) that it
//! reaches that step.

use std::fs::File;
use std::io::{self, Write as _};

/// A moment in a write to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A document is about to be replaced; nothing has happened.
    ReplaceStarted,
    /// The temporary file exists, empty.
    ReplaceCreated,
    /// Half of the new document is in the temporary file.
    ReplaceHalfWritten,
    /// All of it is, but perhaps not on disk.
    ReplaceWritten,
    /// All of it is on disk, under the temporary name.
    ReplaceSynced,
    /// The new document is in place, but its name is perhaps not on disk.
    ReplaceRenamed,
    /// The new document is in place and durable, but nobody knows.
    ReplaceDone,
    /// Lines are about to be appended; nothing has happened.
    AppendStarted,
    /// The file to append to was made.
    AppendCreated,
    /// Half of the lines are in the file.
    AppendHalfWritten,
    /// All of them are, but perhaps not on disk.
    AppendWritten,
    /// They are on disk, but the name of a new file is perhaps not.
    AppendSynced,
    /// They are durable, but nobody knows.
    AppendDone,
}

impl Step {
    /// Every step, in the order in which a write reaches them.
    pub const ALL: [Self; 13] = [
        Self::ReplaceStarted,
        Self::ReplaceCreated,
        Self::ReplaceHalfWritten,
        Self::ReplaceWritten,
        Self::ReplaceSynced,
        Self::ReplaceRenamed,
        Self::ReplaceDone,
        Self::AppendStarted,
        Self::AppendCreated,
        Self::AppendHalfWritten,
        Self::AppendWritten,
        Self::AppendSynced,
        Self::AppendDone,
    ];

    /// What `WOPR_CRASH_AT` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReplaceStarted => "replace-started",
            Self::ReplaceCreated => "replace-created",
            Self::ReplaceHalfWritten => "replace-half-written",
            Self::ReplaceWritten => "replace-written",
            Self::ReplaceSynced => "replace-synced",
            Self::ReplaceRenamed => "replace-renamed",
            Self::ReplaceDone => "replace-done",
            Self::AppendStarted => "append-started",
            Self::AppendCreated => "append-created",
            Self::AppendHalfWritten => "append-half-written",
            Self::AppendWritten => "append-written",
            Self::AppendSynced => "append-synced",
            Self::AppendDone => "append-done",
        }
    }
}

/// Writes all of `bytes`, and passes `half_way` in the middle of them.
pub(crate) fn write_all(mut file: &File, bytes: &[u8], half_way: Step) -> io::Result<()> {
    // One write where nothing is to be cut off: a torn line is rarer then.
    let (head, tail) = bytes.split_at(if cfg!(feature = "crash-points") { bytes.len() / 2 } else { 0 });
    file.write_all(head)?;
    point(half_way);
    file.write_all(tail)
}

/// Ends the process here if that was asked for.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub(crate) const fn point(_: Step) {}

/// Ends the process here if that was asked for.
#[cfg(feature = "crash-points")]
pub(crate) fn point(step: Step) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static REACHED: AtomicU64 = AtomicU64::new(0);
    static PLAN: LazyLock<Option<(Step, u64)>> = LazyLock::new(|| {
        let plan = std::env::var("WOPR_CRASH_AT").ok()?;
        let (name, nth) = plan.split_once(':').unwrap_or((&plan, "1"));
        let step = Step::ALL.into_iter().find(|step| step.name() == name);
        match (step, nth.parse()) {
            (Some(step), Ok(nth)) => Some((step, nth)),
            // A plan that is silently ignored would make its test say nothing.
            _ => panic!("WOPR_CRASH_AT={plan} is not a step of wopr_p2p_smol::crash::Step, or its count is no number"),
        }
    });

    if let Some((planned, nth)) = *PLAN
        && planned == step
        && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == nth
    {
        use rustix::process::{Signal, getpid, kill_process};
        while kill_process(getpid(), Signal::KILL).is_ok() {
            std::thread::park();
        }
    }
}
