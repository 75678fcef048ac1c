//! A node's identity: the keys that sign and decrypt in its name, and those of the grace period after a rotation.
//!
//! Private keys are wiped when dropped, are written nowhere but into `identity.json`, and appear in no message text.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::cipher::x25519;
use crate::error::StateError;
use crate::keys::{EncryptKey, PublicKey, Topic};
use crate::rng::Rng;
use crate::rotation::RotationReason;
use crate::time::WallTime;
use signer::Signer;

mod file;
mod signer;

#[cfg(test)]
mod tests;

/// Who a node is: an Ed25519 pair that signs and an X25519 pair that is encrypted to.
pub struct Identity {
    signing: Signer,
    encrypt: StaticSecret,
    public: PublicKey,
    encrypt_public: EncryptKey,
    topic: Topic,
    created: WallTime,
    rotated: Option<(PublicKey, WallTime)>,
}

impl Identity {
    /// Makes the keys of a new node.
    #[must_use]
    pub fn generate(rng: &mut Rng, now: WallTime) -> Self {
        let (signing, encrypt) = (Zeroizing::new(rng.bytes()), Zeroizing::new(rng.bytes()));
        Self::from_secrets(&signing, &encrypt, now, None)
    }

    /// A second copy of the keys.
    #[must_use]
    fn duplicate(&self) -> Self {
        let encrypt = Zeroizing::new(self.encrypt.to_bytes());
        Self::from_secrets(self.signing.seed(), &encrypt, self.created, self.rotated)
    }

    /// Makes the keys that follow these.
    #[must_use]
    pub fn successor(&self, rng: &mut Rng, now: WallTime) -> Self {
        Self { rotated: Some((self.public, now)), ..Self::generate(rng, now) }
    }

    fn from_secrets(
        signing: &[u8; 32],
        encrypt: &[u8; 32],
        created: WallTime,
        rotated: Option<(PublicKey, WallTime)>,
    ) -> Self {
        let signing = Signer::new(signing);
        let encrypt = StaticSecret::from(*encrypt);
        let public = signing.public_key();
        let encrypt_public = x25519::public_key(&encrypt);
        Self { signing, encrypt, public, encrypt_public, topic: public.topic(), created, rotated }
    }

    /// The key that others know the node by.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The key that others encrypt to in protocol version 1.
    #[must_use]
    pub const fn encrypt_key(&self) -> EncryptKey {
        self.encrypt_public
    }

    /// The private half of [`Identity::encrypt_key`], for [`PayloadKey::agree`](crate::cipher::PayloadKey::agree).
    #[must_use]
    pub const fn encrypt_secret(&self) -> &StaticSecret {
        &self.encrypt
    }

    /// Where the node listens.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
    }

    /// When the keys were made.
    #[must_use]
    pub const fn created(&self) -> WallTime {
        self.created
    }

    /// The key that this one follows.
    #[must_use]
    pub const fn rotated_from(&self) -> Option<PublicKey> {
        match self.rotated {
            Some((key, _)) => Some(key),
            None => None,
        }
    }

    /// When this key followed another.
    #[must_use]
    pub const fn rotated_at(&self) -> Option<WallTime> {
        match self.rotated {
            Some((_, at)) => Some(at),
            None => None,
        }
    }

    /// Signs with the Ed25519 key (some 20 µs for a short text, or 12 with the feature `aws-lc`).
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.signing.sign(bytes)
    }
}

impl fmt::Debug for Identity {
    /// Shows the public key only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public)
    }
}

/// Keys that were replaced, kept for the peers that do not know it yet.
#[derive(Debug)]
pub struct RetiredIdentity {
    /// The old keys.
    pub identity: Identity,
    /// The end of the grace period: from then on the keys are of no use and must be deleted.
    pub valid_until: WallTime,
    /// Why they were replaced.
    pub reason: RotationReason,
    /// The JSON by which the old key names its direct successor, signed.
    pub statement: String,
    /// The peers that have acknowledged the statement.
    pub told: BTreeSet<PublicKey>,
}

/// One step from a key of ours to the next.
pub(crate) struct OwnRotation<'a> {
    /// The key that was given up.
    pub(crate) old: PublicKey,
    /// Its successor.
    pub(crate) successor: &'a Identity,
    /// The statement that says so.
    pub(crate) statement: &'a str,
    /// Who has been told.
    pub(crate) told: &'a BTreeSet<PublicKey>,
}

