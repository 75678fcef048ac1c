use super::*;

fn verdict(ports: &[u16], last: bool) -> (u64, bool) {
    let mut samples = Samples::default();
    ports.iter().for_each(|port| samples.add(Some(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), *port))));
    let nat = samples.verdict(last);
    (nat.firewall, nat.settled)
}

#[test]
fn three_agreeing_nodes_make_a_consistent_nat() {
    assert_eq!(verdict(&[7, 7], false), (FIREWALL_UNKNOWN, false));
    assert_eq!(verdict(&[7, 7, 7], false), (FIREWALL_CONSISTENT, true));
    assert_eq!(verdict(&[7, 9, 7, 7], false), (FIREWALL_CONSISTENT, true));
}

#[test]
fn ports_that_all_differ_make_a_random_nat() {
    assert_eq!(verdict(&[7, 8, 9], true), (FIREWALL_RANDOM, true));
    assert_eq!(verdict(&[7, 8, 9, 9], true), (FIREWALL_RANDOM, true));
}

#[test]
fn the_only_node_of_a_private_dht_is_believed() {
    assert_eq!(verdict(&[7], false), (FIREWALL_UNKNOWN, false));
    assert_eq!(verdict(&[7], true), (FIREWALL_CONSISTENT, true));
    assert_eq!(verdict(&[], true), (FIREWALL_UNKNOWN, true));
}
