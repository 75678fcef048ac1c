//! Runs a wopr node on the real network.
#![forbid(unsafe_code)]

pub mod net;
