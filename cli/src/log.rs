//! The daemon's log: what goes wrong or on, for its owner, on stderr.
//!
//! No secret and no message's text is in it at any level, but for what an answering command writes on its own stderr,
//! which the level `debug` shows. Only our own crates write: others do not know what must not be written.

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Config, LogFormat};

/// Begins to write. A second call changes nothing.
pub(crate) fn start(config: &Config) {
    let level = config.log.level.unwrap_or(LevelFilter::INFO);
    let ours = Targets::new().with_target("wopr", level);
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = match config.log.format.unwrap_or_default() {
        LogFormat::Text => lines.with_target(level >= Level::DEBUG).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(ours)).try_init().ok();
}
