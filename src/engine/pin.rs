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

/// Pins, by the name that a node's state is kept under.
///
/// A pinned node is not held against its key. If its proved outputs lie where they belong, it is up to date; if the cache
/// has them, they are put there; only if neither is so is it made again, and a run that makes other bytes is refused.
pub type Pins = BTreeMap<String, Pin>;
