//! The wopr peer-to-peer protocol as a pure state machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod access;
pub mod frame;
pub mod keys;
pub mod message;
pub mod rng;
pub mod time;
pub mod wire;
