//! Snapshots: copies of data that were saved, proved, numbered and kept until the policy lets them go.
//!
//! An [`Archive`] holds the copies of one snapshot node in one environment, below `.envrun/env/<env>/snapshots/<node>/`:
//!
//! | path | what |
//! |---|---|
//! | `12/data/` | the twelfth copy, as its `save` left it in `$SNAPSHOT` |
//! | `12/copy.json` | a [`struct@Copy`]: when, of which revision, why, the digest over all of it |
//! | `next` | the number of the next copy, so that a number is never given twice |
//! | `lock` | locked by the kernel for whoever saves or removes |
//!
//! A copy begins as a [`Draft`] under a temporary name, and is one only when it is whole: its bytes are on the disk, its
//! digest is written down, its `verify` succeeded. Which copies are kept is decided by [`kept`], a pure function.
//!
//! Invariant: a copy is never changed and never overwritten; a save that did not succeed leaves nothing.
//! Invariant: only its owner reads a copy: the folders have mode 0700.

mod archive;
mod keep;
#[cfg(test)]
mod tests;
mod tree;

pub use archive::{Archive, Copies, Copy, Draft, Meta, SnapshotError};
pub use keep::kept;
pub use tree::{Contents, clone_tree, contents, create_private, remove_folder};
