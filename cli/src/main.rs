//! The `wopr` program.
fn main() {}
