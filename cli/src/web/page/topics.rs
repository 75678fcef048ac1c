//! Discovery: the topics, who is met there, and what they see of us.

use maud::{Markup, html};
use wopr_p2p_core::discovery::Discovered;

use super::parts::{Button, Visible, empty, remote, time, who};
use super::{Unavailable, View};
use crate::web::entry::Visitor;

pub(crate) async fn topics(visitor: Visitor) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "topics").await?;
    Ok(view.page(&html! {
        h1 { "Topics" }
        div.columns {
            section aria-labelledby="joined-title" {
                h2 #joined-title { "Joined" }
                div #joined data-part { (joined(&view)) }
                (view.form("join", &html! {
                    label for="topic" { "Join a topic" }
                    div.row { input #topic name="topic" required maxlength="200"; button.main { "Join" } }
                    p.help { "Whoever knows its name can find you there. Nothing is granted by that." }
                }))
            }
            section aria-labelledby="profile-title" {
                h2 #profile-title { "What others see there" }
                (view.form("profile", &html! {
                    label for="profile" { "Your profile, as JSON" }
                    textarea #profile name="profile" required rows="4" maxlength="8000" spellcheck="false" {
                        (view.snapshot.profile.content())
                    }
                    button { "Show this" }
                }))
            }
        }
        section aria-labelledby="met-title" {
            h2 #met-title { "Met there" }
            div #met data-part { (met(&view)) }
        }
    }))
}

fn joined(view: &View) -> Markup {
    let snapshot = &view.snapshot;
    html! {
        @if snapshot.topics.is_empty() {
            (empty("On no topic.", "Nodes that join the same topic find each other. Join one below."))
        }
        ul.list {
            @for topic in &snapshot.topics {
                @let there = snapshot.discovered.iter().filter(|found| found.connected && found.topics.contains(topic)).count();
                li.card {
                    span.says { bdi.name { (Visible(topic.as_str())) } " " span.dim { (there) " connected" } }
                    (view.button(&Button {
                        action: "leave", fields: &[("topic", topic.as_str())], text: "Leave", label: topic.as_str(), class: "small quiet",
                    }))
                }
            }
        }
    }
}

fn met(view: &View) -> Markup {
    let snapshot = &view.snapshot;
    html! {
        @if snapshot.discovered.is_empty() {
            (empty("Nobody was met.", "The others must be on the same topic, and running."))
        }
        @for found in snapshot.discovered.iter().take(200) { (card(view, found)) }
        @for asked in &snapshot.asked {
            p.dim {
                "Asked " (who(&view.names, &asked.key)) " on " bdi { (Visible(asked.topic.as_str())) } " "
                (time(asked.since, view.now)) ": its owner has yet to decide."
            }
        }
    }
}

fn card(view: &View, found: &Discovered) -> Markup {
    let (key, label) = (found.key.to_string(), view.names.label(&found.key));
    html! {
        article.card {
            div.says {
                h3 { (who(&view.names, &found.key)) }
                p {
                    @if found.proven { span.state.good { "key proven" } } @else { span.state.warn { "key not proven" } }
                    " " span.dim {
                        @if found.connected { "here now" } @else { "last seen " (time(found.last_seen, view.now)) }
                        " on "
                        @for topic in &found.topics { bdi { (Visible(topic.as_str())) } " " }
                    }
                }
                p.dim { "What it says, in its own words:" }
                blockquote { (remote(&found.content)) }
            }
            div.decide {
                (view.button(&Button { action: "connect", fields: &[("peer", &key)], text: "Ask for access", label: &label, class: "" }))
            }
        }
    }
}
