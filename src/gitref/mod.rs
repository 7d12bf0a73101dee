//! Small files that several checkouts share through one ref of a git repository, with no server of ours.
//!
//! A [`RefStore`] is one ref of a remote, such as `refs/envrun/stages` of `origin`: no branch, so nobody sees it and no
//! CI starts for it. It holds a tree of files. [`RefStore::fetch`] gives the [`Tip`], what the remote has now;
//! [`RefStore::update`] writes: the change is worked out on the tip, becomes a commit on top of it, and is pushed on the
//! condition that the remote still stands where the change was worked out. If it does not, somebody else was quicker, and
//! the change is worked out again on what they wrote: so a change may look for a lock and refuse, and no record that
//! another checkout wrote at the same time is lost.
//!
//! Every step is plumbing of the `git` command (`hash-object`, `update-index` on an index of its own, `write-tree`,
//! `commit-tree`, `push --force-with-lease`), so that authentication, proxies and protocols are git's. It works in bare
//! and shallow repositories, with a detached HEAD, and beside other processes in the same repository.
//!
//! Invariant: neither HEAD, nor a branch, nor the index, nor a file of the work tree is touched, and no hook of the
//! checkout is run.
//! Invariant: what [`RefStore::update`] calls written is on the remote.
//! Invariant: knows nothing of stages and deploys.

mod error;
mod git;
mod store;
#[cfg(test)]
mod tests;

pub use error::RefError;
pub use store::{RefStore, Tip, Write};
