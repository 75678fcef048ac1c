//! Tables that grow with a run and are asked for one thing at a time. They hash with fixed keys, so that nothing depends
//! on chance; their order says nothing, so whoever goes through one must do the same to each.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};

/// Values by key.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Keys.
pub(crate) type Set<K> = HashSet<K, BuildHasherDefault<DefaultHasher>>;
