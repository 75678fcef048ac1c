//! The DHT as a client sees it: iterative queries that hand out replies as they come.
//!
//! The library's own queries give their replies only when the last node has answered; a peer can be dialled as soon as
//! the first one has. Replies of nodes that do not prove their place (the id is the hash of the address) are handed out
//! but never used to store anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};

use peeroxide_dht::messages::{Command, Response};
use peeroxide_dht::peer::{NodeId, peer_id};
use tokio::task::JoinSet;

use super::rpc::{Call, Patience, RpcSocket, address};

/// Nodes nearest to a target that hold its records.
const NEAREST: usize = 20;
/// Questions of one query under way at the same time.
const CONCURRENCY: usize = 10;
/// Nodes remembered, to start the next query from.
const KNOWN: usize = 128;
/// With fewer known nodes than this the bootstrap nodes are asked as well.
const FEW: usize = 5;
/// Questions a single query may ask, however many nodes are named to it.
const MAX_QUESTIONS: usize = 200;

/// A node's answer to a query.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Who answered.
    pub(super) from: SocketAddrV4,
    /// Its id, if it proved it.
    pub(super) id: Option<NodeId>,
    /// What it wants to see again with an announcement.
    pub(super) token: Option<[u8; 32]>,
    /// What it found.
    pub(super) value: Option<Vec<u8>>,
}

/// A client of the DHT.
pub(super) struct Dht {
    pub(super) socket: Arc<RpcSocket>,
    bootstrap: Vec<SocketAddrV4>,
    /// Nodes that answered, the latest last.
    known: Mutex<VecDeque<SocketAddrV4>>,
}

impl Dht {
    pub(super) fn new(socket: Arc<RpcSocket>, bootstrap: Vec<SocketAddrV4>) -> Arc<Self> {
        Arc::new(Self { socket, bootstrap, known: Mutex::default() })
    }

    /// The nodes to start from.
    pub(super) fn entries(&self) -> &[SocketAddrV4] {
        &self.bootstrap
    }

    /// Up to `count` nodes that answered lately.
    pub(super) fn known(&self, count: usize) -> Vec<SocketAddrV4> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().take(count).copied().collect()
    }

    /// Fills the list of known nodes; tells whether anybody answered.
    pub(super) async fn bootstrap(self: &Arc<Self>) -> bool {
        let target = rand::random();
        let find_node =
            Call { internal: true, command: Command::FindNode as u64, target: Some(target), token: None, value: None };
        !self.query(find_node, target, |_| {}).await.is_empty()
    }

    /// Asks ever nearer nodes until no nearer one is known. `seen` gets every reply as it comes; returned are the
    /// nearest nodes that proved their id, the nearest first.
    pub(super) async fn query(
        self: &Arc<Self>,
        call: Call,
        target: NodeId,
        mut seen: impl FnMut(&Reply),
    ) -> Vec<Reply> {
        let mut search = Search::new(target);
        let known = self.known(KNOWN);
        let few = if known.len() < FEW { self.bootstrap.as_slice() } else { &[] };
        known.iter().chain(few).for_each(|node| search.add(*node));
        let mut asked_bootstrap = known.len() < FEW;
        let mut questions = JoinSet::new();
        loop {
            while questions.len() < CONCURRENCY
                && let Some(node) = search.next()
            {
                let (dht, call) = (self.clone(), call.clone());
                questions.spawn(async move { (node, dht.socket.request(node, call, Patience::SHORT).await) });
            }
            match questions.join_next().await {
                Some(Ok((node, Ok(response)))) => {
                    self.remember(node);
                    seen(&search.answered(node, response));
                }
                Some(Ok((node, Err(_)))) => self.forget(node),
                Some(Err(_)) => {}
                None if search.nearest.is_empty() && !asked_bootstrap => {
                    asked_bootstrap = true;
                    self.bootstrap.iter().for_each(|node| search.add(*node));
                }
                None => return search.nearest.into_values().collect(),
            }
        }
    }

    fn remember(&self, node: SocketAddrV4) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|other| *other != node);
        known.push_back(node);
        if known.len() > KNOWN {
            known.pop_front();
        }
    }

    fn forget(&self, node: SocketAddrV4) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != node);
    }
}

/// The state of one query.
struct Search {
    target: NodeId,
    named: BTreeSet<SocketAddrV4>,
    todo: BTreeMap<NodeId, SocketAddrV4>,
    nearest: BTreeMap<NodeId, Reply>,
}

impl Search {
    fn new(target: NodeId) -> Self {
        Self { target, named: BTreeSet::new(), todo: BTreeMap::new(), nearest: BTreeMap::new() }
    }

    fn distance(&self, node: SocketAddrV4) -> NodeId {
        let id = peer_id(&node.ip().to_string(), node.port());
        std::array::from_fn(|i| id[i] ^ self.target[i])
    }

    fn add(&mut self, node: SocketAddrV4) {
        if self.named.len() < MAX_QUESTIONS && self.named.insert(node) {
            self.todo.insert(self.distance(node), node);
        }
    }

    /// The nearest node not asked yet, unless enough nearer ones have answered.
    fn next(&mut self) -> Option<SocketAddrV4> {
        let (distance, node) = self.todo.pop_first()?;
        let far = self.nearest.len() >= NEAREST && self.nearest.last_key_value().is_some_and(|(d, _)| distance > *d);
        if far {
            self.todo.clear();
        }
        (!far).then_some(node)
    }

    fn answered(&mut self, from: SocketAddrV4, response: Response) -> Reply {
        for node in response.closer_nodes.iter().take(NEAREST).filter_map(address) {
            self.add(node);
        }
        let id = peer_id(&from.ip().to_string(), from.port());
        let id = (response.id == Some(id)).then_some(id);
        let value = response.value.filter(|_| response.error == 0);
        let reply = Reply { from, id, token: response.token, value };
        if id.is_some() && response.error == 0 {
            self.nearest.insert(self.distance(from), reply.clone());
            if self.nearest.len() > NEAREST {
                self.nearest.pop_last();
            }
        }
        reply
    }
}

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;
