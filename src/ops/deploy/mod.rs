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
mod gate;
mod goal;
pub mod history;
mod mend;
mod preparation;
pub mod report;
mod rollback;
pub mod status;
pub mod words;

pub use begin::Job;
pub use finish::{Finish, Finished, finish};
pub use foresee::{Foreseen, foresee};
pub use mend::mend;
pub use rollback::{Candidates, Rollback, candidates, rollback};
pub use words::shipped;

pub(in crate::ops) use begin::who;
pub(super) use begin::{Begun, begin};

use std::collections::BTreeSet;

use crate::ledger::{self, History, LedgerError, Release};

use super::{Context, Problem, Project};

/// How many revisions stay ready to go back to where a deploy does not say.
pub const KEEP: u32 = 5;

/// An environment's history.
pub(super) fn history_of(project: &Project, env: &str) -> Result<History, Problem> {
    Ok(ledger::history(project.root(), env)?)
}

/// Takes over what other checkouts wrote, where ledgers are shared, and gives what is wrong with single environments.
fn refresh(
    context: &Context,
    project: &Project,
    is_urgent: bool,
) -> Result<Vec<(String, LedgerError)>, LedgerError> {
    match begin::remote(project) {
        Some(remote) => ledger::refresh(project.root(), remote, context.clock.now(), is_urgent),
        None => Ok(Vec::new()),
    }
}

/// The same for those whose ledgers are rested on: what is wrong with one of them refuses; with others, it is no matter.
pub(super) fn refresh_of(
    context: &Context,
    project: &Project,
    environments: &BTreeSet<String>,
) -> Result<(), Problem> {
    let mut troubles = refresh(context, project, false)?.into_iter();
    // What others do not know yet is known here. Whatever writes on top of it shares both, or says that it cannot.
    let stops = |error: &LedgerError| !matches!(error, LedgerError::Unshared { .. });
    match troubles.find(|(env, error)| environments.contains(env) && stops(error)) {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// The same for looking: what is known here is shown, and what is wrong is a warning, with what to do.
pub(super) fn refresh_to_look(context: &Context, project: &Project) -> Vec<(String, Option<String>)> {
    match refresh(context, project, false) {
        Ok(troubles) => {
            let told = |(env, error): (String, LedgerError)| {
                let hint = error.hint();
                match error {
                    // Whoever reads what is here says so.
                    LedgerError::Damaged { .. } => None,
                    error if error.is_of_the_remote() => Some((error.to_string(), hint)),
                    error => Some((format!("{error}; what others did in `{env}` since is not shown"), hint)),
                }
            };
            troubles.into_iter().filter_map(told).collect()
        }
        Err(error) => {
            let hint = error.hint();
            let age = match ledger::last_asked(project.root()) {
                Some(asked) => format!("is {} old", words::age(context.clock.now(), asked)),
                None => "is of this checkout alone".to_owned(),
            };
            vec![(format!("{error}; what is shown {age}"), hint)]
        }
    }
}

/// As much of a history as can be read, for looking; with a warning if that is not all.
pub(super) fn history_to_look_at(
    project: &Project,
    env: &str,
    warnings: &mut Vec<(String, Option<String>)>,
) -> Result<History, Problem> {
    match ledger::history(project.root(), env) {
        Err(error @ LedgerError::Damaged { .. }) => {
            let (history, _) = ledger::readable(project.root(), env)?;
            warnings.push((format!("{error}; what can be read is shown"), error.hint()));
            Ok(history)
        }
        other => Ok(other?),
    }
}

/// The release of an environment that goes on or was cut short, oldest first.
fn open(history: &History) -> Option<&Release> {
    history.open().next()
}
