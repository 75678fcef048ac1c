//! What happened, as a line for people and as a JSON object with a stable shape.

use wopr_p2p_core::Event;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::utc;

use crate::command::Names;
use crate::output::{BOLD, Cell, DIM, Json, Object, WARN};

/// One event, both ways; the text ends in `\n`.
pub(super) fn show(event: &Event, names: &Names, at: WallTime) -> (Object, String) {
    let json = Object::default().with("event", event.name()).time(["ts", "iso"], at);
    let style = if event.name().ends_with("rejected") || event.name().ends_with("conflict") { WARN } else { BOLD };
    let details = details(event, names);
    let mut text = format!("{DIM}{}{DIM:#} {style}{}{style:#}", utc::iso(at), event.name());
    let json = details.into_iter().fold(json, |json, (name, detail)| {
        let said = match &detail {
            Detail::Peer(key) => names.label(key),
            Detail::Text(value) => value.clone(),
            Detail::Number(value) => value.to_string(),
        };
        text += &format!(" {DIM}{name}:{DIM:#} {}", Cell::from(said));
        json.with(name, detail.json(names))
    });
    text.push('\n');
    (json, text)
}

enum Detail {
    Peer(PublicKey),
    Text(String),
    Number(u64),
}

impl Detail {
    fn json(self, names: &Names) -> Json {
        match self {
            Self::Peer(key) => names.json(&key).into(),
            Self::Text(text) => text.into(),
            Self::Number(number) => number.into(),
        }
    }
}

fn details(event: &Event, _names: &Names) -> Vec<(&'static str, Detail)> {
    use Detail::{Number, Peer, Text};
    let text = |text: &dyn ToString| Text(text.to_string());
    match event {
        Event::PeerConnected { peer, version, dialled } => {
            let by = if *dialled { "us" } else { "them" };
            vec![("peer", Peer(*peer)), ("version", Number((*version).into())), ("dialledBy", text(&by))]
        }
        Event::PeerRejected { remote, reason } => {
            let remote: String = remote.0.iter().map(|byte| format!("{byte:02x}")).collect();
            vec![("transport", Text(remote)), ("reason", text(&reason.as_str()))]
        }
        Event::MessageRejected { peer, session, reason } => {
            let session = session.as_ref().map(|session| ("session", text(session)));
            [("peer", Peer(*peer))].into_iter().chain(session).chain([("reason", text(&reason.as_str()))]).collect()
        }
        Event::MessageDelivered { peer, session } | Event::QuestionAnswered { peer, session } => {
            vec![("peer", Peer(*peer)), ("session", text(session))]
        }
        Event::GrantCreated { peer, grant, sessions } => {
            vec![("peer", Peer(*peer)), ("grant", text(grant)), ("sessions", Text(sessions.names().join(", ")))]
        }
        Event::GrantRevoked { peer, grant } => vec![("peer", Peer(*peer)), ("grant", text(grant))],
        Event::KeyRotated { old, new, reason, grace_until } => vec![
            ("peer", Peer(*new)),
            ("oldKey", text(old)),
            ("rotationReason", text(reason)),
            ("graceUntil", Number(grace_until.as_millis())),
        ],
        Event::RotationConflict { old, known, refused } => {
            vec![("peer", Peer(*known)), ("oldKey", text(old)), ("refusedKey", text(refused))]
        }
        Event::OwnKeyRotated { old, new } => vec![("newKey", text(new)), ("oldKey", text(old))],
        Event::RotationTold { peer } => vec![("peer", Peer(*peer))],
        Event::PeerDiscovered { peer, proven, topic } => {
            vec![("peer", Peer(*peer)), ("proven", text(proven)), ("topic", text(topic))]
        }
        Event::ConnectRequested { peer, proven, request } => {
            vec![("peer", Peer(*peer)), ("proven", text(proven)), ("request", text(request))]
        }
        Event::ConnectAnswered { peer, accepted } => vec![("peer", Peer(*peer)), ("accepted", text(accepted))],
        Event::MessageHeld { peer, session, request } => {
            vec![("peer", Peer(*peer)), ("session", text(session)), ("request", text(request))]
        }
        Event::StoreFailed { what, reason } => vec![("what", text(what)), ("reason", text(reason))],
    }
}
