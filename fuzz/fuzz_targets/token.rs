//! See `wopr_p2p_fuzz::token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wopr_p2p_fuzz::token::run(data));
