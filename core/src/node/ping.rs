//! How far away a peer is: the time of a handshake on a stream of its own.
//!
//! The protocol has no message for this that every version knows. Each version answers a hello, so that is what is
//! measured: there and back, with the peer's signature.

use super::request::{RequestNo, What};
use super::{Node, Reply, StreamId};
use crate::keys::PublicKey;
use crate::time::Now;

impl Node {
    pub(super) fn is_ping(&self, number: RequestNo) -> bool {
        self.requests.get(&number).is_some_and(|request| matches!(request.what, What::Ping { .. }))
    }

    /// A stream that was dialled leads to the peer, as of now. It is closed if nothing else waited for it.
    pub(super) fn answer_pings(&mut self, local: PublicKey, target: PublicKey, stream: StreamId, now: Now) {
        let Some(opened) = self.streams.get(&stream).map(|stream| stream.opened) else {
            return;
        };
        let waiting = self
            .requests
            .iter()
            .filter(|(_, request)| request.sent.is_none() && request.local == local && request.target == target);
        let (mut pings, mut others) = (alloc::vec::Vec::new(), false);
        for (number, request) in waiting {
            match request.what {
                What::Ping { started, .. } => pings.push((*number, started)),
                _ => others = true,
            }
        }
        for (number, started) in &pings {
            let (found, round_trip) = (opened.since(*started), now.mono.since(opened));
            self.conclude(*number, Ok(Reply::Pong { stream, found, round_trip }), now);
        }
        if !pings.is_empty() && !others {
            self.close(stream, now);
        }
    }
}
