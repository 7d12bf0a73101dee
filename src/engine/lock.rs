//! Two envruns in one checkout do not make the same outputs at the same time.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::base::Digest;
use crate::record::STATE_DIR;

/// The right to write a node's outputs, freed by the kernel when envrun ends, however it ends.
#[derive(Debug)]
pub struct NodeLock {
    file: File,
    /// Somebody else had it after the moment that was asked about: what was found out by then may be out of date.
    pub was_taken: bool,
    /// When somebody last had it.
    stamp: Option<SystemTime>,
    waited: bool,
}

/// By how much the file system's clock may be behind ours: its tick, and a margin.
const TICK: Duration = Duration::from_millis(50);

impl NodeLock {
    /// Waits for the lock of a node, which was looked at in the moment `since`. Without it (a read-only tree, a file
    /// system without locks) work goes on: the lock saves work that is done twice, it is not what makes results right.
    pub fn take(root: &Path, label: &str, since: SystemTime) -> Option<Self> {
        let folder = root.join(STATE_DIR).join("locks");
        let path = folder.join(Digest::of(label.as_bytes()).short());
        let make = || File::options().create_new(true).write(true).open(&path);
        let made = match make() {
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(&folder).and_then(|()| make())
            }
            other => other,
        };
        let (file, is_new) = match made {
            Ok(file) => (file, true),
            Err(there) if there.kind() == ErrorKind::AlreadyExists => {
                (File::options().write(true).open(&path).ok()?, false)
            }
            Err(_) => return None,
        };
        let waited = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) => {
                file.lock().ok()?;
                true
            }
            Err(TryLockError::Error(_)) => return None,
        };
        // Whoever had it and gave it back before we came left a stamp.
        let stamped = || -> io::Result<SystemTime> { file.metadata()?.modified() };
        let stamp = if is_new { None } else { stamped().ok() };
        let was_taken = waited || stamp.is_some_and(|stamp| stamp + TICK >= since);
        Some(Self { file, was_taken, waited, stamp })
    }

    /// Whether somebody had it after a moment, be it that he has lost it since, unheard.
    pub fn was_taken_after(&self, moment: SystemTime) -> bool {
        self.was_taken || self.stamp.is_some_and(|stamp| stamp + TICK >= moment)
    }

    /// The last one who had it was this run.
    pub fn forget_stamp(&mut self) {
        self.stamp = None;
        self.was_taken = self.waited;
    }

    /// Tells those who looked at the node while we had it that there is something new. Once before anything is written,
    /// for whoever comes when we were killed, and once when all is.
    pub fn stamp(&self) {
        let _ = self.file.write_all_at(b"\n", 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_looked_before_another_was_done_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::UNIX_EPOCH;
        let take = |since| NodeLock::take(dir.path(), "a", since).unwrap();
        let first = take(long_ago);
        assert!(!first.was_taken, "nobody was there");
        first.stamp();
        drop(first);
        assert!(take(long_ago).was_taken);
        assert!(!take(SystemTime::now() + 2 * TICK).was_taken, "that was before we looked");
    }
}
