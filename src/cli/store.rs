//! `envrun cache`: the local cache, looked after.

use std::fmt::Write as _;

use crate::base::unit::{show_duration, show_size};
use crate::cache::LocalStore;
use crate::ops::run::local_store;
use crate::ops::{Problem, Project};

use super::args::{CacheArgs, CacheCommand};
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &CacheArgs) -> Result<u8, Problem> {
    let _ = (args, CacheCommand::Stats, show_duration, show_size);
    let project = Project::open_with_errors(invocation.context, invocation.place.file.as_deref())?;
    let store: LocalStore = local_store(invocation.context, &project);
    let mut out = String::new();
    let _ = writeln!(out, "{}", store.dir().display());
    terminal::print(&out).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}
