//! What the benchmarks stand on: a node with a disk that is always quick ([`subject`]), a peer that says what a benchmark
//! wants ([`peer`]), the bare cryptography ([`bound`]) and the Noise protocol as others have it ([`noise`]).

pub mod bound;
pub mod noise;
pub mod peer;
pub mod subject;

use wopr_p2p_core::time::{Instant, Now, WallTime};

/// When every benchmark begins.
pub const START: Now = Now { mono: Instant::from_millis(1_000), wall: WallTime::from_millis(1_767_225_600_000) };

/// The lengths of texts: a short message, 64 KiB, and the longest there can be, whose payload is 1 MiB of base64.
pub const SIZES: [(&str, usize); 3] = [("300 B", 300), ("64 KiB", 64 << 10), ("1 MiB", 786_404)];
