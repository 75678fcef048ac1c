use peeroxide_dht::hyperdht_messages::{
    decode_handshake_from_bytes, decode_holepunch_msg_from_bytes, decode_noise_payload_from_bytes,
};
use peeroxide_dht::hyperdht_messages::{decode_holepunch_payload_from_bytes, decode_hyper_peer_from_bytes};

use super::*;

fn run<T>(work: impl Future<Output = T>) -> T {
    smol::block_on(async_compat::Compat::new(work))
}

/// A socket on loopback, and where it is.
async fn socket() -> (Arc<RpcSocket>, mpsc::Receiver<Arrival>, SocketAddrV4) {
    let (socket, arrived) = RpcSocket::bind(Ipv4Addr::LOCALHOST).await.unwrap();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, socket.port());
    (socket, arrived, address)
}

#[test]
fn a_request_gets_its_answer_and_nobody_elses() {
    run(async {
        let (asker, _asked, here) = socket().await;
        let (answerer, mut arrived, there) = socket().await;
        let (stranger, _arrived, _) = socket().await;
        let answer = async {
            let Some(Arrival::Request(from, request)) = arrived.recv().await else { panic!("a request comes") };
            assert_eq!((from, request.internal, request.command), (here, true, 0));
            // The stranger knows the number, even, but not the address.
            stranger.reply(from, request.tid, Some(b"forged".to_vec()));
            sleep(Duration::from_millis(50)).await;
            answerer.reply(from, request.tid, Some(b"true".to_vec()));
        };
        let (response, ()) = tokio::join!(asker.request(there, Call::PING, Patience::SHORT), answer);
        assert_eq!(response.unwrap().value.unwrap(), b"true");
    });
}

#[test]
fn a_question_is_repeated_under_the_same_number_and_then_given_up() {
    run(async {
        let (asker, _asked, _) = socket().await;
        let (_silent, mut arrived, there) = socket().await;
        let patience = Patience { first: Duration::from_millis(20), total: Duration::from_millis(100) };
        assert_eq!(asker.request(there, Call::PING, patience).await.err(), Some(NoAnswer));
        let mut numbers = Vec::new();
        while let Ok(Arrival::Request(_, request)) = arrived.try_recv() {
            numbers.push(request.tid);
        }
        assert_eq!(numbers.len(), 3);
        assert!(numbers.iter().all(|number| *number == numbers[0]));
        assert!(asker.pending.lock().unwrap().is_empty(), "nothing is left of it");
    });
}

#[test]
fn packets_of_a_stream_go_to_it_as_long_as_it_is_there() {
    run(async {
        let (receiver, mut arrived, there) = socket().await;
        let (sender, _arrived, here) = socket().await;
        let (packets, mut got) = mpsc::channel(1);
        let packet = [&[0xff, 1, 0, 0][..], &7_u32.to_le_bytes(), &[0; 12]].concat();
        let route = receiver.route(7, packets, 3);
        sender.send_packet(&packet, there).await;
        let came = got.recv().await.unwrap();
        assert_eq!((came.socket, came.from, came.data), (3, here, packet.clone()));
        drop(route);
        sender.send_packet(&packet, there).await;
        // Something that is seen tells that what was sent before has been looked at.
        sender.probe(there);
        assert!(matches!(arrived.recv().await, Some(Arrival::Probe(from)) if from == here));
        assert!(got.recv().await.is_none(), "the stream's channel is closed, and the packet went nowhere");
    });
}

#[test]
fn no_bytes_make_the_library_s_decoders_that_we_use_panic() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut understood = 0;
    for _ in 0..200_000 {
        let mut bytes: Vec<u8> = (0..random() % 90).map(|_| (random() % 256) as u8).collect();
        // Small numbers are what lengths and flags are made of.
        for _ in 0..random() % 8 {
            let at = random() % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = [0, 1, 2, 3, 4, 8, 0x13, 0x03, 0xfd, 0xfe, 0xff][random() % 11];
            }
        }
        if let Some(first) = bytes.first_mut() {
            *first = [RESPONSE, 0b0011, *first][random() % 3];
        }
        understood += usize::from(decode_message(&bytes).is_ok())
            + usize::from(decode_handshake_from_bytes(&bytes).is_ok())
            + usize::from(decode_holepunch_msg_from_bytes(&bytes).is_ok())
            + usize::from(decode_noise_payload_from_bytes(&bytes).is_ok())
            + usize::from(decode_holepunch_payload_from_bytes(&bytes).is_ok())
            + usize::from(decode_hyper_peer_from_bytes(&bytes).is_ok());
    }
    assert!(understood > 1000, "some of it is well formed: {understood}");
}
