//! `topic`, `topics`, `discover`, `connect`, `requests`, `approve`, `deny`, `profile`: who is met on topics, and what
//! waits for the owner.
//!
//! What others show and write is text from remote peers; JSON of theirs that cannot be read is shown as text.

use std::time::{Duration, Instant};

use serde_json::Value;
use smol::Timer;
use wopr_p2p_core::discovery::{Connected, Discovered, PendingRequest, PendingWhat};
use wopr_p2p_core::grant::Grant;
use wopr_p2p_core::node::Snapshot;
use wopr_p2p_core::profile::{Profile, TopicName};
use wopr_p2p_core::{Command, Reply};

use super::failure::{About, done, unexpected};
use super::{Names, grant};
use crate::args;
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{BOLD, Cell, DIM, Fields, GOOD, Json, Object, Table, View, WARN, relative};

/// How often a node is looked at while somebody is waited for.
const LOOK: Duration = Duration::from_millis(50);
/// The longest part of a remote text in a table, in characters.
const SHORT: usize = 60;

/// `topic join` and `topic leave`.
pub(super) async fn topic(node: &Node, typed: args::Topic) -> Result<TopicChanged, Failure> {
    let command = match typed {
        args::Topic::Join { topic } => Command::JoinTopic { topic },
        args::Topic::Leave { topic } => Command::LeaveTopic { topic },
    };
    let daemon = node.is_daemon();
    match done(node, command, About::Nothing).await?.0 {
        Reply::TopicJoined(topic) => Ok(TopicChanged { topic, joined: true, daemon }),
        Reply::TopicLeft(topic) => Ok(TopicChanged { topic, joined: false, daemon }),
        _ => Err(unexpected()),
    }
}

/// `topics`.
pub(super) async fn topics(node: &Node) -> Result<Topics, Failure> {
    Ok(Topics(node.snapshot().await?))
}

/// `discover`.
pub(super) async fn discover(node: &Node, typed: args::Discover) -> Result<Found, Failure> {
    let args::Discover { topic, wait } = typed;
    let started = Instant::now();
    loop {
        let found = Found { snapshot: node.snapshot().await?, topic: topic.clone() };
        if let Some(topic) = topic.as_ref().filter(|topic| !found.snapshot.topics.contains(topic)) {
            return Err(Failure::invalid(
                format!("this node is not on the topic {:?}", topic.as_str()),
                "join it first: wopr p2p topic join NAME; `wopr p2p topics` lists those it is on",
            ));
        }
        // A node that runs for this command alone has met nobody before, and hears of the others one by one.
        let enough = node.is_daemon() && found.listed().next().is_some() || found.snapshot.topics.is_empty();
        if enough || started.elapsed() >= wait {
            return Ok(found);
        }
        Timer::after(LOOK).await;
    }
}

/// `connect`.
pub(super) async fn connect(node: &Node, typed: args::Connect) -> Result<Outcome, Failure> {
    let args::Connect { peer, timeout } = typed;
    match done(node, Command::Connect { peer, timeout }, About::Connect).await? {
        (Reply::Connected(outcome), names) => Ok(Outcome { outcome, names }),
        _ => Err(unexpected()),
    }
}

/// `requests`.
pub(super) async fn requests(node: &Node) -> Result<Requests, Failure> {
    Ok(Requests(node.snapshot().await?))
}

/// `approve`.
pub(super) async fn approve(node: &Node, request: String) -> Result<Decided, Failure> {
    match done(node, Command::Approve { request }, About::Nothing).await? {
        (Reply::Granted(grant), names) => Ok(Decided { decision: Decision::Granted(grant), names }),
        (Reply::Approved(request), names) => Ok(Decided { decision: Decision::Approved(request), names }),
        _ => Err(unexpected()),
    }
}

/// `deny`.
pub(super) async fn deny(node: &Node, request: String) -> Result<Decided, Failure> {
    match done(node, Command::Deny { request }, About::Nothing).await? {
        (Reply::Denied(request), names) => Ok(Decided { decision: Decision::Denied(request), names }),
        _ => Err(unexpected()),
    }
}

/// `profile show` and `profile set`.
pub(super) async fn profile(node: &Node, typed: args::Profile) -> Result<Shown, Failure> {
    match typed {
        args::Profile::Show => Ok(Shown(node.snapshot().await?.profile)),
        args::Profile::Set { content } => match done(node, Command::SetProfile { content }, About::Nothing).await?.0 {
            Reply::ProfileSet(profile) => Ok(Shown(profile)),
            _ => Err(unexpected()),
        },
    }
}

/// A topic that was joined or left.
pub(super) struct TopicChanged {
    topic: TopicName,
    joined: bool,
    daemon: bool,
}

impl View for TopicChanged {
    fn json(&self) -> Object {
        Object::default().shown("topic", &self.topic).with("joined", self.joined).with("daemon", self.daemon)
    }

    fn text(&self) -> String {
        let did = if self.joined { "Joined" } else { "Left" };
        format!("{GOOD}{did}{GOOD:#} the topic {}.\n", Cell::from(self.topic.as_str()))
    }

