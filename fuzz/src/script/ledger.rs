//! What the owners of the two nodes allowed and sent, and whether what the nodes did agrees with it.

use std::collections::BTreeMap;

use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{CommandId, Config, EntryKind, Reply};

use super::chosen;
use crate::host::Host;

/// What the owner of a node lets the other one do in a session, at most.
#[derive(Clone, Copy, Default)]
struct Allowed {
    log: Option<WallTime>,
    inject: Option<WallTime>,
}

/// A text that an owner sent.
pub(super) struct Text {
    pub(super) from: usize,
    pub(super) session: &'static str,
    pub(super) question: bool,
    pub(super) command: CommandId,
}

/// The same, and how often it was found in a session of the other node.
struct Sent {
    text: Text,
    written: usize,
}

/// What is known of both nodes without asking them.
#[derive(Default)]
pub(super) struct Ledger {
    /// By node and session.
    allowed: [BTreeMap<&'static str, Allowed>; 2],
    texts: BTreeMap<String, Sent>,
    /// How many lines of each node have been looked at.
    checked: [usize; 2],
    /// Who has other keys than in the beginning.
    rotated: [bool; 2],
}

impl Ledger {
    /// A text that was not sent before.
    pub(super) fn new_text(&self) -> String {
        format!("text {}", self.texts.len())
    }

    pub(super) fn sent(&mut self, content: String, text: Text) {
        self.texts.insert(content, Sent { text, written: 0 });
    }

    pub(super) fn allow(&mut self, by: usize, sessions: u8, message_only: bool, until: WallTime) {
        for session in chosen(sessions) {
            let allowed = self.allowed[by].entry(session).or_default();
            allowed.log = allowed.log.max(Some(until));
            if !message_only {
                allowed.inject = allowed.inject.max(Some(until));
            }
        }
    }

    pub(super) fn rotated(&mut self, side: usize) {
        self.rotated[side] = true;
    }

    /// The other one may do nothing any more, or nothing in this session. What it has under a former key may be
    /// another matter, and so may be what an open invite opens again.
    pub(super) fn revoked(&mut self, by: usize, session: Option<&str>, invite_is_open: bool) {
        match session {
            _ if self.rotated[1 - by] => {}
            None => self.allowed[by].clear(),
            Some(_) if invite_is_open => {}
            Some(session) => self.allowed[by].retain(|name, _| *name != session),
        }
    }

    /// Looks at what was written into a node's sessions since the last look.
    pub(super) fn check_lines(&mut self, side: usize, host: &Host, wall: WallTime) {
        for (session, line) in &host.lines[self.checked[side]..] {
            if line.kind == EntryKind::Answer {
                continue;
            }
            let sent = self.texts.get_mut(&line.content).expect("a text that nobody sent");
            let question = line.kind == EntryKind::Question;
            let text = &sent.text;
            assert_eq!((1 - text.from, text.session, text.question), (side, session.as_str(), question));
            sent.written += 1;
            assert_eq!(sent.written, 1, "delivered twice");
            let allowed = self.allowed[side].get(session.as_str()).copied().unwrap_or_default();
            let until = if question { allowed.inject } else { allowed.log };
            assert!(until.is_some_and(|until| wall <= until), "delivered without a grant");
        }
        self.checked[side] = host.lines.len();
    }

    /// Looks at what a node's commands came to since the last look, and at its bounds.
    pub(super) fn check_node(&self, side: usize, host: &mut Host) {
        let load = host.node.load();
        assert!(load.streams <= Config::default().max_streams && load.most_of_stranger <= Config::MAX_STRANGER_LINE);
        for (id, result) in std::mem::take(&mut host.finished) {
            let Ok(Reply::Logged | Reply::Answer(_)) = result else { continue };
            let sent = self.texts.iter().find(|(_, sent)| (sent.text.from, sent.text.command) == (side, id));
            let (content, sent) = sent.expect("an acknowledged text is one that was sent");
            assert_eq!(sent.written, 1, "acknowledged and not stored");
            if let Ok(Reply::Answer(answer)) = result {
                assert_eq!(answer, format!("re: {content}"), "the answer to something else");
            }
        }
    }
}
