//! When each secret of an environment was made: `.envrun/env/<env>/secrets.json`, without values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::Timestamp;
use crate::base::fs::{FsError, read_if_there, write_atomic_with};
use crate::model::Rotate;

/// When secrets were made, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    path: PathBuf,
    when: BTreeMap<String, Timestamp>,
}

impl Made {
    /// What is written down in a file; nothing if it is not there or cannot be understood: then nobody knows how old the
    /// secrets are.
    pub fn load(path: &Path) -> Result<Self, FsError> {
        let when =
            read_if_there(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Ok(Self { path: path.to_path_buf(), when })
    }

    /// When a secret was made, if that is known.
    pub fn of(&self, name: &str) -> Option<Timestamp> {
        self.when.get(name).copied()
    }

    /// How old a secret is, if that is known.
    pub fn age(&self, name: &str, now: Timestamp) -> Option<Duration> {
        self.of(name).map(|made| now.since(made))
    }

    /// When a secret is to be replaced; `None` where it may get as old as it likes, or nobody knows how old it is.
    pub fn due(&self, name: &str, rotate: Option<Rotate>) -> Option<Timestamp> {
        let Some(Rotate::After(limit)) = rotate else { return None };
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Some(Timestamp(self.of(name)?.0.saturating_add(limit)))
    }

    /// Writes down that secrets were made now. What somebody else wrote meanwhile is kept.
    pub fn note<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n str>,
        now: Timestamp,
    ) -> Result<(), FsError> {
        let names: Vec<&str> = names.into_iter().collect();
        if names.is_empty() {
            return Ok(());
        }
        self.when = Self::load(&self.path)?.when;
        self.when.extend(names.iter().map(|name| ((*name).to_owned(), now)));
        let json = serde_json::to_vec_pretty(&self.when).expect("a map from texts to numbers is JSON");
        write_atomic_with(&self.path, 0o600, |file| std::io::Write::write_all(file, &json))
    }
}
