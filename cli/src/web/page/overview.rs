//! The first place: what waits for a decision, who this node is, and who is there.

use std::collections::BTreeMap;

use maud::{Markup, html};
use wopr_p2p_core::discovery::{PendingRequest, PendingWhat};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::StreamInfo;
use wopr_p2p_smol::net::{NatKind, Surroundings};

use super::activity::{lines, recent};
use super::parts::{Button, empty, key, qr, remote, time, who};
use super::{Unavailable, View};
use crate::web::entry::Visitor;

/// Events on this place.
const LATELY: usize = 8;

pub(crate) async fn overview(visitor: Visitor) -> Result<Markup, Unavailable> {
    let view = View::of(visitor, "").await?;
    let shared = &view.visitor.shared;
    let around = shared.around.of(&shared.node).await;
    let events = recent(&shared.home, LATELY).await;
    Ok(view.page(&html! {
        h1.unseen { "Overview" }
        (waiting(&view))
        div.columns {
            section aria-labelledby="me" { h2 #me { "This node" } (myself(&view, &around)) }
            section aria-labelledby="there" {
                h2 #there { "Connected now" }
                div #connected data-part { (connected(&view)) }
                h2 { "Lately" }
                div #lately data-part { (lines(&events)) }
            }
        }
    }))
}

fn waiting(view: &View) -> Markup {
    let requests = &view.snapshot.requests;
    html! {
        section #requests data-part aria-labelledby="waiting" .calls[!requests.is_empty()] {
            h2 #waiting { "Waiting for you" }
            @if requests.is_empty() {
                (empty(
                    "Nothing waits for your decision.",
                    "Peers that you meet on a topic can ask for access, and messages of untrusted peers can be held at the \
                     gateway: they appear here, to be approved or denied."
                ))
            }
            @for request in requests { (waits(view, request)) }
        }
    }
}

fn waits(view: &View, request: &PendingRequest) -> Markup {
    let id = request.id.to_string();
    let label = format!("the request of {}", view.names.label(&request.peer));
    let fields = [("request", id.as_str())];
    let button = |action, text, class| view.button(&Button { action, fields: &fields, text, label: &label, class });
    html! {
        article.card.request {
            div.says {
                p {
                    (who(&view.names, &request.peer)) " "
                    @match &request.what {
                        PendingWhat::Connection { proven, topic, .. } => {
                            "asks for access, met on " b { bdi { (super::parts::Visible(topic.as_str())) } } ". "
                            @if *proven { span.state.good { "key proven" } }
                            @else { span.state.warn { "key not proven" } }
                        }
                        PendingWhat::Message { session, question, .. } => {
                            @if *question { "asks in " } @else { "wants to write into " }
                            b { bdi { (super::parts::Visible(session.as_str())) } } "."
                        }
                    }
                }
                p.dim { "What it says, in its own words:" }
                @match &request.what {
                    PendingWhat::Connection { content, .. } => blockquote { (remote(content)) },
                    PendingWhat::Message { text, .. } => blockquote { (remote(text)) },
                }
                p.dim { "Since " (time(request.since, view.now)) ", ends " (time(request.expires, view.now)) "." }
            }
            div.decide { (button("approve", "Approve", "main")) (button("deny", "Deny", "")) }
        }
    }
}

fn myself(view: &View, around: &Surroundings) -> Markup {
    let own = &view.snapshot.public_key;
    html! {
        div.card.me {
            @if let Some(code) = qr(&own.to_string(), "The public key as a QR code") { (code) }
            dl {
                dt { "Short id" } dd { code.big { (own.short_id()) } }
                dt { "Public key" } dd { (key(own)) }
                dt { "Key since" } dd { (time(view.snapshot.created, view.now)) }
                @for grace in &view.snapshot.grace {
                    dt { "Former key" }
                    dd { code { (grace.public_key.short_id()) } " counts until " (time(grace.until, view.now)) }
                }
                dt { "Network" } dd #network data-part { (network(around)) }
                dt { "Page" } dd { (view.visitor.shared.address) ", this machine only" }
            }
        }
    }
}

fn network(around: &Surroundings) -> Markup {
    let nodes = around.nodes;
    html! {
        @if around.addresses.is_empty() {
            span.state.bad { "DHT not reached" } " " span.dim { "it is tried again by itself" }
        } @else {
            span.state.good { "DHT reached" } " " span.dim { (nodes) @if nodes == 1 { " node known" } @else { " nodes known" } }
        }
        br;
        span.dim {
            @match around.nat {
                NatKind::Unknown => "NAT: not known yet",
                NatKind::Open => "No NAT",
                NatKind::Consistent => "Behind a NAT that lets connections be punched",
                NatKind::Random => "Behind a NAT with random ports: peers behind another such one cannot reach this node",
            }
        }
    }
}

fn connected(view: &View) -> Markup {
    let streams = &view.snapshot.streams;
    html! {
        @if view.snapshot.peers.is_empty() {
            (empty("You know nobody yet.", html! {
                "Exchange public keys with somebody: yours is on this page. Then "
                a href="access#invite-title" { "create an invite" } " for theirs, or "
                a href="access#claim-title" { "claim the one" } " that you were sent."
            }))
        } @else if streams.is_empty() {
            (empty("No peer is connected.", "Connections come with messages and end when they are idle."))
        } @else {
            ul.list {
                @for (peer, streams) in by_peer(streams) { li { (who(&view.names, peer)) " " (how(&streams)) } }
            }
        }
    }
}

fn by_peer(streams: &[StreamInfo]) -> BTreeMap<&PublicKey, Vec<&StreamInfo>> {
    let mut peers = BTreeMap::<_, Vec<_>>::new();
    for stream in streams {
        peers.entry(&stream.peer).or_default().push(stream);
    }
    peers
}

/// How a peer is connected: once for each stream.
pub(super) fn how(streams: &[&StreamInfo]) -> Markup {
    html! {
        span.state.good { "connected" } " "
        span.dim {
            @for (number, stream) in streams.iter().enumerate() {
                @if number > 0 { "; " }
                @if stream.dialled { "dialled by this node" } @else { "dialled by the peer" }
                ", protocol " (stream.version)
            }
        }
    }
}
