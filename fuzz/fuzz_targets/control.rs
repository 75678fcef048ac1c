//! See `wopr_p2p_fuzz::control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wopr_p2p_fuzz::control::run(data));
