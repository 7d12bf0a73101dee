//! Whether the Envfile, or anything else that was read with it, is another one now.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use crate::ops::Project;

/// What the system says of a file: its time, its size, its number.
type Stamp = (i64, i64, i64, i64, u64, u64);

/// Everything that was asked for to load a project, as it was then.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<PathBuf, Option<Stamp>>);

impl Files {
    /// Those of a project that was just loaded.
    pub(super) fn of(project: &Project) -> Self {
        let asked = project.asked.lock().unwrap_or_else(PoisonError::into_inner);
        Self(asked.iter().map(|path| (path.clone(), stamp(path))).collect())
    }

    /// Whether any is another one than when this was asked last.
    pub(super) fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.0 {
            let now = stamp(path);
            changed |= now != *known;
            *known = now;
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec(), meta.size(), meta.ino()))
}
