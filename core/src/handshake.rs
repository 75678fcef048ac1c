//! The handshake: `hello` from the dialler, `hello-ack` from the listener, consumed to give a [`Channel`].
//!
//! Both messages are signed, name whom they are for (`to`), and the answer names the hello it belongs to (`re`), so that
//! neither can be passed on to a third node or replayed into another stream. The original sends neither member; towards
//! it the signature, the expected key and the ephemeral keys still hold. It ignores members that it does not know, so
//! what we answer always has them: nothing that anybody gets us to sign can be taken for an answer to another's hello.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::channel::{Channel, Side};
use crate::cipher::EphemeralKey;
use crate::config::Config;
use crate::event::RejectReason;
use crate::identity::Identity;
use crate::keys::{Nonce, PublicKey, VerifyingKey};
use crate::message::{Body, Header, Hello, HelloAck, Message};
use crate::rng::Rng;
use crate::time::Now;
use crate::wire::json::{Received, encode};

/// The versions we speak, the one we prefer first.
const VERSIONS: [u8; 2] = [2, 1];

/// The reason the original gives, and expects, when no version fits.
pub(crate) const NO_COMMON_VERSION: &str = "no common protocol version";

/// A dialler that has said hello and waits for the answer.
pub(crate) struct Dialler {
    local: PublicKey,
    expected: VerifyingKey,
    nonce: Nonce,
    ephemeral: EphemeralKey,
    min_version: u8,
}

impl Dialler {
    /// Says hello to the node with the key `expected`, and returns the line to send.
    pub(crate) fn start(
        identity: &Identity,
        expected: VerifyingKey,
        config: &Config,
        rng: &mut Rng,
        now: Now,
    ) -> (Self, Vec<u8>) {
        let ephemeral = EphemeralKey::generate(rng);
        let nonce = Nonce(rng.bytes());
        let versions = VERSIONS.into_iter().filter(|v| *v >= config.min_version).map(u64::from).collect();
        let hello = Hello { versions, ephemeral: Some(ephemeral.public()), to: Some(expected.public()) };
        let header = Header { from: identity.public_key(), nonce, ts: now.wall };
        let line = encode(&Message { header, body: Body::Hello(hello) }, |bytes| identity.sign(bytes));
        let local = identity.public_key();
        (Self { local, expected, nonce, ephemeral, min_version: config.min_version }, line)
    }

    /// Reads the listener's answer.
    pub(crate) fn finish(self, answer: Received, config: &Config, now: Now) -> Result<Box<Channel>, DialFault> {
        let header = answer.message().header;
        if header.from != self.expected.public() && !planted!(config, AnyListener) {
            return Err(DialFault::Imposter);
        }
        #[cfg(wopr_planted)]
        let answer = answer.believed_if(planted!(config, AnyListener | HelloAckUnsigned));
        let message = answer.verify(&self.expected).map_err(|_| DialFault::Imposter)?;
        if header.ts.abs_diff(now.wall) > config.replay.window && !planted!(config, AnyTime) {
            let ours = message.body.re() == Some(self.nonce);
            return Err(if ours { DialFault::ClockDiffers } else { DialFault::OldAnswer });
        }
        let ack = match message.body {
            Body::HelloAck(ack) => ack,
            Body::Reject(reject) if reject.re.is_none_or(|re| re == self.nonce) => {
                return Err(DialFault::Refused(reject.reason));
            }
            _ => return Err(DialFault::Imposter),
        };
        // `to` and `re` come together or, from the original, not at all.
        let bound = match (ack.to, ack.re) {
            (None, None) => false,
            (Some(to), Some(re)) if to == self.local && re == self.nonce => true,
            (Some(_), Some(_)) if planted!(config, OldHelloAck) => true,
            _ => return Err(DialFault::Imposter),
        };
        if !VERSIONS.contains(&ack.version) || ack.version < self.min_version {
            return Err(DialFault::NoCommonVersion);
        }
        if ack.version >= 2 && ack.ephemeral.is_none() {
            return Err(DialFault::Imposter);
        }
        let channel = Channel::new(
            Side::Dialler,
            self.local,
            self.expected,
            ack.version,
            self.ephemeral,
            ack.ephemeral,
            header.nonce,
            bound,
            now,
        );
        Ok(Box::new(channel))
    }
}

