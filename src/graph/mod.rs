//! Targets resolved against environments: the graph of tasks that an invocation is about.
//!
//! Invariant: does no IO and reads no clock; acyclic by construction.

use crate::model::{EnvName, NodePath};

/// What was asked for: `prod.api:deploy` with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node.
    pub path: NodePath,
    /// The environment named, or chosen for it.
    pub env: Option<EnvName>,
    /// The values of its arguments that were given, by name, already checked.
    pub args: Vec<(String, String)>,
}

/// Where a node stands in the graph, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeIx(pub u32);
