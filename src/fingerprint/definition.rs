//! What is known of a task before any file is looked at.

use std::ffi::OsString;

use crate::base::{Digest, RelPath};
use crate::model::Command;

/// What the engine knows of a task when its turn has come, files apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Definition {
    /// The node as addressed, `prod.api:build`, with what tells its instances apart. State is kept under this name; it is
    /// not in the key.
    pub label: String,
    /// Its commands after interpolation, those of called tasks in their place.
    pub commands: Vec<Command>,
    /// The shell for shell text; `None` for `sh`.
    pub shell: Option<String>,
    /// Where it runs, and what its patterns are relative to.
    pub dir: RelPath,
    /// Every variable that is part of the key, arguments (`ARG_…`) included, in any order, each name once.
    pub variables: Vec<Variable>,
    /// Input patterns as written.
    pub inputs: Vec<String>,
    /// Output patterns as written.
    pub outputs: Vec<String>,
    /// Files in make's format that name what was read.
    pub depfiles: Vec<String>,
    /// Whether files that it does not declare are kept from it.
    pub strict: bool,
    /// Programs whose content is part of the key.
    pub tools: Vec<String>,
    /// The `PATH` that `tools` are looked for in, if there are any. Not in the key itself.
    pub search_path: OsString,
}

impl Definition {
    /// One of its patterns, written relative to the root.
    pub fn from_root(&self, pattern: &str) -> String {
        from_root(&self.dir, pattern)
    }
}

/// A pattern that stands in `dir`, written relative to the root.
pub(super) fn from_root(dir: &RelPath, pattern: &str) -> String {
    let (not, pattern) = pattern.strip_prefix('!').map_or(("", pattern), |rest| ("!", rest));
    if dir.is_root() {
        return format!("{not}{pattern}");
    }
    format!("{not}{}/{pattern}", dir.display())
}

/// A variable that reaches a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None` if it is not set, which is part of the key too.
    pub value: Option<Vec<u8>>,
    /// Only a keyed hash of the value enters the key.
    pub secret: bool,
}

/// A needed task and what it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Which, for explanations; it is not in the key.
    pub label: String,
    /// [`crate::cache::ActionResult::outputs_digest`] of its result. A task that is never cached gives the digest of no
    /// outputs; a task without actions gives its own needs instead of itself.
    pub outputs: Digest,
}
