//! UDX packets of a stranger, or two honest sides on a bad line: see `wopr_p2p_smol::net::fuzzing`.

use wopr_p2p_smol::net::fuzzing::{udx_hostile_packets, udx_lossy_line};

/// The first byte says which; the rest is the script.
pub fn run(data: &[u8]) {
    match data {
        [which, script @ ..] if which.is_multiple_of(2) => udx_hostile_packets(script),
        [_, script @ ..] => udx_lossy_line(script),
        [] => {}
    }
}
