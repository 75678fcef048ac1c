//! `log` (alias `send`) and `inject`: texts for a peer's session.

use wopr_p2p_core::{Command, Reply};

use super::failure::{About, done, unexpected};
use crate::args::{Addressed, Inject, Log};
use crate::exit::Failure;
use crate::node::Node;
use crate::output::printable::printable;
use crate::output::{Cell, GOOD, Object, View};

/// `log`.
pub(super) async fn log(node: &Node, typed: Log, stdin: Option<String>) -> Result<Logged, Failure> {
    let Log { to, timeout } = typed;
    let about = About::Session(to.session.clone());
    let text = text(&to, stdin)?;
    let Addressed { peer, session, .. } = to;
    let logged = Logged { peer: peer.to_string(), session: session.to_string() };
    let command = Command::Log { peer, session, text, timeout };
    match done(node, command, about).await? {
        (Reply::Logged, _) => Ok(logged),
        _ => Err(unexpected()),
    }
}

/// `inject`.
pub(super) async fn inject(node: &Node, typed: Inject, stdin: Option<String>) -> Result<Answer, Failure> {
    let Inject { to, timeout } = typed;
    let about = About::Session(to.session.clone());
    let text = text(&to, stdin)?;
    let Addressed { peer, session, .. } = to;
    let (who, of) = (peer.to_string(), session.to_string());
    let command = Command::Inject { peer, session, text, timeout };
    match done(node, command, about).await? {
        (Reply::Answer(answer), _) => Ok(Answer { peer: who, session: of, answer }),
        _ => Err(unexpected()),
    }
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

/// A message that is in the peer's session.
pub(super) struct Logged {
    pub(super) peer: String,
    pub(super) session: String,
}

impl View for Logged {
    fn json(&self) -> Object {
        Object::default().with("logged", true).with("peer", self.peer.as_str()).with("session", self.session.as_str())
    }

    fn text(&self) -> String {
        let [peer, session] = [&self.peer, &self.session].map(Cell::from);
        format!("{GOOD}Logged{GOOD:#} in the session {session} of {peer}.\n")
    }
}

/// What the peer's AI said.
pub(super) struct Answer {
    pub(super) peer: String,
    pub(super) session: String,
    pub(super) answer: String,
}

impl View for Answer {
    fn json(&self) -> Object {
        let answer = Object::default().with("answer", self.answer.as_str());
        answer.with("peer", self.peer.as_str()).with("session", self.session.as_str())
    }

    /// The answer alone.
    fn text(&self) -> String {
        format!("{}\n", printable(&self.answer))
    }
}