/// Why a dialled stream gave no channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DialFault {
    /// Whoever listens there cannot prove the expected key.
    Imposter,
    /// The expected peer's clock and ours are too far apart.
    ClockDiffers,
    /// The same of an original, or somebody repeats what it said to others before.
    OldAnswer,
    /// The expected peer speaks none of our versions.
    NoCommonVersion,
    /// The expected peer refused us, in its words.
    Refused(alloc::string::String),
}

/// What a listener makes of a hello.
pub(crate) enum Greeting {
    /// The line to answer with, and the channel that follows.
    Welcome(Vec<u8>, Box<Channel>),
    /// The line to answer with before closing, and why.
    Refuse(Vec<u8>, RejectReason),
}

/// Checks what can be checked of a hello without arithmetic.
pub(crate) fn precheck(hello: &Received, locals: &[PublicKey], config: &Config, now: Now) -> Result<(), RejectReason> {
    let header = hello.message().header;
    let Body::Hello(body) = &hello.message().body else {
        return Err(RejectReason::Malformed);
    };
    if locals.contains(&header.from) && !planted!(config, OwnHello) {
        return Err(RejectReason::NotForUs);
    }
    let stray = body.to.is_some_and(|to| !locals.contains(&to));
    if stray && !planted!(config, HelloForAnother | OwnHello) {
        return Err(RejectReason::Misdirected);
    }
    if header.ts.abs_diff(now.wall) > config.replay.window && !planted!(config, AnyTime) {
        return Err(RejectReason::OutsideWindow);
    }
    Ok(())
}

/// Whom a hello says it is for.
pub(crate) fn addressee(hello: &Received) -> Option<PublicKey> {
    match &hello.message().body {
        Body::Hello(body) => body.to,
        _ => None,
    }
}

/// Answers a verified hello as `identity`.
pub(crate) fn answer(
    hello: Message,
    remote: VerifyingKey,
    identity: &Identity,
    config: &Config,
    rng: &mut Rng,
    now: Now,
) -> Result<Greeting, RejectReason> {
    let (header, Body::Hello(body)) = (hello.header, hello.body) else {
        return Err(RejectReason::Malformed);
    };
    let common = |v: &u8| *v >= config.min_version && body.versions.contains(&u64::from(*v));
    let version = if planted!(config, LowestVersion) {
        VERSIONS.into_iter().rev().find(common)
    } else {
        VERSIONS.into_iter().find(common)
    };
    let own = Header { from: identity.public_key(), nonce: Nonce(rng.bytes()), ts: now.wall };
    let Some(version) = version else {
        let line = Channel::reject_line(identity, own, None, NO_COMMON_VERSION, header.nonce);
        return Ok(Greeting::Refuse(line, RejectReason::VersionMismatch));
    };
    if version >= 2 && body.ephemeral.is_none() {
        return Err(RejectReason::Malformed);
    }
    let ephemeral = EphemeralKey::generate(rng);
    let named = body.to.is_some() || !planted!(config, HelloAckUnbound);
    let (to, re) = (named.then_some(header.from), named.then_some(header.nonce));
    let ack = HelloAck { version, ephemeral: Some(ephemeral.public()), to, re };
    let line = encode(&Message { header: own, body: Body::HelloAck(ack) }, |bytes| identity.sign(bytes));
    let (side, handshake, bound) = (Side::Listener, own.nonce, body.to.is_some());
    let channel = Channel::new(side, own.from, remote, version, ephemeral, body.ephemeral, handshake, bound, now);
    Ok(Greeting::Welcome(line, Box::new(channel)))
}
