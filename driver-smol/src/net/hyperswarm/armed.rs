//! A stream that waits on several sockets at once: where its first packet arrives, it lives.

use std::net::SocketAddrV4;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::rpc::{Packet, Route, RpcSocket};
use super::udx::is_opening;
use crate::net::Path;

/// Packets of a stream that may wait to be looked at.
const PACKETS: usize = 1024;

/// Where a stream lives: its socket and the other side's address, and the packets that come for it.
pub(super) struct Wire {
    pub(super) socket: Arc<RpcSocket>,
    pub(super) remote: SocketAddrV4,
    pub(super) path: Path,
    pub(super) packets: mpsc::Receiver<Packet>,
    /// The packets that have come already.
    pub(super) first: Option<Packet>,
    _route: Route,
}

impl Wire {
    /// A stream with this number on this socket, to this address.
    pub(super) fn new(id: u32, socket: Arc<RpcSocket>, remote: SocketAddrV4, path: Path) -> Self {
        let (sender, packets) = mpsc::channel(PACKETS);
        let route = socket.route(id, sender, 0);
        Self { socket, remote, path, packets, first: None, _route: route }
    }
}

/// The waiting stream.
pub(super) struct Armed {
    id: u32,
    sockets: Vec<(Arc<RpcSocket>, Route)>,
    sender: mpsc::Sender<Packet>,
    packets: mpsc::Receiver<Packet>,
}

impl Armed {
    /// A stream with this number, not waiting anywhere yet.
    pub(super) fn new(id: u32) -> Self {
        let (sender, packets) = mpsc::channel(PACKETS);
        Self { id, sockets: Vec::new(), sender, packets }
    }

    /// Waits on this socket too.
    pub(super) fn arm(&mut self, socket: Arc<RpcSocket>) {
        let route = socket.route(self.id, self.sender.clone(), self.sockets.len());
        self.sockets.push((socket, route));
    }

    /// The first packet of the stream.
    pub(super) async fn opened(&mut self) -> Packet {
        loop {
            // The channel stays open: we hold a sender.
            match self.packets.recv().await {
                Some(packet) if packet.socket < self.sockets.len() && is_opening(&packet.data) => return packet,
                _ => {}
            }
        }
    }

    /// The stream where its first packet came; the other sockets are let go.
    pub(super) fn settle(mut self, first: Packet, path: Path) -> Wire {
        let (socket, route) = self.sockets.swap_remove(first.socket);
        Wire { socket, remote: first.from, path, packets: self.packets, first: Some(first), _route: route }
    }
}
