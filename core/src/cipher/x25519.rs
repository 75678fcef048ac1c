//! X25519, in one of two libraries, which come to the same bytes.

#[cfg(feature = "aws-lc")]
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
#[cfg(not(feature = "aws-lc"))]
use x25519_dalek::PublicKey;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::keys::EncryptKey;

#[cfg(not(feature = "aws-lc"))]
pub(crate) fn public_key(secret: &StaticSecret) -> EncryptKey {
    EncryptKey::from_bytes(PublicKey::from(secret).to_bytes())
}

/// `None` if the other side's key has small order.
#[cfg(not(feature = "aws-lc"))]
pub(super) fn shared(ours: &StaticSecret, theirs: &EncryptKey) -> Option<Zeroizing<[u8; 32]>> {
    let shared = ours.diffie_hellman(&PublicKey::from(*theirs.as_bytes()));
    shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
}

#[cfg(feature = "aws-lc")]
fn private(secret: &StaticSecret) -> PrivateKey {
    PrivateKey::from_private_key(&X25519, secret.as_bytes()).expect("any 32 bytes are a secret")
}

#[cfg(feature = "aws-lc")]
pub(crate) fn public_key(secret: &StaticSecret) -> EncryptKey {
    let public = private(secret).compute_public_key().expect("every secret has a public key");
    EncryptKey::from_bytes(public.as_ref().try_into().expect("a public key has 32 bytes"))
}

/// `None` if the other side's key has small order.
#[cfg(feature = "aws-lc")]
pub(super) fn shared(ours: &StaticSecret, theirs: &EncryptKey) -> Option<Zeroizing<[u8; 32]>> {
    let theirs = UnparsedPublicKey::new(&X25519, theirs.as_bytes());
    agree(&private(ours), theirs, (), |shared| shared.try_into().map(Zeroizing::new).map_err(drop)).ok()
}
