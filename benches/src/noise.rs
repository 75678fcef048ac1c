//! The Noise protocol XX in the crate `snow`, with the ciphers that we use: both sides prove their keys, and texts are
//! encrypted. It signs nothing, so what arrives proves nothing to a third party and is bound to its stream only.

use snow::{Builder, HandshakeState, TransportState};

/// The longest text in one of Noise's messages.
const CHUNK: usize = 65_535 - 16;

/// Both sides, with their static keys.
pub struct Keys(snow::Keypair, snow::Keypair);

fn builder<'a>() -> Builder<'a> {
    Builder::new("Noise_XX_25519_AESGCM_SHA256".parse().expect("a pattern that snow has"))
}

impl Default for Keys {
    fn default() -> Self {
        Self(builder().generate_keypair().expect("keys"), builder().generate_keypair().expect("keys"))
    }
}

impl Keys {
    /// A handshake, both sides.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn handshake(&self) -> (TransportState, TransportState) {
        let build = |keys: &snow::Keypair, dials: bool| -> HandshakeState {
            let builder = builder().local_private_key(&keys.private).expect("one key");
            if dials { builder.build_initiator() } else { builder.build_responder() }.expect("a state")
        };
        let (mut ours, mut theirs) = (build(&self.0, true), build(&self.1, false));
        let (mut message, mut payload) = ([0; 256], [0; 256]);
        for turn in 0..3 {
            let (from, to) = if turn == 1 { (&mut theirs, &mut ours) } else { (&mut ours, &mut theirs) };
            let length = from.write_message(&[], &mut message).expect("a message");
            to.read_message(&message[..length], &mut payload).expect("a good message");
        }
        (ours.into_transport_mode().expect("keys"), theirs.into_transport_mode().expect("keys"))
    }
}

/// Encrypts a text, in pieces where it is long.
///
/// # Panics
/// The buffer is too short.
pub fn seal(state: &mut TransportState, text: &[u8], sealed: &mut Vec<u8>) {
    sealed.resize(text.len() + 16 * text.len().div_ceil(CHUNK), 0);
    let mut at = 0;
    for chunk in text.chunks(CHUNK) {
        at += state.write_message(chunk, &mut sealed[at..]).expect("room for a message");
    }
}

/// Decrypts what [`seal`] made.
///
/// # Panics
/// It was changed.
pub fn open(state: &mut TransportState, sealed: &[u8], text: &mut Vec<u8>) {
    text.resize(sealed.len(), 0);
    let mut at = 0;
    for chunk in sealed.chunks(CHUNK + 16) {
        at += state.read_message(chunk, &mut text[at..]).expect("a good message");
    }
    text.truncate(at);
}
