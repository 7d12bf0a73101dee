//! One command to one process group, and its end.
//!
//! Invariant: knows no graph, no task, no cache.

use serde::{Deserialize, Serialize};

/// A stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
