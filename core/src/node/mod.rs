//! [`Node`]: one identity, who may do what with it, and every stream it holds.
//!
//! The methods come in four families: getters, [`Node::handle_input`] and [`Node::handle_timeout`] (what happened),
//! and the polls (what to do next, and when to come back). After every `handle_*` call the driver drains
//! [`Node::poll_output`] until it returns `None`; only then is [`Node::poll_timeout`] meaningful.

mod access;
mod change;
mod command;
mod command_error;
mod deliver;
mod dial;
mod discover;
mod document;
mod entry;
mod gate;
mod io;
mod once;
mod outbox;
mod ping;
#[cfg(wopr_planted)]
mod planted;
mod request;
mod rotate;
mod serve;
mod snapshot;
mod stream;
mod timer;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use zeroize::Zeroizing;

pub use self::command_error::CommandError;
pub use self::document::{Document, DocumentWrite};
pub use self::entry::{EntryKind, Question, SessionEntry};
pub use self::io::{
    AskFailed, AskId, Command, CommandId, DialEnd, DialId, Input, Output, Reply, StreamId, StreamOrigin, TransportKey,
    WriteFailed, WriteId,
};
pub use self::once::OnceOnly;
pub use self::outbox::Waiting;
pub use self::snapshot::{GraceKey, Load, Snapshot, StreamInfo};
pub use self::timer::TimeoutReason;

use self::access::Access;
use self::change::Changes;
use self::deliver::Delivery;
use self::dial::Dial;
use self::discover::Discovery;
use self::gate::Gate;
use self::request::{Request, RequestNo};
use self::stream::Stream;
use crate::config::{Config, ConfigError};
use crate::error::StateError;
use crate::event::Event;
use crate::identity::{Identity, IdentityFile};
use crate::outbox::Outbox;
use crate::rate::RateLimiter;
use crate::replay::ReplayWindow;
use crate::rng::Rng;
use crate::time::{Instant, Now};

/// What a node starts from: the bytes of its documents, `None` for those that do not exist yet.
#[derive(Default)]
pub struct Stored {
    /// `identity.json`; without it the node makes a new identity.
    pub identity: Option<Zeroizing<Vec<u8>>>,
    /// `access.json`.
    pub access: Option<Vec<u8>>,
    /// `peers.json`.
    pub peers: Option<Vec<u8>>,
    /// `limits.json`.
    pub limits: Option<Vec<u8>>,
    /// `replay.log`.
    pub replay: Option<Vec<u8>>,
    /// `discovery.json`.
    pub discovery: Option<Vec<u8>>,
    /// `outbox.jsonl`.
    pub outbox: Option<Vec<u8>>,
}

impl Stored {
    /// Reads every document.
    ///
    /// # Errors
    /// The first that `read` gives.
    pub fn load<E>(mut read: impl FnMut(Document) -> Result<Option<Zeroizing<Vec<u8>>>, E>) -> Result<Self, E> {
        let identity = read(Document::Identity)?;
        let mut plain = |document| read(document).map(|bytes| bytes.map(|mut bytes| core::mem::take(&mut *bytes)));
        Ok(Self {
            identity,
            access: plain(Document::Access)?,
            peers: plain(Document::Peers)?,
            limits: plain(Document::Limits)?,
            replay: plain(Document::Replay)?,
            discovery: plain(Document::Discovery)?,
            outbox: plain(Document::Outbox)?,
        })
    }
}

/// Why a node cannot start.
#[derive(Debug, PartialEq, Eq)]
pub enum StartError {
    /// A stored document cannot be read. It must be set aside by the owner's decision, never overwritten.
    Damaged(Document, StateError),
    /// A value of the config cannot be used.
    Config(ConfigError),
}

impl core::fmt::Display for StartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Damaged(document, error) => write!(f, "{} is damaged: {error}", document.file_name()),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {}

/// One node of the network, as a pure state machine. See the crate's documentation for the loop around it.
pub struct Node {
    config: Config,
    rng: Rng,
    identity: IdentityFile,
    /// Grants, peers and invites, as far as they are stored.
    access: Access,
    changes: Changes,
    limits: RateLimiter,
    limits_saved: Instant,
    expiries_seen: Instant,
    limits_dirty: bool,
    replay: ReplayWindow,
    /// The last write of the journal failed.
    journal_failed: bool,
    /// `identity.json` lacks something: its last write failed, or had to wait.
    identity_unsaved: bool,
    streams: BTreeMap<StreamId, Stream>,
    dials: BTreeMap<DialId, Dial>,
    requests: BTreeMap<RequestNo, Request>,
    writes: BTreeMap<WriteId, AfterWrite>,
    asks: BTreeMap<AskId, Delivery>,
    notices: rotate::Notices,
    discovery: Discovery,
    gate: Gate,
    outgoing: outbox::Outgoing,
    delivered: once::Delivered,
    outputs: VecDeque<Output>,
    last_id: u64,
}

