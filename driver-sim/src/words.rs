//! What happened, in words for the record. Keys are given by the names of their owners.

use wopr_p2p_core::access::SessionSet;
use wopr_p2p_core::event::Event;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, CommandError, Reply};

use crate::host::Order;
use crate::ledger::Keys;
use crate::trace::Name;

/// A key as people read it.
fn key(keys: &Keys, key: &PublicKey) -> String {
    keys.owner(key).map_or_else(|| "?".to_owned(), |party| Name(party).to_string())
}

fn peer(keys: &Keys, peer: &PeerRef) -> String {
    match peer {
        PeerRef::Key(public) => key(keys, public),
        other => format!("{other:?}"),
    }
}

fn sessions(set: &SessionSet) -> String {
    match set {
        SessionSet::All => "all sessions".to_owned(),
        named => named.names().join(" "),
    }
}

/// What an owner orders.
pub(crate) fn command(keys: &Keys, command: &Command) -> String {
    match command {
        Command::Log { peer: to, session, text, .. } => {
            format!("log {} bytes into {} of {}", text.len(), session.as_str(), peer(keys, to))
        }
        Command::Inject { peer: to, session, .. } => format!("ask {} of {}", session.as_str(), peer(keys, to)),
        Command::Claim { .. } => "claim an invite".to_owned(),
        Command::CreateInvite { subject, sessions: open, .. } => {
            format!("invite {} to {}", key(keys, subject), sessions(open))
        }
        Command::RevokeInvite { .. } => "take an invite back".to_owned(),
        Command::Grant { peer: to, sessions: open, .. } => format!("let {} into {}", peer(keys, to), sessions(open)),
        Command::RevokeGrant { .. } => "take a grant back".to_owned(),
        Command::RevokePeer { peer: whom, session: None } => format!("take everything back from {}", peer(keys, whom)),
        Command::RevokePeer { peer: whom, session: Some(session) } => {
            format!("take {} back from {}", session.as_str(), peer(keys, whom))
        }
        Command::RotateKeys { .. } => "make new keys".to_owned(),
        other => format!("{other:?}").chars().take(80).collect(),
    }
}

/// What an owner is told of an order.
pub(crate) fn told(order: &Order, result: &Result<Reply, CommandError>) -> String {
    let what = match order {
        Order::Log { to, .. } => format!("the text for {}", Name(*to)),
        Order::Queue { to, .. } => format!("the text that may wait for {}", Name(*to)),
        Order::Inject { to, .. } => format!("the question for {}", Name(*to)),
        Order::Grant => "the grant".to_owned(),
        Order::Revoke => "the revocation".to_owned(),
        Order::Invite { to, .. } => format!("the invite for {}", Name(*to)),
        Order::Claim { .. } => "the claim".to_owned(),
        Order::Rotate => "the new keys".to_owned(),
    };
    match result {
        Ok(_) => format!("{what}: done"),
        Err(error) => format!("{what}: failed, {error}"),
    }
}

/// What a node tells its owner by itself: the event's name first.
pub(crate) fn event(keys: &Keys, event: &Event) -> String {
    let what = match event {
        Event::PeerConnected { peer, version, dialled } => {
            format!("{}, version {version}, {}", key(keys, peer), if *dialled { "dialled" } else { "came" })
        }
        Event::PeerRejected { reason, .. } => reason.as_str().to_owned(),
        Event::MessageRejected { peer, reason, .. } => format!("{}, of {}", reason.as_str(), key(keys, peer)),
        Event::MessageDelivered { peer, session } => format!("{} of {}", session.as_str(), key(keys, peer)),
        Event::GrantCreated { peer, sessions: open, .. } => format!("{} into {}", key(keys, peer), sessions(open)),
        Event::GrantRevoked { peer, .. } => key(keys, peer),
        Event::KeyRotated { new, .. } => format!("{} has a new key", key(keys, new)),
        Event::OwnKeyRotated { .. } => "new keys of its own".to_owned(),
        Event::RotationTold { peer } => format!("{} knows the new key", key(keys, peer)),
        other => format!("{other:?}").chars().take(120).collect(),
    };
    format!("{} {what}", event.name())
}
