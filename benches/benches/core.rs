//! What the core does, each beside its lower bound and, where it does the same job, beside Noise.
//!
//! `cargo bench -p wopr-p2p-benches`, then `cargo run -p wopr-p2p-benches --example table` for the ratios.

#![allow(missing_docs, reason = "criterion's macros make functions")]

mod clock;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use wopr_p2p_benches::bound::{ACK, Bound, HELLO, LOG};
use wopr_p2p_benches::peer::{Open, Peer};
use wopr_p2p_benches::subject::Subject;
use wopr_p2p_benches::{SIZES, noise};
use wopr_p2p_core::Command;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::grant::{Grant, Grants, Needs};
use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::peer::PeerRef;

use self::clock::{ThreadTime, timed};

/// Measures a part of each round: `round` does what has to be done before and after, and returns the part's time.
fn part(group: &mut BenchmarkGroup<'_, ThreadTime>, name: &str, mut round: impl FnMut() -> Duration) {
    group.bench_function(name, |bencher| bencher.iter_custom(|rounds| (0..rounds).map(|_| round()).sum()));
}

fn log_command(to: PublicKey, length: usize) -> Command {
    Command::Log {
        peer: PeerRef::Key(to),
        session: SessionName::new("main").expect("a session name"),
        text: "a".repeat(length),
        timeout: Duration::from_secs(60),
    }
}

/// A node that listens, and a peer that may write to it.
fn listener() -> (Subject, Peer) {
    let (mut subject, peer) = (Subject::new(1), Peer::new(40));
    subject.grant(peer.key());
    (subject, peer)
}

fn handshake(c: &mut Criterion<ThreadTime>) {
    let bound = Bound::default();
    let hello = [b'h'; HELLO];
    let signature = bound.sign(&hello);

    let mut group = c.benchmark_group("handshake, the listener's side");
    let (mut subject, mut peer) = listener();
    part(&mut group, "core", || {
        let stream = subject.accepts();
        let (_, hello) = peer.hello(&subject);
        let time = timed(|| subject.receives(stream, hello));
        assert_eq!(subject.sent.len(), 1, "one hello-ack");
        subject.closes(stream);
        time
    });
    group.bench_function("bound", |bencher| bencher.iter(|| bound.handshake(&hello, &signature)));
    group.finish();

    let mut group = c.benchmark_group("handshake and first log of 300 B, both sides");
    let (mut subject, mut sender) = (Subject::new(1), Subject::new(2));
    subject.grant(sender.node.public_key());
    part(&mut group, "core", || first_log(&mut subject, &mut sender));
    let mut text = [0; 300];
    let log = [b'l'; LOG + 440];
    let logged = bound.sign(&log);
    let acknowledged = bound.sign(&[b'a'; ACK]);
    group.bench_function("bound", |bencher| {
        bencher.iter(|| {
            bound.handshake(&hello, &signature);
            bound.handshake(&hello, &signature);
            bound.agree();
            bound.agree();
            let tag = bound.seal(&mut text);
            black_box(bound.sign(&log));
            bound.verify(&log, &logged);
            bound.open(&mut text, &tag);
            black_box(bound.sign(&[b'a'; ACK]));
            bound.verify(&[b'a'; ACK], &acknowledged);
        });
    });
    let keys = noise::Keys::default();
    let (mut sealed, mut opened) = (Vec::new(), Vec::new());
    group.bench_function("snow", |bencher| {
        bencher.iter(|| {
            let (mut ours, mut theirs) = keys.handshake();
            noise::seal(&mut ours, &[7; 300], &mut sealed);
            noise::open(&mut theirs, &sealed, &mut opened);
            noise::seal(&mut theirs, &[7; 32], &mut sealed);
            noise::open(&mut ours, &sealed, &mut opened);
        });
    });
    group.finish();
}

/// Two nodes: one dials the other and logs a text; the time from the open stream to the end of the command.
fn first_log(listener: &mut Subject, dialler: &mut Subject) -> Duration {
    listener.tick();
    dialler.tick();
    let done = dialler.done;
    dialler.command(log_command(listener.node.public_key(), 300));
    let (dial, _) = dialler.dials.pop().expect("a dial");
    let far = listener.accepts();
    let mut near = None;
    let time = timed(|| {
        let stream = dialler.dialled(dial);
        near = Some(stream);
        while let Some((_, line)) = dialler.sent.pop() {
            listener.receives(far, line);
            if let Some((_, line)) = listener.sent.pop() {
                dialler.receives(stream, line);
            }
        }
    });
    assert_eq!(dialler.done, done + 1, "the log was acknowledged");
    near.into_iter().for_each(|near| dialler.closes(near));
    listener.closes(far);
    time
}

