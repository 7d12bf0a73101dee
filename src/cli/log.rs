//! `envrun log`: earlier runs, and one of them again, through the same reporters.

use std::fmt::Write as _;

use crate::base::Timestamp;
use crate::base::unit::show_duration;
use crate::ops::{Problem, Project};
use crate::record::{Recorded, RunSummary, runs};
use crate::report::{Reporters, replay};

use super::args::LogArgs;
use super::{Invocation, terminal};

/// How many runs are listed.
const LISTED: usize = 30;

pub fn run(invocation: &Invocation<'_>, args: &LogArgs) -> Result<u8, Problem> {
    let project = Project::open_with_errors(invocation.context, invocation.place.file.as_deref())?;
    let Some(name) = &args.run else {
        let mut text = String::new();
        for run in runs(project.root())?.into_iter().take(LISTED) {
            let summary = Recorded::open(project.root(), run.as_str())?.summary()?;
            let _ = writeln!(text, "{}", line(&summary));
        }
        if text.is_empty() {
            invocation.terminal.say("no run is recorded here yet");
        }
        terminal::print(&text)
            .map_err(|source| Problem::System { doing: "write to standard output", source })?;
        return Ok(0);
    };
    let recorded = Recorded::open(project.root(), name)?;
    let mut reporters = Reporters::new(invocation.context.clock.clone());
    reporters.add("output", invocation.terminal.reporter(invocation.context, args.output, args.verbose));
    replay(&recorded, &mut reporters)?;
    Ok(0)
}

/// A run on one line: when, how it ended, how long it took, what was asked for.
fn line(summary: &RunSummary) -> String {
    let ended = match summary.exit {
        None if summary.live => "going on".to_owned(),
        None => "cut short".to_owned(),
        Some(0) => "ok".to_owned(),
        Some(130) => "interrupted".to_owned(),
        Some(status) => format!("failed ({status})"),
    };
    let took = show_duration(summary.took);
    let (id, began, targets) = (&summary.id, local(summary.began), summary.targets.join(" "));
    format!("{id}  {began}  {ended:12}  {took:>7}  {targets}")
}

/// Day and time where the user is; ids are in UTC, which never goes back.
pub fn local(time: Timestamp) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}
