//! `envrun cache`: the local cache, looked after.

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::base::unit::{show_duration, show_size};
use crate::cache::LocalStore;
use crate::ops::run::local_store;
use crate::ops::{Problem, Project};

use super::args::{CacheArgs, CacheCommand};
use super::{Invocation, terminal};

/// Something in the cache was damaged (`verify`).
const EXIT_DAMAGED: u8 = 1;

/// Does what was asked to the cache of the project here, or, without one, to the user's.
pub fn run(invocation: &Invocation<'_>, args: &CacheArgs) -> Result<u8, Problem> {
    let project = match Project::open_with_errors(invocation.context, invocation.place.file.as_deref()) {
        Ok(project) => Some(project),
        Err(Problem::NoEnvfile { .. }) => None,
        Err(problem) => return Err(problem),
    };
    let store = local_store(invocation.context, project.as_ref());
    store.check_readable()?;
    let mut exit = 0;
    let text = match args.command {
        CacheCommand::Stats => stats(&store),
        CacheCommand::Ls => list(&store),
        CacheCommand::Gc => {
            let collected = store.collect()?;
            format!(
                "removed {} ({}), {} left\n",
                files(collected.files),
                show_size(collected.bytes),
                show_size(collected.left)
            )
        }
        CacheCommand::Verify => {
            let verified = store.verify();
            let mut out = String::new();
            for path in &verified.bad {
                exit = EXIT_DAMAGED;
                let _ = writeln!(out, "damaged, removed: {}", path.display());
            }
            let _ = writeln!(out, "{} good, {} damaged", files(verified.good), verified.bad.len());
            out
        }
        CacheCommand::Clear => {
            let before = store.stats();
            store.clear()?;
            format!("removed everything: {}\n", show_size(before.result_bytes + before.blob_bytes))
        }
    };
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(exit)
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

fn stats(store: &LocalStore) -> String {
    let stats = store.stats();
    let limits = store.limits();
    format!(
        "folder   {}\nresults  {:>8}  {:>10}\nblobs    {:>8}  {:>10}\nlimits   {} and {} days without use\n",
        store.dir().display(),
        stats.results,
        show_size(stats.result_bytes),
        stats.blobs,
        show_size(stats.blob_bytes),
        show_size(limits.max_size),
        limits.max_age.as_secs() / 86_400,
    )
}

fn list(store: &LocalStore) -> String {
    let now = SystemTime::now();
    let mut out = String::new();
    for result in store.list() {
        let age = now.duration_since(result.used).unwrap_or_default();
        let more = if result.outputs.len() > 3 {
            format!(" (+{} more)", result.outputs.len() - 3)
        } else {
            String::new()
        };
        let outputs = match result.outputs.as_slice() {
            [] => "no outputs".to_owned(),
            outputs => outputs[..outputs.len().min(3)].join(" "),
        };
        let _ = writeln!(
            out,
            "{}  {:>10}  {:>7} ago  {}  {outputs}{more}",
            result.key.0.short(),
            show_size(result.size),
            show_duration(age),
            result.run
        );
    }
    out
}
