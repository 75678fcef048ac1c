//! A peer with true keys, for one side of a stream: it says what a benchmark wants, when it wants.

use wopr_p2p_core::StreamId;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::cipher::{EphemeralKey, PayloadKey};
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::message::{Ack, Body, Header, Hello, HelloAck, Log, Message};
use wopr_p2p_core::rng::Rng;
use wopr_p2p_core::wire::json::{decode, encode};

use crate::START;
use crate::subject::Subject;

/// Keys, and a source of nonces.
pub struct Peer {
    /// The keys.
    pub identity: Identity,
    rng: Rng,
}

/// A peer's side of a finished handshake.
pub struct Open {
    /// The stream.
    pub stream: StreamId,
    ephemeral: EphemeralKey,
    key: PayloadKey,
    re: Nonce,
}

impl Peer {
    /// The peer with the keys that the seed makes.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        let mut rng = Rng::new([seed; 32]);
        Self { identity: Identity::generate(&mut rng, START.wall), rng }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.identity.public_key()
    }

    fn line(&mut self, subject: &Subject, body: Body) -> Vec<u8> {
        let header = Header { from: self.key(), nonce: Nonce(self.rng.bytes()), ts: subject.now.wall };
        encode(&Message { header, body }, |bytes| self.identity.sign(bytes))
    }

    /// Says hello.
    pub fn hello(&mut self, subject: &Subject) -> (EphemeralKey, Vec<u8>) {
        let ephemeral = EphemeralKey::generate(&mut self.rng);
        let to = Some(subject.node.public_key());
        let hello = Hello { versions: vec![2, 1], ephemeral: Some(ephemeral.public()), to };
        (ephemeral, self.line(subject, Body::Hello(hello)))
    }

    /// Opens a stream and shakes hands.
    ///
    /// # Panics
    /// The node does not answer as it should.
    pub fn connect(&mut self, subject: &mut Subject) -> Open {
        let stream = subject.accepts();
        let (ephemeral, hello) = self.hello(subject);
        subject.receives(stream, hello);
        let (_, ack) = subject.sent.pop().expect("an answer");
        let ack = decode(&ack).expect("a message").message().clone();
        let Body::HelloAck(HelloAck { ephemeral: Some(theirs), .. }) = ack.body else { panic!("not welcome") };
        let key = PayloadKey::agree(ephemeral.secret(), &theirs).expect("a good key");
        Open { stream, ephemeral, key, re: ack.header.nonce }
    }

    /// A log with a text of this length.
    ///
    /// # Panics
    /// Never.
    pub fn log(&mut self, subject: &Subject, open: &Open, length: usize) -> Vec<u8> {
        let log = Log {
            v: 2,
            encrypt_key: self.identity.encrypt_key(),
            ephemeral: Some(open.ephemeral.public()),
            session: SessionName::new("main").expect("a session name"),
            payload: open.key.seal(&mut self.rng, "a".repeat(length).as_bytes()),
            once: None,
            re: Some(open.re),
        };
        self.line(subject, Body::Log(log))
    }

    /// Answers the hello that the node sent on a stream it dialled.
    ///
    /// # Panics
    /// The node did not say hello.
    pub fn welcome(&mut self, subject: &mut Subject, stream: StreamId) {
        let (_, hello) = subject.sent.pop().expect("a hello");
        let header = decode(&hello).expect("a message").message().header;
        let ephemeral = EphemeralKey::generate(&mut self.rng).public();
        let (to, re) = (Some(header.from), Some(header.nonce));
        let ack = self.line(subject, Body::HelloAck(HelloAck { version: 2, ephemeral: Some(ephemeral), to, re }));
        subject.receives(stream, ack);
    }

    /// Acknowledges what the node sent last.
    ///
    /// # Panics
    /// The node sent nothing.
    pub fn acknowledge(&mut self, subject: &mut Subject) {
        let (stream, line) = subject.sent.pop().expect("a request");
        let re = Some(decode(&line).expect("a message").message().header.nonce);
        let session = SessionName::new("main").ok();
        let ack = self.line(subject, Body::Ack(Ack { encrypt_key: None, session, re }));
        subject.receives(stream, ack);
    }
}
