//! What is done with bytes from strangers, one module for each way in. A fuzzer calls `run` with bytes of its own
//! making; `tests/corpus.rs` calls it with the kept ones. A `run` that panics has found a bug.

pub mod connection;
pub mod control;
pub mod dht;
pub mod discovery;
pub mod frame;
mod host;
pub mod message;
pub mod script;
pub mod secret;
pub mod seeds;
pub mod stored;
pub mod token;
pub mod udx;

use std::convert::Infallible;

use arbitrary::{Arbitrary, Unstructured};
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::rng::Rng;
use wopr_p2p_core::time::{Instant, Now, WallTime};
use wopr_p2p_core::{Document, Stored};

/// Takes the bytes of one run.
pub type Run = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Run); 11] = [
    ("connection", connection::run),
    ("control", control::run),
    ("dht", dht::run),
    ("discovery", discovery::run),
    ("frame", frame::run),
    ("message", message::run),
    ("script", script::run),
    ("secret", secret::run),
    ("stored", stored::run),
    ("token", token::run),
    ("udx", udx::run),
];

/// When every run begins.
const START: Now = Now { mono: Instant::from_millis(1_000), wall: WallTime::from_millis(1_767_225_600_000) };

/// Keys that are the same in every run.
fn identity(number: u8) -> Identity {
    Identity::generate(&mut Rng::new([number; 32]), START.wall)
}

/// The steps that these bytes say, `most` at most.
fn steps<'a, Step: Arbitrary<'a>>(bytes: &'a [u8], most: usize) -> impl Iterator<Item = Step> {
    let mut script = Unstructured::new(bytes);
    std::iter::from_fn(move || if script.is_empty() { None } else { Step::arbitrary(&mut script).ok() }).take(most)
}

/// What a node starts from, in the order of `Document::ALL`; an empty document does not exist.
fn documents(files: &[Vec<u8>]) -> Stored {
    let file = |document: Document| {
        let bytes = Document::ALL.iter().zip(files).find_map(|(one, bytes)| (*one == document).then_some(bytes));
        Ok(bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| bytes.clone().into()))
    };
    let Ok::<_, Infallible>(stored) = Stored::load(file);
    stored
}
