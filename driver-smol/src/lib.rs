//! Runs a wopr node on the real network. Unix only: permissions, file locks and process groups are part of its safety.
//!
//! [`Driver`](driver::Driver) is the loop around a [`Node`](wopr_p2p_core::Node): Hyperswarm (or any other
//! [`Network`](net::Network)) on one side, the files of a [`Home`](home::Home) and the AI commands on the other.

#![forbid(unsafe_code)]

pub mod clock;
pub mod crash;
pub mod disk;
pub mod driver;
pub mod event_log;
pub mod file;
pub mod handler;
pub mod home;
pub mod net;
pub mod session_file;
pub mod store;
pub mod utc;
