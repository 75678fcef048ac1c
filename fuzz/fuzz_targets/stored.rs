//! See `wopr_p2p_fuzz::stored`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wopr_p2p_fuzz::stored::run(data));
