//! A stranger who sends a node garbage: from noise to handshakes that any honest node could have sent.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use peeroxide_dht::State;
use peeroxide_dht::crypto::hash;
use peeroxide_dht::hyperdht_messages::{
    ANNOUNCE, ERROR_NONE, FIND_PEER, FIREWALL_OPEN, FIREWALL_UNKNOWN, HandshakeMessage, HolepunchMessage, LOOKUP,
    MODE_FROM_CLIENT, MODE_FROM_RELAY, NoisePayload, PEER_HANDSHAKE, PEER_HOLEPUNCH, SecretStreamInfo, UdxInfo,
    decode_hyper_peer, encode_handshake_to_bytes, encode_holepunch_msg_to_bytes,
};
use peeroxide_dht::messages::{Ipv4Peer, Message, Request, decode_message, encode_request_to_bytes};
use peeroxide_dht::noise::generate_keypair;
use peeroxide_dht::noise_wrap::NoiseWrap;

/// Packets come in bursts of this many milliseconds' worth.
const BURST: Duration = Duration::from_millis(20);
/// Packets made in advance: to make some of them takes longer than to send them. After so many sessions each of their
/// handshakes is a new one again.
const PACKETS: u64 = 5000;

/// A small generator of our own, so that a flood is the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn array(&mut self) -> [u8; 32] {
        self.bytes(32).try_into().expect("32 bytes")
    }
}

/// The stranger, on a socket of its own.
pub(crate) struct Stranger {
    socket: UdpSocket,
    dice: Dice,
    /// The public key under which the victim listens.
    victim: [u8; 32],
}

impl Stranger {
    /// Asks a node of the DHT who listens on this topic, as anybody can who knows its name.
    pub(crate) fn new(socket: UdpSocket, dht: SocketAddr, topic: [u8; 32]) -> Stranger {
        let victim = listener(&socket, dht, topic);
        Stranger { socket, dice: Dice(0x5eed), victim }
    }

