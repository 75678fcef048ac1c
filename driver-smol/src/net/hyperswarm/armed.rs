//! A stream that waits on several sockets at once: where its first packet arrives, it lives.

use std::any::Any;
use std::net::SocketAddrV4;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::relay::Passage;
use super::rpc::{Packet, Route, RpcSocket, STREAM_PACKETS};
use super::udx::{greeting, is_opening};
use crate::net::Path;

/// Where a stream lives: its socket, the other side's address and number, and the packets that come for it.
pub(super) struct Wire {
    pub(super) socket: Arc<RpcSocket>,
    pub(super) remote: SocketAddrV4,
    /// The number that whoever is at that address gave the stream: the other side, or a relay.
    pub(super) stream: u32,
    pub(super) path: Path,
    pub(super) packets: mpsc::Receiver<Packet>,
    /// The packets that have come already.
    pub(super) first: Option<Packet>,
    /// Whatever makes the packets come.
    _source: Box<dyn Any + Send>,
}

impl Wire {
    /// The stream with the number `id` on this socket, to this address, where it has the number `stream`.
    pub(super) fn new(id: u32, socket: Arc<RpcSocket>, remote: SocketAddrV4, stream: u32, path: Path) -> Self {
        let (sender, packets) = mpsc::channel(STREAM_PACKETS);
        let route = socket.route(id, sender, 0);
        Self { socket, remote, stream, path, packets, first: None, _source: Box::new(route) }
    }

    /// A stream through a relay.
    pub(super) fn through(passage: Passage) -> Self {
        let Passage { socket, relay, stream, packets, stay } = passage;
        let path = Path::Relayed;
        Self { socket, remote: relay, stream, path, packets, first: None, _source: Box::new(stay) }
    }
}

/// The waiting stream.
pub(super) struct Armed {
    id: u32,
    /// Its number at the other side.
    remote_id: u32,
    sockets: Vec<(Arc<RpcSocket>, Route)>,
    sender: mpsc::Sender<Packet>,
    packets: mpsc::Receiver<Packet>,
    passage: Option<Passage>,
}

/// How the first packet came.
pub(super) enum First {
    Straight(Packet),
    Relayed(Packet),
}

impl Armed {
    /// A stream with this number, and that number at the other side, not waiting anywhere yet.
    pub(super) fn new(id: u32, remote_id: u32) -> Self {
        let (sender, packets) = mpsc::channel(STREAM_PACKETS);
        Self { id, remote_id, sockets: Vec::new(), sender, packets, passage: None }
    }

    /// Waits on this socket too.
    pub(super) fn arm(&mut self, socket: Arc<RpcSocket>) {
        let route = socket.route(self.id, self.sender.clone(), self.sockets.len());
        self.sockets.push((socket, route));
    }

    /// Waits at the relay too.
    pub(super) async fn arm_passage(&mut self, passage: Passage) {
        // The relay learns by this where to pass packets on to.
        passage.socket.send_packet(&greeting(passage.stream), passage.relay).await;
        self.passage = Some(passage);
    }

    /// The first packet of the stream.
    pub(super) async fn opened(&mut self) -> First {
        loop {
            tokio::select! {
                // The channel stays open: we hold a sender.
                Some(packet) = self.packets.recv() => {
                    if packet.socket < self.sockets.len() && is_opening(&packet.data) {
                        return First::Straight(packet);
                    }
                }
                packet = relayed(&mut self.passage) => match packet {
                    Some(packet) if is_opening(&packet.data) => return First::Relayed(packet),
                    Some(_) => {}
                    None => self.passage = None,
                },
            }
        }
    }

    /// The stream where its first packet came; all else is let go. `None` if that is gone already. `path` is asked what
    /// to call the way to an address.
    pub(super) fn settle(mut self, first: First, path: impl FnOnce(SocketAddrV4) -> Path) -> Option<Wire> {
        match first {
            First::Straight(first) => {
                let (socket, route) = self.sockets.swap_remove(first.socket);
                let (remote, stream, packets) = (first.from, self.remote_id, self.packets);
                let path = path(remote);
                Some(Wire { socket, remote, stream, path, packets, first: Some(first), _source: Box::new(route) })
            }
            First::Relayed(first) => Some(Wire { first: Some(first), ..Wire::through(self.passage?) }),
        }
    }
}

/// The next packet from the relay; `None` when the relay is gone.
async fn relayed(passage: &mut Option<Passage>) -> Option<Packet> {
    match passage {
        Some(passage) => passage.packets.recv().await,
        None => std::future::pending().await,
    }
}
