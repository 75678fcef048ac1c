//! UDX: a reliable stream of bytes over UDP, as the reference's library `libudx` speaks it. No socket and no clock here.
//!
//! Feed arrived packets to [`Udx::handle`] and the time to [`Udx::handle_timeout`] when [`Udx::poll_timeout`] says so,
//! and send what [`Udx::poll_transmit`] gives until it gives nothing.
//!
//! Nothing a peer sends makes this hold more than [`RECEIVE_WINDOW`] bytes or work longer than its own packets are many.

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod packet;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

use std::time::Instant;

use self::packet::{DATA, DESTROY, END, HEARTBEAT, Header, SACK};
use self::receiver::Receiver;
use self::sender::Sender;

pub(super) use self::packet::{is_opening, stream_id};
pub(super) use self::receiver::RECEIVE_WINDOW;

/// The stream is over without its end having come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The other side destroyed it.
    Destroyed,
    /// The other side acknowledged nothing for too long.
    Silent,
}

/// A packet that opens the way for a stream with this number at the other end, and says nothing.
pub(super) fn greeting(remote_id: u32) -> Vec<u8> {
    Header { flags: 0, remote_id, window: RECEIVE_WINDOW as u32, seq: 0, ack: 0 }.encode(&[], &[])
}

/// Our side of a stream.
#[derive(Debug)]
pub(super) struct Udx {
    remote_id: u32,
    sender: Sender,
    receiver: Receiver,
}

impl Udx {
    /// A stream whose other side has this number.
    pub(super) fn new(remote_id: u32, now: Instant) -> Self {
        Self { remote_id, sender: Sender::new(now), receiver: Receiver::default() }
    }

    /// Takes a packet of the other side; gives the bytes that are next in order.
    pub(super) fn handle(&mut self, packet: &[u8], now: Instant) -> Result<Vec<u8>, Broken> {
        let Some((header, between, payload)) = Header::decode(packet) else { return Ok(Vec::new()) };
        let sack = if header.flags & SACK != 0 { between } else { &[] };
        self.sender.acknowledged(header.ack, sack, header.window, now);
        if header.flags & DESTROY != 0 {
            return Err(Broken::Destroyed);
        }
        if header.flags & HEARTBEAT != 0 {
            self.receiver.acknowledge();
        }
        let mut bytes = Vec::new();
        if header.flags & (DATA | END) != 0 {
            self.receiver.arrived(header.seq, payload, header.flags & END != 0, &mut bytes);
        }
        Ok(bytes)
    }

    /// Queues bytes to send.
    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) {
        self.sender.write(bytes, now);
    }

    /// Bytes that are queued or not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.sender.unacknowledged()
    }

    /// Sends the end after what is queued.
    pub(super) fn end(&mut self, now: Instant) {
        self.sender.end(now);
    }

    /// Our end was acknowledged, and everything before it.
    pub(super) fn is_flushed(&self) -> bool {
        self.sender.is_flushed()
    }

    /// The other side's end has come, and everything before it.
    pub(super) fn is_remote_ended(&self) -> bool {
        self.receiver.is_ended()
    }

    /// Tells how many of the bytes that were given out still wait to be used; the other side is slowed down by them.
    /// Until it is told, all of them.
    pub(super) fn set_unused(&mut self, bytes: usize) {
        self.receiver.set_unused(bytes);
    }

    /// The next packet to send, if any.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (ack, window) = (self.receiver.expected(), self.receiver.window());
        let header = |flags, seq| Header { flags, remote_id: self.remote_id, window, seq, ack };
        // What came out of order is told in a packet of its own: data leaves no room for it.
        if let Some(sack) = self.receiver.take_sack() {
            return Some(header(SACK, self.sender.next_seq()).encode(&sack, &[]));
        }
        if let Some((seq, flags, payload)) = self.sender.next(now) {
            self.receiver.acknowledged();
            return Some(header(flags, seq).encode(&[], payload));
        }
        self.receiver.take_ack().then(|| header(0, self.sender.next_seq()).encode(&[], &[]))
    }

    /// When [`Udx::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sender.deadline()
    }

    /// Sends again what was not acknowledged in time.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Broken> {
        self.sender.timeout(now)
    }

    /// A packet that tells the other side that the stream is gone.
    pub(super) fn destroy(&self) -> Vec<u8> {
        let (seq, ack) = (self.sender.next_seq(), self.receiver.expected());
        Header { flags: DESTROY, remote_id: self.remote_id, window: 0, seq, ack }.encode(&[], &[])
    }
}
