//! Two sides on a bad line, in virtual time.

use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::*;

/// A small generator: the same seed gives the same line.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the line does to packets, in percent, and how long they take.
#[derive(Clone, Copy)]
struct Line {
    lost: u64,
    doubled: u64,
    delay: Duration,
    jitter: Duration,
}

struct Side {
    udx: Udx,
    got: Vec<u8>,
    broken: Option<Broken>,
}

/// A packet on its way: when it arrives (reversed, for the heap) and in which order, to whom, what.
type Flying = (std::cmp::Reverse<(Instant, u64)>, usize, Vec<u8>);

struct World {
    now: Instant,
    dice: Dice,
    line: Line,
    sides: [Side; 2],
    flying: BinaryHeap<Flying>,
    count: u64,
    packets: usize,
    /// What arrives is used at once.
    reads: bool,
}

impl World {
    fn new(seed: u64, line: Line) -> Self {
        let now = Instant::now();
        let side = |id| Side { udx: Udx::new(id, now), got: Vec::new(), broken: None };
        let sides = [side(1), side(2)];
        Self { now, dice: Dice(seed), line, sides, flying: BinaryHeap::new(), count: 0, packets: 0, reads: true }
    }

    fn transmit(&mut self) {
        for from in 0..2 {
            while let Some(packet) = self.sides[from].udx.poll_transmit(self.now) {
                self.packets += 1;
                let copies = if self.dice.roll(100) < self.line.doubled { 2 } else { 1 };
                for _ in 0..copies {
                    if self.dice.roll(100) >= self.line.lost {
                        let jitter = Duration::from_micros(self.dice.roll(self.line.jitter.as_micros() as u64 + 1));
                        self.count += 1;
                        let at = std::cmp::Reverse((self.now + self.line.delay + jitter, self.count));
                        self.flying.push((at, 1 - from, packet.clone()));
                    }
                }
            }
        }
    }

    /// Goes on until the time that `done` says, or nothing more would happen.
    fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.transmit();
            if done(self) {
                return true;
            }
            let timers = self.sides.iter().filter_map(|side| side.udx.poll_timeout());
            let arrival = self.flying.peek().map(|(at, ..)| at.0.0);
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else { return false };
            self.now = self.now.max(next);
            while self.flying.peek().is_some_and(|(at, ..)| at.0.0 <= self.now) {
                let Some((_, to, packet)) = self.flying.pop() else { break };
                match self.sides[to].udx.handle(&packet, self.now) {
                    Ok(bytes) => {
                        self.sides[to].got.extend(bytes);
                        if self.reads {
                            self.sides[to].udx.set_unused(0);
                        }
                    }
                    Err(broken) => self.sides[to].broken = Some(broken),
                }
            }
            for side in &mut self.sides {
                if let Err(broken) = side.udx.handle_timeout(self.now) {
                    side.broken = Some(broken);
                    return done(self);
                }
            }
        }
    }
}

const GOOD: Line = Line { lost: 0, doubled: 0, delay: Duration::from_millis(10), jitter: Duration::ZERO };

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn bytes_arrive_once_and_in_order_on_a_bad_line() {
    for seed in 0..40 {
        let (lost, doubled) = (seed % 30, seed % 7);
        let line = Line { lost, doubled, jitter: Duration::from_millis(seed), ..GOOD };
        let mut world = World::new(seed, line);
        let (there, back) = (pattern(200_000 + seed as usize), pattern(70_000));
        let now = world.now;
        world.sides[0].udx.write(&there, now);
        world.sides[1].udx.write(&back, now);
        world.sides.iter_mut().for_each(|side| side.udx.end(now));
        let done = world.run(Duration::from_secs(600), |world| {
            world.sides.iter().all(|side| side.udx.is_flushed() && side.udx.is_remote_ended())
        });
        assert!(done, "seed {seed}: both ends arrive");
        assert!(world.sides[1].got == there && world.sides[0].got == back, "seed {seed}: the bytes are the same");
    }
}

#[test]
fn the_first_packets_leave_at_once() {
    let mut world = World::new(1, GOOD);
    let now = world.now;
    world.sides[0].udx.write(b"first", now);
    world.sides[0].udx.write(b"second", now);
    world.transmit();
    assert_eq!(world.packets, 2);
    assert!(world.run(GOOD.delay, |world| world.sides[1].got == b"firstsecond"));
}

#[test]
fn a_lost_last_packet_is_sent_again_after_about_two_round_trips() {
    let mut world = World::new(1, GOOD);
    let now = world.now;
    world.sides[0].udx.write(b"measure", now);
    assert!(world.run(Duration::from_secs(1), |world| world.sides[0].udx.unacknowledged() == 0));
    world.sides[0].udx.write(b"lost", world.now);
    world.line.lost = 100;
    world.transmit();
    world.line.lost = 0;
    let began = world.now;
    assert!(world.run(Duration::from_secs(2), |world| world.sides[1].got.ends_with(b"lost")));
    let took = world.now - began;
    assert!(took < Duration::from_millis(100), "{took:?} on a round trip of 20 ms");
}

#[test]
fn a_silent_peer_is_given_up() {
    let mut world = World::new(1, Line { lost: 100, ..GOOD });
    let now = world.now;
    world.sides[0].udx.write(b"anybody?", now);
    assert!(world.run(Duration::from_secs(90), |world| world.sides[0].broken == Some(Broken::Silent)));
}