fn receive(c: &mut Criterion<ThreadTime>) {
    for (size, length) in SIZES {
        let mut group = c.benchmark_group(format!("receive a log of {size}"));
        group.throughput(Throughput::Bytes(length as u64));
        let (mut subject, mut peer) = listener();
        let open = peer.connect(&mut subject);
        part(&mut group, "core", || {
            subject.tick();
            let line = peer.log(&subject, &open, length);
            let delivered = subject.delivered;
            let time = timed(|| subject.receives(open.stream, line));
            assert_eq!((subject.delivered, subject.sent.len()), (delivered + 1, 1), "delivered and acknowledged");
            subject.sent.clear();
            time
        });
        let bound = Bound::default();
        let signed = vec![b'l'; LOG + length.div_ceil(3) * 4];
        let signature = bound.sign(&signed);
        let mut text = vec![0; length];
        part(&mut group, "bound", || {
            let tag = bound.seal(&mut text);
            timed(|| {
                bound.verify(&signed, &signature);
                bound.open(&mut text, &tag);
                bound.sign(&[b'a'; ACK])
            })
        });
        let (mut ours, mut theirs) = noise::Keys::default().handshake();
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        part(&mut group, "snow", || {
            noise::seal(&mut ours, &text, &mut sealed);
            timed(|| noise::open(&mut theirs, &sealed, &mut opened))
        });
        group.finish();
    }
}

fn send(c: &mut Criterion<ThreadTime>) {
    for (size, length) in SIZES {
        let mut group = c.benchmark_group(format!("send a log of {size}"));
        group.throughput(Throughput::Bytes(length as u64));
        let (mut subject, mut peer) = (Subject::new(1), Peer::new(40));
        subject.command(log_command(peer.key(), length));
        let (dial, _) = subject.dials.pop().expect("a dial");
        let stream = subject.dialled(dial);
        peer.welcome(&mut subject, stream);
        peer.acknowledge(&mut subject);
        part(&mut group, "core", || {
            subject.tick();
            let command = log_command(peer.key(), length);
            let time = timed(|| subject.command(command));
            peer.acknowledge(&mut subject);
            time
        });
        let bound = Bound::default();
        let signed = vec![b'l'; LOG + length.div_ceil(3) * 4];
        let mut text = vec![0; length];
        group.bench_function("bound", |bencher| {
            bencher.iter(|| {
                black_box(bound.seal(&mut text));
                black_box(bound.sign(&signed))
            });
        });
        let (mut ours, _) = noise::Keys::default().handshake();
        let mut sealed = Vec::new();
        group.bench_function("snow", |bencher| bencher.iter(|| noise::seal(&mut ours, &text, &mut sealed)));
        group.finish();
    }
}

/// Lines that are refused, on a stream that shook hands and is closed afterwards; `make` gives the line.
fn refused(
    group: &mut BenchmarkGroup<'_, ThreadTime>,
    mut make: impl FnMut(&mut Subject, &mut Peer, &Open) -> Vec<u8>,
) {
    let (mut subject, mut peer) = listener();
    part(group, "core", || {
        subject.tick();
        let open = peer.connect(&mut subject);
        let line = make(&mut subject, &mut peer, &open);
        let delivered = subject.delivered;
        let time = timed(|| subject.receives(open.stream, line));
        assert_eq!(subject.delivered, delivered, "refused");
        subject.closes(open.stream);
        time
    });
}

