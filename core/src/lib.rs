//! The wopr peer-to-peer protocol as a pure state machine.
//!
//! A [`Node`] owns a cryptographic identity, meets other nodes on streams that its driver opens, and lets them write
//! into its AI sessions (`log`) or ask its AI (`inject`), exactly as far as its owner granted. This crate has no clock,
//! no socket, no file, no thread and no source of randomness: a *driver* hands in what happened, with the time, and
//! carries out what comes back. The same inputs give the same outputs, byte for byte.
//!
//! ```text
//!                  bytes, time, commands                  actions
//!   driver  ───────────────────────────────▶  Node  ──────────────────▶  driver
//!   (owns sockets, clock, disk, AI)                        (transmits, stores, delivers)
//! ```
//!
//! # The loop
//!
//! After every call of [`Node::handle_input`] or [`Node::handle_timeout`], drain [`Node::poll_output`] until it returns
//! `None`; then wait for the next input, until [`Node::poll_timeout`] at the latest:
//!
//! ```
//! use wopr_p2p_core::{Command, CommandId, Config, Input, Node, Output, Stored, time::Now};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (now, seed) = (Now::default(), [7; 32]);
//! let mut node = Node::new(Config::default(), Stored::default(), seed, now)?;
//! let peer = "alice".parse()?;
//! node.handle_input(now, Input::Command { id: CommandId(1), command: Command::NamePeer { peer, name: "al".into() } });
//! while let Some(output) = node.poll_output() {
//!     match output {
//!         Output::Store { id, .. } | Output::Record { id, .. } => {
//!             // … make it durable, and only then:
//!             node.handle_input(now, Input::Written { id, result: Ok(()) });
//!         }
//!         Output::Finished { result, .. } => assert!(result.is_err(), "nobody is called alice yet"),
//!         _ => { /* transmit, dial, listen, ask, … */ }
//!     }
//! }
//! let (_wake_up_at, _why) = node.poll_timeout().expect("a node always has something to look at later");
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` has two whole drivers: blocking TCP with threads, and tokio.
//!
//! # What the core promises
//!
//! - *Store before acknowledging.* Nothing is acknowledged to a peer before the driver confirmed that it is durable.
//! - *Cheap before dear.* Size, shape, time window, bans and replays are checked before any signature, the grant before
//!   any payload is decrypted or any AI is asked.
//! - *Count against who really sent it.* Nuisance counts against the transport's key, never against a claimed sender.
//! - *Fail closed.* Every table is bounded by a field of [`Config`]; a full one refuses, it does not forget.
//!
//! # Features
//!
//! Both only make it faster, give the same bytes, and need std; without them the crate stands on `alloc` alone.
//!
//! - `simd` (on by default): base64 of long payloads with AVX2 or NEON.
//! - `aws-lc`: signatures and X25519 by AWS-LC, in about half the time. Needs a C compiler.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
mod planted;

pub mod access;
pub mod chain;
mod channel;
pub mod cipher;
pub mod config;
pub mod discovery;
pub mod error;
pub mod event;
pub mod frame;
pub mod gateway;
pub mod grant;
mod handshake;
pub mod identity;
pub mod invite;
pub mod keys;
pub mod message;
pub mod node;
pub mod outbox;
pub mod peer;
pub mod profile;
pub mod rate;
pub mod replay;
pub mod rng;
pub mod rotation;
pub mod time;
pub mod wire;

pub use self::config::Config;
pub use self::event::Event;
pub use self::node::{
    AskFailed, AskId, Command, CommandError, CommandId, DialEnd, DialId, Document, DocumentWrite, EntryKind, Input,
    Node, OnceOnly, Output, Question, Reply, SessionEntry, StartError, Stored, StreamId, StreamOrigin, TransportKey,
    WriteFailed, WriteId,
};
#[cfg(wopr_planted)]
pub use self::planted::Bug;
