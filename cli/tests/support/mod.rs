//! What the tests of the whole program share: where programs run, throw-away homes, running nodes, and a lab of
//! network namespaces. Everything made here is gone when its value is dropped, also when a test panics.
#![allow(dead_code, reason = "each test program uses a part of this")]

pub(crate) mod agent;
pub(crate) mod cases;
pub(crate) mod conversation;
pub(crate) mod gauge;
pub(crate) mod home;
pub(crate) mod lab;
pub(crate) mod node;
pub(crate) mod place;
pub(crate) mod program;
pub(crate) mod shape;
