//! What goes into a [`Node`](super::Node) and what comes out of it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::{CommandError, Document, DocumentWrite, Question, SessionEntry, Waiting};
use crate::access::{Capability, SessionName, SessionSet, TrustLevel};
use crate::chain::Chain;
use crate::discovery::{Connected, PendingRequest};
use crate::event::Event;
use crate::grant::Grant;

use crate::invite::InviteSummary;
use crate::keys::{Nonce, PublicKey, Topic};
use crate::peer::{Peer, PeerRef};
use crate::profile::{Profile, TopicName};
use crate::rotation::RotationReason;
use crate::time::WallTime;

/// The public key of the other end of a transport stream, as the transport itself authenticated it (Hyperswarm's Noise
/// key). It says nothing about the WOPR identity behind it, but it is what nuisance is counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportKey(pub [u8; 32]);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

ids! {
    /// A stream, numbered by the driver; never used twice.
    StreamId
    /// A request to dial, numbered by the node.
    DialId
    /// A command of the owner, numbered by the driver; never used twice.
    CommandId
    /// A write to the store or to a session file, numbered by the node.
    WriteId
    /// A question to a session's AI, numbered by the node.
    AskId
}

/// Something that happened outside the node.
#[derive(Debug)]
pub enum Input {
    /// A stream is ready. One dial may open several: each listener found on the topic is tried.
    StreamOpened {
        /// The driver's number for it.
        stream: StreamId,
        /// Who opened it.
        origin: StreamOrigin,
        /// The transport's authenticated key of the other end.
        remote: TransportKey,
    },
    /// Bytes arrived, cut anywhere.
    Received {
        /// Where.
        stream: StreamId,
        /// What; may be empty.
        bytes: Vec<u8>,
    },
    /// The other side closed the stream, or it broke. Nothing more comes from or goes to it.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// No further stream will open for this dial.
    DialEnded {
        /// Which.
        dial: DialId,
        /// Why, as far as the network knows.
        why: DialEnd,
    },
    /// The owner wants something done. Every command is answered by exactly one [`Output::Finished`].
    Command {
        /// The driver's number for it.
        id: CommandId,
        /// What.
        command: Command,
    },
    /// The owner no longer waits for this command; it finishes with [`CommandError::Cancelled`].
    CancelCommand {
        /// Which.
        id: CommandId,
    },
    /// A write is durable (or will never be). Answers [`Output::Store`] and [`Output::Record`].
    Written {
        /// Which.
        id: WriteId,
        /// Whether it is on disk. After an error the node acts as if the write had not happened.
        result: Result<(), WriteFailed>,
    },
    /// A session's AI answered, or failed to. Answers [`Output::Ask`].
    Answered {
        /// Which question.
        id: AskId,
        /// The answer's text, or why there is none.
        result: Result<String, AskFailed>,
    },
    /// The node is going to be stopped: whoever waits for its owner's decision hears so. Drain the outputs once more.
    Stopping,
}

/// Who opened a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOrigin {
    /// We did, for this dial.
    Dialled(DialId),
    /// The other side did. `topics` are those of ours it can have come for, as far as the transport knows.
    Accepted {
        /// Empty if the transport cannot tell.
        topics: Vec<Topic>,
    },
}

/// Why a dial opens no more streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialEnd {
    /// Every listener that was found has been tried (or none was found).
    Exhausted,
    /// Our own network is down, or the discovery service cannot be reached.
    NetworkDown,
}

/// A write did not reach the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFailed {
    /// The operating system's reason, for the owner.
    pub reason: String,
}

/// A session's AI gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskFailed {
    /// No handler is set for this session.
    NoHandler,
    /// It took longer than the handler's limit.
    TimedOut,
    /// It ended with an error.
    Died,
    /// Its answer is longer than the limit.
    AnswerTooLong,
    /// The session has been asked as often as its owner allows.
    LimitReached,
}

