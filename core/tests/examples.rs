//! The two embedding examples run, and show that a driver takes less than 150 lines.

#[path = "../examples/tcp_threads.rs"]
mod tcp_threads;
#[path = "../examples/tokio.rs"]
mod tokio_example;

#[test]
fn a_driver_of_threads_carries_a_conversation() {
    tcp_threads::main().unwrap();
}

#[test]
fn a_driver_on_tokio_carries_a_conversation() {
    tokio_example::main().unwrap();
}

#[test]
fn a_driver_takes_less_than_150_lines() {
    for example in [include_str!("../examples/tcp_threads.rs"), include_str!("../examples/tokio.rs")] {
        assert!(example.lines().count() < 150);
    }
}
