use peeroxide_dht::hyperdht_messages::{LookupRawReply, encode_lookup_raw_reply_to_bytes};

use super::*;
use crate::net::hyperswarm::rpc::peer;

fn reply(count: u8) -> Vec<u8> {
    let relay = peer("192.0.2.1:7".parse().unwrap());
    let peers = (0..count).map(|i| HyperPeer { public_key: [i; 32], relay_addresses: vec![relay.clone()] }).collect();
    encode_lookup_raw_reply_to_bytes(&LookupRawReply { peers, bump: 5 }).unwrap()
}

#[test]
fn the_listeners_that_a_node_names_are_read() {
    for count in [0, 1, 20] {
        let found = listeners(&reply(count));
        assert_eq!(found.len(), usize::from(count));
        assert!(found.iter().enumerate().all(|(i, peer)| peer.public_key == [i as u8; 32]));
    }
    assert_eq!(listeners(&reply(200)).len(), MAX_LISTENERS);
}

#[test]
fn a_node_that_claims_billions_of_listeners_is_not_believed() {
    let claims: [&[u8]; 4] = [&[], &[0xff; 9], &[0xfe, 0xff, 0xff, 0xff, 0xff], &[0xfd, 0xff, 0xff, 1]];
    for claim in claims {
        assert!(listeners(claim).is_empty());
        assert_eq!(listeners(&[claim, &reply(3)].concat()).len(), if claim.is_empty() { 3 } else { 0 });
    }
    assert_eq!(listeners(&reply(3)[..60]).len(), 1, "what is cut off is left out");
}
