//! Discovery: meeting others on topics, and what comes of it.
//!
//! A topic that is joined is listened on and dialled again and again. Whoever is met there shows a profile; one that
//! speaks our extension also proves its key. Nothing that is said here grants anything: a request waits for the owner,
//! and the answer to a request of ours only counts if we asked that very key and it proved itself.

pub(super) mod book;
mod connect;
mod meeting;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use self::connect::Connecting;
use self::meeting::Meeting;
use super::{CommandId, DialEnd, DialId, Node, Output, StreamId, StreamOrigin, TransportKey};
use crate::access::SessionName;
use crate::discovery::Discovered;
use crate::event::Event;
use crate::gateway::{Permit, permit};
use crate::grant::Needs;
use crate::keys::{PublicKey, Topic};
use crate::profile::TopicName;
use crate::time::{Instant, Now, WallTime};

/// What is going on now; what lasts is in the [`Book`](book::Book).
#[derive(Default)]
pub(super) struct Discovery {
    topics: BTreeMap<TopicName, Joined>,
    meetings: BTreeMap<StreamId, Meeting>,
    found: BTreeMap<PublicKey, Found>,
    connecting: BTreeMap<CommandId, Connecting>,
    /// When a request of ours was last sent to a key.
    sent: BTreeMap<PublicKey, Instant>,
}

/// A topic that we are on.
struct Joined {
    topic: Topic,
    /// The search that goes on.
    dial: Option<DialId>,
    /// When the next one starts.
    at: Instant,
    /// The pause after it.
    pause: Duration,
}

/// A peer that showed itself.
struct Found {
    proven: bool,
    content: String,
    topics: BTreeSet<TopicName>,
    seen: Now,
}

impl Discovery {
    /// When something is to be done next.
    pub(super) fn timeout(&self) -> Option<Instant> {
        let topics = self.topics.values().filter(|joined| joined.dial.is_none()).map(|joined| joined.at);
        let meetings = self.meetings.values().map(Meeting::timeout);
        let connecting = self.connecting.values().map(|connecting| connecting.deadline);
        topics.chain(meetings).chain(connecting).min()
    }

    /// Bytes held for messages that have not ended yet.
    pub(super) fn buffered(&self) -> usize {
        self.meetings.values().map(Meeting::buffered).sum()
    }

    /// Whether the stream is one of discovery.
    pub(super) fn has(&self, stream: StreamId) -> bool {
        self.meetings.contains_key(&stream)
    }

    fn is_live(&self, key: &PublicKey) -> bool {
        self.meetings.values().any(|meeting| meeting.counts_for(key))
    }
}

impl Node {
    /// Goes on all topics that were joined before.
    pub(super) fn meet_again(&mut self, now: Now) {
        for topic in self.access.book.topics.clone() {
            self.meet_on(topic, now);
        }
    }

    /// Goes on a topic, unless the node only remembers its topics.
    fn meet_on(&mut self, name: TopicName, now: Now) {
        if !self.config.discovery.active || self.discovery.topics.contains_key(&name) {
            return;
        }
        let topic = name.topic();
        let pause = self.config.discovery.first_redial;
        self.discovery.topics.insert(name, Joined { topic, dial: None, at: now.mono, pause });
        self.outputs.push_back(Output::Listen { topic });
        self.search_topics(now);
    }

    fn stop_meeting_on(&mut self, name: &TopicName, now: Now) {
        let Some(joined) = self.discovery.topics.remove(name) else {
            return;
        };
        self.outputs.push_back(Output::Unlisten { topic: joined.topic });
        if let Some(dial) = joined.dial {
            self.outputs.push_back(Output::StopDial { dial });
        }
        let met: Vec<StreamId> = self
            .discovery
            .meetings
            .iter()
            .filter(|(_, meeting)| meeting.topic == *name)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in met {
            self.end_meeting(stream, now);
        }
        self.discovery.found.retain(|_, found| {
            found.topics.remove(name);
            !found.topics.is_empty()
        });
    }

