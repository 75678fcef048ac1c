//! How often a session was asked today. The session's own file is the book: every question is in it before a handler
//! hears of it, so a restart forgets nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use smol::lock::Mutex;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::time::WallTime;

use super::HandlerError;
use crate::session_file::{Said, SessionReader};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// The count of each session with a limit.
#[derive(Clone, Debug)]
pub(super) struct Today {
    files: SessionReader,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Days since the epoch, in UTC.
    day: u64,
    /// Sessions that were asked on that day.
    asked: BTreeMap<SessionName, u32>,
}

impl Today {
    pub(super) fn new(files: SessionReader) -> Self {
        Self { files, counts: Arc::default() }
    }

    /// Counts a question that is in the session's file already. One that is refused counts, too: until tomorrow, all
    /// further ones are refused anyway.
    pub(super) async fn count(
        &self,
        session: &SessionName,
        max_per_day: NonZeroU32,
        now: WallTime,
    ) -> Result<(), HandlerError> {
        let day = now.as_millis() / DAY;
        let mut counts = self.counts.lock().await;
        if counts.day != day {
            *counts = Counts { day, asked: BTreeMap::new() };
        }
        let asked = match counts.asked.get(session) {
            Some(asked) => asked.saturating_add(1),
            None => {
                let (files, name) = (self.files.clone(), session.clone());
                smol::unblock(move || in_file(&files, &name, day)).await?
            }
        };
        counts.asked.insert(session.clone(), asked);
        if asked > max_per_day.get() {
            return Err(HandlerError::TooManyToday { session: session.clone(), max_per_day: max_per_day.get() });
        }
        Ok(())
    }
}

/// How many questions of a day a session's file has.
fn in_file(files: &SessionReader, session: &SessionName, day: u64) -> Result<u32, HandlerError> {
    let no_history = |error: crate::file::FileError| HandlerError::NoHistory { reason: error.to_string() };
    let mut asked = 0_u32;
    for said in files.newest_first(session).map_err(no_history)? {
        let Said { ts, kind, .. } = said.map_err(no_history)?;
        if ts / DAY < day {
            break;
        }
        if kind == "question" && ts / DAY == day {
            asked = asked.saturating_add(1);
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests;
