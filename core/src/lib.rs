//! The wopr peer-to-peer protocol as a pure state machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod access;
pub mod cipher;
pub mod error;
pub mod grant;
pub mod identity;
pub mod keys;
pub mod peer;
pub mod rng;
pub mod rotation;
pub mod time;
pub mod wire;
