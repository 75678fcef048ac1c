//! Carries the messages of a stream over UDX: the loop between the driver's queues, the cipher and the socket.
//!
//! Nothing waits for an acknowledgement before it leaves. Both directions are bounded: the driver's messages are taken
//! while no more than [`WINDOW`] bytes are unacknowledged, and the other side is told how much room is left for its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use peeroxide_dht::noise_wrap::NoiseWrapResult;
use smol::channel::{Receiver, Sender};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::armed::Wire;
use super::rpc::Packet;
use super::secret::{Corrupt, Opener, Sealer};
use super::session::Question;
use super::udx::{Broken, Udx};
use crate::net::stream::{StreamPort, stream};
use crate::net::{Incoming, Stream, Topic};

/// Bytes that may be unacknowledged when the next message is taken.
const WINDOW: usize = 2 * 1024 * 1024;
/// Packets that are looked at before the answers leave.
const BATCH: usize = 64;
/// Packets that leave at once, and the pause after them unless an acknowledgement comes.
const BURST: usize = 64;
const BURST_PAUSE: Duration = Duration::from_millis(1);
/// How often an empty message shows that we are there; a peer that acknowledges none for long is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long the other side may take to prove that our answer reached it.
const PROOF: Duration = Duration::from_secs(10);
/// How long a closing stream may take to deliver what was sent.
const FLUSH: Duration = Duration::from_secs(5);
/// How long the other side may take to close its direction too.
const LINGER: Duration = Duration::from_secs(1);

/// Nothing more comes.
struct Over;

impl From<Corrupt> for Over {
    fn from(_: Corrupt) -> Self {
        Self
    }
}

impl From<Broken> for Over {
    fn from(_: Broken) -> Self {
        Self
    }
}

/// Serves a stream until it is closed or the network is.
pub(super) fn carry(wire: Wire, keys: &NoiseWrapResult, closed: watch::Receiver<()>) -> Stream {
    let (stream, port) = stream(keys.remote_public_key, wire.path);
    tokio::spawn(Carrier::new(wire, keys, None).run(port, closed));
    stream
}

/// The same for a stream that is handed over only when the other side has proven that our answer reached it.
pub(super) fn accept(wire: Wire, keys: &NoiseWrapResult, closed: watch::Receiver<()>, unproven: Unproven) {
    let (stream, port) = stream(keys.remote_public_key, wire.path);
    tokio::spawn(Carrier::new(wire, keys, Some((unproven, stream))).run(port, closed));
}

/// A stream that somebody seems to have opened.
pub(super) struct Unproven {
    /// Where it goes.
    pub(super) accepted: Sender<Incoming>,
    /// What it came for.
    pub(super) topic: Topic,
    /// Ends when somebody else needs the place.
    pub(super) place: mpsc::Receiver<Question>,
}

struct Carrier {
    wire: Wire,
    udx: Udx,
    sealer: Sealer,
    opener: Opener,
    backlog: Backlog,
    unproven: Option<(Unproven, Stream)>,
    /// When an unproven stream ends.
    prove_until: Instant,
}

impl Carrier {
    fn new(wire: Wire, keys: &NoiseWrapResult, unproven: Option<(Unproven, Stream)>) -> Self {
        let now = Instant::now();
        let (sealer, first) = Sealer::new(keys);
        let mut udx = Udx::new(wire.stream, now);
        udx.write(&first, now);
        let (opener, backlog) = (Opener::new(keys), Backlog::default());
        Self { wire, udx, sealer, opener, backlog, unproven, prove_until: now + PROOF }
    }

    async fn run(mut self, port: StreamPort, mut closed: watch::Receiver<()>) {
        let StreamPort { outgoing, incoming, unfinished } = port;
        let alive = tokio::select! {
            result = self.exchange(&outgoing, &incoming) => result.is_ok() || self.udx.is_remote_ended(),
            // A change or the end: both mean the same.
            _ = closed.changed() => false,
        };
        // From here on sending fails for the driver, and it sees the end after what has arrived.
        outgoing.close();
        if alive {
            self.udx.end(Instant::now());
            drop(timeout(FLUSH, self.until(|udx| udx.is_flushed())).await);
            drop(unfinished);
            drop(timeout(LINGER, self.until(|udx| udx.is_flushed() && udx.is_remote_ended())).await);
        }
        if !(self.udx.is_flushed() && self.udx.is_remote_ended()) {
            self.wire.socket.send_packet(&self.udx.destroy(), self.wire.remote).await;
        }
        while let Some(message) = self.backlog.pop() {
            if incoming.send(message).await.is_err() {
                break;
            }
        }
    }

