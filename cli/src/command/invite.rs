//! `invite …`: tokens that let one peer in.

use std::time::Duration;

use wopr_p2p_core::access::{Capability, SessionSet};
use wopr_p2p_core::invite::{InviteState, InviteSummary, InviteToken};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::peer::Peer;
use wopr_p2p_core::{Command, CommandError, Reply};

use super::failure::{About, done, explain, unexpected};
use super::{Names, names};
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{BOLD, Cell, DIM, Fields, GOOD, Json, Object, Table, View, WARN, relative};

/// `invite create`.
pub(super) async fn create(
    node: &Node,
    subject: PublicKey,
    sessions: SessionSet,
    expires_in: Duration,
    capabilities: Vec<Capability>,
) -> Result<Created, Failure> {
    let command = Command::CreateInvite { subject, sessions, capabilities, expires_in };
    let (Reply::InviteCreated { token, invite }, names) = done(node, command, About::Nothing).await? else {
        return Err(unexpected());
    };
    Ok(Created { token, invite, names })
}

/// `invite inspect`.
pub(super) async fn inspect(node: &Node, token: &str) -> Result<Inspected, Failure> {
    let snapshot = node.snapshot().await?;
    match InviteToken::parse(token.trim()) {
        Ok(token) => Ok(Inspected { token, snapshot }),
        Err(error) => Err(explain(&CommandError::BadInvite(error), &About::Nothing, &Names::of(&snapshot))),
    }
}

/// `invite claim`.
pub(super) async fn claim(node: &Node, token: String, timeout: Duration) -> Result<Claimed, Failure> {
    let command = Command::Claim { token: token.trim().to_owned(), timeout };
    let (Reply::Claimed { peer, sessions, capabilities }, _) = done(node, command, About::Claim).await? else {
        return Err(unexpected());
    };
    Ok(Claimed { peer, sessions, capabilities })
}

/// `invite list`.
pub(super) async fn list(node: &Node) -> Result<List, Failure> {
    Ok(List(node.snapshot().await?))
}

/// `invite revoke`.
pub(super) async fn revoke(node: &Node, invite: String) -> Result<Revoked, Failure> {
    let known = node.snapshot().await?.invites.into_iter().map(|invite| invite.nonce);
    let command = Command::RevokeInvite { invite: names::whole(invite.trim().to_owned(), known)? };
    let (Reply::InviteRevoked(invite), names) = done(node, command, About::Nothing).await? else {
        return Err(unexpected());
    };
    Ok(Revoked { invite, names })
}

/// A new token.
pub(super) struct Created {
    token: String,
    invite: InviteSummary,
    names: Names,
}

impl View for Created {
    fn json(&self) -> Object {
        Object::default().with("token", self.token.as_str()).with("invite", json(&self.invite, &self.names))
    }

    /// The token alone, so that it can be piped.
    fn text(&self) -> String {
        format!("{}\n", self.token)
    }

    fn note(&self) -> String {
        let InviteSummary { subject, sessions, expires, .. } = &self.invite;
        let (who, sessions) = (self.names.label(subject), sessions.names().join(", "));
        let until = relative(*expires, Node::now());
        format!("{DIM}{} can claim it once for {}; it expires {until}.{DIM:#}", Cell::from(who), Cell::from(sessions))
    }
}

/// What a token says.
pub(super) struct Inspected {
    token: InviteToken,
    snapshot: Snapshot,
}

impl Inspected {
    fn is_for_us(&self) -> bool {
        let former = self.snapshot.grace.iter().map(|key| key.public_key);
        former.chain([self.snapshot.public_key]).any(|key| key == self.token.subject)
    }

    /// Why this node could not claim it, as far as can be told without asking the issuer.
    fn obstacle(&self) -> Option<&'static str> {
        if self.token.is_expired(Node::now()) {
            Some("it has expired: ask the issuer for a new one")
        } else if !self.is_for_us() {
            Some("it is for another key: send the issuer yours (`wopr p2p identity --export`)")
        } else {
            None
        }
    }
}

impl View for Inspected {
    fn json(&self) -> Object {
        let InviteToken { issuer, subject, sessions, capabilities, expires, nonce } = &self.token;
        let names = Names::of(&self.snapshot);
        Object::default()
            .with("issuer", names.json(issuer))
            .with("subject", names.json(subject))
            .with("sessions", sessions.names().into_iter().collect::<Json>())
            .with("capabilities", capabilities.iter().map(ToString::to_string).collect::<Json>())
            .time(["expires", "expiresIso"], *expires)
            .shown("nonce", nonce)
            .with("expired", self.token.is_expired(Node::now()))
            .with("forThisNode", self.is_for_us())
            .with("claimable", self.obstacle().is_none())
    }

