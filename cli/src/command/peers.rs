//! `peers`, `name`, `find`: whom the node knows.

use std::collections::BTreeSet;

use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::peer::{Peer, PeerRef, Peers};
use wopr_p2p_core::{Command, CommandError, Reply};

use super::Names;
use super::failure::{About, done, explain, unexpected};
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{BOLD, Cell, DIM, Fields, GOOD, Json, Object, Table, View, WARN, relative};

/// `peers`.
pub(super) async fn list(node: &Node, verbose: bool) -> Result<List, Failure> {
    let snapshot = node.snapshot().await?;
    Ok(List { connected: connected(&snapshot), peers: snapshot.peers, verbose })
}

/// `find TEXT`.
pub(super) async fn find(node: &Node, text: &str) -> Result<List, Failure> {
    let wanted = text.to_lowercase();
    let has = |part: &str| part.to_lowercase().contains(&wanted);
    let fits = |peer: &Peer| {
        peer.name.as_deref().is_some_and(has)
            || peer
                .history
                .iter()
                .map(|past| past.key)
                .chain([peer.key])
                .any(|key| has(&key.to_string()) || has(&key.short_id()))
    };
    let snapshot = node.snapshot().await?;
    let connected = connected(&snapshot);
    let mut peers = snapshot.peers;
    peers.retain(fits);
    if peers.is_empty() {
        let next = "`wopr p2p peers` lists every known peer";
        return Err(Failure::invalid(format!("no known peer has \"{text}\" in its name, short id or key"), next));
    }
    Ok(List { peers, connected, verbose: false })
}

fn connected(snapshot: &Snapshot) -> BTreeSet<PublicKey> {
    snapshot.streams.iter().map(|stream| stream.peer).collect()
}

/// `name PEER NAME`.
pub(super) async fn name(node: &Node, peer: PeerRef, name: String) -> Result<Named, Failure> {
    match done(node, Command::NamePeer { peer, name }, About::Nothing).await? {
        (Reply::Named(peer), _) => Ok(Named(peer)),
        _ => Err(unexpected()),
    }
}

/// The peer that is meant.
///
/// # Errors
/// Nobody or several are known by it.
pub(super) fn resolve(snapshot: &Snapshot, who: &PeerRef) -> Result<Peer, Failure> {
    let failure = |error| explain(&error, &About::Nothing, &Names::of(snapshot));
    let peers = Peers::load(snapshot.peers.len(), snapshot.peers.iter().cloned())
        .map_err(|error| failure(CommandError::NotStored(error.to_string())))?;
    peers.resolve(who).cloned().map_err(|error| failure(CommandError::Unresolved(error)))
}

/// Several peers.
pub(super) struct List {
    peers: Vec<Peer>,
    connected: BTreeSet<PublicKey>,
    verbose: bool,
}

impl View for List {
    fn json(&self) -> Object {
        Object::default().with("peers", self.peers.iter().map(json).collect::<Json>())
    }

    fn text(&self) -> String {
        if self.verbose && !self.peers.is_empty() {
            return self.peers.iter().map(|peer| detail(peer, 2)).collect::<Vec<_>>().join("\n");
        }
        let now = Node::now();
        let mut table = Table::new(
            ["NAME", "SHORT ID", "LAST SEEN", "OPENED TO ME"],
            "No peers yet. `wopr p2p invite create` or `wopr p2p grant` adds one.",
        );
        for peer in &self.peers {
            let seen = match (peer.revoked, peer.last_seen) {
                (Some(at), _) => Cell::styled(format!("revoked {}", relative(at, now)), WARN),
                (None, _) if self.connected.contains(&peer.key) => Cell::styled("connected", GOOD),
                (None, Some(at)) => relative(at, now).into(),
                (None, None) => Cell::styled("never", DIM),
            };
            let opened = peer.opened.as_ref().map(|opened| opened.sessions.names().join(", "));
            let opened = opened.map_or_else(|| Cell::styled("-", DIM), Cell::from);
            let name = peer.name.as_deref().map_or_else(|| Cell::styled("-", DIM), Cell::from);
            table.row([name, peer.key.short_id().into(), seen, opened]);
        }
        table.render()
    }
}

/// A peer with its new name.
pub(super) struct Named(Peer);

impl View for Named {
    fn json(&self) -> Object {
        json(&self.0)
    }

    fn text(&self) -> String {
        let name = self.0.name.as_deref().unwrap_or_default();
        format!("{} is called {BOLD}{}{BOLD:#} now.\n", self.0.key.short_id(), Cell::from(name))
    }
}

/// A peer as JSON; the key history has the members that users know.
pub(super) fn json(peer: &Peer) -> Object {
    let past = |past: &wopr_p2p_core::peer::PastKey| {
        Object::default()
            .shown("publicKey", past.key)
            .with("encryptPub", past.encrypt_key.map(|key| key.to_string()))
            .time(["validFrom", "validFromIso"], past.valid_from)
            .time(["validUntil", "validUntilIso"], past.valid_until)
            .shown("rotationReason", past.reason)
    };
    let opened = peer.opened.as_ref().map(|opened| {
        Object::default()
            .with("sessions", opened.sessions.names().into_iter().collect::<Json>())
            .with("capabilities", opened.capabilities.iter().map(ToString::to_string).collect::<Json>())
            .time(["since", "sinceIso"], opened.since)
            .time(["expires", "expiresIso"], opened.expires)
    });
    Object::default()
        .shown("publicKey", peer.key)
        .with("shortId", peer.key.short_id())
        .with("name", peer.name.as_deref())
        .with("encryptPub", peer.encrypt_key.map(|key| key.to_string()))
        .time(["added", "addedIso"], peer.added)
        .time(["lastSeen", "lastSeenIso"], peer.last_seen)
        .time(["revoked", "revokedIso"], peer.revoked)
        .with("opened", opened)
        .shown("peerKey", peer.key)
        .with("keyHistory", peer.history.iter().map(past).collect::<Json>())
}

/// Everything about a peer, over several lines.
pub(super) fn detail(peer: &Peer, indent: usize) -> String {
    let now = Node::now();
    let mut fields = Fields::default()
        .field("publicKey", peer.key.to_string())
        .field("shortId", peer.key.short_id())
        .field("added", relative(peer.added, now))
        .field("lastSeen", peer.last_seen.map_or_else(|| "never".to_owned(), |at| relative(at, now)));
    if let Some(key) = peer.encrypt_key {
        fields = fields.field("encryptPub", key.to_string());
    }
    if let Some(at) = peer.revoked {
        fields = fields.field("revoked", Cell::styled(relative(at, now), WARN));
    }
    if let Some(opened) = &peer.opened {
        let capabilities: Vec<_> = opened.capabilities.iter().map(ToString::to_string).collect();
        fields =
            fields.field("openedToMe", format!("{} ({})", opened.sessions.names().join(", "), capabilities.join(", ")));
    }
    for past in &peer.history {
        let until = relative(past.valid_until, now);
        fields = fields.field("formerKey", format!("{}, end {until}, rotated: {}", past.key, past.reason));
    }
    let name = peer.name.as_deref().unwrap_or("(no name)");
    format!("{BOLD}{}{BOLD:#}\n{}", Cell::from(name), fields.render(indent))
}
