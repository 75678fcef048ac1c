//! One node with its surroundings: a disk that remembers everything that was made durable, session files, an AI.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::time::Now;
use wopr_p2p_core::{
    AskId, CommandError, CommandId, Config, DialId, Document, DocumentWrite, Event, Input, Node, Question, Reply,
    SessionEntry, Stored, StreamId, WriteFailed, WriteId,
};

pub struct Host {
    pub node: Node,
    pub documents: BTreeMap<Document, Vec<u8>>,
    pub sessions: BTreeMap<String, Vec<SessionEntry>>,
    pub events: Vec<Event>,
    pub finished: BTreeMap<CommandId, Result<Reply, CommandError>>,
    /// Questions that nobody has answered yet, where `answers` is off.
    pub asked: Vec<(AskId, Question)>,
    pub cancelled: Vec<AskId>,
    /// Streams that lead to another host: which, and its number there.
    pub wires: BTreeMap<StreamId, (usize, StreamId)>,
    /// Streams whose other end is the test itself, and what the node sent there.
    pub raw: BTreeMap<StreamId, Vec<Vec<u8>>>,
    pub closed: Vec<StreamId>,
    pub topics: Vec<Topic>,
    /// Off: the host cannot be dialled.
    pub online: bool,
    /// On: questions are answered at once with "re: " and the question.
    pub answers: bool,
    /// Makes every write fail from now on.
    pub disk_full: bool,
    /// On: writes wait in `held` until the test lets them through or makes them fail.
    pub holds_writes: bool,
    pub held: VecDeque<HeldWrite>,
    /// Streams that this node dialled and whose other end is the test itself, in the order of their opening.
    pub dialled_raw: Vec<StreamId>,
    /// How many outputs the node has given in all.
    pub outputs: usize,
    /// What a careless log would hold of these.
    pub debugged: Vec<String>,
    /// How often the node has looked for somebody.
    pub dialled: usize,
    /// How many of its next messages get lost.
    pub loses: usize,
    pub dials: BTreeMap<DialId, Topic>,
    /// Its transport key, in short.
    pub key: u8,
    next: u64,
}

/// A write that waits for the test.
pub struct HeldWrite {
    pub id: WriteId,
    pub what: Held,
}

/// What such a write is about.
pub enum Held {
    Document(Document, DocumentWrite),
    Record(SessionName, SessionEntry),
}

impl HeldWrite {
    /// The document's file name, or the session's name.
    pub fn name(&self) -> &str {
        match &self.what {
            Held::Document(document, _) => document.file_name(),
            Held::Record(session, _) => session.as_str(),
        }
    }
}

impl Host {
    /// A node that starts from these documents.
    pub fn new(key: u8, config: Config, stored: Stored, now: Now) -> Self {
        let documents = documents(&stored);
        Self {
            node: Node::new(config, stored, [key; 32], now).expect("a good start"),
            documents,
            sessions: BTreeMap::new(),
            events: Vec::new(),
            finished: BTreeMap::new(),
            asked: Vec::new(),
            cancelled: Vec::new(),
            wires: BTreeMap::new(),
            raw: BTreeMap::new(),
            closed: Vec::new(),
            topics: Vec::new(),
            online: true,
            answers: true,
            disk_full: false,
            holds_writes: false,
            held: VecDeque::new(),
            dialled_raw: Vec::new(),
            outputs: 0,
            debugged: Vec::new(),
            dialled: 0,
            loses: 0,
            dials: BTreeMap::new(),
            key,
            next: 0,
        }
    }

    /// Ends the node and starts it again from what it had made durable.
    pub fn restart(&mut self, config: Config, now: Now) {
        self.raw.clear();
        self.dialled_raw.clear();
        self.held.clear();
        self.dials.clear();
        self.topics.clear();
        let seed = [self.key.wrapping_add(100 + self.next as u8); 32];
        self.node = Node::new(config, self.stored(), seed, now).expect("a good restart");
    }

    /// A number that nothing else here has.
    pub fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Carries out a write as far as the disk lets it; what the node hears of that.
    pub fn make_durable(&mut self, HeldWrite { id, what }: HeldWrite) -> Input {
        if self.disk_full {
            return failed(id);
        }
        match what {
            Held::Document(document, DocumentWrite::Replace(bytes)) => {
                self.documents.insert(document, bytes.to_vec());
            }
            Held::Document(document, DocumentWrite::Append(bytes)) => {
                self.documents.entry(document).or_default().extend(bytes);
            }
            Held::Record(session, entry) => {
                let file = self.sessions.entry(session.as_str().to_owned()).or_default();
                if !file.iter().any(|line| is_copy(line, &entry)) {
                    file.push(entry);
                }
            }
        }
        Input::Written { id, result: Ok(()) }
    }

    /// The texts in a session's file, in order.
    pub fn texts(&self, session: &str) -> Vec<&str> {
        self.sessions.get(session).into_iter().flatten().map(|entry| entry.content.as_str()).collect()
    }

    fn stored(&self) -> Stored {
        let read = |document| Ok::<_, Infallible>(self.documents.get(&document).cloned().map(Into::into));
        let Ok(stored) = Stored::load(read);
        stored
    }
}

/// What a node hears of a write that the disk had no room for.
pub fn failed(id: WriteId) -> Input {
    Input::Written { id, result: Err(WriteFailed { reason: "disk full".to_owned() }) }
}

fn documents(stored: &Stored) -> BTreeMap<Document, Vec<u8>> {
    let documents = [
        (Document::Identity, stored.identity.as_ref().map(|bytes| bytes.to_vec())),
        (Document::Access, stored.access.clone()),
        (Document::Peers, stored.peers.clone()),
        (Document::Limits, stored.limits.clone()),
        (Document::Replay, stored.replay.clone()),
        (Document::Discovery, stored.discovery.clone()),
        (Document::Outbox, stored.outbox.clone()),
    ];
    documents.into_iter().filter_map(|(document, bytes)| Some((document, bytes?))).collect()
}

/// Whether a line of a session's file is an earlier copy of a message that is to be there once.
fn is_copy(line: &SessionEntry, entry: &SessionEntry) -> bool {
    match (&line.once, &entry.once) {
        (Some(earlier), Some(once)) => {
            earlier.id == once.id && once.senders.contains(&line.peer) && line.content == entry.content
        }
        _ => false,
    }
}
