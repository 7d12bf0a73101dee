//! Nodes that run at given times: what comes when, the runner for one machine, and texts for the schedulers of others.
//!
//! [`run`] is a loop that sleeps until something is due, and at least once a second looks at the clock and at the Envfile. Each
//! run is a process of its own, `envrun run prod.db`: it reads the Envfile as it is then, has a record, a guard and a
//! redaction like any other, and whatever becomes of it the runner goes on.
//!
//! Invariant: one runner for each project, held by a lock that dies with it.
//! Invariant: that a time was seen to is written down before its run begins: a machine that goes down in the middle does not
//! begin it again.

mod child;
mod export;
mod files;
mod list;
mod runner;
mod unattended;

pub use export::{Wanted, export};
pub use list::{LastRun, Listed, Listing, list};
pub use runner::{Ran, Told, run};
pub use unattended::unattended;

use std::path::Path;

use crate::schedule::Book;

use super::{Problem, Project};

/// The file whose lock a runner has, and what is written into it.
fn lock_file(root: &Path) -> std::path::PathBuf {
    Book::folder(root).join("runner.lock")
}

/// That the Envfile has no schedule.
pub fn none(project: &Project) -> Problem {
    let file = project.sources().files().first().map(|file| file.name.to_string()).unwrap_or_default();
    Problem::usage(
        format!("{file} has no schedule"),
        Some(
            "`schedule \"prod.backup\" cron=\"30 2 * * *\" tz=\"Europe/Berlin\"`, at the root of the file"
                .into(),
        ),
    )
}
