//! `log` (alias `send`) and `inject`: texts for a peer's session.

use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Command, Reply};

use super::failure::{About, done, unexpected};
use super::{Names, peers};
use crate::args::{Addressed, Inject, Log};
use crate::exit::Failure;
use crate::node::Node;
use crate::output::printable::printable;
use crate::output::{Cell, GOOD, Object, View, WARN, relative};

/// `log`.
pub(super) async fn log(node: &Node, typed: Log, stdin: Option<String>) -> Result<Logged, Failure> {
    let queue = typed.queue || node.is_daemon() && !typed.no_queue;
    let Log { to, timeout, expire, .. } = typed;
    let about = About::Session(to.session.clone());
    let text = text(&to, stdin)?;
    let Addressed { peer, session, .. } = to;
    let (who, of) = (peer.to_string(), session.to_string());
    let command = if queue {
        Command::Queue { peer, session, text, timeout, expires_in: expire }
    } else {
        Command::Log { peer, session, text, timeout }
    };
    match done(node, command, about).await? {
        (Reply::Logged, _) => Ok(Logged { peer: who, session: of, queued: None }),
        (Reply::Queued { id, expires }, _) => {
            Ok(Logged { peer: who, session: of, queued: Some(Waits { id, expires, daemon: node.is_daemon() }) })
        }
        _ => Err(unexpected()),
    }
}

/// `inject`.
pub(super) async fn inject(node: &Node, typed: Inject, stdin: Option<String>) -> Result<Answer, Failure> {
    let Inject { to, timeout, chain } = typed;
    let about = About::Session(to.session.clone());
    let text = text(&to, stdin)?;
    let Addressed { peer, session, .. } = to;
    let (who, of) = (peer.to_string(), session.to_string());
    let asked = peer.clone();
    let mut command = Command::Inject { peer, session, text, timeout };
    if let Some(chain) = chain {
        command = Command::InChain { chain, command: Box::new(command) };
    }
    match done(node, command, about).await? {
        (Reply::Answer(answer), names) => {
            let snapshot = node.snapshot().await?;
            let from = peers::resolve(&snapshot, &asked).ok().map(|peer| writer(&peer.key, &snapshot, &names));
            Ok(Answer { peer: who, session: of, answer, from })
        }
        _ => Err(unexpected()),
    }
}

/// Whose text something is, and how far its writer is trusted: as far as any grant says.
pub(super) fn writer(key: &PublicKey, snapshot: &Snapshot, names: &Names) -> Object {
    let grants = snapshot.grants.iter().filter(|grant| grant.peer == *key);
    let trust = grants.map(|grant| grant.trust).max().unwrap_or_default();
    names.json(key).with("trust", trust.as_str())
}

fn text(to: &Addressed, stdin: Option<String>) -> Result<String, Failure> {
    let text = if to.is_on_stdin() { stdin.unwrap_or_default() } else { to.message.clone() };
    if text.is_empty() {
        return Err(Failure::invalid(
            "the message is empty",
            "write something with --message, or to stdin with --message -",
        ));
    }
    Ok(text)
}

/// A message that is in the peer's session, or on its way there.
pub(super) struct Logged {
    pub(super) peer: String,
    pub(super) session: String,
    /// Set if it waits for the peer.
    pub(super) queued: Option<Waits>,
}

/// How a message waits.
pub(super) struct Waits {
    pub(super) id: Nonce,
    pub(super) expires: WallTime,
    /// Whether a daemon is there to deliver it.
    pub(super) daemon: bool,
}

impl View for Logged {
    fn json(&self) -> Object {
        let queued = self
            .queued
            .as_ref()
            .map(|waits| Object::default().shown("id", waits.id).time(["expires", "expiresIso"], waits.expires));
        Object::default()
            .with("logged", self.queued.is_none())
            .with("peer", self.peer.as_str())
            .with("session", self.session.as_str())
            .with("queued", queued)
    }

    fn text(&self) -> String {
        let [peer, session] = [&self.peer, &self.session].map(Cell::from);
        match &self.queued {
            None => format!("{GOOD}Logged{GOOD:#} in the session {session} of {peer}.\n"),
            Some(Waits { id, expires, .. }) => {
                let until = relative(*expires, Node::now());
                format!(
                    "{WARN}Queued{WARN:#} for the session {session} of {peer}, who cannot be reached now: it is delivered \
                     as soon as that changes, or given up {until}. Its id: {id}\n"
                )
            }
        }
    }

    fn note(&self) -> String {
        match &self.queued {
            Some(Waits { daemon: false, .. }) => {
                format!("{WARN}It is delivered while a daemon runs: `wopr daemon start` starts one.{WARN:#}")
            }
            _ => String::new(),
        }
    }
}

/// What the peer's AI said.
pub(super) struct Answer {
    pub(super) peer: String,
    pub(super) session: String,
    pub(super) answer: String,
    /// Whose it is.
    pub(super) from: Option<Object>,
}

impl View for Answer {
    fn json(&self) -> Object {
        Object::default()
            .with("answer", self.answer.as_str())
            .with("peer", self.peer.as_str())
            .with("session", self.session.as_str())
            .with("from", self.from.clone())
    }

    /// The answer alone.
    fn text(&self) -> String {
        format!("{}\n", printable(&self.answer))
    }
}
