//! `envrun log`: earlier runs, and one of them again, through the same reporters.

use std::fmt::Write as _;

use crate::ops::{Problem, Project};
use crate::record::{Recorded, runs};
use crate::report::Reporters;

use super::args::LogArgs;
use super::{Invocation, terminal};

/// How many runs are listed.
const LISTED: usize = 30;

pub fn run(invocation: &Invocation<'_>, args: &LogArgs) -> Result<u8, Problem> {
    let project = Project::open_with_errors(invocation.context, invocation.place.file.as_deref(), false)?;
    let Some(name) = &args.run else {
        let mut text = String::new();
        for run in runs(project.root())?.into_iter().take(LISTED) {
            let summary = Recorded::open(project.root(), run.as_str())?.summary()?;
            let _ = writeln!(text, "{}", crate::report::summary_line(&summary));
        }
        if text.is_empty() {
            invocation.terminal.say("no run is recorded here yet");
        }
        terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
        return Ok(0);
    };
    let recorded = Recorded::open(project.root(), name)?;
    let mut reporters = Reporters::new(invocation.context.clock.clone());
    reporters.add("output", invocation.terminal.reporter(invocation.context, args.output, args.verbose));
    for event in recorded.events()? {
        reporters.replay(&event?);
    }
    Ok(0)
}
