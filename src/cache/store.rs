//! The store in the user's cache folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ActionResult;

/// How much the store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub max_size: u64,
    /// How long a result may lie unused.
    pub max_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_size: 20 << 30, max_age: Duration::from_secs(30 * 24 * 60 * 60) }
    }
}

/// The store of one user on one machine. Any number of processes may use it at once.
#[derive(Debug)]
pub struct LocalStore {
    dir: PathBuf,
    limits: Limits,
}

/// A result that was found, and where its bytes are.
#[derive(Debug)]
pub struct Hit {
    /// What the task left behind.
    pub result: ActionResult,
}

impl LocalStore {
    /// The store at `dir`, which is made when something is first kept in it.
    pub fn open(dir: &Path, limits: Limits) -> Self {
        Self { dir: dir.to_path_buf(), limits }
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How much it may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}