    fn note(&self) -> String {
        if self.joined && !self.daemon {
            return "Others find this node there while its daemon runs (`wopr daemon start`).".to_owned();
        }
        String::new()
    }
}

/// The topics this node is on.
pub(super) struct Topics(Snapshot);

impl Topics {
    fn met(&self, topic: &TopicName) -> usize {
        self.0.discovered.iter().filter(|found| found.connected && found.topics.contains(topic)).count()
    }
}

impl View for Topics {
    fn json(&self) -> Object {
        let topic = |name: &TopicName| {
            Object::default().shown("name", name).shown("topic", name.topic()).with("connected", self.met(name))
        };
        Object::default().with("topics", self.0.topics.iter().map(topic).collect::<Json>())
    }

    fn text(&self) -> String {
        let mut table = Table::new(["TOPIC", "CONNECTED", "HASH"], "On no topic. Join one: wopr p2p topic join NAME");
        for name in &self.0.topics {
            let hash: String = name.topic().to_string().chars().take(16).collect();
            table.row([name.as_str().into(), self.met(name).to_string().into(), Cell::styled(hash, DIM)]);
        }
        table.render()
    }
}

/// Who was met.
pub(super) struct Found {
    snapshot: Snapshot,
    topic: Option<TopicName>,
}

impl Found {
    fn listed(&self) -> impl Iterator<Item = &Discovered> {
        let on = |found: &&Discovered| self.topic.as_ref().is_none_or(|topic| found.topics.contains(topic));
        self.snapshot.discovered.iter().filter(on)
    }
}

impl View for Found {
    fn json(&self) -> Object {
        let names = Names::of(&self.snapshot);
        let found = |found: &Discovered| {
            names
                .json(&found.key)
                .with("proven", found.proven)
                .with("connected", found.connected)
                .with("topics", found.topics.iter().map(TopicName::as_str).collect::<Json>())
                .time(["lastSeen", "lastSeenIso"], found.last_seen)
                .with("profile", remote(&found.content))
        };
        Object::default().with("discovered", self.listed().map(found).collect::<Json>())
    }

    fn text(&self) -> String {
        let (now, names) = (Node::now(), Names::of(&self.snapshot));
        let empty = if self.snapshot.topics.is_empty() {
            "On no topic. Join one: wopr p2p topic join NAME"
        } else {
            "Nobody was met. The others must be on the same topic with a running daemon; --wait 30s looks longer."
        };
        let mut table = Table::new(["PEER", "KEY", "TOPICS", "SEEN", "PROFILE"], empty);
        for found in self.listed() {
            let topics: Vec<_> = found.topics.iter().map(TopicName::as_str).collect();
            let seen = match found.connected {
                true => Cell::styled("now", GOOD),
                false => relative(found.last_seen, now).into(),
            };
            let proven = if found.proven { Cell::styled("proven", GOOD) } else { Cell::styled("not proven", WARN) };
            table.row([names.label(&found.key).into(), proven, topics.join(", ").into(), seen, short(&found.content)]);
        }
        table.render()
    }

    fn note(&self) -> String {
        if self.listed().any(|found| !found.proven) {
            return "A key that is not proven may be claimed by anybody; profiles are what the others say.".to_owned();
        }
        String::new()
    }
}

/// What became of a request of ours.
pub(super) struct Outcome {
    pub(super) outcome: Connected,
    pub(super) names: Names,
}

impl View for Outcome {
    fn json(&self) -> Object {
        let (status, peer, proven, sessions, capabilities) = match &self.outcome {
            Connected::Accepted { peer, proven, sessions, capabilities } => {
                ("accepted", peer, Some(*proven), sessions.as_ref(), capabilities.as_slice())
            }
            Connected::Pending { peer } => ("pending", peer, None, None, &[][..]),
        };
        let sessions = sessions.map(|sessions| sessions.names().into_iter().collect::<Json>());
        Object::default()
            .with("status", status)
            .with("peer", self.names.json(peer))
            .with("proven", proven)
            .with("sessions", sessions)
            .with("capabilities", capabilities.iter().map(ToString::to_string).collect::<Json>())
    }

    fn text(&self) -> String {
        match &self.outcome {
            Connected::Pending { peer } => format!(
                "{WARN}Waiting{WARN:#} for the approval of {}'s owner. This node asks again by itself when it meets the \
                 peer; `wopr p2p requests` shows it.\n",
                Cell::from(self.names.label(peer))
            ),
            Connected::Accepted { peer, proven, sessions, capabilities } => {
                let sessions = sessions.as_ref().map_or_else(|| "(it named none)".to_owned(), |s| s.names().join(", "));
                let capabilities: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
                let unproven = if *proven { "" } else { " It has not proved its key: nothing was noted." };
                format!(
                    "{GOOD}Accepted{GOOD:#} by {}: {} ({}).{unproven}\n",
                    Cell::from(self.names.label(peer)),
                    Cell::from(sessions),
                    Cell::from(capabilities.join(", "))
                )
            }
        }
    }
}

