//! What was seen last, as rows of text, and how it is being looked at. No terminal, no daemon.

use serde_json::Value;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::event_log::EventLine;

use crate::daemon::event_members;
use crate::duration::show_duration;
use crate::node::Node;
use crate::output::printable::printable_line;
use crate::output::relative;

/// Digits of an id that are shown.
const ID: usize = 10;

/// The parts of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Peers,
    Grants,
    Waiting,
    Bans,
    Events,
}

impl Panel {
    pub(super) const ALL: [Self; 5] = [Self::Peers, Self::Grants, Self::Waiting, Self::Bans, Self::Events];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Peers => "Peers",
            Self::Grants => "Who may use my sessions",
            Self::Waiting => "Waiting",
            Self::Bans => "Bans",
            Self::Events => "Events",
        }
    }

    /// The heads of its columns.
    pub(super) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Peers => &["peer", "id", "link"],
            Self::Grants => &["peer", "sessions", "may", "trust", "ends"],
            Self::Waiting => &["what", "who", "session", "id"],
            Self::Bans => &["peer", "for", "ends"],
            Self::Events => &[],
        }
    }

    /// What can be done about its rows.
    pub(super) const fn next(self) -> &'static str {
        match self {
            Self::Waiting => "wopr p2p approve|deny ID · outbox cancel ID",
            Self::Peers | Self::Grants | Self::Bans | Self::Events => "",
        }
    }

    /// What stands there if there is nothing.
    pub(super) const fn empty(self) -> &'static str {
        match self {
            Self::Peers => "nobody yet: wopr p2p invite create PUBKEY --sessions NAME",
            Self::Grants => "nobody may",
            Self::Waiting => "nothing needs you",
            Self::Bans => "nobody is banned",
            Self::Events => "nothing has happened yet",
        }
    }
}

/// One look at the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Glance {
    /// Who we are, and how we are on the network.
    pub(super) head: [String; 2],
    rows: [Vec<Vec<String>>; 5],
}

impl Glance {
    /// From the answers to `status`, `peers`, `grants`, `requests` and `outbox list`, and the last events.
    pub(super) fn new(answers: &[Value], events: &[EventLine]) -> Self {
        let [status, peers, grants, requests, outbox] = answers else { return Self::default() };
        let mut waiting: Vec<_> = list(requests, "requests").iter().map(request).collect();
        waiting.extend(list(outbox, "outbox").iter().map(|message| {
            vec!["message for".to_owned(), who(&message["peer"]), text(&message["session"]), id(message)]
        }));
        let bans = list(status, "banned").iter().map(|ban| {
            let ends = ban["bannedForMs"].as_u64().map(|ms| show_duration(std::time::Duration::from_millis(ms)));
            vec![who(&ban["peer"]), text(&ban["name"]), ends.unwrap_or_default()]
        });
        let happened = events.iter().rev().map(happened);
        Self {
            head: head(status),
            rows: [
                list(peers, "peers").iter().map(|peer| self::peer(peer, status)).collect(),
                list(grants, "grants").iter().map(grant).collect(),
                waiting,
                bans.collect(),
                happened.collect(),
            ],
        }
    }

    pub(super) fn rows(&self, panel: Panel) -> &[Vec<String>] {
        &self.rows[panel as usize]
    }
}

fn happened(line: &EventLine) -> Vec<String> {
    let members = event_members(line).into_iter().map(|(name, said)| format!("{name}: {said}"));
    let name = line.event.strip_prefix("p2p.").unwrap_or(&line.event);
    vec![relative(line.at, Node::now()), printable_line(name), printable_line(&members.collect::<Vec<_>>().join("  "))]
}

