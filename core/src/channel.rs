//! The channel: what a finished handshake leaves behind, and the messages that may pass in it.
//!
//! A channel belongs to one stream, one pair of keys and one handshake. Requests go from the dialler to the listener,
//! answers go back. Where both sides know the `re` member, every message names the one it belongs to, so nothing of one
//! stream means anything in another. Our answers always have it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use crate::access::SessionName;
use crate::cipher::{CipherError, EphemeralKey, PayloadKey};
use crate::config::Config;
use crate::event::RejectReason;
use crate::identity::Identity;
use crate::keys::{EncryptKey, Nonce, PublicKey, VerifyingKey};
use crate::message::{Body, Header, Message, Reject};
use crate::rng::Rng;
use crate::time::{Instant, Now};
use crate::wire::json::{Received, encode};

/// Which end of the stream we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// We ask.
    Dialler,
    /// We answer.
    Listener,
}

/// An authenticated stream.
pub(crate) struct Channel {
    side: Side,
    local: PublicKey,
    remote: VerifyingKey,
    version: u8,
    ephemeral: EphemeralKey,
    remote_ephemeral: Option<EncryptKey>,
    /// The hello-ack's nonce.
    handshake: Nonce,
    /// Whether requests must name it: not those of an original.
    bound: bool,
    /// Protocol 2: the key of the requests' payloads, made when first needed.
    request_key: Option<PayloadKey>,
    established: Instant,
}

/// What travels with an encrypted text beside it.
pub(crate) struct Sealed {
    pub(crate) payload: String,
    /// The sender's ephemeral key; `None` in protocol 1.
    pub(crate) ephemeral: Option<EncryptKey>,
}

impl Channel {
    #[expect(clippy::too_many_arguments, reason = "private to the handshake, which has all of them by these names")]
    pub(crate) fn new(
        side: Side,
        local: PublicKey,
        remote: VerifyingKey,
        version: u8,
        ephemeral: EphemeralKey,
        remote_ephemeral: Option<EncryptKey>,
        handshake: Nonce,
        bound: bool,
        now: Now,
    ) -> Self {
        let (request_key, established) = (None, now.mono);
        Self { side, local, remote, version, ephemeral, remote_ephemeral, handshake, bound, request_key, established }
    }

    /// Our key in this channel.
    pub(crate) fn local(&self) -> PublicKey {
        self.local
    }

