//! What peers left in our sessions, to be read a page at a time; and what of ours waits for them.

use axum::extract::Query;
use maud::{Markup, html};
use serde::Deserialize;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_smol::file::FileError;
use wopr_p2p_smol::session_file::{Page, SessionReader};

use super::parts::{Button, Visible, empty, time, who};
use super::{Unavailable, View};
use crate::exit::Failure;
use crate::web::entry::Visitor;

/// Messages on one page.
const PAGE: u64 = 50;
/// The longest message that is shown whole, in characters.
const LONGEST: usize = 20_000;
/// Sessions that are listed.
const MAX: usize = 500;

pub(crate) async fn messages(visitor: Visitor) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "messages").await?;
    let sessions = read(&view, |reader| {
        let names = reader.list()?;
        let count = names.len();
        let totals = names.into_iter().take(MAX).map(|name| Ok((reader.history(&name, 0, 0)?.total, name)));
        Ok((count, totals.collect::<Result<Vec<_>, FileError>>()?))
    });
    let (count, sessions) = sessions.await?;
    Ok(view.page(&html! {
        h1 { "Messages" }
        section aria-labelledby="sessions-title" {
            h2 #sessions-title { "Sessions" }
            div #sessions data-part {
                @if sessions.is_empty() {
                    (empty("No sessions yet.", "A session appears here with the first message that a peer leaves in it."))
                }
                ul.list {
                    @for (total, name) in &sessions {
                        li.card {
                            a.says href={ "session?name=" (encoded(name.as_str())) } { bdi { (Visible(name.as_str())) } }
                            span.dim { (total) @if *total == 1 { " message" } @else { " messages" } }
                        }
                    }
                }
                @if count > MAX { p.dim { (count - MAX) " more: `wopr sessions list` shows all." } }
            }
        }
        section aria-labelledby="outbox-title" {
            h2 #outbox-title { "Waiting to be delivered" }
            div #outbox data-part { (outbox(&view)) }
        }
    }))
}

fn outbox(view: &View) -> Markup {
    html! {
        @if view.snapshot.outbox.is_empty() {
            (empty("The outbox is empty.", "A message to a peer that cannot be reached waits here until it can."))
        }
        @for waiting in &view.snapshot.outbox {
            @let id = waiting.id.to_string();
            article.card {
                div.says {
                    h3 { "To " (who(&view.names, &waiting.peer)) }
                    p {
                        "for the session " b { bdi { (Visible(waiting.session.as_str())) } } ", " (waiting.size) " bytes "
                        @if waiting.sent { span.state.warn { "sent, not acknowledged yet" } }
                        @else if let Some(failure) = &waiting.failure { span.state.warn { (Visible(failure)) } }
                        @else { span.state { "waiting" } }
                    }
                    p.dim { "Since " (time(waiting.queued, view.now)) ", given up " (time(waiting.expires, view.now)) "." }
                }
                div.decide {
                    (view.button(&Button {
                        action: "cancel", fields: &[("id", &id)], text: "Give up",
                        label: &format!("the message to {}", view.names.label(&waiting.peer)), class: "danger",
                    }))
                }
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Place {
    name: String,
    from: Option<u64>,
}

/// One page of a session; the last one, if none is named.
pub(crate) async fn history(
    visitor: Visitor,
    Query(Place { name, from }): Query<Place>,
) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "messages").await?;
    let session = SessionName::new(name).map_err(|error| Failure::invalid(error.to_string(), ""))?;
    let wanted = session.clone();
    let page = read(&view, move |reader| {
        let from = match from {
            Some(from) => from,
            None => reader.history(&wanted, 0, 0)?.total.saturating_sub(PAGE),
        };
        reader.history(&wanted, from, PAGE as usize)
    });
    let page = page.await?;
    let link = |from: u64| format!("session?name={}&from={from}", encoded(session.as_str()));
    Ok(view.page(&html! {
        p { a href="messages" { "← All messages" } }
        h1 { bdi { (Visible(session.as_str())) } }
        div #history data-part {
            (shown(&view, &page))
        }
        nav.pages aria-label="Pages of this session" {
            @if page.offset > 0 { a rel="prev" href=(link(page.offset.saturating_sub(PAGE))) { "← Older" } }
            @if let Some(next) = page.next_offset() { a rel="next" href=(link(next)) { "Newer →" } }
        }
    }))
}

fn shown(view: &View, page: &Page) -> Markup {
    let last = page.offset + (page.lines.len() + page.damaged.len()) as u64;
    html! {
        @if page.total == 0 { (empty("Nothing is in this session.", "Or there is no such session.")) }
        @else { p.dim { "Messages " (page.offset + 1) " to " (last) " of " (page.total) ". What peers wrote is theirs, not ours." } }
        ol.messages start=(page.offset + 1) {
            @for line in &page.lines {
                @let message = serde_json::from_str::<Message>(line.get()).unwrap_or_default();
                @let end = message.content.char_indices().nth(LONGEST).map(|(end, _)| end);
                li.message {
                    p.dim {
                        bdi.name { (Visible(&message.from)) } " " (Visible(&message.r#type)) " "
                        (time(wopr_p2p_core::time::WallTime::from_millis(message.ts), view.now))
                    }
                    pre dir="auto" { (Visible(&message.content[..end.unwrap_or(message.content.len())])) }
                    @if end.is_some() { p.dim { "It is longer: `wopr sessions history … --full` has all of it." } }
                }
            }
        }
        @if !page.damaged.is_empty() { p.state.warn { (page.damaged.len()) " damaged lines are left out." } }
    }
}

/// What is shown of a line; a line that others wrote may lack some of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    ts: u64,
    from: String,
    r#type: String,
    content: String,
}

/// Reads files where that holds up nobody.
async fn read<T: Send + 'static>(
    view: &View,
    read: impl FnOnce(&SessionReader) -> Result<T, FileError> + Send + 'static,
) -> Result<T, Failure> {
    let reader = SessionReader::new(&view.visitor.shared.home);
    smol::unblock(move || read(&reader)).await.map_err(|error| Failure::invalid(error.to_string(), ""))
}

/// A text as a part of a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