    /// Goes on until the driver closes the stream (`Ok`) or the stream is over.
    async fn exchange(&mut self, outgoing: &Receiver<Vec<u8>>, incoming: &mpsc::Sender<Vec<u8>>) -> Result<(), Over> {
        let mut keep_alive = interval(KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is due at once, and the stream has just begun.
        keep_alive.reset();
        if let Some(first) = self.wire.first.take() {
            self.take(&first, incoming)?;
        }
        loop {
            let more = self.transmit().await;
            if self.opener.is_proven()
                && let Some((Unproven { accepted, topic, .. }, stream)) = self.unproven.take()
            {
                // Refused only when the network was closed: the stream closes with it.
                drop(accepted.send(Incoming { stream, topics: vec![topic] }).await);
            }
            let deadline = self.udx.poll_timeout();
            tokio::select! {
                () = unproven(&mut self.unproven, self.prove_until) => return Err(Over),
                packet = self.wire.packets.recv() => {
                    self.take(&packet.ok_or(Over)?, incoming)?;
                    for _ in 1..BATCH {
                        let Ok(packet) = self.wire.packets.try_recv() else { break };
                        self.take(&packet, incoming)?;
                    }
                    if self.udx.is_remote_ended() {
                        return Err(Over);
                    }
                }
                slot = incoming.reserve(), if !self.backlog.is_empty() => {
                    match (slot, self.backlog.pop()) {
                        (Ok(slot), Some(message)) => slot.send(message),
                        // When nobody reads any more, what arrives is of no use.
                        _ => self.backlog.clear(),
                    }
                    self.udx.set_unused(self.backlog.bytes);
                }
                message = outgoing.recv(), if self.udx.unacknowledged() <= WINDOW => {
                    let Ok(message) = message else { return Ok(()) };
                    let frame = self.sealer.seal(&message);
                    self.udx.write(&frame, Instant::now());
                }
                _ = keep_alive.tick() => {
                    let frame = self.sealer.seal(&[]);
                    self.udx.write(&frame, Instant::now());
                }
                () = until(deadline), if deadline.is_some() => self.udx.handle_timeout(Instant::now())?,
                () = sleep(BURST_PAUSE), if more => {}
            }
        }
    }

    fn take(&mut self, packet: &Packet, incoming: &mpsc::Sender<Vec<u8>>) -> Result<(), Over> {
        let bytes = self.accept(packet)?;
        for message in self.opener.open(&bytes)? {
            if !incoming.is_closed() {
                self.backlog.push(message);
            }
        }
        self.udx.set_unused(self.backlog.bytes);
        Ok(())
    }

    fn accept(&mut self, packet: &Packet) -> Result<Vec<u8>, Over> {
        // The stream's number alone proves nothing.
        if packet.from != self.wire.remote {
            return Ok(Vec::new());
        }
        Ok(self.udx.handle(&packet.data, Instant::now())?)
    }

    /// Serves the closing stream until this is so, or it broke. What arrives is no longer used.
    async fn until(&mut self, done: impl Fn(&Udx) -> bool) {
        loop {
            let more = self.transmit().await;
            if done(&self.udx) {
                return;
            }
            let deadline = self.udx.poll_timeout();
            let result = tokio::select! {
                packet = self.wire.packets.recv() => match packet {
                    Some(packet) => self.accept(&packet).map(drop),
                    None => Err(Over),
                },
                () = until(deadline), if deadline.is_some() => self.udx.handle_timeout(Instant::now()).map_err(Over::from),
                () = sleep(BURST_PAUSE), if more => Ok(()),
            };
            self.udx.set_unused(0);
            if result.is_err() {
                return;
            }
        }
    }

    /// Sends what may be sent, but not all of a large window at once: the receiving system has room for a few hundred
    /// packets. Tells whether there may be more.
    async fn transmit(&mut self) -> bool {
        for _ in 0..BURST {
            match self.udx.poll_transmit(Instant::now()) {
                Some(packet) => self.wire.socket.send_packet(&packet, self.wire.remote).await,
                None => return false,
            }
        }
        true
    }
}

/// Returns when an unproven stream has to end.
async fn unproven(unproven: &mut Option<(Unproven, Stream)>, end: Instant) {
    match unproven {
        Some((Unproven { place, .. }, _)) => {
            // Nobody answers questions about punching any more.
            let taken = async { while place.recv().await.is_some() {} };
            // Late or without a place: the same.
            drop(tokio::time::timeout_at(end.into(), taken).await);
        }
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        sleep_until(deadline.into()).await;
    }
}

/// Messages that wait for the driver. The other side's window bounds them.
#[derive(Default)]
struct Backlog {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Backlog {
    fn push(&mut self, message: Vec<u8>) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
