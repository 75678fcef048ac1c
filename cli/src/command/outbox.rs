//! `outbox`: the messages that wait until their peers can be reached.

use wopr_p2p_core::node::Waiting;
use wopr_p2p_core::{Command, Reply};

use super::failure::{About, done, unexpected};
use super::{Names, names};
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{Cell, DIM, GOOD, Json, Object, Table, View, WARN, relative};

/// `outbox list`.
pub(super) async fn list(node: &Node) -> Result<List, Failure> {
    let snapshot = node.snapshot().await?;
    Ok(List { names: Names::of(&snapshot), waiting: snapshot.outbox })
}

/// `outbox cancel ID`.
pub(super) async fn cancel(node: &Node, id: String) -> Result<Cancelled, Failure> {
    let waiting = node.snapshot().await?.outbox.into_iter().map(|waiting| waiting.id);
    let id = names::whole(id.trim().to_owned(), waiting)?;
    match done(node, Command::Unqueue { id }, About::Nothing).await? {
        (Reply::Unqueued(waiting), names) => Ok(Cancelled { waiting, names }),
        _ => Err(unexpected()),
    }
}

/// The messages that wait.
pub(super) struct List {
    waiting: Vec<Waiting>,
    names: Names,
}

impl View for List {
    fn json(&self) -> Object {
        let waiting = self.waiting.iter().map(|waiting| json(waiting, &self.names)).collect::<Json>();
        Object::default().with("outbox", waiting)
    }

    fn text(&self) -> String {
        let now = Node::now();
        let mut table = Table::new(["ID", "PEER", "SESSION", "BYTES", "QUEUED", "GIVEN UP", "STATE"], "Nothing waits.");
        for waiting in &self.waiting {
            let state = match (&waiting.failure, waiting.sent) {
                (_, true) => Cell::styled("sent, not acknowledged yet", WARN),
                (Some(failure), false) => Cell::from(failure.as_str()),
                (None, false) => Cell::styled("waiting", DIM),
            };
            table.row([
                names::short(&waiting.id).into(),
                self.names.label(&waiting.peer).into(),
                waiting.session.to_string().into(),
                waiting.size.to_string().into(),
                relative(waiting.queued, now).into(),
                relative(waiting.expires, now).into(),
                state,
            ]);
        }
        table.render()
    }
}

/// A message that no longer waits.
pub(super) struct Cancelled {
    waiting: Waiting,
    names: Names,
}

impl View for Cancelled {
    fn json(&self) -> Object {
        Object::default().with("cancelled", json(&self.waiting, &self.names))
    }

    fn text(&self) -> String {
        let peer = Cell::from(self.names.label(&self.waiting.peer));
        format!("{GOOD}Cancelled{GOOD:#}: the message to {peer} is given up.\n")
    }

    fn note(&self) -> String {
        if self.waiting.sent {
            format!("{WARN}It was sent already, and may have been delivered.{WARN:#}")
        } else {
            String::new()
        }
    }
}

fn json(waiting: &Waiting, names: &Names) -> Object {
    Object::default()
        .shown("id", waiting.id)
        .with("peer", names.json(&waiting.peer))
        .shown("session", &waiting.session)
        .with("bytes", waiting.size)
        .time(["queued", "queuedIso"], waiting.queued)
        .time(["expires", "expiresIso"], waiting.expires)
        .with("failure", waiting.failure.as_deref())
        .with("sent", waiting.sent)
}