fn junk(c: &mut Criterion<ThreadTime>) {
    let bound = Bound::default();
    let signed = [b'l'; LOG + 440];
    let signature = bound.sign(&signed);

    let mut group = c.benchmark_group("refuse a line that is no message");
    refused(&mut group, |_, _, _| [&[b'x'; 300][..], b"\n"].concat());
    group.bench_function("bound", |bencher| {
        let line = [b'x'; 300];
        bencher.iter(|| black_box(&line).iter().position(|byte| *byte == b'\n'));
    });
    group.finish();

    let mut group = c.benchmark_group("refuse 64 KiB without a line's end, from a stranger");
    let (mut subject, _) = listener();
    part(&mut group, "core", || {
        let stream = subject.accepts();
        let flood = vec![b'x'; (64 << 10) + 1];
        let closed = subject.closed;
        let time = timed(|| subject.receives(stream, flood));
        assert_eq!(subject.closed, closed + 1, "closed");
        time
    });
    group.bench_function("bound", |bencher| {
        let flood = vec![b'x'; (64 << 10) + 1];
        bencher.iter(|| black_box(&flood).iter().position(|byte| *byte == b'\n'));
    });
    group.finish();

    // What it costs to make one is the bound of what comes next: refusing has to be cheaper.
    let mut group = c.benchmark_group("refuse a replayed log of 300 B");
    refused(&mut group, |subject, peer, open| {
        let line = peer.log(subject, open, 300);
        subject.receives(open.stream, line.clone());
        line
    });
    group.bench_function("bound", |bencher| bencher.iter(|| bound.sign(&[b'a'; ACK])));
    group.finish();

    let mut group = c.benchmark_group("refuse a log of another sender than the stream's");
    let mut stranger = Peer::new(41);
    refused(&mut group, |subject, _, open| stranger.log(subject, open, 300));
    group.bench_function("bound", |bencher| bencher.iter(|| bound.sign(&signed)));
    group.finish();

    let mut group = c.benchmark_group("refuse a log of a peer without a grant");
    let (mut subject, mut peer) = (Subject::new(1), Peer::new(40));
    part(&mut group, "core", || {
        subject.tick();
        let open = peer.connect(&mut subject);
        let line = peer.log(&subject, &open, 300);
        let time = timed(|| subject.receives(open.stream, line));
        assert_eq!(subject.delivered, 0, "refused");
        subject.closes(open.stream);
        time
    });
    group.bench_function("bound", |bencher| {
        bencher.iter(|| {
            bound.verify(&signed, &signature);
            bound.sign(&[b'a'; ACK])
        });
    });
    group.finish();

    let mut group = c.benchmark_group("refuse a wrong signature");
    refused(&mut group, |subject, peer, open| {
        let mut line = peer.log(subject, open, 300);
        // A digit of the nonce: everything but the signature still fits.
        let at = line.windows(9).position(|nine| nine == b"\"nonce\":\"").expect("a nonce") + 9;
        line[at] = if line[at] == b'0' { b'1' } else { b'0' };
        line
    });
    group.bench_function("bound", |bencher| bencher.iter(|| bound.verify(&signed, &signature)));
    group.finish();
}

fn key(number: u32) -> PublicKey {
    let mut bytes = [0x5a; 32];
    // Keys are spread like random ones.
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    PublicKey::from_bytes(bytes)
}

fn grants(c: &mut Criterion<ThreadTime>) {
    let session = SessionName::new("main").expect("a session name");
    for count in [10_u32, 100_000] {
        let grant = |number: u32| Grant {
            id: Nonce(std::array::from_fn(|at| key(number).as_bytes()[at % 4] ^ at as u8)),
            peer: key(number),
            sessions: SessionSet::new(["main", "other"]).expect("session names"),
            except: Default::default(),
            capabilities: vec![Capability::inject()],
            trust: TrustLevel::Trusted,
            created: wopr_p2p_benches::START.wall,
            expires: None,
            invite: None,
        };
        let grants = Grants::load(count as usize, (0..count).map(grant));
        assert_eq!(grants.len(), count as usize);
        let mut group = c.benchmark_group(format!("find the grant of a peer among {count}"));
        let mut number = 0;
        let mut next = || {
            number = (number + 7919) % count;
            key(number)
        };
        let now = wopr_p2p_benches::START.wall;
        group.bench_function("core", |bencher| {
            bencher.iter(|| grants.authorise(&next(), &session, Needs::Log, now).expect("granted").created);
        });
        let tree: BTreeMap<[u8; 32], u32> = (0..count).map(|number| (*key(number).as_bytes(), number)).collect();
        group.bench_function("bound", |bencher| bencher.iter(|| tree[next().as_bytes()]));
        group.finish();
    }
}

fn simulator(c: &mut Criterion<ThreadTime>) {
    use wopr_p2p_sim::scenario::{Recipe, Scenario};
    let recipe = Recipe { nodes: (5, 5), seconds: 60, ..Recipe::default() };
    let scenario = Scenario::from_seed(1, &recipe);
    let steps = wopr_p2p_sim::run(&scenario).stats.steps;
    let mut group = c.benchmark_group("simulate a minute of five nodes");
    group.throughput(Throughput::Elements(steps)).sample_size(20);
    group.bench_function("core", |bencher| bencher.iter(|| wopr_p2p_sim::run(&scenario).hash));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = handshake, receive, send, junk, grants, simulator
}
criterion_main!(benches);
