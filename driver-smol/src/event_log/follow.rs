//! The log from a place on, and then what happens: nothing twice, nothing left out.

use std::collections::VecDeque;

use smol::channel::Receiver;

use super::{EventLine, Happened};

/// Lines of the log, old ones first, and then new ones as they come. A reader that is too slow misses new ones: it sees
/// it by their numbers.
pub struct Follow {
    past: VecDeque<EventLine>,
    happening: Receiver<Happened>,
    last: u64,
}

impl Follow {
    /// `past` must have been read after `happening` began.
    pub(crate) fn new(past: Vec<EventLine>, happening: Receiver<Happened>) -> Self {
        Self { past: past.into(), happening, last: 0 }
    }

    /// The next line; `None` when the node has stopped.
    pub async fn next(&mut self) -> Option<EventLine> {
        loop {
            let line = match self.past.pop_front() {
                Some(line) => line,
                None => EventLine::clone(&self.happening.recv().await.ok()?.line),
            };
            if line.seq > self.last {
                self.last = line.seq;
                return Some(line);
            }
        }
    }
}
