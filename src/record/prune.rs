//! Throwing old runs away.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{RecordError, RunId, runs, runs_dir};
use crate::base::Timestamp;
use crate::base::fs::FsError;

/// A folder without `events.jsonl` may belong to a run that begins this very moment.
const BEGINNING: Duration = Duration::from_secs(60);

/// How much is kept. A run is removed when it is older than `keep`, or when newer ones fill one of the other limits;
/// the newest stays in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long (`logs keep="14d"`).
    pub keep: Duration,
    /// How many runs.
    pub count: usize,
    /// How many bytes, all runs together.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { keep: Duration::from_secs(14 * 24 * 3600), count: 500, bytes: 512 << 20 }
    }
}

/// Removes what is over the limits, and says how many runs that were. A run that is still going on is passed over,
/// whatever its age.
pub fn prune(root: &Path, limits: &Limits, now: Timestamp) -> Result<usize, RecordError> {
    let dir = runs_dir(root);
    let (mut removed, mut bytes) = (0, 0u64);
    for (newer, id) in runs(root)?.iter().enumerate() {
        let path = dir.join(id.as_str());
        bytes = bytes.saturating_add(size(&path));
        let old = id.time().is_some_and(|began| now.since(began) > limits.keep);
        let over = old || newer >= limits.count || bytes > limits.bytes;
        if newer > 0 && over && remove_unless_live(&path, id, now)? {
            removed += 1;
        }
    }
    if removed > 0 {
        remove_unlinked(&dir.join("graphs"));
    }
    Ok(removed)
}

fn remove_unless_live(path: &Path, id: &RunId, now: Timestamp) -> Result<bool, RecordError> {
    match File::open(path.join("events.jsonl")) {
        Ok(events) => match events.try_lock() {
            Ok(()) => {}
            // Not ours to judge without a lock: it may be going on.
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return Ok(false),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if id.time().is_none_or(|began| now.since(began) < BEGINNING) {
                return Ok(false);
            }
        }
        Err(_) => return Ok(false),
    }
    match fs::remove_dir_all(path) {
        // Another run may be pruning at the same time.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FsError::new("remove the folder", path, error).into())
        }
        _ => Ok(true),
    }
}

/// Bytes of a run. What vanishes meanwhile counts nothing; the list of nodes is shared and counts nothing either.
fn size(run: &Path) -> u64 {
    let of = |path: &Path| path.symlink_metadata().map_or(0, |meta| meta.len());
    let logs = fs::read_dir(run.join("logs")).into_iter().flatten().flatten();
    of(&run.join("events.jsonl")) + logs.map(|entry| of(&entry.path())).sum::<u64>()
}

/// Removes the lists of nodes that no run is linked to any more. Best effort: one left behind is small.
fn remove_unlinked(graphs: &Path) {
    use std::os::unix::fs::MetadataExt;

    for entry in fs::read_dir(graphs).into_iter().flatten().flatten() {
        if entry.metadata().is_ok_and(|meta| meta.nlink() == 1) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
