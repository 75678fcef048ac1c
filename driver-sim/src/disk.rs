//! A node's disk: writes take time, one file's stay in order, and what was not confirmed may be lost in a crash, kept, or
//! (where something was appended) torn.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use wopr_p2p_core::invite::InviteToken;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_core::{Document, DocumentWrite, SessionEntry, Stored, WriteFailed, WriteId};

use crate::rng::Rng;
use crate::table::Map;

/// What is to be written.
pub(crate) enum Write {
    /// A change of a document.
    Document(Document, DocumentWrite),
    /// A line of a session's file.
    Line(String, SessionEntry),
}

/// Which file a write is about.
#[derive(Debug, PartialEq, Eq)]
enum File<'a> {
    Document(Document),
    Session(&'a str),
}

impl Write {
    fn file(&self) -> File<'_> {
        match self {
            Self::Document(document, _) => File::Document(*document),
            Self::Line(session, _) => File::Session(session),
        }
    }
}

/// A session's file.
#[derive(Clone, Default)]
pub(crate) struct SessionFile {
    lines: Vec<SessionEntry>,
    /// How often each text stands in it.
    texts: Map<String, usize>,
}

impl SessionFile {
    /// How many lines it has.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    fn push(&mut self, entry: SessionEntry) {
        *self.texts.entry(entry.content.clone()).or_default() += 1;
        self.lines.push(entry);
    }
}

/// What is durable.
#[derive(Clone, Default)]
pub(crate) struct Content {
    documents: BTreeMap<Document, Vec<u8>>,
    /// The files of the sessions.
    pub(crate) sessions: BTreeMap<String, SessionFile>,
    /// The last line that was written once only, with its session; for somebody to look at.
    pub(crate) appended: Option<(String, String)>,
}

impl Content {
    /// What a node starts from.
    #[must_use]
    pub(crate) fn stored(&self) -> Stored {
        let read = |document| Ok::<_, Infallible>(self.documents.get(&document).cloned().map(Into::into));
        let Ok(stored) = Stored::load(read);
        stored
    }

    /// How often a text stands in a session's file.
    #[must_use]
    pub(crate) fn count(&self, session: &str, text: &str) -> usize {
        self.sessions.get(session).and_then(|file| file.texts.get(text)).copied().unwrap_or(0)
    }

    /// Whether an invite, given by its token, is stored as one that nobody has claimed or taken back.
    #[must_use]
    pub(crate) fn has_open_invite(&self, token: &str) -> bool {
        let Ok(token) = InviteToken::parse(token) else {
            return false;
        };
        let access = self.documents.get(&Document::Access).and_then(|json| serde_json::from_slice(json).ok());
        let access: serde_json::Value = access.unwrap_or_default();
        let mut invites = access["invites"].as_array().into_iter().flatten();
        invites.any(|invite| invite["nonce"] == token.nonce.to_string() && invite["state"] == "open")
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Document(document, DocumentWrite::Replace(mut bytes)) => {
                self.documents.insert(document, core::mem::take(&mut *bytes));
            }
            Write::Document(document, DocumentWrite::Append(bytes)) => {
                let file = self.documents.entry(document).or_default();
                repair(file);
                file.extend_from_slice(&bytes);
            }
            Write::Line(session, entry) => self.append(session, entry),
        }
    }

    /// A line that has to be there once is looked for before it is written.
    fn append(&mut self, session: String, entry: SessionEntry) {
        let appended = entry.once.as_ref().map(|_| (session.clone(), entry.content.clone()));
        let file = self.sessions.entry(session).or_default();
        if let Some(once) = &entry.once {
            let copy = |line: &SessionEntry| {
                let same = line.once.as_ref().is_some_and(|it| it.id == once.id) && line.content == entry.content;
                same && once.senders.contains(&line.peer)
            };
            if file.texts.contains_key(&entry.content) && file.lines.iter().any(copy) {
                return;
            }
            self.appended = appended;
        }
        file.push(entry);
    }

    /// Whether a message stands in the outbox.
    #[must_use]
    pub(crate) fn has_queued(&self, id: &Nonce) -> bool {
        let outbox = self.documents.get(&Document::Outbox);
        outbox.is_some_and(|bytes| crate::oracle::contains(bytes, id.to_string().as_bytes()))
    }

    /// Leaves a part of an append. A document is replaced wholly or not at all, and a torn line of a session's file is
    /// taken away by the driver, so neither leaves a trace.
    fn tear(&mut self, write: &Write, keep: usize) {
        if let Write::Document(document, DocumentWrite::Append(bytes)) = write {
            let file = self.documents.entry(*document).or_default();
            repair(file);
            file.extend_from_slice(&bytes[..keep.min(bytes.len())]);
        }
    }
}

/// Takes away a last line that has no end, as the driver does before it appends.
fn repair(file: &mut Vec<u8>) {
    let end = file.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    file.truncate(end);
}

/// A disk with its writes under way.
#[derive(Default)]
pub(crate) struct Disk {
    /// What is durable.
    pub(crate) content: Content,
    waiting: VecDeque<(WriteId, Write)>,
    /// Every write fails.
    pub(crate) full: bool,
    /// How many writes in a million fail.
    pub(crate) failing: u32,
}

impl Disk {
    /// Takes a write; [`Disk::settle`] has to be called once for it.
    pub(crate) fn take(&mut self, id: WriteId, write: Write) {
        self.waiting.push_back((id, write));
    }

    /// Ends one write: one that is the first of its file.
    pub(crate) fn settle(&mut self, rng: &mut Rng) -> Option<(WriteId, Result<(), WriteFailed>)> {
        let mut first: Vec<usize> = Vec::new();
        for (at, (_, write)) in self.waiting.iter().enumerate() {
            if !self.waiting.iter().take(at).any(|(_, before)| before.file() == write.file()) {
                first.push(at);
            }
        }
        let (id, write) = self.waiting.remove(*rng.pick(&first)?)?;
        if self.full || rng.chance(self.failing) {
            let reason = if self.full { "no space left on device" } else { "input/output error" };
            return Some((id, Err(WriteFailed { reason: reason.to_owned() })));
        }
        self.content.apply(write);
        Some((id, Ok(())))
    }

    /// The power goes: of each file some writes under way happened, the next may be torn, the others are lost.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let mut over: Vec<Write> = Vec::new();
        for (_, write) in core::mem::take(&mut self.waiting) {
            if over.iter().any(|before| before.file() == write.file()) {
                continue;
            }
            match rng.below(3) {
                0 => {
                    self.content.apply(write);
                    continue;
                }
                1 => self.content.tear(&write, rng.index(200)),
                _ => {}
            }
            over.push(write);
        }
    }
}
