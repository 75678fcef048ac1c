//! The page as HTML: a frame with the ways to go, and one file for each place.
//!
//! Invariant: text from elsewhere is escaped by the templates, and goes through [`parts::Visible`] where somebody else
//! may have chosen it.

mod access;
mod activity;
mod messages;
mod overview;
mod parts;
mod peers;
mod topics;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::time::WallTime;

pub(super) use self::access::access;
pub(super) use self::activity::activity;
pub(super) use self::messages::{history, messages};
pub(super) use self::overview::overview;
pub(super) use self::peers::peers;
pub(super) use self::topics::topics;
use super::entry::Visitor;
use super::login::{IDLE, Notice};
use crate::command::Names;
use crate::exit::Failure;
use crate::node::Node;

/// The places, by path and title.
const PLACES: [(&str, &str); 6] = [
    ("", "Overview"),
    ("peers", "Peers"),
    ("access", "Access"),
    ("topics", "Topics"),
    ("messages", "Messages"),
    ("activity", "Activity"),
];

/// What every place needs: who looks, and the node as it is now.
struct View {
    visitor: Visitor,
    snapshot: Snapshot,
    names: Names,
    now: WallTime,
    /// The place's path, which forms go back to.
    place: &'static str,
}

impl View {
    async fn of(visitor: Visitor, place: &'static str) -> Result<Self, Unavailable> {
        let snapshot = visitor.shared.node.snapshot().await?;
        Ok(Self { names: Names::of(&snapshot), visitor, snapshot, now: Node::now(), place })
    }

    /// The whole document around a place's content.
    fn page(&self, content: &Markup) -> Markup {
        let base = self.visitor.base();
        let title = PLACES.iter().find(|(path, _)| *path == self.place).map_or("wopr", |(_, title)| title);
        let id = self.snapshot.public_key.short_id();
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                div.bar {
                    p.brand { "wopr " span.id { (id) } }
                    p #link.link role="status" { "not live" }
                    form method="post" action={ (base) "/leave" } {
                        input type="hidden" name="form" value=(self.visitor.form.as_str());
                        button.quiet { "Log out" }
                    }
                }
                nav aria-label="Places" {
                    ul #places data-part {
                        @for (path, title) in PLACES {
                            li { a href={ (base) "/" (path) } aria-current=[(path == self.place).then_some("page")] {
                                (title)
                                @if path.is_empty() && !self.snapshot.requests.is_empty() {
                                    " " span.count { (self.snapshot.requests.len()) span.unseen { " waiting" } }
                                }
                            } }
                        }
                    }
                }
            }
            main #main tabindex="-1" {
                @if let Some(notice) = self.visitor.take_notice() { (said(&notice)) }
                (content)
            }
        };
        // Seen from another tab, too.
        let waiting = match self.snapshot.requests.len() {
            0 => String::new(),
            count => format!("({count}) "),
        };
        document(&format!("{waiting}{title} – wopr {id}"), Some(&base), &body)
    }
}

/// What came of the last action.
fn said(notice: &Notice) -> Markup {
    let Notice { done, text, more } = notice;
    let token = text.starts_with("wop1://");
    html! {
        div.notice .bad[!done] #notice tabindex="-1" autofocus role=(if *done { "status" } else { "alert" }) {
            @if token {
                p { strong { "The invite's token." } " Send it to its peer over a channel that you trust." }
                div.copyable { code #token { (text) } button type="button" data-copy=(text) { "Copy" } }
            } @else if *done {
                pre { (parts::Visible(text)) }
            } @else {
                p { strong { "Not done: " } (parts::Visible(text)) }
            }
            @if !more.is_empty() { p.more { (parts::Visible(more)) } }
        }
    }
}

/// A document of its own; with the base of the live messages, if it has any.
fn document(title: &str, base: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="stylesheet" href="/assets/page.css";
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                script src="/assets/page.js" defer {}
            }
            body data-live=[base.map(|base| format!("{base}/live"))] { (body) }
        }
    }
}

/// What is shown to whoever is not let in.
pub(super) fn closed(why: &str) -> Markup {
    let minutes = IDLE.as_secs() / 60;
    let body = html! {
        main #main.alone {
            h1 { (why) }
            p { "Have a new link made in a terminal on this machine, and open it:" }
            pre.command { "wopr p2p ui" }
            p.dim { "A link opens the page once. The page locks itself after " (minutes) " idle minutes." }
        }
    };
    document("wopr – locked", None, &body)
}

/// The button behind a link.
pub(super) fn enter(token: &str) -> Markup {
    let body = html! {
        main #main.alone {
            h1 { "Open the page of this node" }
            p { "In this browser, until you log out or leave it idle." }
            form method="post" action="/login" data-enter {
                input type="hidden" name="token" value=(token);
                button.main { "Open" }
            }
        }
    };
    document("wopr – open", None, &body)
}

/// The node cannot be looked at.
pub(super) struct Unavailable(Failure);

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        let Failure { message, next, .. } = self.0;
        let body = html! {
            main #main.alone {
                h1 { "This cannot be shown" }
                p { (parts::Visible(&message)) }
                p.dim { (parts::Visible(&next)) }
            }
        };
        (StatusCode::SERVICE_UNAVAILABLE, document("wopr", None, &body)).into_response()
    }
}
