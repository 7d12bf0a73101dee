//! Which files a command touches, seen while it runs, and kept from it where it may not have them.
//!
//! A command that is watched carries a filter (seccomp) that stops every system call with a path in it, its own and
//! those of everything that descends from it, until a thread of envrun has looked at it: static programs, raw system
//! calls and emptied environments make no difference, and no privilege is needed. [`call`] knows which calls these are
//! and what each of them does to which of its paths, [`place`] finds out which file a path leads to at that moment,
//! [`record`] keeps what was touched, [`notify`] talks to the kernel.
//!
//! The thread looks and lets the call go on, so a file is described as it was just before. It may also answer "permission
//! denied" instead ([`Watch::strict`]): what a command reads without being allowed to then fails. That finds mistakes; it
//! is no fence against a program that wants to get out, because another thread of the program can exchange a path after it
//! was looked at. What gives paths another meaning (a mount, another root) is refused to it altogether.
//!
//! Where such filters are not to be had (another system than Linux, another processor than x86-64 and aarch64), a command
//! that should be watched is not started.
//!
//! Invariant: what cannot be seen is told in [`Seen::gaps`]; io_uring, which opens files without system calls, is refused.
//! Invariant: commands that are not watched do nothing of this.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) mod call;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) mod notify;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "nowhere.rs"]
pub(super) mod notify;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod place;
mod record;
#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::RelPath;

use self::record::Record;

/// Whether a file of the project may be read.
type Allows = dyn Fn(&RelPath) -> bool + Send + Sync;

/// What one or several commands touch, as it is seen.
pub struct Watch {
    /// Every file below it is taken down by name.
    root: PathBuf,
    /// What may be read, if anything is kept from the commands.
    allows: Option<Box<Allows>>,
    record: Mutex<Record>,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The files and folders of the project that were touched, sorted by path.
    pub accesses: Vec<Access>,
    /// What was read outside of the project, sorted: of the system's folders only the first components.
    pub outside: Vec<PathBuf>,
    /// Why something may have been missed; empty if nothing can have been.
    pub gaps: Vec<String>,
}

/// A file or folder of the project that was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Which; links on the way are resolved, the last component is not.
    pub path: RelPath,
    /// What it was before it was first touched; `None` if it was not there.
    pub before: Option<Kind>,
    /// What was done to it.
    pub uses: Uses,
    /// Whatever is in it now was put there by the commands: nothing is left of what it was before.
    pub replaced: bool,
    /// The command line of the process that first did the most telling of these things.
    pub by: String,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Special,
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each of them may be true beside the others")]
pub struct Uses {
    /// Opened to be read, or read as a link, with what it held before the command began.
    pub read: bool,
    /// Executed.
    pub run: bool,
    /// Asked for its size, times or rights.
    pub asked: bool,
    /// Looked for, and not there.
    pub absent: bool,
    /// Its names were listed.
    pub listed: bool,
    /// Made, or written to.
    pub written: bool,
    /// Removed, or moved away.
    pub removed: bool,
    /// A read that was refused.
    pub denied: bool,
}

impl Uses {
    /// Whether the command may have learned something from it that was there before.
    pub fn is_read(self) -> bool {
        self.read || self.run || self.asked
    }
}

impl Watch {
    /// Watches, and lets everything happen. `root` is a real path.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), allows: None, record: Mutex::default() }
    }

    /// Watches, and refuses to let files of the project be read or executed, unless `allows` says so or the commands
    /// made them.
    pub fn strict(root: &Path, allows: impl Fn(&RelPath) -> bool + Send + Sync + 'static) -> Self {
        Self { allows: Some(Box::new(allows)), ..Self::new(root) }
    }

    /// Everything that was seen until now.
    pub fn seen(&self) -> Seen {
        self.record().seen()
    }

    /// The files that were refused until now.
    pub fn denied(&self) -> Vec<RelPath> {
        let seen = self.seen().accesses.into_iter();
        seen.filter(|access| access.uses.denied).map(|access| access.path).collect()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A thread that panicked left what it had seen, whole.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the filter could not be put on the last command, if it could not.
    pub(super) fn refused(&self) -> Option<io::Error> {
        self.record().refused.take()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("root", &self.root)
            .field("strict", &self.allows.is_some())
            .finish_non_exhaustive()
    }
}
