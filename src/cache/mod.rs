//! Keys, results and blobs, in the user's cache folder, shared by every checkout and worktree.
//!
//! A result is one file under its key (see `entry`): the list of what was made, the small files themselves, the log, and
//! a digest over it all. Large files lie beside it under their own digests, once for all results that have them. A file
//! is written under another name and renamed when it is whole; nothing is synced, because what a power cut leaves behind
//! does not fit its digest.
//!
//! Invariant: knows nothing of tasks.
//!
//! Invariant: never fails a run and never makes it wrong. What cannot be read is a miss, what cannot be written is not
//! kept, and no byte reaches a checkout that was not checked against its digest.
//!
//! Invariant: an entry is not trusted because it lies in the right place. Paths that climb, links that lead out, lengths
//! that lie, outputs that the task does not declare: a miss, before anything is written.

mod collect;
mod entry;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod pin;
mod restore;
mod store;
#[cfg(test)]
mod tests;

pub use collect::{Collected, Listed, Stats, Verified};

pub use restore::RestoreError;
pub use store::{Hit, Limits, LocalStore, Lookup, StoreError};

use std::time::Duration;

use crate::base::{Digest, RelPath, Timestamp};

/// What a task's result is found by. Made only by `fingerprint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(pub Digest);

impl CacheKey {
    /// What a result is found by, whatever led to it, whose outputs have this digest.
    pub fn of_outputs(outputs: Digest) -> Self {
        let mut text = b"envrun: the result whose outputs are ".to_vec();
        text.extend_from_slice(outputs.as_bytes());
        Self(Digest::of(&text))
    }
}

/// What a task left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionResult {
    /// Every declared output, sorted by path.
    pub outputs: Vec<Output>,
    /// What it printed, both streams in order of arrival.
    pub log: Vec<u8>,
    /// How long it took when it was executed.
    pub took: Duration,
    /// When it was executed.
    pub made: Timestamp,
    /// The run that executed it.
    pub run: String,
    /// Inputs that its depfile named: path (relative to the root, or absolute) and digest. Empty without a depfile.
    pub discovered: Vec<Discovered>,
}

/// One file, link or folder that a task made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where, relative to the project's root.
    pub path: RelPath,
    /// What.
    pub kind: OutputKind,
}

/// What an output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// A file.
    File {
        /// Of its bytes.
        digest: Digest,
        /// In bytes.
        size: u64,
        /// Its permissions. Only whether its owner may execute it is part of the digest of all outputs: the rest is the
        /// umask's, which differs between users.
        mode: u32,
    },
    /// A symbolic link and what it says.
    Link(Vec<u8>),
    /// A folder that is an output itself or is empty.
    Dir,
}

/// A file that a depfile named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Absolute, or relative to the project's root.
    pub path: std::path::PathBuf,
    /// Its content when the task was over; `None` if it was gone.
    pub digest: Option<Digest>,
}

impl ActionResult {
    /// One digest over all outputs: what flows to the keys of the tasks that need this one.
    pub fn outputs_digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for output in &self.outputs {
            let path = output.path.as_bytes();
            hasher.update(&(path.len() as u64).to_le_bytes()).update(path);
            match &output.kind {
                OutputKind::File { digest, mode, .. } => {
                    hasher.update(&[1, u8::from(mode & 0o100 != 0)]).update(digest.as_bytes())
                }
                OutputKind::Link(target) => {
                    hasher.update(&[2]).update(&(target.len() as u64).to_le_bytes()).update(target)
                }
                OutputKind::Dir => hasher.update(&[3]),
            };
        }
        hasher.finalize().into()
    }
}