/// A key that no longer counts, for the peers that were away during its grace period: its private half is gone, the
/// statement it signed remains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerKey {
    /// The key.
    pub public_key: PublicKey,
    /// When its grace period ended.
    pub valid_until: WallTime,
    /// Why it was replaced.
    pub reason: RotationReason,
    /// The JSON by which it names its direct successor, signed.
    pub statement: String,
    /// The peers that have acknowledged the statement.
    pub told: BTreeSet<PublicKey>,
}

impl From<&RetiredIdentity> for FormerKey {
    fn from(retired: &RetiredIdentity) -> Self {
        Self {
            public_key: retired.identity.public_key(),
            valid_until: retired.valid_until,
            reason: retired.reason,
            statement: retired.statement.clone(),
            told: retired.told.clone(),
        }
    }
}

/// What `identity.json` holds: a node's keys, and the retired ones whose grace period lasts.
#[derive(Debug)]
pub struct IdentityFile {
    /// The keys in use.
    pub current: Identity,
    /// Keys in their grace period, oldest first.
    pub retired: Vec<RetiredIdentity>,
    /// The last key whose grace period is over, while a peer has yet to hear of its successor. Of those before it nobody
    /// can be told any more: that takes their successors' private keys.
    pub former: Option<Box<FormerKey>>,
}

impl IdentityFile {
    /// The identity with this key, if it still counts.
    #[must_use]
    pub fn find(&self, key: &PublicKey) -> Option<&Identity> {
        self.identities().find(|identity| identity.public_key() == *key)
    }

    /// Whether somebody else may have this key of ours: then nothing is done under it any more.
    pub(crate) fn is_compromised(&self, key: &PublicKey) -> bool {
        let retired = self.retired.iter().find(|retired| retired.identity.public_key() == *key);
        retired.is_some_and(|retired| retired.reason == RotationReason::Compromise)
    }

    /// The identities that nobody else can have, the current one first.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = &Identity> {
        self.identities().filter(|identity| !self.is_compromised(&identity.public_key()))
    }

    /// Every key that counts, the current one first.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        self.identities().map(Identity::public_key).collect()
    }

    /// The identity that followed this key, if it still counts. Grace periods differ: a key can outlive its successor.
    #[must_use]
    pub fn successor_of(&self, key: &PublicKey) -> Option<&Identity> {
        self.identities().find(|identity| identity.rotated_from() == Some(*key))
    }

    /// The keys that peers may have to be told of, oldest first: each with its statement, the key that followed it, when
    /// that was, and who has been told.
    pub(crate) fn rotations(&self) -> impl Iterator<Item = OwnRotation<'_>> {
        let former = self.former.iter().map(|former| (former.public_key, &former.statement, &former.told));
        let retired = self.retired.iter();
        let retired = retired.map(|retired| (retired.identity.public_key(), &retired.statement, &retired.told));
        // Only the successor itself can tell of it: its private key signs the handshake in which it is told.
        former.chain(retired).filter_map(|(old, statement, told)| {
            self.successor_of(&old).map(|successor| OwnRotation { old, successor, statement, told })
        })
    }

    /// Who has been told of the successor of this key.
    pub(crate) fn told_mut(&mut self, old: &PublicKey) -> Option<&mut BTreeSet<PublicKey>> {
        if let Some(former) = self.former.as_mut().filter(|former| former.public_key == *old) {
            return Some(&mut former.told);
        }
        let retired = self.retired.iter_mut().find(|retired| retired.identity.public_key() == *old);
        retired.map(|retired| &mut retired.told)
    }

    /// The same of every key.
    pub(crate) fn all_told_mut(&mut self) -> impl Iterator<Item = &mut BTreeSet<PublicKey>> {
        let former = self.former.iter_mut().map(|former| &mut former.told);
        former.chain(self.retired.iter_mut().map(|retired| &mut retired.told))
    }

    /// A second copy of the keys, for a change that is not in force yet.
    #[must_use]
    pub(crate) fn duplicate(&self) -> Self {
        let retired = self.retired.iter().map(|retired| RetiredIdentity {
            identity: retired.identity.duplicate(),
            valid_until: retired.valid_until,
            reason: retired.reason,
            statement: retired.statement.clone(),
            told: retired.told.clone(),
        });
        Self { current: self.current.duplicate(), retired: retired.collect(), former: self.former.clone() }
    }

    fn identities(&self) -> impl Iterator<Item = &Identity> {
        core::iter::once(&self.current).chain(self.retired.iter().map(|retired| &retired.identity))
    }

    /// The document's bytes: one line of JSON that starts with the members that TypeScript nodes know.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        file::write(self)
    }

    /// Reads the document and checks that each public key belongs to its private key.
    ///
    /// # Errors
    /// [`StateError`] names the place or the member that is wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, StateError> {
        file::read(json)
    }
}
