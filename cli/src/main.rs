//! The `wopr` program: what is typed, done with a node, and shown.
#![forbid(unsafe_code)]

mod args;
mod config;
mod duration;
mod exit;
mod output;
fn main() {}
