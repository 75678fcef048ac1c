//! What kind of NAT a socket sits behind, told from the addresses under which others see it.
//!
//! The verdicts are those of the reference: three nodes that see the same address and port make it *consistent*, all
//! different ones *random*.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use peeroxide_dht::hyperdht_messages::{FIREWALL_CONSISTENT, FIREWALL_RANDOM, FIREWALL_UNKNOWN};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::rpc::{Call, Patience, RpcSocket, address};

/// Nodes asked for our address.
const SAMPLES: usize = 4;
/// Agreeing samples that settle the matter.
const ENOUGH: usize = 3;
/// A node that does not answer in this time is not waited for.
const PATIENCE: Patience = Patience { first: Duration::from_millis(300), total: Duration::from_millis(1200) };

/// What is known about the NAT of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nat {
    /// One of the library's `FIREWALL_` values.
    pub(super) firewall: u64,
    /// Where the socket can be reached; for a random NAT only the host, with port 0.
    pub(super) addresses: Vec<SocketAddrV4>,
    /// No better answer will come.
    pub(super) settled: bool,
}

impl Nat {
    pub(super) const UNKNOWN: Self = Self { firewall: FIREWALL_UNKNOWN, addresses: Vec::new(), settled: false };

    /// Whether each destination sees another port.
    pub(super) fn is_random(&self) -> bool {
        self.firewall >= FIREWALL_RANDOM
    }
}

/// Asks some of these nodes how they see the socket. The watched value is updated with every answer.
pub(super) fn sample(socket: &Arc<RpcSocket>, nodes: Vec<SocketAddrV4>) -> watch::Receiver<Nat> {
    let (verdict, watched) = watch::channel(Nat::UNKNOWN);
    let socket = socket.clone();
    tokio::spawn(async move {
        let mut nodes = nodes.into_iter();
        let mut questions = JoinSet::new();
        let mut samples = Samples::default();
        let ask = |questions: &mut JoinSet<_>, node: Option<SocketAddrV4>| {
            let Some(node) = node else { return };
            let socket = socket.clone();
            questions.spawn(async move { socket.request(node, Call::PING, PATIENCE).await });
        };
        (0..SAMPLES).for_each(|_| ask(&mut questions, nodes.next()));
        while let Some(answer) = questions.join_next().await {
            match answer {
                Ok(Ok(response)) => {
                    samples.add(address(&response.to));
                    verdict.send_replace(samples.verdict(questions.is_empty()));
                    if verdict.borrow().settled || verdict.is_closed() {
                        return;
                    }
                }
                _ => ask(&mut questions, nodes.next()),
            }
        }
        verdict.send_replace(samples.verdict(true));
    });
    watched
}

/// Waits until the verdict is final; [`Nat::UNKNOWN`] if there is none.
pub(super) async fn settled(nat: &mut watch::Receiver<Nat>) -> Nat {
    nat.wait_for(|nat| nat.settled).await.map_or(Nat::UNKNOWN, |nat| nat.clone())
}

/// The addresses seen, each with how often.
#[derive(Debug, Default)]
struct Samples {
    seen: Vec<(SocketAddrV4, usize)>,
}

impl Samples {
    fn add(&mut self, address: Option<SocketAddrV4>) {
        let Some(address) = address else { return };
        match self.seen.iter_mut().find(|(seen, _)| *seen == address) {
            Some((_, hits)) => *hits += 1,
            None => self.seen.push((address, 1)),
        }
        self.seen.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
    }

    /// What the samples say; `last` if there will be no more.
    fn verdict(&self, last: bool) -> Nat {
        let count: usize = self.seen.iter().map(|(_, hits)| hits).sum();
        let most = self.seen.first().map_or(0, |(_, hits)| *hits);
        let hosts = self.hosts();
        let firewall = if most >= ENOUGH {
            FIREWALL_CONSISTENT
        } else if count >= ENOUGH && most == 1 {
            FIREWALL_RANDOM
        } else if most == 2 && hosts.len() > 1 && self.seen.get(1).is_some_and(|(_, hits)| *hits > 1) {
            // Two ways out, each of them consistent.
            FIREWALL_CONSISTENT
        } else if most == 2 && hosts.len() == 1 && count > ENOUGH {
            FIREWALL_RANDOM
        } else if last && most > 0 && most == count {
            // A small private DHT has too few nodes to be sure. All that answered agree, so try it.
            FIREWALL_CONSISTENT
        } else if last && count > 1 {
            FIREWALL_RANDOM
        } else {
            FIREWALL_UNKNOWN
        };
        let addresses = match firewall {
            FIREWALL_CONSISTENT => {
                self.seen.iter().enumerate().filter(|(i, (_, hits))| *i < 2 || *hits >= 2).map(|(_, s)| s.0).collect()
            }
            FIREWALL_RANDOM => hosts.first().map(|host| SocketAddrV4::new(*host, 0)).into_iter().collect(),
            _ => Vec::new(),
        };
        Nat { firewall, addresses, settled: last || firewall == FIREWALL_CONSISTENT }
    }

    fn hosts(&self) -> Vec<Ipv4Addr> {
        let mut hosts = Vec::new();
        for (address, _) in &self.seen {
            if !hosts.contains(address.ip()) {
                hosts.push(*address.ip());
            }
        }
        hosts
    }
}

#[cfg(test)]
mod tests;
