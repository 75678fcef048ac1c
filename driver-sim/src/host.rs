//! One of our nodes with its surroundings: disk, clocks, the streams it holds, the AI it asks, its owner's orders.

use std::collections::{BTreeMap, BTreeSet};

use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::peer::Peer;
use wopr_p2p_core::time::Now;
use wopr_p2p_core::{AskId, CommandId, Config, DialId, Node, StreamId, TransportKey};

use crate::clock::{Clock, Micros};
use crate::disk::{Content, Disk};
use crate::ledger::Books;
use crate::net::Party;
use crate::state::State;
use crate::world::Let;

/// What an owner ordered, as far as the result has to be judged.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// A text for a session; `probe` if it must arrive, `due` the permissions by which it has to at once.
    Log { to: Party, text: String, probe: bool, due: Vec<String> },
    /// A text that may wait.
    Queue { to: Party, text: String },
    /// A question.
    Inject { to: Party, text: String },
    /// A permission.
    Grant,
    /// Something is taken back.
    Revoke,
    /// An invite is made for this key, to be handed over so many seconds later; `revoked` if everything was taken from
    /// that peer by an order that came after this one.
    Invite { to: Party, subject: PublicKey, seconds: u64, twice: bool, revoked: Option<CommandId> },
    /// An invite is claimed.
    Claim { at: Party, token: String },
    /// New keys.
    Rotate,
}

/// A copy of a disk, and what was true when it was made.
pub(crate) struct Backup {
    /// The disk.
    pub(crate) content: Content,
    /// The books.
    pub(crate) books: Books,
}

/// One of our nodes.
pub(crate) struct Host {
    /// The node; none while it is down.
    pub(crate) node: Option<Node>,
    /// How it is configured.
    pub(crate) config: Config,
    /// Its disk.
    pub(crate) disk: Disk,
    /// Its clocks.
    pub(crate) clock: Clock,
    /// How often it was started: what belonged to an earlier life is dropped.
    pub(crate) life: u32,
    /// The transport's key.
    pub(crate) transport: TransportKey,
    /// Orders that have not ended.
    pub(crate) orders: BTreeMap<CommandId, Order>,
    /// Dials under way.
    pub(crate) dials: BTreeSet<DialId>,
    /// Questions with the AI.
    pub(crate) asks: BTreeSet<AskId>,
    /// Who may do what here.
    pub(crate) books: Books,
    /// Under which key each of the others was first met.
    pub(crate) contacts: BTreeMap<Party, PublicKey>,
    /// A copy of the disk.
    pub(crate) backup: Option<Backup>,
    /// Since when the disk is not the one that confirmed things: after a restored backup.
    pub(crate) restored: Option<Micros>,
    /// Crash when so many more writes are confirmed; before the last is, or after.
    pub(crate) fuse: Option<(u64, bool, u64)>,
    /// When the pending wake-up is due.
    pub(crate) wake: Option<Micros>,
    /// How many times in a row the timer was due at once.
    pub(crate) wakes_now: u32,
    /// Its wall clock was wrong by more than a grace period once.
    pub(crate) disordered: bool,
    /// How often it changed its keys.
    pub(crate) rotations: u32,
    /// Everybody whom its node did not know when it changed its keys: it could not tell them.
    pub(crate) untold: BTreeSet<Party>,
    /// Texts that its owner was told wait for their receivers.
    pub(crate) waiting: BTreeMap<Nonce, String>,
    /// The last of each sender's waiting texts that came.
    pub(crate) in_order: BTreeMap<Party, u64>,
    /// When its wall clock was set last.
    pub(crate) clock_set: Micros,
    /// When its owner wrote to whom lately.
    pub(crate) spoken: BTreeMap<Party, Vec<Micros>>,
    /// To whom its owner wrote too often once.
    pub(crate) immodest: BTreeSet<Party>,
    /// What it let through since it was started.
    pub(crate) let_in: Let,
    /// How it looked when that was last written down.
    pub(crate) shown: State,
    next: u64,
}

impl Host {
    /// A host whose node has not been started.
    #[must_use]
    pub(crate) fn new(config: Config, clock: Clock, index: usize) -> Self {
        let mut key = [0x11; 32];
        key[..8].copy_from_slice(&(index as u64).to_le_bytes());
        Self {
            node: None,
            config,
            disk: Disk::default(),
            clock,
            life: 0,
            transport: TransportKey(key),
            orders: BTreeMap::new(),
            dials: BTreeSet::new(),
            asks: BTreeSet::new(),
            books: Books::default(),
            contacts: BTreeMap::new(),
            backup: None,
            restored: None,
            fuse: None,
            wake: None,
            wakes_now: 0,
            disordered: false,
            rotations: 0,
            untold: BTreeSet::new(),
            waiting: BTreeMap::new(),
            in_order: BTreeMap::new(),
            clock_set: 0,
            spoken: BTreeMap::new(),
            immodest: BTreeSet::new(),
            let_in: Let::default(),
            shown: State::default(),
            next: 0,
        }
    }

    /// Both clocks.
    #[must_use]
    pub(crate) fn now(&self, at: Micros) -> Now {
        self.clock.read(at)
    }

    /// A number that was not used before.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A stream's number that was not used before.
    pub(crate) fn stream(&mut self) -> StreamId {
        StreamId(self.number())
    }

    /// The node's present key, if it runs.
    #[must_use]
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.node.as_ref().map(Node::public_key)
    }

    /// The node's table of peers; empty while it is down.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.node.iter().flat_map(Node::peers)
    }
}
