//! What to call a peer.

use std::collections::BTreeMap;

use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::node::Snapshot;

use crate::exit::Failure;
use crate::output::{Json, Object};

/// Digits of a grant's or an invite's id that people see; the first four or more of them are enough to name it.
const SHORT: usize = 12;
/// Fewer digits could mean another one tomorrow.
const SHORTEST: usize = 4;

/// The id of a grant or an invite, for people.
pub(super) fn short(id: &Nonce) -> String {
    id.to_string().chars().take(SHORT).collect()
}

/// The id that begins as it was typed; what was typed, if none does.
///
/// # Errors
/// Several do.
pub(super) fn whole(typed: String, ids: impl Iterator<Item = Nonce>) -> Result<String, Failure> {
    let begins = |id: &String| typed.len() >= SHORTEST && id.starts_with(&typed);
    let mut found = ids.map(|id| id.to_string()).filter(begins);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => {
            Err(Failure::invalid(format!("several ids begin with {typed}"), "write more of it; --json shows all of it"))
        }
        (Some(id), None) => Ok(id),
        (None, _) => Ok(typed),
    }
}

/// The owner's names for keys, former keys too.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<PublicKey, String>);

impl Names {
    /// The names that the node knows.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut names = BTreeMap::new();
        for peer in &snapshot.peers {
            if let Some(name) = &peer.name {
                let keys = peer.history.iter().map(|past| past.key).chain([peer.key]);
                names.extend(keys.map(|key| (key, name.clone())));
            }
        }
        Self(names)
    }

    /// The owner's name for a key.
    pub(crate) fn name(&self, key: &PublicKey) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// `alice (a1b2c3d4)`, or the short id alone.
    pub(crate) fn label(&self, key: &PublicKey) -> String {
        match self.name(key) {
            Some(name) => format!("{name} ({})", key.short_id()),
            None => key.short_id(),
        }
    }

    /// `{"publicKey":…,"shortId":…,"name":…}`.
    pub(crate) fn json(&self, key: &PublicKey) -> Object {
        Object::default().shown("publicKey", key).with("shortId", key.short_id()).with("name", self.name(key))
    }

    /// A list of such objects.
    pub(crate) fn json_list(&self, keys: &[PublicKey]) -> Json {
        keys.iter().map(|key| self.json(key)).collect()
    }

    /// `alice (a1b2c3d4), 9f8e7d6c`, or `nobody`.
    pub(crate) fn labels(&self, keys: &[PublicKey]) -> String {
        if keys.is_empty() {
            return "nobody".to_owned();
        }
        keys.iter().map(|key| self.label(key)).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_named_by_its_beginning_if_that_is_its_alone() {
        let mut like_the_second = [0x13; 16];
        like_the_second[15] = 0;
        let ids = || [[0x12; 16], [0x13; 16], like_the_second].into_iter().map(Nonce);
        let of = |typed: &str| whole(typed.to_owned(), ids());
        assert_eq!(of("1212").unwrap(), "12".repeat(16));
        assert!(of("1313").is_err(), "the third begins so, too");
        assert_eq!(of(&"13".repeat(16)).unwrap(), "13".repeat(16));
        assert_eq!(of("12").unwrap(), "12", "too short to mean one");
        assert_eq!(of("ffff").unwrap(), "ffff");
    }
}