fn head(status: &Value) -> [String; 2] {
    let network = match &status["network"] {
        Value::Null => "no network".to_owned(),
        network if network["dhtReachable"] == true => {
            format!("DHT reachable ({} nodes), NAT {}", network["dhtNodes"], text(&network["nat"]))
        }
        _ => "no node of the DHT answers".to_owned(),
    };
    let connected = list(status, "connected").len();
    [
        format!("{}  {}", text(&status["shortId"]), text(&status["publicKey"])),
        format!("{network} · {connected} of {} peers connected", status["peers"]),
    ]
}

fn peer(peer: &Value, status: &Value) -> Vec<String> {
    let is_peer = |other: &&Value| other["publicKey"] == peer["publicKey"];
    let paths = peer["paths"].as_array().map(|paths| paths.iter().map(text).collect::<Vec<_>>().join(", "));
    let connected = match paths {
        Some(paths) => paths,
        None if list(status, "connected").iter().any(|other| is_peer(&other)) => "yes".to_owned(),
        None => match peer["lastSeen"].as_u64() {
            Some(ms) => format!("{} ago", show_duration(Node::now().since(WallTime::from_millis(ms)))),
            None => "never".to_owned(),
        },
    };
    let name = Some(text(&peer["name"])).filter(|name| !name.is_empty()).unwrap_or_else(|| "–".to_owned());
    vec![name, text(&peer["shortId"]), connected]
}

fn grant(grant: &Value) -> Vec<String> {
    let ends = match grant["expires"].as_u64() {
        Some(ms) => format!("in {}", show_duration(WallTime::from_millis(ms).since(Node::now()))),
        None => "never".to_owned(),
    };
    let may = joined(&grant["capabilities"]);
    vec![who(&grant["peer"]), joined(&grant["sessions"]), may, text(&grant["trust"]), ends]
}

fn request(request: &Value) -> Vec<String> {
    let what = match request["kind"].as_str() {
        Some("log") => "message held",
        Some("inject") => "question held",
        _ => "asks for access",
    };
    vec![what.to_owned(), who(&request["peer"]), text(&request["session"]), id(request)]
}

/// As much of an id as a command needs.
fn id(of: &Value) -> String {
    text(&of["id"]).chars().take(ID).collect()
}

/// The name of a peer, or its short id.
fn who(peer: &Value) -> String {
    let name = text(&peer["name"]);
    if name.is_empty() { text(&peer["shortId"]) } else { name }
}

fn joined(list: &Value) -> String {
    list.as_array().map(|items| items.iter().map(text).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

/// A text, which a peer may have chosen, in one harmless line; empty if there is none.
fn text(value: &Value) -> String {
    printable_line(value.as_str().unwrap_or_default())
}

fn list<'a>(answer: &'a Value, member: &str) -> &'a [Value] {
    answer[member].as_array().map_or(&[], Vec::as_slice)
}

/// What is on the screen.
pub(super) struct State {
    pub(super) seen: Glance,
    pub(super) focus: Panel,
    /// Only the panel in focus is shown.
    pub(super) zoomed: bool,
    /// The first row that is shown, of each panel.
    pub(super) offsets: [usize; 5],
}

impl State {
    pub(super) const fn new(seen: Glance) -> Self {
        Self { seen, focus: Panel::Peers, zoomed: false, offsets: [0; 5] }
    }

    pub(super) fn see(&mut self, seen: Glance) {
        self.seen = seen;
    }

    pub(super) fn next_panel(&mut self) {
        self.focus = Panel::ALL[(self.focus as usize + 1) % Panel::ALL.len()];
    }

    pub(super) fn previous_panel(&mut self) {
        self.focus = Panel::ALL[(self.focus as usize + Panel::ALL.len() - 1) % Panel::ALL.len()];
    }

    pub(super) fn zoom(&mut self) {
        self.zoomed = !self.zoomed;
    }

    pub(super) fn scroll(&mut self, rows: isize) {
        let last = self.seen.rows(self.focus).len().saturating_sub(1);
        let offset = &mut self.offsets[self.focus as usize];
        *offset = offset.saturating_add_signed(rows).min(last);
    }
}