/// What waits.
pub(super) struct Requests(Snapshot);

impl View for Requests {
    fn json(&self) -> Object {
        let names = Names::of(&self.0);
        let asked = self.0.asked.iter().map(|asked| {
            let peer = Object::default().with("peer", names.json(&asked.key)).shown("topic", &asked.topic);
            peer.time(["since", "sinceIso"], asked.since)
        });
        Object::default()
            .with("requests", self.0.requests.iter().map(|request| json(request, &names)).collect::<Json>())
            .with("asked", asked.collect::<Json>())
    }

    fn text(&self) -> String {
        let (now, names) = (Node::now(), Names::of(&self.0));
        let mut table = Table::new(["REQUEST", "PEER", "WANTS", "SINCE", "SAYS"], "Nothing waits for your decision.");
        for request in &self.0.requests {
            let (wants, says) = match &request.what {
                PendingWhat::Connection { proven, topic, content } => {
                    let proven = if *proven { "" } else { ", key not proven" };
                    (format!("the gateway (topic {}{proven})", topic.as_str()), short(content))
                }
                PendingWhat::Message { session, text, question } => {
                    let what = if *question { "an answer in" } else { "to write into" };
                    (format!("{what} {session}"), short(text))
                }
            };
            let since = relative(request.since, now);
            let id = Cell::styled(request.id.to_string(), BOLD);
            table.row([id, names.label(&request.peer).into(), wants.into(), since.into(), says]);
        }
        let mut text = table.render();
        for asked in &self.0.asked {
            let (peer, topic) = (Cell::from(names.label(&asked.key)), Cell::from(asked.topic.as_str()));
            let since = relative(asked.since, now);
            text +=
                &format!("{DIM}I asked{DIM:#} {peer} on the topic {topic}, {since}: its owner has yet to decide.\n");
        }
        text
    }

    fn note(&self) -> String {
        if self.0.requests.is_empty() {
            return String::new();
        }
        "wopr p2p approve REQUEST lets it in, wopr p2p deny REQUEST refuses it. What others say is remote text."
            .to_owned()
    }
}

/// What the owner decided.
pub(super) struct Decided {
    decision: Decision,
    names: Names,
}

enum Decision {
    /// A connection request got a grant.
    Granted(Grant),
    /// A held message was let in.
    Approved(PendingRequest),
    /// Either was refused.
    Denied(PendingRequest),
}

impl View for Decided {
    fn json(&self) -> Object {
        let (approved, grant, request) = match &self.decision {
            Decision::Granted(grant) => (true, Some(grant::json(grant, &self.names)), None),
            Decision::Approved(request) => (true, None, Some(json(request, &self.names))),
            Decision::Denied(request) => (false, None, Some(json(request, &self.names))),
        };
        Object::default().with("approved", approved).with("grant", grant).with("request", request)
    }

    fn text(&self) -> String {
        match &self.decision {
            Decision::Granted(grant) => {
                format!("{GOOD}Approved.{GOOD:#}\n{}", grant::table([grant], &self.names))
            }
            Decision::Approved(request) => {
                format!("{GOOD}Let in:{GOOD:#} the message of {}.\n", Cell::from(self.names.label(&request.peer)))
            }
            Decision::Denied(request) => {
                format!("{WARN}Denied:{WARN:#} the request of {}.\n", Cell::from(self.names.label(&request.peer)))
            }
        }
    }
}

/// What others see of this node.
pub(super) struct Shown(Profile);

impl View for Shown {
    fn json(&self) -> Object {
        let updated = Some(self.0.updated()).filter(|at| at.as_millis() > 0);
        Object::default().with("content", remote(self.0.content())).time(["updated", "updatedIso"], updated)
    }

    fn text(&self) -> String {
        Fields::default().field("profile", self.0.content()).render(0)
    }
}

fn json(request: &PendingRequest, names: &Names) -> Object {
    let (kind, proven, topic, profile, session, text) = match &request.what {
        PendingWhat::Connection { proven, topic, content } => {
            ("connection", Some(*proven), Some(topic.as_str()), Some(remote(content)), None, None)
        }
        PendingWhat::Message { session, text, question } => {
            let kind = if *question { "inject" } else { "log" };
            (kind, None, None, None, Some(session.as_str()), Some(text.as_str()))
        }
    };
    Object::default()
        .shown("id", request.id)
        .with("kind", kind)
        .with("peer", names.json(&request.peer))
        .time(["since", "sinceIso"], request.since)
        .time(["expires", "expiresIso"], request.expires)
        .with("proven", proven)
        .with("topic", topic)
        .with("profile", profile)
        .with("session", session)
        .with("text", text)
}

/// JSON of a peer as a value; a text if it is none.
fn remote(content: &str) -> Json {
    Json::from(&serde_json::from_str::<Value>(content).unwrap_or_else(|_| Value::from(content)))
}

/// The beginning of a remote text.
fn short(text: &str) -> Cell {
    let mut short: String = text.chars().take(SHORT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.into()
}
