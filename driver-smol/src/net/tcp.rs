//! Plain TCP between nodes whose addresses are known: for tests and closed networks.
//!
//! There is no discovery (a fixed map says who listens where) and no encryption: the key of the other end is what it
//! claims to be. Each message is preceded by its length, so write boundaries are kept as on Hyperswarm.
//! A dialler sends its key and the topic (64 bytes), the listener answers with its own key if it listens there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smol::channel::{Receiver, Sender, bounded};
use smol::future::{self, FutureExt as _};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::{TcpListener, TcpStream};
use smol::{Task as SmolTask, Timer};

use super::near::is_near;
use super::stream::{MAX_MESSAGE, StreamPort, stream};
use super::{Dial, DialEnd, DialEvent, Incoming, NetError, Network, Path, RemoteKey, Stream, Task, Topic};

/// How long a connection and its first bytes may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a closing stream may take to deliver what was sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before the addresses of a dial are tried again.
const ROUND_PAUSE: Duration = Duration::from_millis(500);

/// What a [`Tcp`] network has to know.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The key shown to others.
    pub key: RemoteKey,
    /// Who listens where.
    pub addresses: BTreeMap<Topic, Vec<SocketAddr>>,
}

/// A network of nodes with known addresses.
pub struct Tcp {
    shared: Arc<Shared>,
    accepted: Receiver<Incoming>,
    address: SocketAddr,
    server: Mutex<Option<SmolTask<()>>>,
}

struct Shared {
    key: RemoteKey,
    addresses: BTreeMap<Topic, Vec<SocketAddr>>,
    topics: Mutex<BTreeSet<Topic>>,
    accept: Sender<Incoming>,
}

impl Tcp {
    /// Opens the listening socket.
    ///
    /// # Errors
    /// [`NetError::Bind`].
    pub async fn open(config: TcpConfig) -> Result<Self, NetError> {
        let bind = |reason| NetError::Bind { address: config.bind, reason };
        let listener = TcpListener::bind(config.bind).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let (accept, accepted) = bounded(8);
        let topics = Mutex::default();
        let shared = Arc::new(Shared { key: config.key, addresses: config.addresses, topics, accept });
        let server = smol::spawn(serve(listener, shared.clone()));
        Ok(Self { shared, accepted, address, server: Mutex::new(Some(server)) })
    }

    /// The address others reach us at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Network for Tcp {
    fn listen(&self, topic: Topic) -> Task<Result<(), NetError>> {
        self.shared.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(topic);
        Box::pin(future::ready(Ok(())))
    }

    fn unlisten(&self, topic: Topic) -> Task<()> {
        self.shared.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(&topic);
        Box::pin(future::ready(()))
    }

    fn dial(&self, topic: Topic) -> Dial {
        let (report, events) = bounded(4);
        let search = smol::spawn(search(self.shared.clone(), topic, report));
        Dial { events, _search: Box::new(search) }
    }

    fn accept(&self) -> Task<Option<Incoming>> {
        let accepted = self.accepted.clone();
        Box::pin(async move { accepted.recv().await.ok() })
    }

    fn close(&self) -> Task<()> {
        self.shared.topics.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let accept = self.shared.accept.clone();
        Box::pin(async move {
            if let Some(server) = server {
                server.cancel().await;
            }
            accept.close();
        })
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => smol::spawn(welcome(socket, shared.clone())).detach(),
            // Out of descriptors, for example: it may pass.
            Err(_) => drop(Timer::after(Duration::from_millis(100)).await),
        }
    }
}

async fn welcome(mut socket: TcpStream, shared: Arc<Shared>) {
    let greeting = async {
        let (remote, topic) = (read_key(&mut socket).await?, read_key(&mut socket).await?);
        if !shared.topics.lock().unwrap_or_else(PoisonError::into_inner).contains(&topic) {
            return Err(io::ErrorKind::NotFound.into());
        }
        socket.write_all(&shared.key).await?;
        Ok((remote, topic))
    };
    // A stranger that does not keep to the rules is nobody's concern.
    if let Ok((remote, topic)) = within(CONNECT_TIMEOUT, greeting).await {
        let incoming = Incoming { stream: carry(socket, remote), topics: vec![topic] };
        // Refused only when the network was closed: the stream closes with it.
        drop(shared.accept.send(incoming).await);
    }
}

async fn search(shared: Arc<Shared>, topic: Topic, report: Sender<DialEvent>) {
    let mut reached = BTreeSet::new();
    loop {
        let mut opened = false;
        for address in shared.addresses.get(&topic).into_iter().flatten() {
            if reached.contains(address) {
                continue;
            }
            if let Ok(stream) = within(CONNECT_TIMEOUT, connect(*address, shared.key, topic)).await {
                reached.insert(*address);
                if stream.remote() == shared.key {
                    continue;
                }
                opened = true;
                if report.send(DialEvent::Opened(stream)).await.is_err() {
                    return;
                }
            }
        }
        if !opened {
            // Refused only when nobody listens any more.
            return drop(report.send(DialEvent::Ended(DialEnd::Exhausted)).await);
        }
        Timer::after(ROUND_PAUSE).await;
    }
}

async fn connect(address: SocketAddr, key: RemoteKey, topic: Topic) -> io::Result<Stream> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&[key, topic].concat()).await?;
    let remote = read_key(&mut socket).await?;
    Ok(carry(socket, remote))
}

/// Serves a stream over this connection.
fn carry(socket: TcpStream, remote: RemoteKey) -> Stream {
    let (stream, port) = stream(remote, path(&socket));
    smol::spawn(async move {
        let StreamPort { outgoing, incoming, unfinished } = port;
        let (mut input, mut output) = (socket.clone(), socket.clone());
        // Errors mean the same as the end in both directions: the stream is over.
        let receive = async {
            while let Ok(message) = read_message(&mut input).await {
                // Refused when nobody reads any more; the connection is still drained, to see its end.
                drop(incoming.send(message).await);
            }
        };
        let send = async {
            while let Ok(message) = outgoing.recv().await {
                if write_message(&mut output, &message).await.is_err() {
                    return;
                }
            }
            if output.shutdown(std::net::Shutdown::Write).is_ok() {
                // The other side closes when it has everything, and that ends `receive`.
                Timer::after(CLOSE_TIMEOUT).await;
            }
        };
        receive.or(send).await;
        drop(socket.shutdown(std::net::Shutdown::Both));
        drop(unfinished);
    })
    .detach();
    stream
}

/// Nothing is punched or relayed here.
fn path(socket: &TcpStream) -> Path {
    match socket.peer_addr() {
        Ok(SocketAddr::V4(remote)) if is_near(*remote.ip()) => Path::Lan,
        _ => Path::Direct,
    }
}

async fn read_key(socket: &mut TcpStream) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    socket.read_exact(&mut key).await?;
    Ok(key)
}

async fn read_message(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = Vec::new();
    socket.take(length as u64).read_to_end(&mut message).await?;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

async fn write_message(socket: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    socket.write_all(&length.to_be_bytes()).await?;
    socket.write_all(message).await
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = async {
        Timer::after(limit).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    work.or(late).await
}