#[test]
fn a_peer_that_reads_nothing_stops_the_sender() {
    let mut world = World::new(1, GOOD);
    let now = world.now;
    world.sides[0].udx.write(&pattern(3 * RECEIVE_WINDOW), now);
    world.reads = false;
    world.run(Duration::from_secs(20), |_| false);
    let got = world.sides[1].got.len();
    assert!(got >= RECEIVE_WINDOW / 2, "the window is used: {got}");
    assert!(got <= RECEIVE_WINDOW + 1200, "and kept: {got}");
    world.reads = true;
    world.sides[1].udx.set_unused(0);
    assert!(world.run(Duration::from_secs(60), |world| world.sides[1].got.len() == 3 * RECEIVE_WINDOW));
}

#[test]
fn ten_megabytes_take_few_round_trips_on_a_good_line() {
    let mut world = World::new(1, GOOD);
    let now = world.now;
    world.sides[0].udx.write(&pattern(10_000_000), now);
    assert!(world.run(Duration::from_secs(2), |world| world.sides[1].got.len() == 10_000_000));
}

#[test]
fn absurd_packets_change_nothing() {
    let mut dice = Dice(42);
    let now = Instant::now();
    let mut udx = Udx::new(9, now);
    udx.write(&pattern(50_000), now);
    while udx.poll_transmit(now).is_some() {}
    let waiting = udx.unacknowledged();
    for _ in 0..20_000 {
        let mut packet: Vec<u8> = (0..dice.roll(300)).map(|_| dice.roll(256) as u8).collect();
        if let [a, b, flags, ..] = packet.as_mut_slice() {
            // The right protocol, and everything but the request to end the stream.
            (*a, *b) = (0xff, 1);
            *flags &= !DESTROY;
        }
        // An acknowledgement of what was never sent, and ranges of billions.
        assert!(udx.handle(&packet, now).is_ok());
        while udx.poll_transmit(now).is_some() {}
    }
    assert!(udx.unacknowledged() <= waiting);
    let range = [0_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
    let huge = Header { flags: SACK, remote_id: 9, window: 0, seq: 0, ack: 0 };
    let mut packet = huge.encode(&[(0, u32::MAX); 31], &[]);
    packet.extend(range);
    let began = Instant::now();
    for _ in 0..1000 {
        assert!(udx.handle(&packet, now).is_ok());
    }
    assert!(began.elapsed() < Duration::from_secs(2), "a range costs no more than what is under way");
}

/// A packet as the reference sends it: with no payload, and so with no offset to it.
#[test]
fn selective_acknowledgements_of_the_reference_are_understood() {
    let now = Instant::now();
    let mut udx = Udx::new(9, now);
    udx.write(&pattern(10_000), now);
    let sent = std::iter::from_fn(|| udx.poll_transmit(now)).count();
    assert_eq!(sent, 9);
    let header = Header { flags: SACK, remote_id: 9, window: RECEIVE_WINDOW as u32, seq: 0, ack: 0 };
    let mut packet = header.encode(&[(1, 9)], &[]);
    packet[3] = 0;
    assert_eq!(udx.handle(&packet, now + Duration::from_millis(20)), Ok(vec![]));
    let again = udx.poll_transmit(now + Duration::from_millis(20)).expect("the one that is missing");
    assert_eq!(Header::decode(&again).map(|(header, ..)| header.seq), Some(0));
    assert!(udx.poll_transmit(now + Duration::from_millis(20)).is_none(), "and no other");
}

#[test]
fn destroying_is_heard() {
    let now = Instant::now();
    let (mut one, other) = (Udx::new(1, now), Udx::new(2, now));
    assert_eq!(one.handle(&other.destroy(), now), Err(Broken::Destroyed));
}

#[test]
fn numbers_go_on_after_four_billion() {
    use super::packet::extend;
    let before = u64::from(u32::MAX) - 1;
    assert_eq!(extend(before, u32::MAX), Some(before + 1));
    assert_eq!(extend(before, 3), Some(before + 5));
    assert_eq!(extend(before + 5, u32::MAX), Some(before + 1));
    assert_eq!(extend(0, u32::MAX), None);
}

#[test]
fn a_line_that_loses_a_fifth_still_carries_something() {
    for delay in [1, 20] {
        let line = Line { lost: 20, delay: Duration::from_millis(delay), ..GOOD };
        let mut world = World::new(7, line);
        let (began, bytes) = (world.now, pattern(1_400_000));
        world.sides[0].udx.write(&bytes, began);
        assert!(world.run(Duration::from_secs(600), |world| world.sides[1].got.len() == bytes.len()));
        let (took, packets) = (world.now - began, world.packets);
        // Eight packets in a round trip half of the time, and some pauses of ten milliseconds.
        let round_trips = Duration::from_millis(2 * delay) * (1_400_000 / 1180 / 8) * 2;
        assert!(took < round_trips + Duration::from_millis(500), "{took:?} with {delay} ms");
        assert!(packets < 5 * 1_400_000 / 1180, "{packets} packets");
    }
}

#[test]
fn a_burst_that_is_lost_whole_is_made_up_for_at_once() {
    let mut world = World::new(1, GOOD);
    let now = world.now;
    world.sides[0].udx.write(&pattern(200_000), now);
    assert!(world.run(Duration::from_secs(5), |world| world.sides[0].udx.unacknowledged() == 0));
    // More than a hundred packets, of which none arrives: no later one tells of the gap.
    let (began, bytes) = (world.now, pattern(150_000));
    world.sides[0].udx.write(&bytes, began);
    world.line.lost = 100;
    world.transmit();
    world.line.lost = 0;
    assert!(world.run(Duration::from_secs(30), |world| world.sides[1].got.len() == 350_000));
    let took = world.now - began;
    assert!(took < Duration::from_millis(600), "{took:?} on a round trip of 20 ms");
}
