//! Runs a wopr node on the real network. Unix only: permissions, file locks and process groups are part of its safety.
#![forbid(unsafe_code)]

pub mod core_types;
pub mod crash;
pub mod disk;
pub mod file;
pub mod handler;
pub mod home;
pub mod session_file;
pub mod store;
pub mod utc;
