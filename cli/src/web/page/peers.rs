//! Whom the node knows: how each is connected, what it may do here, what it opened to us, and what it has used up.

use axum::extract::Query;
use maud::{Markup, html};
use serde::Deserialize;
use wopr_p2p_core::peer::Peer;
use wopr_p2p_core::rate::Standing;

use super::activity::usage;
use super::overview::how;
use super::parts::{Button, capabilities, empty, key, sessions, time, who};
use super::{Unavailable, View};
use crate::web::entry::Visitor;

/// Peers on one page.
const MAX: usize = 100;

#[derive(Deserialize)]
pub(crate) struct Find {
    #[serde(default)]
    find: String,
}

pub(crate) async fn peers(visitor: Visitor, Query(Find { find }): Query<Find>) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "peers").await?;
    let wanted = find.trim().to_lowercase();
    let fits = |peer: &&Peer| {
        let texts = [peer.name.clone().unwrap_or_default(), peer.key.to_string(), peer.key.short_id()];
        texts.iter().any(|text| text.to_lowercase().contains(&wanted))
    };
    let all: Vec<&Peer> = view.snapshot.peers.iter().filter(fits).collect();
    let mut shown = Vec::new();
    for peer in all.iter().take(MAX) {
        shown.push((*peer, view.visitor.shared.node.standing(peer.key).await?));
    }
    Ok(view.page(&html! {
        h1 { "Peers" }
        form.find role="search" method="get" {
            label for="find" { "Find by name, short id or key" }
            div.row { input #find type="search" name="find" value=(find) maxlength="100"; button { "Find" } }
        }
        div #peers data-part {
            @if all.is_empty() {
                @if wanted.is_empty() {
                    (empty("No peers yet.", html! {
                        a href="access#invite-title" { "Create an invite" } " for a peer's key, "
                        a href="access#grant-title" { "give it access" } ", or "
                        a href="access#claim-title" { "claim its invite" } "."
                    }))
                } @else { (empty("Nobody is known by that.", "Leave the field empty to see every peer.")) }
            }
            @for (peer, used) in &shown { (card(&view, peer, used)) }
            @if all.len() > MAX { p.dim { (all.len() - MAX) " more are not shown: find them by name." } }
        }
    }))
}

fn card(view: &View, peer: &Peer, used: &[Standing]) -> Markup {
    let id = peer.key.short_id();
    let snapshot = &view.snapshot;
    let streams: Vec<_> = snapshot.streams.iter().filter(|stream| stream.peer == peer.key).collect();
    let grants: Vec<_> =
        snapshot.grants.iter().filter(|grant| grant.peer == peer.key && grant.in_force(view.now)).collect();
    let invited = snapshot.invites.iter().any(|invite| invite.subject == peer.key && invite.is_claimable(view.now));
    let whole = peer.key.to_string();
    let label = format!("of {}", view.names.label(&peer.key));
    html! {
        article.card.peer {
            div.says {
                h2 { (who(&view.names, &peer.key)) }
                p {
                    @if let Some(at) = peer.revoked {
                        span.state.bad { "revoked" } " " span.dim { (time(at, view.now)) } " "
                    }
                    @if !streams.is_empty() { (how(&streams)) }
                    @else if let Some(at) = peer.last_seen { span.dim { "last seen " (time(at, view.now)) } }
                    @else { span.dim { "never seen" } }
                }
                dl {
                    dt { "May use here" }
                    dd {
                        @if grants.is_empty() { span.dim { "nothing" } }
                        @for grant in &grants {
                            p { (sessions(&grant.sessions)) (capabilities(&grant.capabilities)) span.dim { (grant.trust.as_str()) } }
                        }
                    }
                    dt { "Opened to us" }
                    dd {
                        @if let Some(opened) = &peer.opened { (sessions(&opened.sessions)) (capabilities(&opened.capabilities)) }
                        @else { span.dim { "nothing that we know of" } }
                    }
                    @if !used.is_empty() { dt { "Limits" } dd { (usage(used)) } }
                }
            }
            @if invited || !grants.is_empty() { div.decide {
                (view.button(&Button {
                    action: "revoke", fields: &[("peer", &whole)], text: "Revoke all access", label: &label, class: "danger",
                }))
            } }
            details id={ "more-" (id) } {
                summary { "Key, name and history" }
                dl {
                    dt { "Public key" } dd { (key(&peer.key)) }
                    dt { "Known since" } dd { (time(peer.added, view.now)) }
                    @for past in &peer.history {
                        dt { "Former key" }
                        dd { code title=(past.key) { (past.key.short_id()) } " until " (time(past.valid_until, view.now)) ", " (past.reason.as_str()) }
                    }
                }
                (view.form("name", &html! {
                    input type="hidden" name="peer" value=(whole);
                    label for={ "name-" (id) } { "Your name for it" }
                    div.row {
                        input id={ "name-" (id) } name="name" required maxlength="64" value=[peer.name.as_deref()];
                        button { "Rename" }
                    }
                }))
            }
        }
    }
}
