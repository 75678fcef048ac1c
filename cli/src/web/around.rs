//! How others see the node, remembered for a while: finding out can take seconds, and a page must not wait for it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wopr_p2p_smol::net::Surroundings;

use crate::node::Node;

/// How long an answer serves.
const FRESH: Duration = Duration::from_secs(20);
/// How long anybody waits for a new one; the old one has to do then.
const PATIENCE: Duration = Duration::from_millis(300);

/// The last answer, and when it was asked for.
#[derive(Default)]
pub(super) struct Around(Mutex<(Surroundings, Option<Instant>)>);

impl Around {
    /// The answer of late, or an empty one in the beginning.
    pub(super) async fn of(&self, node: &Node) -> Surroundings {
        let asked = self.with(|(_, asked)| {
            let due = asked.is_none_or(|asked| asked.elapsed() >= FRESH);
            if due {
                *asked = Some(Instant::now());
            }
            due
        });
        if asked && let Ok(Some(now)) = tokio::time::timeout(PATIENCE, node.surroundings()).await {
            self.with(|(known, _)| *known = now);
        } else if asked {
            // Not in time: the next one asks again.
            self.with(|(_, asked)| *asked = None);
        }
        self.with(|(known, _)| known.clone())
    }

    fn with<T>(&self, with: impl FnOnce(&mut (Surroundings, Option<Instant>)) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
