//! What happens, and who has used up how much of what it may.

use maud::{Markup, html};
use wopr_p2p_core::rate::{Action, Ban, Standing, Subject};
use wopr_p2p_smol::event_log::{EventLine, EventReader, Query};
use wopr_p2p_smol::home::Home;

use super::parts::{Visible, empty, time, who};
use super::{Unavailable, View};
use crate::command::action_name;
use crate::daemon::event_members;
use crate::duration::show_duration;
use crate::node::Node;
use crate::web::entry::Visitor;

/// Events on this place.
const LATEST: usize = 100;
/// Bans that are listed.
const MAX_BANS: usize = 200;

pub(crate) async fn activity(visitor: Visitor) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "activity").await?;
    let node = &view.visitor.shared.node;
    let bans = node.bans().await?;
    let mut used = Vec::new();
    for peer in view.snapshot.peers.iter().take(LATEST) {
        let standing = node.standing(peer.key).await?;
        if !standing.is_empty() {
            used.push((peer.key, standing));
        }
    }
    // What needs a look comes first. The ban of a peer stands with what it has used.
    used.sort_by_key(|(_, standing)| !standing.iter().any(|standing| standing.banned.is_some()));
    let shown = |ban: &&Ban| matches!(ban.subject, Subject::Peer(key) if used.iter().any(|(peer, _)| *peer == key));
    let bans: Vec<&Ban> = bans.iter().filter(|ban| !shown(ban)).collect();
    let events = recent(&view.visitor.shared.home, LATEST).await;
    Ok(view.page(&html! {
        h1 { "Activity" }
        section aria-labelledby="limits-title" {
            h2 #limits-title { "Limits and bans" }
            div #limits data-part {
                @if bans.is_empty() && used.is_empty() {
                    (empty("No limit has been used lately.", "What peers ask, log and claim is counted by the minute and the hour."))
                }
                @for ban in bans.iter().take(MAX_BANS) { (banned(&view, ban)) }
                @for (peer, standing) in &used { div.card { div.says { h3 { (who(&view.names, peer)) } (usage(standing)) } } }
            }
        }
        section aria-labelledby="events-title" {
            h2 #events-title { "What happens" }
            div #events data-part { (lines(&events)) }
        }
    }))
}

fn banned(view: &View, Ban { subject, action, left }: &Ban) -> Markup {
    html! {
        div.card {
            div.says {
                h3 {
                    @match subject {
                        Subject::Peer(key) => (who(&view.names, key)),
                        Subject::Transport(key) => {
                            "a transport " code { @for byte in &key[..6] { (format!("{byte:02x}")) } }
                        }
                    }
                }
                p { span.state.bad { "banned from " (action_name(*action)) } " " span.dim { (show_duration(*left)) " left" } }
            }
        }
    }
}

/// What a peer has used of its limits.
pub(super) fn usage(standing: &[Standing]) -> Markup {
    html! {
        ul.usage {
            @for Standing { action, last_minute, last_hour, limit, banned } in standing {
                li {
                    span.what { (word(*action)) }
                    (meter(*last_minute, limit.per_minute, "in the last minute"))
                    (meter(*last_hour, limit.per_hour, "in the last hour"))
                    @if let Some(left) = banned { span.state.bad { "banned from " (action_name(*action)) ", " (show_duration(*left)) " left" } }
                }
            }
        }
    }
}

fn meter(used: usize, max: usize, when: &str) -> Markup {
    html! {
        span.used {
            meter min="0" max=(max) value=(used) high=(max * 4 / 5) aria-label=(when) {}
            span.dim { (used) " of " (max) " " (when) }
        }
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Inject => "asked",
        Action::Log => "logged",
        Action::Claim => "claimed",
        Action::Invalid => "invalid",
    }
}

/// The newest lines of the log, the newest first; none if it cannot be read.
pub(super) async fn recent(home: &Home, count: usize) -> Vec<EventLine> {
    let reader = EventReader::new(home);
    let lines = smol::unblock(move || reader.read(&Query { tail: Some(count), ..Query::default() })).await;
    let mut lines = lines.unwrap_or_else(|error| {
        tracing::warn!(%error, "the log of events cannot be read");
        Vec::new()
    });
    lines.reverse();
    lines
}

/// Lines of the log as a list.
pub(super) fn lines(lines: &[EventLine]) -> Markup {
    let now = Node::now();
    html! {
        @if lines.is_empty() { (empty("Nothing has happened yet.", "Connections, messages, refusals and changes appear here as they happen.")) }
        ol.events {
            @for line in lines {
                @let trouble = line.event.ends_with("rejected") || line.event.ends_with("conflict") || line.event.ends_with("failed");
                li .trouble[trouble] {
                    span.when { (time(line.at, now)) }
                    span.event { (line.event.strip_prefix("p2p.").unwrap_or(&line.event)) }
                    span.members {
                        @for (name, said) in event_members(line) {
                            span.member { span.dim { (name) " " } bdi { (Visible(&said)) } } " "
                        }
                    }
                }
            }
        }
    }
}
