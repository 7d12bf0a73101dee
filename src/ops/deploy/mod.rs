//! Deploys: what a run of one needs before it begins, and the commands that look at releases and go back to them.
//!
//! `begin` locks the environments that a run changes, refuses where a release was cut short, and works out for each
//! deploy which revision goes live, what it ships, and which release it would go back to. The engine carries that out.
//! [`finish`] brings releases that were cut short to an end, [`rollback`] puts an earlier one back, [`status`],
//! [`history`] and [`report`] tell what the ledgers say.
//!
//! Invariant: whoever holds an environment's lock has read its ledger after taking it.

mod begin;
mod bytes;
mod finish;
mod foresee;
pub mod history;
pub mod report;
mod rollback;
pub mod status;
pub mod words;

pub use begin::{Job, shipped};
pub use finish::{Finish, Finished, finish};
pub use foresee::{Foreseen, foresee};
pub use rollback::{Rollback, candidates, rollback};

pub(in crate::ops) use begin::who;
pub(super) use begin::{Begun, begin};

use crate::ledger::{self, History, Release};

use super::{Problem, Project};

/// How many revisions stay ready to go back to where a deploy does not say.
pub const KEEP: u32 = 5;

/// An environment's history.
pub(super) fn history_of(project: &Project, env: &str) -> Result<History, Problem> {
    Ok(ledger::history(project.root(), env)?)
}

/// Takes over what other checkouts wrote, where ledgers are shared.
pub(super) fn refresh(project: &Project) -> Result<(), Problem> {
    match begin::remote(project) {
        Some(remote) => Ok(ledger::refresh(project.root(), remote)?),
        None => Ok(()),
    }
}

/// The same before an emergency, which goes on with what is known here: a remote that is away, or that tells something else,
/// does not keep production down.
pub(super) fn refresh_for(project: &Project, emergency: bool) -> Result<(), Problem> {
    match refresh(project) {
        Err(Problem::Ledger(error)) if emergency && error.is_of_the_remote() => Ok(()),
        other => other,
    }
}

/// The release of an environment that goes on or was cut short, oldest first.
fn open(history: &History) -> Option<&Release> {
    history.open().next()
}
