//! See `wopr_p2p_fuzz::udx`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wopr_p2p_fuzz::udx::run(data));
