//! Who may do what: grants, and the invites that become grants.

use maud::{Markup, html};
use wopr_p2p_core::access::SessionSet;
use wopr_p2p_core::grant::Grant;
use wopr_p2p_core::invite::{InviteState, InviteSummary};

use super::parts::{Button, capabilities, empty, session, sessions, time, who};
use super::{Unavailable, View};
use crate::web::entry::Visitor;

pub(crate) async fn access(visitor: Visitor) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "access").await?;
    let grants: Vec<&Grant> = view.snapshot.grants.iter().filter(|grant| grant.in_force(view.now)).collect();
    let (open, past): (Vec<&InviteSummary>, Vec<_>) =
        view.snapshot.invites.iter().partition(|invite| invite.is_claimable(view.now));
    Ok(view.page(&html! {
        h1 { "Access" }
        p.jump {
            a href="#invite-title" { "Create an invite" }
            a href="#grant-title" { "Give access directly" }
            a href="#claim-title" { "Claim an invite" }
        }
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
                        p {
                            (sessions(&grant.sessions))
                            @if !grant.except.is_empty() {
                                span.dim { "but for " }
                                @for name in &grant.except { (session(name)) " " }
                            }
                        }
                    }
                    SessionSet::Named(names) => ul.list.sessions {
                        @for name in names {
                            li { (session(name)) @if names.len() > 1 { (one(name.as_str())) } }
                        }
                    },
                }
            }
            div.decide {
                (view.button(&Button {
                    action: "revoke-grant", fields: &[("grant", &id)], text: "Revoke grant", label: &format!("of {label}"), class: "danger",
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

/// What a grant and an invite have in common: for whom, where, and what.
fn access_form(view: &View, action: &str, peer: &str, hint: &str, more: &Markup) -> Markup {
    let id = |field: &str| format!("{action}-{field}");
    view.form(
        action,
        &html! {
            label for=(id("peer")) { (peer) }
            input id=(id("peer")) name="peer" required list="known" maxlength="100" placeholder=(hint) spellcheck="false";
            label for=(id("sessions")) { "Sessions" }
            input id=(id("sessions")) name="sessions" required maxlength="2000" placeholder="main, docs"
                aria-describedby=(id("sessions-help"));
            p.help id=(id("sessions-help")) { "Joined by commas; * for all of them, also those to come." }
            (choice(&id("capabilities"), "capabilities", "May", &[
                ("inject", "ask and leave messages"),
                ("message", "leave messages only"),
                ("inject.limited", "ask, limited"),
                ("inject.tools", "ask, with tools"),
            ]))
            (more)
        },
    )
}

/// One of several; the first, unless another is chosen.
fn choice(id: &str, name: &str, label: &str, options: &[(&str, &str)]) -> Markup {
    html! {
        label for=(id) { (label) }
        select id=(id) name=(name) {
            @for (value, text) in options { option value=(value) { (text) } }
        }
    }
}

fn invite_form(view: &View) -> Markup {
    let expiries = [("24h", "a day"), ("1h", "an hour"), ("72h", "three days"), ("7d", "a week")];
    let more = html! {
        (choice("invite-expire", "expire", "Can be claimed for", &expiries))
        button.main { "Create the invite" }
    };
    access_form(view, "invite", "The peer's public key", "MCowBQYDK2VwAy…", &more)
}

fn grant_form(view: &View) -> Markup {
    let levels =
        [("trusted", "trusted"), ("semi-trusted", "semi-trusted"), ("untrusted", "untrusted: the gateway only")];
    let ends = [("", "when it is revoked"), ("24h", "in a day"), ("7d", "in a week"), ("30d", "in 30 days")];
    let more = html! {
        (choice("grant-trust", "trust", "Trust", &levels))
        (choice("grant-expire", "expire", "Ends", &ends))
        button.main { "Give access" }
    };
    access_form(view, "grant", "The peer: public key, short id or name", "", &more)
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
