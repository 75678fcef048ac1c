//! The planted bugs that need more than a condition; see `crate::planted`.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::access::Access;
use super::stream::Phase;
use super::{Node, StreamId};
use crate::access::SessionName;
use crate::channel::{Channel, Sealed, Side};
use crate::cipher::{CipherError, EphemeralKey, PayloadKey};
use crate::config::Config;
use crate::identity::Identity;
use crate::keys::{EncryptKey, Nonce, PublicKey, VerifyingKey};
use crate::message::{Body, KeyRotation};
use crate::peer::PeerRef;
use crate::replay::ReplayWindow;
use crate::rotation::RotationStatement;
use crate::time::{Now, WallTime};
use crate::wire::json::{self, Received};

impl Node {
    /// Empties a table of nonces that is full.
    pub(super) fn clear_nonces(&mut self) {
        if planted!(self.config, NoncesCleared) && self.replay.len() >= self.config.replay.max_nonces {
            self.replay = ReplayWindow::new(self.config.replay);
        }
    }

    /// Takes a request for a handshake.
    pub(super) fn skip_handshake(&mut self, id: StreamId, received: &Received, now: Now) {
        let message = received.message();
        if !planted!(self.config, NoHandshake) || matches!(message.body, Body::Hello(_)) {
            return;
        }
        let (local, ephemeral) = (self.public_key(), EphemeralKey::generate(&mut self.rng));
        if let Some(stream) = self.streams.get_mut(&id)
            && matches!(stream.phase, Phase::AwaitHello)
            && let Ok(remote) = message.header.from.verifying_key()
        {
            let none = Nonce([0; 16]);
            let channel = Channel::new(Side::Listener, local, remote, 1, ephemeral, None, none, false, now);
            stream.phase = Phase::Open(Box::new(channel));
        }
    }

    /// A line that can be read in more than one way.
    pub(super) fn read_leniently(&self, line: &[u8]) -> Option<Received> {
        if planted!(self.config, TwoReadings) { json::decode_leniently(line) } else { None }
    }

    /// A key of small order.
    pub(super) fn weak_key(&self, key: &PublicKey) -> Option<VerifyingKey> {
        if planted!(self.config, SmallOrderKeys) { key.unchecked_verifying_key() } else { None }
    }

    /// An answer as it is.
    pub(super) fn in_clear(&self, sealed: Sealed, answer: &str) -> Sealed {
        if planted!(self.config, AnswerInClear) {
            Sealed { payload: STANDARD.encode(answer), ..sealed }
        } else {
            sealed
        }
    }

    /// A session that a peer was granted, in the place of the one it names.
    pub(super) fn granted_session(&self, peer: &PublicKey, named: &SessionName) -> SessionName {
        let granted = || {
            let mut names = self.access.grants.of_peer(peer).flat_map(|grant| grant.sessions.names());
            names.find_map(|name| SessionName::new(name).ok())
        };
        planted!(self.config, AnySession).then(granted).flatten().unwrap_or_else(|| named.clone())
    }

    /// A statement that nobody signed.
    pub(super) fn unsigned_rotation(&self, rotation: &KeyRotation) -> Option<RotationStatement> {
        let unverified = || RotationStatement::unverified(rotation.statement.as_bytes());
        planted!(self.config, RotationUnsigned).then(unverified).flatten()
    }

    /// A key that was given up counts for a year.
    pub(super) fn long_grace<E>(&self, until: Result<WallTime, E>, now: Now) -> Result<WallTime, E> {
        let year = Duration::from_secs(365 * 24 * 3600);
        if planted!(self.config, GraceUnbounded) { Ok(now.wall + year) } else { until }
    }

    /// The one for whom an invite was made, in the place of who claims it.
    pub(super) fn subject_of(&self, access: &Access, invite: &Nonce, claimant: PublicKey) -> PublicKey {
        let invite = planted!(self.config, TokenOfAnother).then(|| access.invites.get(invite)).flatten();
        invite.map_or(claimant, |invite| invite.subject)
    }

    /// The present key of whoever gave this one up.
    pub(super) fn successor_of(&self, access: &Access, old: PublicKey) -> PublicKey {
        let peer = planted!(self.config, SecondSuccessor).then(|| access.peers.resolve(&PeerRef::Key(old)).ok());
        peer.flatten().map_or(old, |peer| peer.key)
    }
}

/// Counters without a bound.
pub(super) fn unbounded(mut config: Config) -> Config {
    if planted!(config, CountersUnbounded) {
        config.rates.max_transports = usize::MAX;
    }
    config
}

/// Opens a payload of protocol 1 that came where protocol 2 was agreed on.
pub(super) fn open_downgraded(
    config: &Config,
    identity: &Identity,
    theirs: EncryptKey,
    payload: &str,
    error: CipherError,
) -> Result<String, CipherError> {
    if !planted!(config, Downgrade) {
        return Err(error);
    }
    let bytes = PayloadKey::agree(identity.encrypt_secret(), &theirs)?.open(payload)?;
    core::str::from_utf8(&bytes).map(ToString::to_string).map_err(|_| CipherError::NotText)
}