    /// Starts the searches whose time has come.
    fn search_topics(&mut self, now: Now) {
        let due: Vec<TopicName> = self
            .discovery
            .topics
            .iter()
            .filter(|(_, joined)| joined.dial.is_none() && joined.at <= now.mono)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let dial = DialId(self.next_id());
            if let Some(joined) = self.discovery.topics.get_mut(&name) {
                joined.dial = Some(dial);
                self.outputs.push_back(Output::Dial { dial, topic: joined.topic });
            }
        }
    }

    /// The topic that this dial searches.
    pub(super) fn topic_of_dial(&self, dial: DialId) -> Option<TopicName> {
        self.discovery.topics.iter().find(|(_, joined)| joined.dial == Some(dial)).map(|(name, _)| name.clone())
    }

    /// A search has found everybody there is: the next one comes after a pause, a long one if somebody was met.
    pub(super) fn topic_searched(&mut self, name: &TopicName, why: DialEnd, now: Now) {
        let met = why == DialEnd::Exhausted && self.discovery.meetings.values().any(|meeting| meeting.topic == *name);
        let config = &self.config.discovery;
        if let Some(joined) = self.discovery.topics.get_mut(name) {
            joined.dial = None;
            let pause = if met { config.redial } else { joined.pause };
            joined.at = now.mono + pause;
            joined.pause = if met { config.first_redial } else { (pause * 2).min(config.lonely_redial) };
        }
    }

    /// Whether a stream is one of discovery, and for which topic: we dialled it for one, or it came for one.
    pub(super) fn topic_of_stream(&self, origin: &StreamOrigin) -> Option<TopicName> {
        match origin {
            StreamOrigin::Dialled(dial) => self.topic_of_dial(*dial),
            StreamOrigin::Accepted { topics } => {
                if self.identity.keys().iter().any(|key| topics.contains(&key.topic())) {
                    return None;
                }
                let joined = self.discovery.topics.iter();
                joined.filter(|(_, joined)| topics.contains(&joined.topic)).map(|(name, _)| name.clone()).next()
            }
        }
    }

    /// Does what the clock demands.
    pub(super) fn discover_on_time(&mut self, now: Now) {
        self.search_topics(now);
        self.meetings_on_time(now);
        self.expire_connecting(now);
    }

    /// Forgets whom nobody has seen for long.
    pub(super) fn forget_found(&mut self, now: Now) {
        let memory = self.config.discovery.memory;
        let discovery = &mut self.discovery;
        let live: BTreeSet<PublicKey> = discovery.meetings.values().filter_map(Meeting::key).collect();
        discovery.found.retain(|key, found| live.contains(key) || now.mono < found.seen.mono + memory);
        discovery.sent.retain(|_, at| now.mono < *at + memory);
    }

    /// Somebody showed itself.
    fn found(&mut self, key: PublicKey, proven: bool, content: String, topic: TopicName, now: Now) {
        if let Some(known) = self.discovery.found.get_mut(&key) {
            // What is not proven never stands in for what is.
            if known.proven && !proven {
                return;
            }
            known.content = content;
            known.topics.insert(topic.clone());
            known.seen = now;
            if known.proven == proven {
                return;
            }
            known.proven = true;
        } else if self.make_room_for_found() {
            let topics = BTreeSet::from([topic.clone()]);
            self.discovery.found.insert(key, Found { proven, content, topics, seen: now });
        } else {
            return;
        }
        self.event(Event::PeerDiscovered { peer: key, proven, topic });
    }

    /// Makes room for one more discovered peer, at the cost of one that is gone; false if there is none.
    fn make_room_for_found(&mut self) -> bool {
        let discovery = &self.discovery;
        if discovery.found.len() < self.config.discovery.max_found {
            return true;
        }
        let gone = discovery.found.iter().filter(|(key, _)| !discovery.is_live(key));
        let Some(oldest) = gone.min_by_key(|(_, found)| (found.proven, found.seen.mono)).map(|(key, _)| *key) else {
            return false;
        };
        self.discovery.found.remove(&oldest);
        true
    }

    /// Everybody who was met, by key.
    pub(super) fn discovered(&self) -> Vec<Discovered> {
        let seen = |key: &PublicKey, found: &Found| -> WallTime {
            let heard = self.discovery.meetings.values().filter(|meeting| meeting.counts_for(key));
            heard.map(|meeting| meeting.heard).max().unwrap_or_default().max(found.seen.wall)
        };
        let discovered = self.discovery.found.iter().map(|(key, found)| Discovered {
            key: *key,
            proven: found.proven,
            content: found.content.clone(),
            topics: found.topics.clone(),
            last_seen: seen(key, found),
            connected: self.discovery.is_live(key),
        });
        discovered.collect()
    }

    /// What a peer may do in a session now.
    pub(super) fn permit(&self, peer: &PublicKey, session: &SessionName, needs: Needs, now: Now) -> Option<Permit> {
        let needs = if planted!(self.config, LogMeansAsk) { Needs::Log } else { needs };
        let wall = if planted!(self.config, GrantsNeverExpire) { WallTime::default() } else { now.wall };
        #[cfg(wopr_planted)]
        let session = &self.granted_session(peer, session);
        // A peer may have changed its keys since it asked.
        let peer = self.acting(*peer, now);
        permit(&self.access.grants, self.config.gateway.as_ref(), &peer, session, needs, wall)
    }

    /// Whether a transport key may open one more discovery stream.
    fn may_meet(&self, remote: TransportKey) -> bool {
        let meetings = || self.discovery.meetings.values().filter(|meeting| !meeting.dialled);
        meetings().filter(|meeting| meeting.remote == remote).count() < self.config.discovery.max_streams_per_remote
    }
}
