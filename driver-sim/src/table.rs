//! Tables that grow with a run and are asked for one thing at a time. They hash without a random key, so that nothing
//! depends on chance; their order says nothing, so whoever goes through one must do the same to each.

use rustc_hash::{FxHashMap, FxHashSet};

/// Values by key.
pub(crate) type Map<K, V> = FxHashMap<K, V>;

/// Keys.
pub(crate) type Set<K> = FxHashSet<K>;
