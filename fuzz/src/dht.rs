//! Packets on the DHT's socket: see `wopr_p2p_smol::net::fuzzing`.

/// One packet.
pub fn run(data: &[u8]) {
    wopr_p2p_smol::net::fuzzing::dht_packet(data);
}