    /// A flood's packets; they are sent again and again.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        (0..PACKETS).map(|number| self.packet(number)).collect()
    }

    /// Sends this many packets a second for so long, to the ports that the victim has; `ports` is asked now and then.
    /// Returns how many were sent.
    pub(crate) fn flood(&mut self, host: Ipv4Addr, ports: impl Fn() -> Vec<u16>, rate: u32, time: Duration) -> u64 {
        let packets = self.packets();
        let (began, mut sent, mut open) = (Instant::now(), 0_u64, ports());
        let mut looked = began;
        while began.elapsed() < time {
            if looked.elapsed() > Duration::from_millis(500) {
                (open, looked) = (ports(), Instant::now());
            }
            let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
            while sent < due {
                let port = open[self.dice.below(open.len())];
                let packet = &packets[(sent % PACKETS) as usize];
                // One that finds no room is lost, as packets are.
                drop(self.socket.send_to(packet, SocketAddrV4::new(host, port)));
                sent += 1;
            }
            std::thread::sleep(BURST);
        }
        sent
    }

    /// One of all kinds, in turn.
    fn packet(&mut self, number: u64) -> Vec<u8> {
        let length = self.dice.below(1400);
        match number % 10 {
            0 => self.dice.bytes(length),
            1 => vec![0],
            2 => self.damaged(|this| this.request(true, 0, None)),
            3 => {
                let command = [FIND_PEER, LOOKUP, ANNOUNCE][self.dice.below(3)];
                self.damaged(|this| this.request(false, command, None))
            }
            // A response that nobody asked for.
            4 => [&[0x13][..], &self.dice.bytes(length)].concat(),
            5 => [&[0xff, 1, self.dice.next() as u8, self.dice.next() as u8][..], &self.dice.bytes(length)].concat(),
            6 => self.holepunch(),
            7 => self.damaged(Self::handshake),
            8 => {
                let noise = self.dice.bytes(200);
                self.handshake_with(noise, MODE_FROM_CLIENT)
            }
            _ => self.handshake(),
        }
    }

    /// A packet with a few bytes changed, or cut short.
    fn damaged(&mut self, packet: impl Fn(&mut Self) -> Vec<u8>) -> Vec<u8> {
        let mut packet = packet(self);
        for _ in 0..=self.dice.below(4) {
            let at = self.dice.below(packet.len());
            packet[at] = self.dice.next() as u8;
        }
        if self.dice.below(3) == 0 {
            packet.truncate(self.dice.below(packet.len()));
        }
        packet
    }

    fn request(&mut self, internal: bool, command: u64, value: Option<Vec<u8>>) -> Vec<u8> {
        request(&mut self.dice, internal, command, hash(&self.victim), value)
    }

    /// For a session that there is not.
    fn holepunch(&mut self) -> Vec<u8> {
        let peer_address = Some(self.somebody());
        let (id, payload) = (self.dice.next() & 0xffff_ffff, self.dice.bytes(150));
        let message = HolepunchMessage { mode: MODE_FROM_RELAY, id, payload, peer_address };
        let value = encode_holepunch_msg_to_bytes(&message).expect("it can be encoded");
        self.request(false, PEER_HOLEPUNCH, Some(value))
    }

    /// A handshake with nothing wrong, by a client that never comes: in its own name, or passed on for anybody.
    fn handshake(&mut self) -> Vec<u8> {
        let mut exchange = NoiseWrap::new_initiator(generate_keypair(), self.victim);
        let somebody = self.somebody();
        let payload = NoisePayload {
            version: 1,
            error: ERROR_NONE,
            firewall: [FIREWALL_OPEN, FIREWALL_UNKNOWN][self.dice.below(2)],
            holepunch: None,
            addresses4: vec![somebody],
            addresses6: Vec::new(),
            udx: Some(UdxInfo { version: 1, reusable_socket: false, id: self.dice.next() & 0xffff_ffff, seq: 0 }),
            secret_stream: Some(SecretStreamInfo { version: 1 }),
            relay_through: None,
            relay_addresses: None,
        };
        let noise = exchange.send(&payload).expect("it can be encoded");
        let mode = [MODE_FROM_CLIENT, MODE_FROM_RELAY][self.dice.below(2)];
        self.handshake_with(noise, mode)
    }

    fn handshake_with(&mut self, noise: Vec<u8>, mode: u64) -> Vec<u8> {
        let peer_address = (mode == MODE_FROM_RELAY).then(|| self.somebody());
        let message = HandshakeMessage { mode, noise, peer_address, relay_address: None };
        let value = encode_handshake_to_bytes(&message).expect("it can be encoded");
        self.request(false, PEER_HANDSHAKE, Some(value))
    }

    /// Any address in a network where nobody is.
    fn somebody(&mut self) -> Ipv4Peer {
        Ipv4Peer { host: format!("10.255.{}.{}", self.dice.below(256), 1 + self.dice.below(250)), port: 4000 }
    }
}

fn request(dice: &mut Dice, internal: bool, command: u64, target: [u8; 32], value: Option<Vec<u8>>) -> Vec<u8> {
    let request = Request {
        tid: dice.next() as u16,
        to: Ipv4Peer { host: "10.255.0.1".to_owned(), port: 4000 },
        id: None,
        token: (dice.below(2) == 0).then(|| dice.array()),
        internal,
        command,
        target: Some(target),
        value,
    };
    encode_request_to_bytes(&request).expect("it can be encoded")
}

/// The key of the listener that a node of the DHT names for a topic.
fn listener(socket: &UdpSocket, dht: SocketAddr, topic: [u8; 32]) -> [u8; 32] {
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout can be set");
    let mut buffer = [0; 2048];
    for tid in 0..20 {
        socket.send_to(&request(&mut Dice(tid), false, LOOKUP, topic, None), dht).expect("the DHT can be asked");
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        if let Ok(Message::Response(response)) = decode_message(&buffer[..length])
            && let Some((_, peers)) = response.value.as_deref().and_then(|value| value.split_first())
            && let Ok(peer) = decode_hyper_peer(&mut State::from_buffer(peers))
        {
            return peer.public_key;
        }
    }
    panic!("{dht} names no listener");
}
