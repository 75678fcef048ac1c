//! Tells a client that wants to know how a call is getting on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext};
use smol::{Timer, future};

/// How often it is told. Clients count on hearing something before their own patience ends.
const BEAT: Duration = Duration::from_secs(1);

/// What a call is waiting for.
pub(super) struct Progress {
    client: Option<(Peer<RoleServer>, ProgressToken)>,
    what: Mutex<String>,
    started: Instant,
}

impl Progress {
    /// Of a call; nobody is told if the client did not ask.
    pub(super) fn of(context: &RequestContext<RoleServer>, what: String) -> Self {
        let client = context.meta.get_progress_token().map(|token| (context.peer.clone(), token));
        Self { client, what: Mutex::new(what), started: Instant::now() }
    }

    /// Something else is being waited for now.
    pub(super) fn now_for(&self, what: &str) {
        // A text is whole or not there: nothing panics while it is being put in place.
        what.clone_into(&mut self.what.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells it at once and then at every beat: the seconds since the start, and what is being waited for. Never ends.
    pub(super) async fn tell<T>(&self) -> T {
        let Some((client, token)) = &self.client else { return future::pending().await };
        loop {
            let what = self.what.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut progress = ProgressNotificationParam::new(token.clone(), self.started.elapsed().as_secs_f64());
            progress.message = Some(what);
            // A client that has gone hears nothing; its call ends by itself.
            client.notify_progress(progress).await.ok();
            Timer::after(BEAT).await;
        }
    }
}