/// What the owner can ask of the node.
#[derive(Debug)]
pub enum Command {
    /// Append a text to a peer's session: no AI runs.
    Log {
        /// To whom.
        peer: PeerRef,
        /// Into which of their sessions.
        session: SessionName,
        /// What.
        text: String,
        /// How long to try, from connecting to the acknowledgement.
        timeout: Duration,
    },
    /// Append a text to a peer's session as soon as the peer can be reached: now, or later. Delivered once; see
    /// [`outbox`](crate::outbox).
    Queue {
        /// To whom.
        peer: PeerRef,
        /// Into which of their sessions.
        session: SessionName,
        /// What.
        text: String,
        /// How long to wait for the acknowledgement before this finishes with [`Reply::Queued`].
        timeout: Duration,
        /// When the message is given up, from now; at most [`MAX_WAIT`](crate::outbox::MAX_WAIT).
        expires_in: Duration,
    },
    /// Give up a message that waits.
    Unqueue {
        /// Its id.
        id: String,
    },
    /// A command that the handler of a question gave: it must not come back to whoever waits for the answer.
    InChain {
        /// Who waits: [`Question::chain`].
        chain: Chain,
        /// The command itself.
        command: Box<Self>,
    },
    /// Ask a peer's AI and wait for the answer.
    Inject {
        /// Whom.
        peer: PeerRef,
        /// In which of their sessions.
        session: SessionName,
        /// What.
        text: String,
        /// How long to try, from connecting to the answer.
        timeout: Duration,
    },
    /// Connect to a peer anew and shake hands, to see how long that takes. Nothing is sent that a peer of any version
    /// does not know.
    Ping {
        /// Whom.
        peer: PeerRef,
        /// How long to try.
        timeout: Duration,
    },
    /// Claim an invite token at its issuer.
    Claim {
        /// The `wop1://…` text.
        token: String,
        /// How long to try.
        timeout: Duration,
    },
    /// Make an invite token for one peer.
    CreateInvite {
        /// The only key that may claim it.
        subject: PublicKey,
        /// What it opens.
        sessions: SessionSet,
        /// What may be done there.
        capabilities: Vec<Capability>,
        /// How long it can be claimed, from now.
        expires_in: Duration,
    },
    /// Make an issued token unclaimable, by its nonce or the whole token.
    RevokeInvite {
        /// Nonce or token.
        invite: String,
    },
    /// Give a peer access.
    Grant {
        /// To whom; a full key adds the peer.
        peer: PeerRef,
        /// To which sessions.
        sessions: SessionSet,
        /// What may be done there.
        capabilities: Vec<Capability>,
        /// How far the peer is trusted.
        trust: TrustLevel,
        /// When the grant ends by itself, from now.
        expires_in: Option<Duration>,
    },
    /// End one grant.
    RevokeGrant {
        /// The grant's id.
        grant: String,
    },
    /// End every grant and open invite of a peer, or its access to one session.
    RevokePeer {
        /// Whose.
        peer: PeerRef,
        /// Only this session.
        session: Option<SessionName>,
    },
    /// Give a peer a name of the owner's choice; names are unique.
    NamePeer {
        /// Whom.
        peer: PeerRef,
        /// The new name.
        name: String,
    },
    /// Make new keys, and tell the peers.
    RotateKeys {
        /// Why.
        reason: RotationReason,
        /// Which peers to wait for: `true` finishes when all were told or `timeout` ended, `false` at once.
        /// Peers not told yet are told later either way, until the grace period ends.
        notify_all: bool,
        /// How long to wait for the peers.
        timeout: Duration,
    },
    /// Go on a discovery topic: be found there, and find others, until it is left.
    JoinTopic {
        /// Which.
        topic: TopicName,
    },
    /// Leave a discovery topic.
    LeaveTopic {
        /// Which.
        topic: TopicName,
    },
    /// Show this on every topic.
    SetProfile {
        /// A JSON object.
        content: String,
    },
    /// Ask a peer that is met on a topic for access to its sessions.
    Connect {
        /// Whom: a short id is looked for among those who were met.
        peer: PeerRef,
        /// How long to look for it and to wait for its answer.
        timeout: Duration,
    },
    /// Grant what waits for the owner: a connection request gets the gateway, a held message goes into its session.
    Approve {
        /// The request's id, or the key of a connection request.
        request: String,
    },
    /// Refuse what waits for the owner.
    Deny {
        /// The request's id, or the key of a connection request.
        request: String,
    },
}

