//! A whole driver on tokio: two nodes in one process invite, claim, log and ask.
//!
//! One task owns the node and waits on one queue; each stream has a task that reads and one that writes. Documents and
//! sessions are kept in memory, as the list of their writes. Run it with `cargo run -p wopr-p2p-core --example tokio`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros, reason = "it is a driver")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Clock, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel, unbounded_channel};
use wopr_p2p_core::access::{Capability, SessionName, SessionSet};
use wopr_p2p_core::keys::{PublicKey, Topic};
use wopr_p2p_core::time::{Instant, Now, WallTime};
use wopr_p2p_core::*;

/// Who listens where, instead of a DHT.
static LISTENERS: Mutex<BTreeMap<Topic, SocketAddr>> = Mutex::new(BTreeMap::new());
/// The queues of the open streams' writers, of both nodes.
static STREAMS: Mutex<BTreeMap<StreamId, UnboundedSender<Vec<u8>>>> = Mutex::new(BTreeMap::new());
static LAST_ID: AtomicU64 = AtomicU64::new(0);

type Outcome<T> = Result<T, Box<dyn Error>>;
type Inbox = (Sender<Input>, Receiver<Input>);
type Finished = Sender<Result<Reply, CommandError>>;

/// Starts a node; returns its key, and what has it do something.
async fn start() -> Outcome<(PublicKey, impl AsyncFnMut(Command) -> Outcome<Reply>)> {
    let (mut seed, clock) = ([0; 32], Clock::now());
    getrandom::fill(&mut seed)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let node = Node::new(Config::default(), Stored::default(), seed, now(clock))?;
    let (key, (inbox, inputs), (finished, mut results)) = (node.public_key(), channel(64), channel(1));
    let (looping, accepting) = ((inbox.clone(), inputs), inbox.clone());
    tokio::spawn(run(node, clock, listener.local_addr()?, looping, finished));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            open(&accepting, socket, StreamOrigin::Accepted { topics: Vec::new() }).await;
        }
    });
    Ok((key, async move |command| {
        inbox.send(Input::Command { id: CommandId(LAST_ID.fetch_add(1, Ordering::Relaxed)), command }).await?;
        Ok(results.recv().await.ok_or("the node has stopped")??)
    }))
}

/// The loop: does everything the node wants done, then waits for an input, but no longer than until its timeout.
async fn run(mut node: Node, clock: Clock, address: SocketAddr, (inbox, mut inputs): Inbox, finished: Finished) {
    let (mut documents, mut sessions) = (Vec::new(), Vec::new());
    loop {
        while let Some(output) = node.poll_output() {
            let inbox = inbox.clone();
            // A confirmation comes when a write is durable: until then the node holds its acknowledgement back.
            let mut written = |id| node.handle_input(now(clock), Input::Written { id, result: Ok(()) });
            match output {
                Output::Transmit { stream, bytes } => {
                    drop(STREAMS.lock().unwrap().get(&stream).map(|writer| writer.send(bytes)));
                }
                // Its writer sends what it has been given, then closes.
                Output::CloseStream { stream } => drop(STREAMS.lock().unwrap().remove(&stream)),
                Output::Dial { dial, topic } => drop(tokio::spawn(async move {
                    let address = LISTENERS.lock().unwrap().get(&topic).copied();
                    if let Ok(socket) = TcpStream::connect(address.as_slice()).await {
                        open(&inbox, socket, StreamOrigin::Dialled(dial)).await;
                    }
                    inbox.send(Input::DialEnded { dial, why: DialEnd::Exhausted }).await.is_ok()
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
                Output::Ask { id, question } => drop(tokio::spawn(async move {
                    let answer = format!("{} letters", question.text.chars().count());
                    inbox.send(Input::Answered { id, result: Ok(answer) }).await.is_ok()
                })),
                Output::Finished { result, .. } => drop(finished.try_send(result)),
                Output::Event(event) => println!("  {address}: {}", event.name()),
                // What nobody waits for any more ends by itself here.
                Output::StopDial { .. } | Output::CancelAsk { .. } => {}
            }
        }
        let wait = node.poll_timeout().map_or(Duration::MAX, |(at, _why)| at.since(now(clock).mono));
        match tokio::time::timeout(wait, inputs.recv()).await {
            Ok(Some(input)) => node.handle_input(now(clock), input),
            Ok(None) => return,
            Err(_elapsed) => node.handle_timeout(now(clock)),
        }
    }
}

/// Tells the node of a stream, and gives the stream its tasks, which end with it.
async fn open(inbox: &Sender<Input>, socket: TcpStream, origin: StreamOrigin) {
    let stream = StreamId(LAST_ID.fetch_add(1, Ordering::Relaxed));
    // TCP proves nothing about the other end: what counts against somebody counts against all of this machine.
    let remote = TransportKey([127; 32]);
    let ((mut from, mut to), inbox, (writer, mut queue)) = (socket.into_split(), inbox.clone(), unbounded_channel());
    STREAMS.lock().unwrap().insert(stream, writer);
    inbox.send(Input::StreamOpened { stream, origin, remote }).await.ok();
    tokio::spawn(async move {
        let mut bytes = [0; 8192];
        let write = async {
            while to.write_all(&queue.recv().await?).await.is_ok() {}
            Some(())
        };
        let read = async {
            while let Ok(length @ 1..) = from.read(&mut bytes).await {
                inbox.send(Input::Received { stream, bytes: bytes[..length].to_vec() }).await.ok();
            }
        };
        tokio::select! { () = read => {}, _ = write => {} }
        STREAMS.lock().unwrap().remove(&stream);
        inbox.send(Input::StreamClosed { stream }).await.ok()
    });
}

fn now(clock: Clock) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Now { mono: Instant::from_millis(millis(clock.elapsed())), wall: WallTime::from_millis(millis(wall)) }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Outcome<()> {
    let ((alice, mut of_alice), (bob, mut of_bob)) = (start().await?, start().await?);
    let (timeout, expires_in) = (Duration::from_secs(10), Duration::from_secs(3600));
    let (sessions, capabilities) = (SessionSet::new(["main"])?, vec![Capability::inject()]);
    let invited = of_alice(Command::CreateInvite { subject: bob, sessions, capabilities, expires_in }).await?;
    let Reply::InviteCreated { token, .. } = invited else { return Err("no token".into()) };
    println!("alice invites bob: {token}");
    of_bob(Command::Claim { token, timeout }).await?;
    let (peer, main) = (|| alice.to_string().parse(), || "main".parse::<SessionName>());
    of_bob(Command::Log { peer: peer()?, session: main()?, text: "the build is done".into(), timeout }).await?;
    let text = "how long is this?".into();
    let asked = of_bob(Command::Inject { peer: peer()?, session: main()?, text, timeout }).await?;
    println!("bob hears: {asked:?}");
    if asked == Reply::Answer("17 letters".into()) { Ok(()) } else { Err("not what alice would answer".into()) }
}