    fn text(&self) -> String {
        let InviteToken { issuer, subject, sessions, capabilities, expires, nonce } = &self.token;
        let names = Names::of(&self.snapshot);
        let capabilities: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
        let verdict = match self.obstacle() {
            None => Cell::styled("yes, if nobody has claimed or revoked it: `wopr p2p invite claim`", GOOD),
            Some(why) => Cell::styled(format!("no, {why}"), WARN),
        };
        let named = |key: &PublicKey| match names.name(key) {
            Some(name) => format!("{key} ({name})"),
            None => key.to_string(),
        };
        Fields::default()
            .field("issuer", named(issuer))
            .field("subject", named(subject))
            .field("sessions", sessions.names().join(", "))
            .field("capabilities", capabilities.join(", "))
            .field("expires", relative(*expires, Node::now()))
            .field("nonce", nonce.to_string())
            .field("claimable", verdict)
            .render(0)
    }
}

/// What a claimed token opened.
pub(super) struct Claimed {
    peer: Peer,
    sessions: SessionSet,
    capabilities: Vec<Capability>,
}

impl View for Claimed {
    fn json(&self) -> Object {
        Object::default()
            .with("peer", super::peers::json(&self.peer))
            .with("sessions", self.sessions.names().into_iter().collect::<Json>())
            .with("capabilities", self.capabilities.iter().map(ToString::to_string).collect::<Json>())
    }

    fn text(&self) -> String {
        let id = self.peer.key.short_id();
        let who = self.peer.name.as_ref().map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
        let sessions = match &self.sessions {
            SessionSet::All => "all of its sessions".to_owned(),
            SessionSet::Named(_) => format!("its sessions {}", self.sessions.names().join(", ")),
        };
        let capabilities: Vec<_> = self.capabilities.iter().map(ToString::to_string).collect();
        let (who, sessions) = (Cell::from(who), Cell::from(sessions));
        format!(
            "{GOOD}Connected.{GOOD:#} {BOLD}{who}{BOLD:#} opened {sessions} to you ({}).\n",
            capabilities.join(", ")
        )
    }

    fn note(&self) -> String {
        match self.peer.name {
            Some(_) => String::new(),
            None => format!("{DIM}Give it a name: wopr p2p name {} NAME{DIM:#}", self.peer.key.short_id()),
        }
    }
}

/// The invites that this node issued.
pub(super) struct List(Snapshot);

impl View for List {
    fn json(&self) -> Object {
        let names = Names::of(&self.0);
        Object::default().with("invites", self.0.invites.iter().map(|one| json(one, &names)).collect::<Json>())
    }

    fn text(&self) -> String {
        table(&self.0.invites, &Names::of(&self.0))
    }
}

/// An invite that was taken back.
pub(super) struct Revoked {
    invite: InviteSummary,
    names: Names,
}

impl View for Revoked {
    fn json(&self) -> Object {
        Object::default().with("invite", json(&self.invite, &self.names))
    }

    fn text(&self) -> String {
        table([&self.invite], &self.names)
    }
}

/// An invite as JSON.
pub(super) fn json(invite: &InviteSummary, names: &Names) -> Object {
    let since = match invite.state {
        InviteState::Open => None,
        InviteState::Claimed { at } | InviteState::Revoked { at } => Some(at),
    };
    Object::default()
        .shown("nonce", invite.nonce)
        .with("subject", names.json(&invite.subject))
        .with("sessions", invite.sessions.names().into_iter().collect::<Json>())
        .with("capabilities", invite.capabilities.iter().map(ToString::to_string).collect::<Json>())
        .time(["created", "createdIso"], invite.created)
        .time(["expires", "expiresIso"], invite.expires)
        .with("state", state(invite))
        .time(["stateSince", "stateSinceIso"], since)
}

/// Invites for people.
pub(super) fn table<'a>(invites: impl IntoIterator<Item = &'a InviteSummary>, names: &Names) -> String {
    let now = Node::now();
    let mut table = Table::new(["NONCE", "FOR", "SESSIONS", "CAPABILITIES", "STATE", "EXPIRES"], "No invites.");
    for invite in invites {
        let style = if invite.is_claimable(now) { GOOD } else { DIM };
        let capabilities: Vec<_> = invite.capabilities.iter().map(ToString::to_string).collect();
        table.row([
            names::short(&invite.nonce).into(),
            names.label(&invite.subject).into(),
            invite.sessions.names().join(", ").into(),
            capabilities.join(", ").into(),
            Cell::styled(state(invite), style),
            relative(invite.expires, now).into(),
        ]);
    }
    table.render()
}

fn state(invite: &InviteSummary) -> &'static str {
    match invite.state {
        InviteState::Open if invite.is_claimable(Node::now()) => "open",
        InviteState::Open => "expired",
        InviteState::Claimed { .. } => "claimed",
        InviteState::Revoked { .. } => "revoked",
    }
}