/// How a command ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The message is in the peer's session.
    Logged,
    /// The peer cannot be reached now: the message waits.
    Queued {
        /// Its id.
        id: Nonce,
        /// When it is given up.
        expires: WallTime,
    },
    /// The message no longer waits. If it was sent already, it may have been delivered.
    Unqueued(Waiting),
    /// The peer's AI answered.
    Answer(String),
    /// The peer has shown who it is, on a stream that was opened for this. It is about to be closed.
    Pong {
        /// The stream.
        stream: StreamId,
        /// From the command until the stream was open.
        found: Duration,
        /// From our hello to the peer's answer.
        round_trip: Duration,
    },
    /// The token was accepted: what we may now use of theirs.
    Claimed {
        /// The issuer.
        peer: Peer,
        /// Their sessions that opened.
        sessions: SessionSet,
        /// What we may do there.
        capabilities: Vec<Capability>,
    },
    /// The invite was made.
    InviteCreated {
        /// The `wop1://…` text to hand over.
        token: String,
        /// What it says.
        invite: InviteSummary,
    },
    /// The invite can no longer be claimed.
    InviteRevoked(InviteSummary),
    /// The grant is in force.
    Granted(Grant),
    /// What was taken away.
    Revoked {
        /// Grants that ended.
        grants: Vec<Grant>,
        /// Grants that go on with fewer sessions.
        narrowed: Vec<Grant>,
        /// Invites that can no longer be claimed.
        invites: Vec<InviteSummary>,
    },
    /// The peer has this name now.
    Named(Peer),
    /// The node has new keys.
    Rotated {
        /// The new key.
        public_key: PublicKey,
        /// The key it follows.
        rotated_from: PublicKey,
        /// Until when the old key still reaches us.
        grace_until: WallTime,
        /// Peers that know already.
        told: Vec<PublicKey>,
        /// Peers that do not know yet.
        untold: Vec<PublicKey>,
    },
    /// The node is on this topic.
    TopicJoined(TopicName),
    /// The node is no longer on this topic.
    TopicLeft(TopicName),
    /// This is shown now.
    ProfileSet(Profile),
    /// What became of a connection request.
    Connected(Connected),
    /// A held message was let in.
    Approved(PendingRequest),
    /// What waited was refused.
    Denied(PendingRequest),
}

/// Something for the driver to do.
pub enum Output {
    /// Send these bytes in one write: the original handles one line per write.
    Transmit {
        /// Where.
        stream: StreamId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close the stream after what was given to [`Output::Transmit`] is sent. The node knows it no longer.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Find listeners on a topic and open a stream to each, until [`Output::StopDial`].
    Dial {
        /// The node's number for it.
        dial: DialId,
        /// The listener's topic.
        topic: Topic,
    },
    /// Open no more streams for this dial. No [`Input::DialEnded`] is needed any more.
    StopDial {
        /// Which.
        dial: DialId,
    },
    /// Announce us as a listener on this topic.
    Listen {
        /// Which.
        topic: Topic,
    },
    /// Stop being a listener on this topic.
    Unlisten {
        /// Which.
        topic: Topic,
    },
    /// Make a document durable, then answer with [`Input::Written`]. Writes to one document stay in order.
    Store {
        /// The node's number for it.
        id: WriteId,
        /// Which document.
        document: Document,
        /// How.
        write: DocumentWrite,
    },
    /// Append a message to a session's file and make it durable, then answer with [`Input::Written`]. Look at
    /// [`SessionEntry::once`] first: a line that is there already is not written again, and that is a success.
    Record {
        /// The node's number for it.
        id: WriteId,
        /// Which session.
        session: SessionName,
        /// The line to write.
        entry: SessionEntry,
    },
    /// Ask the session's AI, then answer with [`Input::Answered`].
    Ask {
        /// The node's number for it.
        id: AskId,
        /// The question and who asks.
        question: Question,
    },
    /// Nobody waits for this answer any more: stop the handler. No [`Input::Answered`] is needed.
    CancelAsk {
        /// Which.
        id: AskId,
    },
    /// A command has ended.
    Finished {
        /// Which.
        id: CommandId,
        /// How.
        result: Result<Reply, CommandError>,
    },
    /// Something the owner may want to know.
    Event(Event),
}

impl fmt::Debug for Output {
    /// Prints lengths instead of contents: texts and keys must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmit { stream, bytes } => write!(f, "Transmit({stream:?}, {} bytes)", bytes.len()),
            Self::CloseStream { stream } => write!(f, "CloseStream({stream:?})"),
            Self::Dial { dial, topic } => write!(f, "Dial({dial:?}, {topic})"),
            Self::StopDial { dial } => write!(f, "StopDial({dial:?})"),
            Self::Listen { topic } => write!(f, "Listen({topic})"),
            Self::Unlisten { topic } => write!(f, "Unlisten({topic})"),
            Self::Store { id, document, write } => {
                let (how, len) = match write {
                    DocumentWrite::Replace(bytes) => ("replace", bytes.len()),
                    DocumentWrite::Append(bytes) => ("append", bytes.len()),
                };
                write!(f, "Store({id:?}, {document:?}, {how} {len} bytes)")
            }
            Self::Record { id, entry, .. } => write!(f, "Record({id:?}, {} bytes)", entry.content.len()),
            Self::Ask { id, question } => write!(f, "Ask({id:?}, {} bytes)", question.text.len()),
            Self::CancelAsk { id } => write!(f, "CancelAsk({id:?})"),
            Self::Finished { id, result } => match result {
                Ok(_) => write!(f, "Finished({id:?}, ok)"),
                Err(error) => write!(f, "Finished({id:?}, {error:?})"),
            },
            Self::Event(event) => write!(f, "Event({event:?})"),
        }
    }
}
