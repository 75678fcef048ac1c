//! The flaws of the original, by their numbers: what they led to does not happen here.
//!
//! A test is named after its flaw; `cli/tests/flaws.rs` holds that none is forgotten.

#[path = "../support/original.rs"]
mod original;
#[path = "../support/world.rs"]
mod world;

mod access;
mod outgoing;
mod replay;
mod rotation;
mod sender;
mod strangers;

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
