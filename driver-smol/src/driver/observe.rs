//! What happens in a node, for whoever counts it. The core counts nothing, and this driver neither: it only tells.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wopr_p2p_core::{AskId, EntryKind, Event, StreamId, WriteId};

/// Something that can be counted or measured. No secret and no message's text is in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// An event of the node: every one, also those that the log only counts.
    Event(&'a Event),
    /// A stream was opened, by us or to us.
    StreamOpened {
        /// Whether we dialled.
        dialled: bool,
    },
    /// The two sides of a stream have shown who they are.
    Handshake {
        /// Whether we dialled.
        dialled: bool,
        /// How long after the stream was opened.
        took: Duration,
    },
    /// A text is in a session's file.
    Recorded(EntryKind),
    /// A question of a peer was with its session's handler.
    Asked {
        /// Whether it was answered.
        answered: bool,
        /// How long it took.
        took: Duration,
    },
}

/// Hears every [`Observation`]. Called in the loop: it must not block.
pub type Observe = Box<dyn Fn(Observation<'_>) + Send>;

/// What has to be remembered to tell how long something took.
pub(super) struct Observer {
    observe: Observe,
    streams: HashMap<StreamId, Instant>,
    /// The stream whose bytes the node is reading: a handshake ends by what is read.
    reading: Option<StreamId>,
    records: HashMap<WriteId, EntryKind>,
    asks: HashMap<AskId, Instant>,
}

impl Observer {
    pub(super) fn new(observe: Observe) -> Self {
        let (streams, records, asks) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { observe, streams, reading: None, records, asks }
    }

    pub(super) fn opened(&mut self, stream: StreamId, dialled: bool) {
        self.streams.insert(stream, Instant::now());
        (self.observe)(Observation::StreamOpened { dialled });
    }

    pub(super) fn closed(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    pub(super) fn reads(&mut self, stream: Option<StreamId>) {
        self.reading = stream;
    }

    pub(super) fn event(&mut self, event: &Event) {
        if let Event::PeerConnected { dialled, .. } = event
            && let Some(opened) = self.reading.and_then(|stream| self.streams.remove(&stream))
        {
            (self.observe)(Observation::Handshake { dialled: *dialled, took: opened.elapsed() });
        }
        (self.observe)(Observation::Event(event));
    }

    pub(super) fn records(&mut self, id: WriteId, kind: EntryKind) {
        self.records.insert(id, kind);
    }

    pub(super) fn written(&mut self, id: WriteId, done: bool) {
        if let Some(kind) = self.records.remove(&id).filter(|_| done) {
            (self.observe)(Observation::Recorded(kind));
        }
    }

    pub(super) fn asks(&mut self, id: AskId) {
        self.asks.insert(id, Instant::now());
    }

    /// `None`: nobody waits for the answer any more.
    pub(super) fn asked(&mut self, id: AskId, answered: Option<bool>) {
        if let (Some(since), Some(answered)) = (self.asks.remove(&id), answered) {
            (self.observe)(Observation::Asked { answered, took: since.elapsed() });
        }
    }
}
