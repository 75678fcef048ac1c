//! See `wopr_p2p_fuzz::secret`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wopr_p2p_fuzz::secret::run(data));
