//! Two envruns in one checkout do not make the same outputs at the same time.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::base::Digest;
use crate::record::STATE_DIR;

/// The right to write a node's outputs, freed by the kernel when envrun ends, however it ends.
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
    /// Somebody else had it first.
    pub waited: bool,
}

impl NodeLock {
    /// Waits for the lock of a node. Without it (a read-only tree, a file system without locks) work goes on: the lock
    /// saves work that is done twice, it is not what makes results right.
    pub fn take(root: &Path, label: &str) -> Option<Self> {
        let folder = root.join(STATE_DIR).join("locks");
        let name = Digest::of(label.as_bytes()).short();
        let open = || File::options().create(true).truncate(false).write(true).open(folder.join(&name));
        let file = open().or_else(|_| std::fs::create_dir_all(&folder).and_then(|()| open())).ok()?;
        match file.try_lock() {
            Ok(()) => Some(Self { _file: file, waited: false }),
            Err(TryLockError::WouldBlock) => {
                file.lock().ok()?;
                Some(Self { _file: file, waited: true })
            }
            Err(TryLockError::Error(_)) => None,
        }
    }
}
