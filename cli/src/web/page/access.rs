//! Who may do what: grants, and the invites that become grants.

use maud::{Markup, html};
use wopr_p2p_core::access::SessionSet;
use wopr_p2p_core::grant::Grant;
use wopr_p2p_core::invite::{InviteState, InviteSummary};

use super::parts::{Button, Visible, capabilities, empty, sessions, time, who};
use super::{Unavailable, View};
use crate::web::entry::Visitor;

pub(crate) async fn access(visitor: Visitor) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "access").await?;
    let grants: Vec<&Grant> = view.snapshot.grants.iter().filter(|grant| grant.in_force(view.now)).collect();
    let (open, past): (Vec<&InviteSummary>, Vec<_>) =
        view.snapshot.invites.iter().partition(|invite| invite.is_claimable(view.now));
    Ok(view.page(&html! {
        h1 { "Access" }
        section aria-labelledby="grants-title" {
            h2 #grants-title { "Who may do what" }
            div #grants data-part {
                @if grants.is_empty() {
                    (empty("Nobody may use anything here.", "Give a peer access below, or create an invite for it."))
                }
                @for grant in grants { (granted(&view, grant)) }
            }
        }
        section aria-labelledby="invites-title" {
            h2 #invites-title { "Invites" }
            div #invites data-part {
                @if open.is_empty() { (empty("No invite is open.", "An invite is for one key, and can be claimed once.")) }
                @for invite in open { (invited(&view, invite)) }
                @if !past.is_empty() {
                    details #past-invites {
                        summary { "Claimed, revoked or expired: " (past.len()) }
                        @for invite in past { (invited(&view, invite)) }
                    }
                }
            }
        }
        (view.known_peers())
        div.columns.forms {
            section aria-labelledby="invite-title" { h2 #invite-title { "Create an invite" } (invite_form(&view)) }
            section aria-labelledby="grant-title" { h2 #grant-title { "Give access directly" } (grant_form(&view)) }
            section aria-labelledby="claim-title" { h2 #claim-title { "Claim an invite" } (claim_form(&view)) }
        }
    }))
}

fn granted(view: &View, grant: &Grant) -> Markup {
    let (id, peer, label) = (grant.id.to_string(), grant.peer.to_string(), view.names.label(&grant.peer));
    let one = |session: &str| {
        let label = format!("from {label}: the session {session}");
        let fields = [("peer", peer.as_str()), ("session", session)];
        view.button(&Button { action: "revoke", fields: &fields, text: "Revoke", label: &label, class: "small danger" })
    };
    html! {
        article.card.grant {
            div.says {
                h3 { (who(&view.names, &grant.peer)) }
                p {
                    (capabilities(&grant.capabilities)) span.dim { (grant.trust.as_str()) ", " }
                    span.dim {
                        @match grant.expires { Some(at) => { "ends " (time(at, view.now)) } None => "until revoked" }
                    }
                }
                @match &grant.sessions {
                    SessionSet::All => {
                        p { (sessions(&grant.sessions))
                            @if !grant.except.is_empty() {
                                span.dim { "but for " }
                                @for session in &grant.except { span.chip { bdi { (Visible(session.as_str())) } } " " }
                            }
                        }
                    }
                    SessionSet::Named(names) => ul.list.sessions {
                        @for name in names {
                            li { span.chip { bdi { (Visible(name.as_str())) } } @if names.len() > 1 { (one(name.as_str())) } }
                        }
                    },
                }
            }
            div.decide {
                (view.button(&Button {
                    action: "revoke-grant", fields: &[("grant", &id)], text: "Revoke grant", label: &format!("the grant of {label}"), class: "danger",
                }))
            }
        }
    }
}

fn invited(view: &View, invite: &InviteSummary) -> Markup {
    let (id, label) = (invite.nonce.to_string(), format!("the invite for {}", view.names.label(&invite.subject)));
    let open = invite.is_claimable(view.now);
    html! {
        article.card.invite {
            div.says {
                h3 { (who(&view.names, &invite.subject)) }
                p {
                    @match invite.state {
                        InviteState::Open if open => span.state.good { "open" },
                        InviteState::Open => span.state { "expired" },
                        InviteState::Claimed { .. } => span.state { "claimed" },
                        InviteState::Revoked { .. } => span.state { "revoked" },
                    }
                    " " (sessions(&invite.sessions)) (capabilities(&invite.capabilities))
                }
                p.dim {
                    @match invite.state {
                        InviteState::Claimed { at } | InviteState::Revoked { at } => (time(at, view.now)),
                        InviteState::Open => { "expires " (time(invite.expires, view.now)) }
                    }
                }
            }
            @if open {
                div.decide {
                    (view.button(&Button { action: "revoke-invite", fields: &[("invite", &id)], text: "Revoke", label: &label, class: "danger" }))
                }
            }
        }
    }
}

/// The fields that a grant and an invite have in common.
fn what(prefix: &str) -> Markup {
    html! {
        label for={ (prefix) "-sessions" } { "Sessions" }
        input id={ (prefix) "-sessions" } name="sessions" required maxlength="2000" placeholder="main, docs"
            aria-describedby={ (prefix) "-sessions-help" };
        p.help id={ (prefix) "-sessions-help" } { "Joined by commas; * for all of them, also those to come." }
        label for={ (prefix) "-capabilities" } { "May" }
        select id={ (prefix) "-capabilities" } name="capabilities" {
            option value="inject" { "ask and leave messages" }
            option value="message" { "leave messages only" }
            option value="inject.limited" { "ask, limited" }
            option value="inject.tools" { "ask, with tools" }
        }
    }
}

fn invite_form(view: &View) -> Markup {
    view.form(
        "invite",
        &html! {
            label for="invite-peer" { "The peer's public key" }
            input #invite-peer name="peer" required list="known" maxlength="100" placeholder="MCowBQYDK2VwAy…" spellcheck="false";
            (what("invite"))
            label for="invite-expire" { "Can be claimed for" }
            select #invite-expire name="expire" {
                option value="1h" { "an hour" }
                option value="24h" selected { "a day" }
                option value="72h" { "three days" }
                option value="7d" { "a week" }
            }
            button.main { "Create the invite" }
        },
    )
}

fn grant_form(view: &View) -> Markup {
    view.form(
        "grant",
        &html! {
            label for="grant-peer" { "The peer: public key, short id or name" }
            input #grant-peer name="peer" required list="known" maxlength="100" spellcheck="false";
            (what("grant"))
            label for="grant-trust" { "Trust" }
            select #grant-trust name="trust" {
                option value="trusted" { "trusted" }
                option value="semi-trusted" { "semi-trusted" }
                option value="untrusted" { "untrusted: the gateway only" }
            }
            label for="grant-expire" { "Ends" }
            select #grant-expire name="expire" {
                option value="" { "when it is revoked" }
                option value="24h" { "in a day" }
                option value="7d" { "in a week" }
                option value="30d" { "in 30 days" }
            }
            button.main { "Give access" }
        },
    )
}

fn claim_form(view: &View) -> Markup {
    view.form(
        "claim",
        &html! {
            label for="claim-token" { "The token that you were sent" }
            textarea #claim-token name="token" required rows="4" maxlength="20000" placeholder="wop1://…" spellcheck="false" {}
            p.help { "Its issuer must be running now. It takes up to half a minute." }
            button.main { "Claim" }
        },
    )
}
