//! The search for the listeners of a topic.
//!
//! Each is dialled as soon as the first node of the DHT names it. A round ends when the search is over and every
//! listener was tried; while rounds give new streams there are further ones, with a pause between.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::State;
use peeroxide_dht::hyperdht::KeyPair;
use peeroxide_dht::hyperdht_messages::{HyperPeer, LOOKUP, decode_hyper_peer};
use smol::channel::Sender;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Shared;
use super::connect::connect;
use super::dht::Reply;
use super::rpc::Call;
use super::rpc::address;
use crate::net::{DialEnd, DialEvent, RemoteKey, Topic};

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_millis(500);
/// Listeners that are tried in one round: anybody can announce himself on a topic.
pub(super) const MAX_LISTENERS: usize = 32;
/// Attempts under way at the same time.
const PARALLEL: usize = 8;

/// A listener, and nodes that may relay to it.
type Found = (RemoteKey, Vec<SocketAddrV4>);

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
            Outcome::NobodyAnswered => break DialEnd::NetworkDown,
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
        let search = self.lookup(named);
        let mut search = std::pin::pin!(search);
        let mut answered = None;
        let mut tried = HashMap::new();
        let mut attempts = JoinSet::new();
        let mut opened = false;
        loop {
            tokio::select! {
                answers = &mut search, if answered.is_none() => answered = Some(answers),
                listener = found.recv(), if attempts.len() < PARALLEL && !(found.is_closed() && found.is_empty()) => {
                    let Some((remote, hints)) = listener else { continue };
                    if tried.len() < MAX_LISTENERS && !reached.contains(&remote) && !self.shared.is_own(&remote) {
                        tried.entry(remote).or_insert_with(|| {
                            let attempt = connect(self.shared.clone(), self.keys.clone(), remote, hints);
                            attempts.spawn(async move { (remote, attempt.await) })
                        });
                    }
                }
                attempt = attempts.join_next(), if !attempts.is_empty() => {
                    if let Some(Ok((remote, Ok(stream)))) = attempt {
                        reached.insert(remote);
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

    /// Names the listeners as they are found; tells whether any node answered.
    async fn lookup(&self, named: mpsc::Sender<Found>) -> bool {
        let mut answered = false;
        let seen = |reply: &Reply| {
            answered = true;
            for peer in reply.value.as_deref().map(listeners).unwrap_or_default() {
                let hints = peer.relay_addresses.iter().take(3).filter_map(address).collect();
                // When there are too many, the rest has to wait for the next round.
                drop(named.try_send((peer.public_key, hints)));
            }
        };
        self.shared.dht.query(Call::new(LOOKUP, self.topic), self.topic, seen).await;
        answered
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