/// What is to be done when a write is durable.
enum AfterWrite {
    /// The document of a change of access.
    Change,
    /// The nonce of a message: the message may go into its session now.
    Journal(Delivery),
    /// A message or question in its session's file: acknowledge it, or ask the AI.
    Record(Delivery),
    /// An approved text in its session's file: it waits no longer.
    Approved(CommandId, crate::discovery::PendingId),
    /// An AI's answer in its session's file: send it.
    Answer(Delivery, alloc::string::String),
    /// A line about a message that waits for a peer.
    Outbox(outbox::AfterLine),
    /// Nothing waits for it.
    Nothing(Document),
}

impl Node {
    /// Starts a node from what it stored, or a new one.
    ///
    /// `seed` must be 32 fresh bytes from the operating system: every key and nonce comes from it.
    ///
    /// # Errors
    /// A damaged document or a bad config. A missing document is none: it means a new node.
    pub fn new(config: Config, stored: Stored, seed: [u8; 32], now: Now) -> Result<Self, StartError> {
        config.validate().map_err(StartError::Config)?;
        #[cfg(wopr_planted)]
        let config = planted::unbounded(config);
        let mut rng = Rng::new(seed);
        let damaged = |document| move |error| StartError::Damaged(document, error);
        let fresh = stored.identity.is_none();
        let access = Access::load(&config, &stored)?;
        let identity = match stored.identity {
            Some(json) => IdentityFile::from_json(&json).map_err(damaged(Document::Identity))?,
            None => {
                let current = Identity::generate(&mut rng, now.wall);
                IdentityFile { current, retired: Vec::new(), former: None }
            }
        };
        let limits = match stored.limits {
            Some(json) => RateLimiter::from_json(config.rates, &json, now).map_err(damaged(Document::Limits))?,
            None => RateLimiter::new(config.rates),
        };
        let replay = match stored.replay {
            Some(journal) if !planted!(config, NoncesForgotten) => {
                ReplayWindow::load(config.replay, &journal, now.wall)
            }
            _ => ReplayWindow::new(config.replay),
        };
        let waiting = Outbox::load(stored.outbox.as_deref().unwrap_or_default());
        let outgoing = outbox::Outgoing::new(waiting.map_err(damaged(Document::Outbox))?, now);
        let mut node = Self {
            config,
            rng,
            identity,
            access,
            changes: Changes::default(),
            limits,
            limits_saved: now.mono,
            expiries_seen: now.mono,
            limits_dirty: false,
            replay,
            journal_failed: false,
            identity_unsaved: false,
            streams: BTreeMap::new(),
            dials: BTreeMap::new(),
            requests: BTreeMap::new(),
            writes: BTreeMap::new(),
            asks: BTreeMap::new(),
            notices: rotate::Notices::default(),
            discovery: Discovery::default(),
            gate: Gate::default(),
            outgoing,
            delivered: once::Delivered::default(),
            outputs: VecDeque::new(),
            last_id: 0,
        };
        if fresh {
            node.store_identity();
        }
        node.mend_rotations(now);
        // Before keys are given up: of the last one the peers are still to be told that have not heard.
        node.schedule_all_notices(now);
        node.retire_expired(now);
        node.listen();
        node.meet_again(now);
        Ok(node)
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        match input {
            Input::StreamOpened { stream, origin, remote } => self.stream_opened(stream, origin, remote, now),
            Input::Received { stream, bytes } => self.received(stream, &bytes, now),
            Input::StreamClosed { stream } => self.stream_closed(stream, now),
            Input::DialEnded { dial, why } => self.dial_ended(dial, why, now),
            Input::Command { id, command } => self.command(id, command, now),
            Input::CancelCommand { id } => self.cancel_command(id, now),
            Input::Written { id, result } => self.written(id, result, now),
            Input::Answered { id, result } => self.answered(id, result, now),
            Input::Stopping => self.refuse_held_questions(now),
        }
    }

    /// The next thing for the driver to do. Drain it after every `handle_*` call.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn written(&mut self, id: WriteId, result: Result<(), WriteFailed>, now: Now) {
        match self.writes.remove(&id) {
            Some(AfterWrite::Change) => self.change_written(result, now),
            Some(AfterWrite::Journal(delivery)) => self.journal_written(delivery, result, now),
            Some(AfterWrite::Record(delivery)) => self.record_written(delivery, result, now),
            Some(AfterWrite::Approved(command, id)) => self.approved_written(command, id, result, now),
            Some(AfterWrite::Answer(delivery, answer)) => self.answer_written(delivery, &answer, result, now),
            Some(AfterWrite::Outbox(after)) => self.outbox_written(&after, result, now),
            Some(AfterWrite::Nothing(document)) => {
                if let Err(WriteFailed { reason }) = result {
                    self.journal_failed |= document == Document::Replay;
                    self.identity_unsaved |= document == Document::Identity;
                    self.limits_dirty |= document == Document::Limits;
                    self.event(Event::StoreFailed { what: document.file_name().into(), reason });
                }
            }
            None => {}
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn store(&mut self, document: Document, write: DocumentWrite, after: AfterWrite) {
        let id = WriteId(self.next_id());
        self.writes.insert(id, after);
        self.outputs.push_back(Output::Store { id, document, write });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
