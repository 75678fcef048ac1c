//! A stream that waits on several sockets at once: where its first packet arrives, it lives.

use std::collections::HashMap;

use libudx::{UdxError, UdxSocket, UdxStream};
use tokio::sync::mpsc;

use super::rpc::runtime;

/// The waiting stream.
pub(super) struct Armed {
    local_id: u32,
    remote_id: u32,
    waiting: HashMap<usize, (UdxStream, UdxSocket)>,
    count: usize,
    fired: mpsc::UnboundedReceiver<usize>,
    fire: mpsc::UnboundedSender<usize>,
}

impl Armed {
    /// A stream between these two numbers, not waiting anywhere yet.
    pub(super) fn new(local_id: u32, remote_id: u32) -> Self {
        // Bounded by the number of sockets: each sends once.
        let (fire, fired) = mpsc::unbounded_channel();
        Self { local_id, remote_id, waiting: HashMap::new(), count: 0, fired, fire }
    }

    /// Waits on this socket too.
    pub(super) async fn arm(&mut self, socket: &UdxSocket) -> Result<(), UdxError> {
        let stream = runtime().stream(self.local_id).await?;
        let (number, fire) = (self.count, self.fire.clone());
        stream.set_firewall_hook(socket, self.remote_id, move |_, _, _| fire.send(number).is_ok())?;
        self.count += 1;
        self.waiting.insert(number, (stream, socket.clone()));
        Ok(())
    }

    /// The stream and its socket, once its first packet has arrived.
    pub(super) async fn connected(&mut self) -> (UdxStream, UdxSocket) {
        loop {
            // The channel stays open, we hold a sender.
            if let Some(number) = self.fired.recv().await
                && let Some(connected) = self.waiting.remove(&number)
            {
                return connected;
            }
        }
    }
}
