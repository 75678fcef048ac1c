//! What a listener says of itself on the local network, so that only who knows its topic can read it.
//!
//! Everybody on the network hears it. To whoever does not know the topic, two of these are two random texts: they show
//! neither the topic nor the key, and not even whether they come from the same listener.

use blake2::digest::consts::U48;
use blake2::{Blake2b, Digest as _};

use crate::net::{RemoteKey, Topic};

/// Bytes of a sealed key.
pub(super) const SEALED: usize = SALT + MASK;

const SALT: usize = 16;
/// The mask: bytes that show that the topic is right, and the key.
const MASK: usize = PROOF + 32;
const PROOF: usize = 16;

/// Hides a listener's key from everybody who does not know the topic. The salt is to be a new one each time.
pub(super) fn seal(topic: &Topic, key: &RemoteKey, salt: [u8; SALT]) -> [u8; SEALED] {
    let mut sealed = [0; SEALED];
    sealed[..SALT].copy_from_slice(&salt);
    sealed[SALT + PROOF..].copy_from_slice(key);
    sealed[SALT..].iter_mut().zip(mask(topic, &salt)).for_each(|(byte, mask)| *byte ^= mask);
    sealed
}

/// The key, if it belongs to a listener on this topic. That somebody has the key shows in the handshake alone.
pub(super) fn open(topic: &Topic, sealed: &[u8; SEALED]) -> Option<RemoteKey> {
    let (salt, hidden) = sealed.split_at(SALT);
    let mut open = [0; MASK];
    open.iter_mut().zip(hidden).zip(mask(topic, salt)).for_each(|((byte, hidden), mask)| *byte = hidden ^ mask);
    let (proof, key) = open.split_at(PROOF);
    if proof.iter().all(|byte| *byte == 0) { key.try_into().ok() } else { None }
}

fn mask(topic: &Topic, salt: &[u8]) -> [u8; MASK] {
    Blake2b::<U48>::new().chain_update(b"wopr lan 1").chain_update(topic).chain_update(salt).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Topic = [7; 32];
    const KEY: RemoteKey = [9; 32];

    #[test]
    fn who_knows_the_topic_reads_the_key_and_nobody_else() {
        let sealed = seal(&TOPIC, &KEY, [1; SALT]);
        assert_eq!(open(&TOPIC, &sealed), Some(KEY));
        assert_eq!(open(&[8; 32], &sealed), None);
        assert!(!sealed.windows(4).any(|part| part == [9; 4] || part == [7; 4]), "neither key nor topic shows");
    }

    #[test]
    fn two_announcements_of_one_listener_have_nothing_in_common() {
        let (one, two) = (seal(&TOPIC, &KEY, [1; SALT]), seal(&TOPIC, &KEY, [2; SALT]));
        let equal = one.iter().zip(&two).filter(|(a, b)| a == b).count();
        assert!(equal < 6, "{equal} bytes are the same");
    }

    #[test]
    fn a_changed_salt_or_proof_opens_nothing() {
        for at in 0..SALT + PROOF {
            let mut sealed = seal(&TOPIC, &KEY, [1; SALT]);
            sealed[at] ^= 1;
            assert_eq!(open(&TOPIC, &sealed), None);
        }
    }
}
