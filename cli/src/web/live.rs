//! Tells an open page that something has changed; it then looks again. What changed is not in the message.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use smol::channel::Receiver;
use smol::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use wopr_p2p_smol::event_log::Happened;

use super::Shared;
use super::entry::Visitor;

/// How often the node is looked at for what is no event.
const LOOK: Duration = Duration::from_secs(2);
/// The least time from one message to the next.
const PAUSE: Duration = Duration::from_millis(250);

/// A page that is open.
struct Page {
    shared: Arc<Shared>,
    door: String,
    happening: Receiver<Happened>,
    stopping: watch::Receiver<bool>,
    seen: u64,
    _place: OwnedSemaphorePermit,
}

/// Streams until the session or the daemon ends.
pub(super) async fn live(visitor: Visitor) -> Response {
    let Ok(place) = Arc::clone(&visitor.shared.live_pages).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    };
    let Visitor { shared, door, .. } = visitor;
    let happening = shared.node.events().await;
    let stopping = shared.stopping.clone();
    let seen = fingerprint(&shared).await.unwrap_or_default();
    let page = Page { shared, door, happening, stopping, seen, _place: place };
    let changes = stream::unfold(page, async |mut page| {
        let changed = page.changed().await?;
        Some((Ok::<_, Infallible>(changed), page))
    });
    Sse::new(changes).keep_alive(KeepAlive::default()).into_response()
}

impl Page {
    /// Waits until something has changed; `None` when the page ends.
    async fn changed(&mut self) -> Option<Event> {
        tokio::time::sleep(PAUSE).await;
        loop {
            tokio::select! {
                _ = self.stopping.changed() => return None,
                happened = self.happening.recv() => {
                    happened.ok()?;
                    while self.happening.try_recv().is_ok() {}
                    return self.open().then(Self::message);
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            if !self.open() {
                return None;
            }
            let now = fingerprint(&self.shared).await?;
            if std::mem::replace(&mut self.seen, now) != now {
                return Some(Self::message());
            }
        }
    }

    /// An event without data is none to a browser.
    fn message() -> Event {
        Event::default().event("changed").data("look")
    }

    fn open(&self) -> bool {
        self.shared.logins().is_open(&self.door, Instant::now())
    }
}

/// Differs when anything that the page shows of the node differs.
async fn fingerprint(shared: &Shared) -> Option<u64> {
    let snapshot = shared.node.snapshot().await.ok()?;
    let mut hasher = DefaultHasher::new();
    format!("{snapshot:?}").hash(&mut hasher);
    Some(hasher.finish())
}
