use std::net::Ipv4Addr;

use super::*;
use crate::net::hyperswarm::rpc::peer;

fn node(i: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, (i >> 8) as u8), 1000 + i)
}

/// What this node answers: its own id, and these nodes.
fn response(from: SocketAddrV4, closer: &[SocketAddrV4]) -> Response {
    let id = Some(peer_id(&from.ip().to_string(), from.port()));
    let closer_nodes = closer.iter().copied().map(peer).collect();
    Response { tid: 0, to: peer(from), id, token: Some([1; 32]), closer_nodes, error: 0, value: Some(vec![1]) }
}

#[test]
fn the_nearest_node_is_asked_first_and_each_only_once() {
    let mut search = Search::new([0x5a; 32]);
    (0..50).chain(0..50).for_each(|i| search.add(node(i)));
    let order: Vec<_> = std::iter::from_fn(|| search.next()).collect();
    assert_eq!(order.len(), 50);
    assert!(order.is_sorted_by_key(|node| search.distance(*node)));
}

#[test]
fn the_search_ends_when_enough_nearer_nodes_have_answered() {
    let mut search = Search::new([0x5a; 32]);
    (0..100).for_each(|i| search.add(node(i)));
    let mut asked = 0;
    while let Some(node) = search.next() {
        asked += 1;
        search.answered(node, response(node, &[]));
    }
    assert_eq!(asked, NEAREST);
    let nearest: Vec<_> = search.nearest.values().map(|reply| reply.from).collect();
    assert!(nearest.is_sorted_by_key(|node| search.distance(*node)));
}

#[test]
fn a_node_that_lies_about_its_id_is_heard_but_never_stored_to() {
    let mut search = Search::new([0x5a; 32]);
    let liar = Response { id: Some([7; 32]), ..response(node(1), &[]) };
    let reply = search.answered(node(1), liar);
    assert_eq!((reply.id, reply.value), (None, Some(vec![1])));
    assert!(search.nearest.is_empty());
}

#[test]
fn a_node_that_names_thousands_does_not_keep_us_busy() {
    let mut search = Search::new([0x5a; 32]);
    for i in 0..200 {
        let many: Vec<_> = (0..250).map(|j| node(i * 250 + j)).collect();
        search.answered(node(i), response(node(i), &many));
    }
    assert!(search.todo.len() <= MAX_QUESTIONS);
}

#[test]
fn addresses_that_are_none_are_not_asked() {
    let mut search = Search::new([0x5a; 32]);
    let nowhere = ["0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "192.0.2.1:0"].map(|text| text.parse().unwrap());
    search.answered(node(1), response(node(1), &nowhere));
    assert_eq!(search.next(), None);
}
