//! The search for the listeners of a topic.
//!
//! Each is dialled as soon as the first node of the DHT names it. A round ends when the search is over and every
//! listener was tried; while rounds give new streams there are further ones, with a pause between.
//!
//! Our own networks are searched at the same time. A listener that is found in both ways is tried in both, and the
//! first stream counts: what is heard on a network may be wrong, and must not keep us from going the other way.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::State;
use peeroxide_dht::hyperdht::KeyPair;
use peeroxide_dht::hyperdht_messages::{HyperPeer, LOOKUP, decode_hyper_peer};
use smol::channel::Sender;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::Shared;
use super::connect::{Through, connect};
use super::dht::Reply;
use super::rpc::{Call, address};
use crate::net::{DialEnd, DialEvent, RemoteKey, Topic};

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_millis(500);
/// Listeners that are tried in one round: anybody can announce himself on a topic.
pub(super) const MAX_LISTENERS: usize = 32;
/// Addresses on our own networks that are tried in one round.
const MAX_NEAR: usize = 4;
/// Attempts under way at the same time.
const PARALLEL: usize = 8;

/// A listener, and the way to it.
type Found = (RemoteKey, Through);

/// Searches until a round gives nothing new, or nobody hears the reports any more.
pub(super) async fn search(shared: Arc<Shared>, topic: Topic, report: Sender<DialEvent>) {
    // A key of its own for each dial: the reference's listeners keep only one stream of each key.
    let keys = KeyPair::generate();
    let mut reached = HashSet::new();
    let end = loop {
        let round = Round { shared: &shared, topic, keys: &keys, report: &report };
        match round.run(&mut reached).await {
            Outcome::Opened => sleep(PAUSE).await,
            Outcome::Nothing => break DialEnd::Exhausted,
            Outcome::NobodyAnswered if reached.is_empty() => break DialEnd::NetworkDown,
            Outcome::NobodyAnswered => break DialEnd::Exhausted,
            Outcome::Unheard => return,
        }
    };
    // Refused only when nobody hears it any more.
    drop(report.send(DialEvent::Ended(end)).await);
}

enum Outcome {
    Opened,
    Nothing,
    NobodyAnswered,
    Unheard,
}

struct Round<'a> {
    shared: &'a Arc<Shared>,
    topic: Topic,
    keys: &'a KeyPair,
    report: &'a Sender<DialEvent>,
}

impl Round<'_> {
    async fn run(&self, reached: &mut HashSet<RemoteKey>) -> Outcome {
        let (named, mut found) = mpsc::channel(MAX_LISTENERS);
        let search = self.search(named);
        let mut search = std::pin::pin!(search);
        let mut answered = None;
        let mut tried = Tried::default();
        let mut under_way = HashMap::<_, Vec<AbortHandle>>::new();
        let mut attempts = JoinSet::new();
        let mut opened = false;
        loop {
            tokio::select! {
                answers = &mut search, if answered.is_none() => answered = Some(answers),
                listener = found.recv(), if attempts.len() < PARALLEL && !(found.is_closed() && found.is_empty()) => {
                    let Some((remote, through)) = listener else { continue };
                    if !reached.contains(&remote) && !self.shared.is_own(&remote) && tried.admit(remote, &through) {
                        let attempt = connect(self.shared.clone(), self.keys.clone(), remote, through);
                        let attempt = attempts.spawn(async move { (remote, attempt.await) });
                        under_way.entry(remote).or_default().push(attempt);
                    }
                }
                attempt = attempts.join_next(), if !attempts.is_empty() => {
                    if let Some(Ok((remote, Ok(stream)))) = attempt
                        && reached.insert(remote)
                    {
                        // The other ways to it are not needed any more.
                        under_way.remove(&remote).into_iter().flatten().for_each(|other| other.abort());
                        opened = true;
                        if self.report.send(DialEvent::Opened(stream)).await.is_err() {
                            return Outcome::Unheard;
                        }
                    }
                }
                else => break,
            }
        }
        match answered {
            _ if opened => Outcome::Opened,
            Some(true) => Outcome::Nothing,
            _ => Outcome::NobodyAnswered,
        }
    }

    /// Names the listeners as they are found; tells whether any node of the DHT answered.
    async fn search(&self, named: mpsc::Sender<Found>) -> bool {
        // When there are too many, the rest has to wait for the next round.
        let name = |remote, through| drop(named.try_send((remote, through)));
        let near = self.shared.lan.search(self.topic, |remote, at| name(remote, Through::Itself(at)));
        let far = self.lookup(|remote, hints| name(remote, Through::Relays(hints)));
        tokio::join!(far, near).0
    }

    /// The search in the DHT.
    async fn lookup(&self, name: impl Fn(RemoteKey, Vec<SocketAddrV4>)) -> bool {
        let mut answered = false;
        let seen = |reply: &Reply| {
            answered = true;
            for peer in reply.value.as_deref().map(listeners).unwrap_or_default() {
                let hints = peer.relay_addresses.iter().take(3).filter_map(address).collect();
                name(peer.public_key, hints);
            }
        };
        self.shared.dht.query(Call::new(LOOKUP, self.topic), self.topic, seen).await;
        answered
    }
}

/// What was tried in a round.
#[derive(Default)]
struct Tried {
    far: HashSet<RemoteKey>,
    near: HashSet<(RemoteKey, SocketAddrV4)>,
}

impl Tried {
    /// Whether this is to be tried now.
    fn admit(&mut self, remote: RemoteKey, through: &Through) -> bool {
        match through {
            Through::Relays(_) => self.far.len() < MAX_LISTENERS && self.far.insert(remote),
            Through::Itself(at) => self.near.len() < MAX_NEAR && self.near.insert((remote, *at)),
        }
    }
}

/// The listeners that a node names. The library's decoder makes room for as many as the node claims, before it looks
/// whether they are there: any node could end the process with it.
pub(super) fn listeners(value: &[u8]) -> Vec<HyperPeer> {
    let (count, rest) = match value {
        [count @ ..=0xfc, rest @ ..] => (usize::from(*count), rest),
        // Nobody honest names more than a handful at once.
        _ => return Vec::new(),
    };
    let mut state = State::from_buffer(rest);
    (0..count.min(MAX_LISTENERS)).map_while(|_| decode_hyper_peer(&mut state).ok()).collect()
}

#[cfg(test)]
mod tests;
