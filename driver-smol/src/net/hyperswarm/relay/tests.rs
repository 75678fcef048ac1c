use peeroxide_dht::protomux::{encode_close, encode_reject};

use super::*;

fn info(byte: u8) -> RelayThroughInfo {
    RelayThroughInfo { version: 1, public_key: [byte; 32], token: [byte + 1; 32] }
}

#[test]
fn both_sides_take_the_same_relay_and_one_of_them_owns_the_token() {
    let (listeners, clients) = (info(1), info(3));
    for (listener, client) in [(Some(&listeners), None), (None, Some(&clients)), (Some(&listeners), Some(&clients))] {
        let [there, here] = [true, false].map(|are_listener| Meeting::of(listener, client, are_listener).unwrap());
        assert_eq!((there.relay, there.token), (here.relay, here.token));
        assert_ne!(there.is_ours, here.is_ours);
        assert_eq!(there.is_ours, listener.is_some());
    }
    assert!(Meeting::of(None, None, true).is_none());
}

#[test]
fn what_we_ask_of_a_relay_is_what_it_answers() {
    let meeting = Meeting::of(Some(&info(1)), None, true).unwrap();
    let heard = Heard::in_message(&meeting.request(0xdead_beef));
    assert_eq!(heard, Heard::Paired { token: [2; 32], stream: 0xdead_beef });
}

#[test]
fn a_relay_that_closes_or_refuses_is_understood() {
    assert_eq!(Heard::in_message(&encode_close(1)), Heard::Closed);
    assert_eq!(Heard::in_message(&encode_reject(1)), Heard::Closed);
    assert_eq!(Heard::in_message(&encode_open(1, PROTOCOL_NAME, None, None)), Heard::Nothing);
}

#[test]
fn whatever_a_relay_says_is_no_harm() {
    fn any(message: Vec<u8>) -> bool {
        Heard::in_message(&message);
        true
    }
    quickcheck::quickcheck(any as fn(Vec<u8>) -> bool);
    // A batch that claims a message of all lengths; numbers that end too early.
    for message in [&[0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[1, 0, 1], &[1, 0xff], &[]] {
        assert_eq!(Heard::in_message(message), Heard::Nothing);
    }
}
