//! The bytes of a transport stream, below every message: see `wopr_p2p_smol::net::fuzzing`.

/// The script of a line between two ends.
pub fn run(data: &[u8]) {
    wopr_p2p_smol::net::fuzzing::secret_stream(data);
}
