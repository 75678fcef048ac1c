//! The commands on files of the home: settings, sessions, logs; and what is generated from the commands' definitions.
//! None of them needs a node or takes the home's lock, so they work beside a daemon.

mod config;
mod generate;
mod logs;
mod plugin;
mod sessions;

pub(crate) use self::config::config;
pub(crate) use self::generate::{completions, manual};
pub(crate) use self::logs::{events, logs};
pub(crate) use self::plugin::plugin;
pub(crate) use self::sessions::sessions;
