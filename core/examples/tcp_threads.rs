//! A whole driver on blocking TCP and threads: two nodes in one process invite, claim, log and ask.
//!
//! One thread owns the node and waits on one queue; each stream has a thread that reads. Documents and sessions are
//! kept in memory, as the list of their writes. Run it with `cargo run -p wopr-p2p-core --example tcp_threads`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros, reason = "it is a driver")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use wopr_p2p_core::access::{Capability, SessionName, SessionSet};
use wopr_p2p_core::keys::{PublicKey, Topic};
use wopr_p2p_core::time::{Instant, Now, WallTime};
use wopr_p2p_core::*;

/// Who listens where, instead of a DHT.
static LISTENERS: Mutex<BTreeMap<Topic, SocketAddr>> = Mutex::new(BTreeMap::new());
/// The open streams, of both nodes.
static STREAMS: Mutex<BTreeMap<StreamId, Arc<TcpStream>>> = Mutex::new(BTreeMap::new());
static LAST_ID: AtomicU64 = AtomicU64::new(0);

type Outcome<T> = Result<T, Box<dyn Error>>;
type Inbox = (SyncSender<Input>, Receiver<Input>);
type Finished = Sender<Result<Reply, CommandError>>;

/// Starts a node; returns its key, and what has it do something.
fn start() -> Outcome<(PublicKey, impl Fn(Command) -> Outcome<Reply>)> {
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (clock, address) = (Clock::now(), listener.local_addr()?);
    let node = Node::new(Config::default(), Stored::default(), seed, now(clock))?;
    let (key, (inbox, inputs), (finished, results)) = (node.public_key(), sync_channel(64), channel());
    let (looping, accepting) = ((inbox.clone(), inputs), inbox.clone());
    thread::spawn(move || run(node, clock, address, looping, &finished));
    thread::spawn(move || {
        let origin = StreamOrigin::Accepted { topics: Vec::new() };
        listener.incoming().flatten().try_for_each(|socket| open(&accepting, socket, origin.clone()))
    });
    Ok((key, move |command| {
        inbox.send(Input::Command { id: CommandId(LAST_ID.fetch_add(1, Ordering::Relaxed)), command })?;
        Ok(results.recv()??)
    }))
}

/// The loop: does everything the node wants done, then waits for an input, but no longer than until its timeout.
fn run(mut node: Node, clock: Clock, address: SocketAddr, (inbox, inputs): Inbox, finished: &Finished) {
    let (mut documents, mut sessions) = (Vec::new(), Vec::new());
    loop {
        while let Some(output) = node.poll_output() {
            let inbox = inbox.clone();
            // A confirmation comes when a write is durable: until then the node holds its acknowledgement back.
            let mut written = |id| node.handle_input(now(clock), Input::Written { id, result: Ok(()) });
            match output {
                Output::Transmit { stream, bytes } => {
                    let socket = STREAMS.lock().unwrap().get(&stream).cloned();
                    // A peer that reads nothing holds us up for a second and loses its stream: its reader sees the end.
                    socket.filter(|socket| (&**socket).write_all(&bytes).is_err()).map(|s| s.shutdown(Shutdown::Both));
                }
                Output::CloseStream { stream } => {
                    STREAMS.lock().unwrap().remove(&stream).map(|socket| socket.shutdown(Shutdown::Both));
                }
                Output::Dial { dial, topic } => drop(thread::spawn(move || {
                    let address = LISTENERS.lock().unwrap().get(&topic).copied();
                    if let Ok(socket) = TcpStream::connect(address.as_slice()) {
                        open(&inbox, socket, StreamOrigin::Dialled(dial)).ok();
                    }
                    inbox.send(Input::DialEnded { dial, why: DialEnd::Exhausted }).is_ok()
                })),
                Output::Listen { topic } => drop(LISTENERS.lock().unwrap().insert(topic, address)),
                Output::Unlisten { topic } => drop(LISTENERS.lock().unwrap().remove(&topic)),
                Output::Store { id, document, write } => {
                    documents.push((document, write));
                    written(id);
                }
                Output::Record { id, session, entry } => {
                    println!("  session {session}: {:?} of {}: {}", entry.kind, entry.from, entry.content);
                    sessions.push((session, entry));
                    written(id);
                }
                Output::Ask { id, question } => drop(thread::spawn(move || {
                    let answer = format!("{} letters", question.text.chars().count());
                    inbox.send(Input::Answered { id, result: Ok(answer) }).is_ok()
                })),
                Output::Finished { result, .. } => drop(finished.send(result)),
                Output::Event(event) => println!("  {address}: {}", event.name()),
                // What nobody waits for any more ends by itself here.
                Output::StopDial { .. } | Output::CancelAsk { .. } => {}
            }
        }
        let at = node.poll_timeout().map_or(Instant::NEVER, |(at, _why)| at);
        match inputs.recv_timeout(at.since(now(clock).mono)) {
            Ok(input) => node.handle_input(now(clock), input),
            Err(RecvTimeoutError::Timeout) => node.handle_timeout(now(clock)),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Tells the node of a stream, and gives the stream a thread that reads.
fn open(inbox: &SyncSender<Input>, socket: TcpStream, origin: StreamOrigin) -> io::Result<()> {
    let stream = StreamId(LAST_ID.fetch_add(1, Ordering::Relaxed));
    // TCP proves nothing about the other end: what counts against somebody counts against all of this machine.
    let remote = TransportKey([127; 32]);
    socket.set_write_timeout(Some(Duration::from_secs(1)))?;
    let (socket, inbox) = (Arc::new(socket), inbox.clone());
    STREAMS.lock().unwrap().insert(stream, socket.clone());
    inbox.send(Input::StreamOpened { stream, origin, remote }).map_err(io::Error::other)?;
    thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(length @ 1..) = (&*socket).read(&mut bytes) {
            drop(inbox.send(Input::Received { stream, bytes: bytes[..length].to_vec() }));
        }
        STREAMS.lock().unwrap().remove(&stream);
        inbox.send(Input::StreamClosed { stream }).is_ok()
    });
    Ok(())
}

fn now(clock: Clock) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Now { mono: Instant::from_millis(millis(clock.elapsed())), wall: WallTime::from_millis(millis(wall)) }
}

pub(crate) fn main() -> Outcome<()> {
    let ((alice, of_alice), (bob, of_bob)) = (start()?, start()?);
    let (timeout, expires_in) = (Duration::from_secs(10), Duration::from_secs(3600));
    let (sessions, capabilities) = (SessionSet::new(["main"])?, vec![Capability::inject()]);
    let invited = of_alice(Command::CreateInvite { subject: bob, sessions, capabilities, expires_in })?;
    let Reply::InviteCreated { token, .. } = invited else { return Err("no token".into()) };
    println!("alice invites bob: {token}");
    of_bob(Command::Claim { token, timeout })?;
    let (peer, main) = (|| alice.to_string().parse(), || "main".parse::<SessionName>());
    of_bob(Command::Log { peer: peer()?, session: main()?, text: "the build is done".into(), timeout })?;
    let asked = of_bob(Command::Inject { peer: peer()?, session: main()?, text: "how long is this?".into(), timeout })?;
    println!("bob hears: {asked:?}");
    if asked == Reply::Answer("17 letters".into()) { Ok(()) } else { Err("not what alice would answer".into()) }
}
