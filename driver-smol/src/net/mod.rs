//! Everything that touches the network: a small trait, and what stands behind it.
//!
//! A [`Network`] announces us on topics, finds the listeners of a topic, and hands over encrypted [`Stream`]s. It knows
//! nothing of identities, grants or messages. [`Hyperswarm`] is the real one; [`Tcp`] is for tests and closed networks.
//!
//! Invariants: a stream keeps write boundaries (what is handed to [`StreamWriter::send`] leaves as one message, because
//! nodes written in TypeScript read one line per message); every queue is bounded; no call waits for ever.

mod bootstrap;
mod hyperswarm;
mod lan;
mod near;
mod offline;
mod stream;
mod tcp;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use async_compat::CompatExt as _;

pub use bootstrap::Bootstrap;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use hyperswarm::fuzzing;
pub use hyperswarm::{Hyperswarm, HyperswarmConfig};
pub use offline::Offline;
pub use stream::{MAX_MESSAGE, Path, SendError, Stream, StreamReader, StreamWriter};
pub use tcp::{Tcp, TcpConfig};

/// Where nodes meet: 32 bytes, used as they are as the target in the DHT.
pub type Topic = [u8; 32];

/// The public key of the other end of a stream, as the transport authenticated it.
pub type RemoteKey = [u8; 32];

/// A future that owns what it needs. The work goes on when it is dropped.
pub type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A way to find listeners on topics and to exchange encrypted streams with them.
///
/// Each method starts its work when it is called, and the future it returns only tells the outcome.
pub trait Network: Send + Sync {
    /// Makes us a listener on this topic. The future resolves when the first announcement is done; later ones follow
    /// by themselves until [`Network::unlisten`], also after a failure. Listening twice on a topic is listening once.
    fn listen(&self, topic: Topic) -> Task<Result<(), NetError>>;

    /// Stops being a listener on this topic and takes back the announcement. Open streams stay.
    fn unlisten(&self, topic: Topic) -> Task<()>;

    /// Looks for listeners on this topic and opens a stream to each, until none is left to try.
    fn dial(&self, topic: Topic) -> Dial;

    /// The next stream that somebody else opened; `None` once the network is closed.
    fn accept(&self) -> Task<Option<Incoming>>;

    /// Looks at how others see us, now. Takes a second or two where nobody answers.
    fn surroundings(&self) -> Task<Surroundings> {
        Box::pin(std::future::ready(Surroundings::default()))
    }

    /// Goes to each of the relays where we propose to meet others, now. Takes some seconds where one is not there.
    fn try_relays(&self) -> Task<Vec<RelayTried>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    /// Takes back all announcements and closes the sockets. Streams that are still open break.
    fn close(&self) -> Task<()>;
}

/// How many tasks the network keeps, of all networks of this process: a figure that shows a leak.
pub async fn tasks() -> usize {
    async { tokio::runtime::Handle::current().metrics().num_alive_tasks() }.compat().await
}

/// How others see us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Nodes of the discovery network that answered lately, as far as they are remembered.
    pub nodes: usize,
    /// What stands between us and them.
    pub nat: NatKind,
    /// Where they see us; for [`NatKind::Random`] the port is 0.
    pub addresses: Vec<SocketAddr>,
    /// Where we are on our own network.
    pub local: Vec<SocketAddr>,
    /// How long a node that answered took for one question.
    pub round_trip: Option<Duration>,
    /// The nodes from which the discovery network is entered.
    pub entries: Vec<Entry>,
    /// Nodes that pass handshakes on to us: without any, only our own networks can find us.
    pub relays: Vec<SocketAddr>,
    /// What is done on our own networks.
    pub lan: LanState,
}

/// A node from which the discovery network is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub address: SocketAddr,
    /// What came of a question to it.
    pub answer: Answer,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer, after this time.
    Given(Duration),
    /// Nothing: a firewall drops our packets or those of the node, or there is no such host.
    Silence,
    /// The host says that nothing listens there.
    Refused,
    /// Our own system did not send it, for this reason.
    Unsent(String),
}

/// A relay where we propose to meet others, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayTried {
    /// Its public key.
    pub key: RemoteKey,
    /// How long it took until a stream to it stood; `None` if none opened.
    pub took: Option<Duration>,
}

/// Whether listeners on our own networks are looked for, and can find us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LanState {
    /// No: it is switched off, or the network has nothing of the kind.
    #[default]
    Off,
    /// Yes.
    Active,
    /// It should be, but cannot.
    Failed(String),
}

/// What stands between us and the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatKind {
    /// Nobody has answered, or nobody is asked.
    #[default]
    Unknown,
    /// Nothing: we are seen under our own address.
    Open,
    /// Every destination sees the same address and port: connections can be punched.
    Consistent,
    /// Every destination sees another port: two such sides cannot meet.
    Random,
}

/// A stream that somebody else opened.
#[derive(Debug)]
pub struct Incoming {
    /// The stream.
    pub stream: Stream,
    /// The topics of ours it can have come for.
    pub topics: Vec<Topic>,
}

/// The search for the listeners of one topic. Dropping it ends the search; streams it gave stay open.
pub struct Dial {
    events: smol::channel::Receiver<DialEvent>,
    /// Whatever has to be dropped to end the search.
    _search: Box<dyn Any + Send + Sync>,
}

impl Dial {
    /// What happened next; `None` after [`DialEvent::Ended`].
    pub async fn next(&mut self) -> Option<DialEvent> {
        self.events.recv().await.ok()
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// What a [`Dial`] tells.
#[derive(Debug)]
pub enum DialEvent {
    /// A stream to a listener that this dial had not reached before.
    Opened(Stream),
    /// No further stream will open.
    Ended(DialEnd),
}

/// Why a dial opens no more streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialEnd {
    /// A round of looking up and trying gave no new stream. A listener may yet appear: dial again to look again.
    Exhausted,
    /// Nobody in the discovery network answered.
    NetworkDown,
}

/// Why the network could not do what was asked.
#[derive(Debug)]
pub enum NetError {
    /// The socket could not be opened.
    Bind {
        /// Where it should have been.
        address: SocketAddr,
        /// The operating system's reason.
        reason: io::Error,
    },
    /// An address in the configuration cannot be used.
    Address {
        /// As written.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// No node of the DHT answered. It is tried again by itself.
    Unreachable,
    /// The network was closed.
    Closed,
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, reason } => {
                write!(f, "cannot open a socket on {address}: {reason}; choose another address or port")
            }
            Self::Address { text, reason } => write!(f, "cannot use the address {text:?}: {reason}"),
            Self::Unreachable => f.write_str(
                "no node of the DHT answered; check the network connection and the bootstrap nodes, \
                 it is tried again until then",
            ),
            Self::Closed => f.write_str("the network was closed"),
        }
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { reason, .. } => Some(reason),
            _ => None,
        }
    }
}
