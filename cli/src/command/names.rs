//! What to call a peer.

use std::collections::BTreeMap;

use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;

use crate::output::{Json, Object};

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
