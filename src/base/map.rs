//! Maps of what the project itself says: a quick hash, seeded anew in every process.

/// A map whose keys are names of tasks, paths and the like.
pub type HashMap<K, V> = std::collections::HashMap<K, V, State>;
/// The same, in the order in which things were put in.
pub type IndexMap<K, V> = indexmap::IndexMap<K, V, State>;
/// What these maps hash with: SipHash would be an eighth of all that a run executes in which one file changed.
pub type State = foldhash::fast::RandomState;
