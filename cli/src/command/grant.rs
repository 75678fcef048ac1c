//! `grant`, `grants`, `revoke`: who may use which of my sessions.

use wopr_p2p_core::access::{SessionName, SessionSet};
use wopr_p2p_core::grant::Grant;
use wopr_p2p_core::invite::InviteSummary;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, Reply};

use super::failure::{About, done, unexpected};
use super::{Names, invite, names, peers};
use crate::args::{self, GrantCommand, GrantGive};
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{Cell, DIM, Json, Object, Output, Shown, Table, View, WARN, relative};

/// `grant …` in both of its meanings.
pub(super) async fn grant(node: &Node, typed: args::Grant, out: Output) -> Result<Shown, Failure> {
    match typed {
        args::Grant { command: Some(GrantCommand::Revoke { grant }), .. } => {
            let known = node.snapshot().await?.grants.into_iter().map(|grant| grant.id);
            let command = Command::RevokeGrant { grant: names::whole(grant, known)? };
            out.render(&revoke(node, command).await?)
        }
        args::Grant { give: Some(give), .. } => out.render(&give_access(node, give).await?),
        args::Grant { .. } => {
            Err(Failure::invalid("a peer and its sessions are missing", "see `wopr p2p grant --help`"))
        }
    }
}

/// `grants`.
pub(super) async fn list(node: &Node, peer: Option<&PeerRef>) -> Result<List, Failure> {
    let snapshot = node.snapshot().await?;
    let only = peer.map(|peer| peers::resolve(&snapshot, peer)).transpose()?.map(|peer| peer.key);
    Ok(List { snapshot, only })
}

/// `revoke PEER [--session S]`.
pub(super) async fn revoke_peer(node: &Node, peer: PeerRef, session: Option<SessionName>) -> Result<Revoked, Failure> {
    revoke(node, Command::RevokePeer { peer, session }).await
}

async fn give_access(node: &Node, give: GrantGive) -> Result<Granted, Failure> {
    let GrantGive { peer, sessions, trust, capabilities, expire } = give;
    let sessions =
        SessionSet::new(sessions).map_err(|error| Failure::invalid(error.to_string(), "correct the sessions"))?;
    let command = Command::Grant { peer, sessions, capabilities, trust, expires_in: expire };
    let (Reply::Granted(grant), names) = done(node, command, About::Nothing).await? else { return Err(unexpected()) };
    Ok(Granted { grant, names })
}

async fn revoke(node: &Node, command: Command) -> Result<Revoked, Failure> {
    let (Reply::Revoked { grants, narrowed, invites }, names) = done(node, command, About::Nothing).await? else {
        return Err(unexpected());
    };
    Ok(Revoked { grants, narrowed, invites, names })
}

/// The grants in force, of everybody or of one peer.
pub(super) struct List {
    snapshot: Snapshot,
    only: Option<PublicKey>,
}

impl View for List {
    fn json(&self) -> Object {
        Object::default().with("grants", json_list(&self.snapshot, self.only))
    }

    fn text(&self) -> String {
        table(of(&self.snapshot, self.only), &Names::of(&self.snapshot))
    }
}

/// A new grant.
pub(super) struct Granted {
    grant: Grant,
    names: Names,
}

impl View for Granted {
    fn json(&self) -> Object {
        Object::default().with("grant", json(&self.grant, &self.names))
    }

    fn text(&self) -> String {
        table([&self.grant], &self.names)
    }
}

/// What was taken away.
pub(super) struct Revoked {
    grants: Vec<Grant>,
    narrowed: Vec<Grant>,
    invites: Vec<InviteSummary>,
    names: Names,
}

impl View for Revoked {
    fn json(&self) -> Object {
        let grants = |grants: &[Grant]| grants.iter().map(|grant| json(grant, &self.names)).collect::<Json>();
        Object::default()
            .with("revoked", grants(&self.grants))
            .with("narrowed", grants(&self.narrowed))
            .with("invites", self.invites.iter().map(|one| invite::json(one, &self.names)).collect::<Json>())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (what, grants) in [("Ended:", &self.grants), ("Go on with fewer sessions:", &self.narrowed)] {
            if !grants.is_empty() {
                text += &format!("{what}\n{}", table(grants, &self.names));
            }
        }
        if !self.invites.is_empty() {
            text += &format!("Can no longer be claimed:\n{}", invite::table(&self.invites, &self.names));
        }
        if text.is_empty() { "There was nothing to take back.\n".to_owned() } else { text }
    }
}

fn of(snapshot: &Snapshot, only: Option<PublicKey>) -> impl Iterator<Item = &Grant> {
    let now = Node::now();
    snapshot.grants.iter().filter(move |grant| grant.in_force(now) && only.is_none_or(|key| grant.peer == key))
}

/// Grants as JSON.
pub(super) fn json_list(snapshot: &Snapshot, only: Option<PublicKey>) -> Json {
    let names = Names::of(snapshot);
    of(snapshot, only).map(|grant| json(grant, &names)).collect()
}

/// A grant as JSON.
pub(super) fn json(grant: &Grant, names: &Names) -> Object {
    Object::default()
        .shown("id", grant.id)
        .with("peer", names.json(&grant.peer))
        .with("sessions", grant.sessions.names().into_iter().collect::<Json>())
        .with("except", grant.except.iter().map(SessionName::as_str).collect::<Json>())
        .with("capabilities", grant.capabilities.iter().map(ToString::to_string).collect::<Json>())
        .shown("trust", grant.trust)
        .time(["created", "createdIso"], grant.created)
        .time(["expires", "expiresIso"], grant.expires)
        .with("invite", grant.invite.map(|nonce| nonce.to_string()))
}

/// Grants as a table.
pub(super) fn table<'a>(grants: impl IntoIterator<Item = &'a Grant>, names: &Names) -> String {
    let now = Node::now();
    let mut table = Table::new(
        ["GRANT", "PEER", "SESSIONS", "CAPABILITIES", "TRUST", "EXPIRES"],
        "No grants: nobody may use a session of this node.",
    );
    for grant in grants {
        let mut sessions = grant.sessions.names().join(", ");
        if !grant.except.is_empty() {
            let except: Vec<_> = grant.except.iter().map(SessionName::as_str).collect();
            sessions += &format!(" except {}", except.join(", "));
        }
        let capabilities: Vec<_> = grant.capabilities.iter().map(ToString::to_string).collect();
        let expires = match grant.expires {
            Some(at) => Cell::styled(relative(at, now), WARN),
            None => Cell::styled("never", DIM),
        };
        table.row([
            names::short(&grant.id).into(),
            names.label(&grant.peer).into(),
            sessions.into(),
            capabilities.join(", ").into(),
            grant.trust.as_str().into(),
            expires,
        ]);
    }
    table.render()
}
