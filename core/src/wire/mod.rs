//! How messages are written: one file per encoding, all of the same [`Message`](crate::message::Message).
//!
//! `signed` knows signed JSON objects (messages, invite tokens and rotation statements are such).

pub mod discovery;
pub mod json;
pub(crate) mod members;
pub mod signed;
pub mod texts;
