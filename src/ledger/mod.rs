//! What went live where: one append-only ledger per environment, which is its journal too.
//!
//! An environment has a folder `.envrun/env/<env>/`:
//!
//! | file | what |
//! |---|---|
//! | `ledger.jsonl` | one [`Entry`] per line: a deploy or rollback began, reached a phase, ended |
//! | `live/` | what the release that is live left where, for `status` to compare |
//! | `lock` | locked by the kernel for whoever changes the environment; says who that is |
//!
//! Every line ends in a checksum over itself and the line before it, and is on the disk before the step that it speaks
//! of begins. Whoever is killed therefore leaves an open [`Release`] whose [`Phase`] says how far it came; [`History`] is
//! the fold over all lines, [`Transaction`] the state machine that says which step follows which.
//!
//! Invariant: what is written is never changed; a line that a crash cut short is taken off before the next is written.
//! Invariant: only the holder of the lock writes; everybody reads, at any time.
//! Invariant: [`Transaction`] and [`History`] do no IO and read no clock.

mod difference;
mod entry;
mod file;
mod footprint;
mod given;
mod history;
mod lock;
mod mend;
mod shared;
mod standing;
#[cfg(test)]
mod tests;
mod transaction;

use lock::moment;
use std::path::{Path, PathBuf};

pub use difference::Difference;
pub use entry::{Artefact, Began, Entry, Kind, Origin, Outcome, Phase, Reached, Saved, Tag, What, Who};
pub use file::LedgerError;
pub use footprint::Footprint;
pub use given::{given, keep_given};
pub use history::{End, History, Release, TakenUp};
pub use lock::{Hold, Holder, Locked, Sharing};
pub use mend::{Mended, mend};
pub use shared::{last_asked, refresh};
pub use standing::Standing;
pub use transaction::{Course, Fact, Step, Transaction};

use crate::record::STATE_DIR;

/// The folder of an environment.
pub fn folder(root: &Path, env: &str) -> PathBuf {
    root.join(STATE_DIR).join("env").join(env)
}

/// What went live in an environment so far; nothing if nobody ever deployed there.
pub fn history(root: &Path, env: &str) -> Result<History, LedgerError> {
    let (entries, _) = file::read(&folder(root, env).join(file::NAME))?;
    Ok(History::of(entries))
}

/// As much of it as can be read, whatever is damaged: for an emergency, and for looking. How many lines cannot be read.
pub fn readable(root: &Path, env: &str) -> Result<(History, usize), LedgerError> {
    let bytes = crate::base::fs::read_if_there(&folder(root, env).join(file::NAME))?.unwrap_or_default();
    let (entries, lost) = file::salvage(&bytes);
    Ok((History::of(entries), lost))
}

/// The environments of a project that have a ledger, sorted.
pub fn environments(root: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(root.join(STATE_DIR).join("env")).into_iter().flatten().flatten();
    let has_ledger = |entry: &std::fs::DirEntry| entry.path().join(file::NAME).is_file();
    let mut names: Vec<String> =
        folders.filter(has_ledger).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Who changes an environment now, if anybody does.
pub fn holder(root: &Path, env: &str) -> Option<Holder> {
    lock::holder(&folder(root, env))
}
