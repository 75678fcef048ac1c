//! The way in for the fuzzer: packets of a stranger, and two sides on a line that loses packets.

use std::collections::VecDeque;
use std::time::Duration;

use super::packet::{PAYLOAD, ranges};
use super::*;

/// More packets at once are never sent: the largest window, and what acknowledges.
const MAX_AT_ONCE: usize = 4200;

/// Takes the script's next byte; 0 after its end.
fn byte(script: &mut &[u8]) -> u8 {
    let Some((first, rest)) = script.split_first() else { return 0 };
    *script = rest;
    *first
}

/// What the stream under test has done so far.
struct Victim {
    udx: Udx,
    now: Instant,
    written: usize,
    /// Bytes of packets of the stranger that carry data.
    offered: usize,
    given: usize,
}

/// One side of a stream whose other side is the script: packets as they are or with numbers near those that are due,
/// time, and what our own side does.
pub fn hostile_packets(mut script: &[u8]) {
    let now = Instant::now();
    let mut victim = Victim { udx: Udx::new(7, now), now, written: 0, offered: 0, given: 0 };
    while !script.is_empty() {
        match byte(&mut script) % 8 {
            0 => {
                let length = usize::from(byte(&mut script)) * 64;
                // The carrier writes no more while much is unacknowledged.
                if victim.udx.unacknowledged() < 1 << 20 {
                    victim.written += length;
                    victim.udx.write(&vec![1; length], victim.now);
                }
            }
            1 => victim.udx.end(victim.now),
            2 => {
                victim.now += Duration::from_millis(u64::from(byte(&mut script)).pow(2));
                if !victim.timers() {
                    return;
                }
            }
            3 => victim.udx.set_unused(usize::from(byte(&mut script)) << 15),
            4 => {
                let length = usize::from(byte(&mut script)).min(script.len());
                let (packet, rest) = script.split_at(length);
                script = rest;
                if !victim.takes(packet) {
                    return;
                }
            }
            _ => {
                let packet = victim.near(&mut script);
                if !victim.takes(&packet) {
                    return;
                }
            }
        }
        victim.transmits();
    }
}

impl Victim {
    /// A packet with numbers near the ones that the stream is at.
    fn near(&self, script: &mut &[u8]) -> Vec<u8> {
        let mut number = |base: u32| base.wrapping_add_signed(i32::from(byte(script).cast_signed()));
        let (seq, ack) = (number(self.udx.receiver.expected()), number(self.udx.sender.next_seq()));
        let (start, end) = (number(ack), number(ack));
        let (flags, window, length) = (byte(script), u32::from(byte(script)) << 10, byte(script));
        let sack = if flags & SACK != 0 { vec![(start, end)] } else { vec![] };
        Header { flags, remote_id: 1, window, seq, ack }.encode(&sack, &vec![2; usize::from(length)])
    }

    /// Whether the stream goes on.
    fn takes(&mut self, packet: &[u8]) -> bool {
        self.offered += packet.len();
        let ended = self.udx.is_remote_ended();
        let Ok(bytes) = self.udx.handle(packet, self.now) else { return false };
        assert!(!ended || bytes.is_empty(), "bytes after the end");
        self.given += bytes.len();
        assert!(self.given <= self.offered, "more bytes than were sent");
        assert!(self.udx.unacknowledged() <= self.written);
        self.timers()
    }

    /// Whether the stream goes on.
    fn timers(&mut self) -> bool {
        if self.udx.handle_timeout(self.now).is_err() {
            return false;
        }
        self.transmits();
        assert!(self.udx.poll_timeout().is_none_or(|at| at > self.now), "a timer that is due again and again");
        true
    }

    fn transmits(&mut self) {
        for _ in 0..MAX_AT_ONCE {
            let Some(packet) = self.udx.poll_transmit(self.now) else { return };
            let (header, between, payload) = Header::decode(&packet).expect("what we send is a packet");
            assert!(payload.len() <= PAYLOAD && (payload.iter().all(|byte| *byte == 1)));
            assert_eq!(ranges(between).count() > 0, header.flags & SACK != 0);
        }
        panic!("more packets at once than a window has");
    }
}

/// Two sides that keep to the rules, on a line that drops, doubles and reorders as the script says, and is good after
/// its end: everything arrives, once and in order.
pub fn lossy_line(mut script: &[u8]) {
    let mut now = Instant::now();
    let mut sides = [Udx::new(2, now), Udx::new(1, now)];
    let length = usize::from(byte(&mut script)) * 100;
    let sent: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let mut got = [Vec::new(), Vec::new()];
    for side in &mut sides {
        side.write(&sent, now);
        side.end(now);
    }
    let mut flying: VecDeque<(usize, Vec<u8>)> = VecDeque::new();
    let mut lost = 0;
    for _ in 0..200_000 {
        if sides.iter().all(|side| side.is_flushed() && side.is_remote_ended()) {
            assert!(got.iter().all(|got| *got == sent), "other bytes than were sent");
            return;
        }
        for (from, side) in sides.iter_mut().enumerate() {
            while let Some(packet) = side.poll_transmit(now) {
                flying.push_back((1 - from, packet));
            }
        }
        if flying.is_empty() {
            let due = sides.iter().filter_map(Udx::poll_timeout).min().expect("something is to be done");
            now = now.max(due);
        }
        let bad = !script.is_empty();
        let fate = byte(&mut script);
        now += Duration::from_millis(u64::from(fate >> 4));
        if let Some((to, packet)) = flying.pop_front() {
            match fate % 4 {
                0 if bad => lost += 1,
                1 if bad => flying.push_back((to, packet)),
                doubled => {
                    if doubled == 2 && bad {
                        flying.push_back((to, packet.clone()));
                    }
                    let bytes = sides[to].handle(&packet, now).expect("nobody destroys the stream");
                    got[to].extend(bytes);
                    sides[to].set_unused(0);
                }
            }
        }
        for side in &mut sides {
            if side.handle_timeout(now).is_err() {
                return assert!(lost > 10, "given up for silence where little was lost");
            }
        }
    }
    panic!("two honest sides never come to an end");
}
