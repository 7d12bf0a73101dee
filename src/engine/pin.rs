//! Bytes that a run must use because somebody proved them.

use std::collections::BTreeMap;

use crate::base::Digest;

/// The outputs that a node must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Of its outputs.
    pub outputs: Digest,
    /// Who proved them, as it follows "from" and "as": ``stage `build` ``.
    pub by: String,
}

impl Pin {
    /// What to do where only other bytes can be had.
    pub fn remedy(&self) -> String {
        let again = match self.by.strip_prefix("stage `").and_then(|name| name.strip_suffix('`')) {
            Some(stage) => format!("prove new ones: `envrun stage {stage} -B`"),
            None => "make another plan".to_owned(),
        };
        format!(
            "share the cache folder in which these bytes are (`ENVRUN_CACHE_DIR`), or {again}; a task that makes other bytes of \
             the same inputs is made reproducible"
        )
    }
}

/// Pins, by the name that a node's state is kept under.
///
/// A pinned node is not held against its key. If its proved outputs lie where they belong, it is up to date; if the cache
/// has them, they are put there; only if neither is so is it made again, and a run that makes other bytes is refused.
pub type Pins = BTreeMap<String, Pin>;