    /// The other side's key.
    pub(crate) fn remote(&self) -> &VerifyingKey {
        &self.remote
    }

    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Whether several requests can be under way at once: answers name what they answer.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound
    }

    /// The `re` member of our requests; `None` towards an original.
    pub(crate) fn bound(&self) -> Option<Nonce> {
        self.bound.then_some(self.handshake)
    }

    /// The hello-ack's nonce, which tells this channel from every other.
    pub(crate) fn handshake(&self) -> Nonce {
        self.handshake
    }

    /// How long a stream may be silent. The dialler gives it up earlier, so that no request is on its way when the
    /// listener does.
    pub(crate) fn idle(&self, config: &Config) -> Duration {
        let timeout = config.idle_timeout;
        match self.side {
            Side::Dialler => timeout - timeout / 4,
            Side::Listener => timeout,
        }
    }

    /// When the ephemeral keys are too old to be used. The dialler gives them up earlier, since its request takes time to
    /// arrive and the listener's time began before its own.
    pub(crate) fn expires(&self, config: &Config) -> Instant {
        let ttl = config.ephemeral_ttl;
        match self.side {
            Side::Dialler => self.established + (ttl - ttl / 10),
            Side::Listener => self.established + ttl,
        }
    }

    /// Checks a request of the dialler as far as that costs nothing: who, where, which version.
    pub(crate) fn precheck_request(&self, request: &Received, config: &Config) -> Result<(), RejectReason> {
        let body = &request.message().body;
        // A rotation is sent under the new key and names the old one.
        let named = matches!(body, Body::KeyRotation(_)) || planted!(config, NameBelieved);
        if !named && request.message().header.from != self.remote.public() {
            return Err(RejectReason::NotForUs);
        }
        if self.bound && body.re() != self.bound() && !planted!(config, RequestUnbound) {
            return Err(RejectReason::NotForUs);
        }
        let (v, ephemeral) = match body {
            Body::Log(log) => (log.v, Some(log.ephemeral)),
            Body::Inject(inject) => (inject.v, Some(inject.ephemeral)),
            Body::Claim(claim) => (claim.v, None),
            Body::KeyRotation(_) => (self.version, None),
            _ => return Err(RejectReason::Malformed),
        };
        if planted!(config, Downgrade) {
            return Ok(());
        }
        if v != self.version {
            return Err(RejectReason::VersionMismatch);
        }
        if self.version >= 2 && ephemeral.is_some_and(|key| key != self.remote_ephemeral) {
            return Err(RejectReason::NotForUs);
        }
        Ok(())
    }

    /// Checks an answer of the listener as far as that costs nothing.
    pub(crate) fn precheck_answer(&self, answer: &Received, config: &Config, now: Now) -> Result<(), RejectReason> {
        let header = answer.message().header;
        if header.from != self.remote.public() || self.bound != answer.message().body.re().is_some() {
            return Err(RejectReason::NotForUs);
        }
        if header.ts.abs_diff(now.wall) > config.replay.window && !planted!(config, AnyTime) {
            return Err(RejectReason::OutsideWindow);
        }
        Ok(())
    }

    /// Encrypts a request's text. Protocol 1 needs the listener's static key.
    pub(crate) fn seal_request(
        &mut self,
        identity: &Identity,
        remote_static: Option<EncryptKey>,
        text: &str,
        rng: &mut Rng,
    ) -> Result<Sealed, CipherError> {
        let ephemeral = (self.version >= 2).then(|| self.ephemeral.public());
        let payload = self.with_request_key(identity, remote_static, |key| Ok(key.seal(rng, text.as_bytes())))?;
        Ok(Sealed { payload, ephemeral })
    }

    /// Decrypts a request's payload. `remote_static` is the key the (verified) message carries.
    pub(crate) fn open_request(
        &mut self,
        identity: &Identity,
        remote_static: EncryptKey,
        payload: &str,
    ) -> Result<String, CipherError> {
        self.with_request_key(identity, Some(remote_static), |key| key.open(payload)).and_then(into_text)
    }

    /// Encrypts an answer's text under a fresh ephemeral key.
    pub(crate) fn seal_answer(
        &self,
        identity: &Identity,
        remote_static: EncryptKey,
        text: &str,
        config: &Config,
        rng: &mut Rng,
    ) -> Result<Sealed, CipherError> {
        let Some(remote_ephemeral) = self.remote_ephemeral.filter(|_| self.version >= 2) else {
            let key = PayloadKey::agree(identity.encrypt_secret(), &remote_static)?;
            return Ok(Sealed { payload: key.seal(rng, text.as_bytes()), ephemeral: None });
        };
        let fresh = if planted!(config, AnswerUnderStaticKey) {
            EphemeralKey::from_bytes(&identity.encrypt_secret().to_bytes())
        } else {
            EphemeralKey::generate(rng)
        };
        let key = PayloadKey::agree(fresh.secret(), &remote_ephemeral)?;
        Ok(Sealed { payload: key.seal(rng, text.as_bytes()), ephemeral: Some(fresh.public()) })
    }

    /// Decrypts an answer's payload.
    pub(crate) fn open_answer(
        &self,
        identity: &Identity,
        sealed: &Sealed,
        remote_static: Option<EncryptKey>,
    ) -> Result<String, CipherError> {
        let key = match sealed.ephemeral {
            Some(ephemeral) if self.version >= 2 => PayloadKey::agree(self.ephemeral.secret(), &ephemeral)?,
            None if self.version < 2 => {
                let remote = remote_static.ok_or(CipherError::NoKey)?;
                PayloadKey::agree(identity.encrypt_secret(), &remote)?
            }
            _ => return Err(CipherError::NoKey),
        };
        key.open(&sealed.payload).and_then(into_text)
    }

    /// A signed line.
    pub(crate) fn line(identity: &Identity, header: Header, body: Body) -> Vec<u8> {
        encode(&Message { header, body }, |bytes| identity.sign(bytes))
    }

    /// A signed refusal.
    pub(crate) fn reject_line(
        identity: &Identity,
        header: Header,
        session: Option<SessionName>,
        reason: &str,
        re: Nonce,
    ) -> Vec<u8> {
        Self::line(identity, header, Body::Reject(Reject { session, reason: reason.to_string(), re: Some(re) }))
    }

    fn with_request_key<T>(
        &mut self,
        identity: &Identity,
        remote_static: Option<EncryptKey>,
        work: impl FnOnce(&PayloadKey) -> Result<T, CipherError>,
    ) -> Result<T, CipherError> {
        if self.version < 2 {
            let remote = remote_static.ok_or(CipherError::NoKey)?;
            return work(&PayloadKey::agree(identity.encrypt_secret(), &remote)?);
        }
        if self.request_key.is_none() {
            let remote = self.remote_ephemeral.ok_or(CipherError::NoKey)?;
            self.request_key = Some(PayloadKey::agree(self.ephemeral.secret(), &remote)?);
        }
        self.request_key.as_ref().ok_or(CipherError::NoKey).and_then(work)
    }
}

/// The original replaces what is not UTF-8; we refuse it, since nobody signed the replacement.
fn into_text(mut bytes: Zeroizing<Vec<u8>>) -> Result<String, CipherError> {
    String::from_utf8(core::mem::take(&mut *bytes)).map_err(|_| CipherError::NotText)
}
