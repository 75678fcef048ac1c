//! An event as a line of JSON: `seq`, `ts`, `iso`, `event`, `peer`, and what else belongs to it.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};
use wopr_p2p_core::Event;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;

use super::EventLine;
use crate::utc;

/// The peer that an event is about, as it was known then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its key.
    pub key: PublicKey,
    /// The owner's name for it.
    pub name: Option<String>,
    /// Whether it is a peer at all: strangers can be as many as they like.
    pub known: bool,
}

impl Subject {
    /// The key that an event is about.
    #[must_use]
    pub const fn of(event: &Event) -> Option<PublicKey> {
        match event {
            Event::PeerConnected { peer, .. }
            | Event::MessageRejected { peer, .. }
            | Event::MessageDelivered { peer, .. }
            | Event::QuestionAnswered { peer, .. }
            | Event::MessageQueued { peer, .. }
            | Event::QueuedDelivered { peer, .. }
            | Event::QueuedFailed { peer, .. }
            | Event::GrantCreated { peer, .. }
            | Event::GrantRevoked { peer, .. }
            | Event::PeerDiscovered { peer, .. }
            | Event::ConnectRequested { peer, .. }
            | Event::ConnectAnswered { peer, .. }
            | Event::MessageHeld { peer, .. }
            | Event::RotationTold { peer }
            | Event::RotationMissed { peer, .. } => Some(*peer),
            Event::KeyRotated { new, .. } => Some(*new),
            Event::RotationConflict { known, .. } => Some(*known),
            Event::PeerRejected { .. } | Event::OwnKeyRotated { .. } | Event::StoreFailed { .. } => None,
        }
    }
}

/// A line before it has its number.
#[derive(Clone)]
pub(super) struct Line {
    at: WallTime,
    event: &'static str,
    members: Vec<(&'static str, Value)>,
}

impl Line {
    pub(super) fn of(event: &Event, at: WallTime, subject: Option<&Subject>) -> Self {
        let peer = subject.map(|subject| {
            let Subject { key, name, .. } = subject;
            ("peer", json!({ "publicKey": key, "shortId": key.short_id(), "name": name }))
        });
        let members = peer.into_iter().chain(details(event)).collect();
        Self { at, event: event.name(), members }
    }

    /// Tells how many lines could not be written.
    pub(super) fn missed(count: u64, at: WallTime) -> Self {
        Self { at, event: "p2p.events.missed", members: vec![("count", count.into())] }
    }

    /// Tells how often something happened that was not written.
    pub(super) fn repeated(mut self, count: u64) -> Self {
        self.members.push(("repeated", count.into()));
        self
    }

    pub(super) const fn at(&self) -> WallTime {
        self.at
    }

    pub(super) fn numbered(&self, seq: u64) -> EventLine {
        let json = serde_json::to_string(&Numbered { seq, line: self }).unwrap_or_default();
        EventLine { seq, at: self.at, event: self.event.to_owned(), json }
    }
}

struct Numbered<'a> {
    seq: u64,
    line: &'a Line,
}

impl Serialize for Numbered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Line { at, event, members } = self.line;
        let mut map = serializer.serialize_map(Some(4 + members.len()))?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("ts", &at.as_millis())?;
        map.serialize_entry("iso", &utc::iso(*at))?;
        map.serialize_entry("event", event)?;
        members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

/// What belongs to an event beside its peer.
fn details(event: &Event) -> Vec<(&'static str, Value)> {
    let text = |text: &dyn ToString| Value::from(text.to_string());
    match event {
        Event::PeerConnected { version, dialled, .. } => {
            vec![("version", (*version).into()), ("dialledBy", if *dialled { "us" } else { "them" }.into())]
        }
        Event::PeerRejected { remote, reason } => {
            let remote: String = remote.0.iter().map(|byte| format!("{byte:02x}")).collect();
            vec![("transport", remote.into()), ("reason", reason.as_str().into())]
        }
        Event::MessageRejected { session, reason, .. } => {
            let session = session.as_ref().map(|session| ("session", text(session)));
            session.into_iter().chain([("reason", reason.as_str().into())]).collect()
        }
        Event::MessageDelivered { session, .. } | Event::QuestionAnswered { session, .. } => {
            vec![("session", text(session))]
        }
        Event::MessageQueued { id, session, .. } | Event::QueuedDelivered { id, session, .. } => {
            vec![("session", text(session)), ("id", text(id))]
        }
        Event::QueuedFailed { id, session, reason, .. } => {
            vec![("session", text(session)), ("id", text(id)), ("reason", reason.as_str().into())]
        }
        Event::GrantCreated { grant, sessions, .. } => {
            vec![("grant", grant.as_str().into()), ("sessions", sessions.names().into())]
        }
        Event::GrantRevoked { grant, .. } => vec![("grant", grant.as_str().into())],
        Event::KeyRotated { old, reason, grace_until, .. } => vec![
            ("oldKey", text(old)),
            ("rotationReason", text(reason)),
            ("graceUntil", grace_until.as_millis().into()),
            ("graceUntilIso", utc::iso(*grace_until).into()),
        ],
        Event::RotationConflict { old, refused, .. } => vec![("oldKey", text(old)), ("refusedKey", text(refused))],
        Event::OwnKeyRotated { old, new } => vec![("newKey", text(new)), ("oldKey", text(old))],
        Event::RotationTold { .. } => Vec::new(),
        Event::RotationMissed { old, .. } => vec![("oldKey", text(old))],
        Event::PeerDiscovered { proven, topic, .. } => {
            vec![("proven", (*proven).into()), ("topic", text(topic))]
        }
        Event::ConnectRequested { proven, request, .. } => {
            vec![("proven", (*proven).into()), ("request", text(request))]
        }
        Event::ConnectAnswered { accepted, .. } => vec![("accepted", (*accepted).into())],
        Event::MessageHeld { session, request, .. } => {
            vec![("session", text(session)), ("request", text(request))]
        }
        Event::StoreFailed { what, reason } => vec![("what", what.as_str().into()), ("reason", reason.as_str().into())],
    }
}
