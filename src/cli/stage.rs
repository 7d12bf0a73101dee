//! `envrun stage`: the pipeline, and one stage after the other.

use std::fmt::Write as _;

use crate::base::unit::show_duration;
use crate::ops::run::Request;
use crate::ops::stage::{Overview, StageStatus, Went, names, overview, run_stage};
use crate::ops::{Problem, Project};
use crate::plan::{Force, OnFailure};
use crate::record::{StageOutcome, StageRecord};
use crate::report::Reporters;

use super::args::{StageArgs, StageFormat};
use super::log::local;
use super::run::{glass_reason, pairs};
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &StageArgs) -> Result<u8, Problem> {
    let file = invocation.place.file.as_deref();
    let mut project = Project::open(invocation.context, file)?;
    match &args.name {
        Some(name) => one(invocation, &mut project, name, args, false),
        None if args.all => all(invocation, &mut project, args),
        None => show(invocation, &mut project, args),
    }
}

/// Runs every stage that is not green, in order. What comes after one that failed or is refused is not tried.
fn all(invocation: &Invocation<'_>, project: &mut Project, args: &StageArgs) -> Result<u8, Problem> {
    let names = names(project);
    if names.is_empty() {
        return no_stage(invocation, project);
    }
    for name in names {
        let exit = one(invocation, project, &name, args, !args.force)?;
        if exit != 0 {
            return Ok(exit);
        }
    }
    Ok(0)
}

fn one(
    invocation: &Invocation<'_>,
    project: &mut Project,
    name: &str,
    args: &StageArgs,
    unless_green: bool,
) -> Result<u8, Problem> {
    let request = Request {
        jobs: args.jobs,
        on_failure: if args.keep_going { OnFailure::KeepGoing } else { OnFailure::Finish },
        force: if args.force { Force::Targets } else { Force::Nothing },
        dry_run: args.dry_run,
        read_cache: true,
        write_cache: true,
        set: pairs(&args.set)?,
        confirm: args.glass.confirm.clone(),
        break_glass: glass_reason(args.glass.break_glass.as_deref())?,
        prompt: invocation.terminal.prompt(),
        ..Request::default()
    };
    let mut reporters = Reporters::new(invocation.context.clock.clone());
    let output = invocation.terminal.reporter(invocation.context, args.shown.output, args.shown.verbose);
    reporters.add("output", output);
    let say = |text: String| invocation.terminal.say(&text);
    match run_stage(invocation.context, project, name, &request, unless_green, reporters)? {
        Went::Skipped(reason) => {
            say(format!("stage `{name}` is skipped: {reason}"));
            Ok(0)
        }
        Went::Green(record) => {
            let (when, who) = (local(record.began), &record.who);
            say(format!("stage `{name}` is green already: {when}, {who} on {}", record.host));
            Ok(0)
        }
        Went::Refused(ending) => {
            say(format!("stage `{name}` is refused; nothing is recorded"));
            Ok(ending.exit)
        }
        Went::Ran(_, ending) if args.dry_run => Ok(ending.exit),
        Went::Ran(record, ending) => {
            let reason = record.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            say(format!("stage `{name}` is {}{reason}", record.outcome.word()));
            // Every task is good, and the stage is not.
            Ok(if record.outcome == StageOutcome::Red { ending.exit.max(1) } else { ending.exit })
        }
    }
}

fn no_stage(invocation: &Invocation<'_>, project: &Project) -> Result<u8, Problem> {
    let file = project.sources().files().first().map(|file| file.name.to_string()).unwrap_or_default();
    invocation.terminal.say(&format!("{file} declares no stage\nhint: `stage \"test\" {{ run \"unit\" }}`"));
    Ok(0)
}

fn show(invocation: &Invocation<'_>, project: &mut Project, args: &StageArgs) -> Result<u8, Problem> {
    let format = args.format;
    if project.envfile().stages.is_empty() && format == StageFormat::Text {
        return no_stage(invocation, project);
    }
    let overview = overview(invocation.context, project, &pairs(&args.set)?)?;
    for (warning, hint) in &overview.warnings {
        let hint = hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        invocation.terminal.say(&format!("warning: {warning}{hint}"));
    }
    if let Some(chosen) = &overview.chosen {
        let (env, because) = (&chosen.env, &chosen.because);
        invocation.terminal.say(&format!("stages without an environment use `{env}` because {because}"));
    }
    let text = match format {
        StageFormat::Json => format!("{:#}\n", json(&overview)),
        StageFormat::Text => text(&overview, |text| invocation.terminal.bold_out(text)),
    };
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

fn text(overview: &Overview, bold: impl Fn(&str) -> String) -> String {
    let mut out = format!("{}\n", bold(&overview.work_tree.name()));
    let rows: Vec<[String; 3]> = overview
        .stages
        .iter()
        .map(|stage| {
            let result = stage.last.as_ref().map_or("never", |record| record.outcome.word());
            [stage.name.clone(), stage.env.clone().unwrap_or_default(), result.to_owned()]
        })
        .collect();
    let width = |at: usize| rows.iter().map(|row: &[String; 3]| row[at].chars().count()).max().unwrap_or(0);
    let (names, environments, results) = (width(0), width(1), width(2));
    for (stage, [name, env, result]) in overview.stages.iter().zip(&rows) {
        let when = stage.last.as_ref().map(|record| {
            let (began, took) = (local(record.began), show_duration(record.took()));
            format!("{began}  {took:>7}  {} on {}", record.who, record.host)
        });
        let line = format!(
            "  {name:names$}  {env:environments$}  {result:results$}  {}",
            when.as_deref().unwrap_or_default()
        );
        let _ = writeln!(out, "{}", line.trim_end());
        for note in notes(stage) {
            let _ = writeln!(out, "  {:names$}  {note}", "");
        }
    }
    out
}

/// What has to be known of a result before anybody rests on it.
fn notes(stage: &StageStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(record) = &stage.last {
        notes.extend(record.reason.clone());
        if record.outcome == StageOutcome::Red {
            notes.push(format!("envrun log {}", record.run));
        }
    }
    notes.extend(stage.moved.iter().map(|what| format!("with {what}")));
    if stage.last.is_none()
        && let Some(StageRecord { outcome, changes, .. }) = &stage.elsewhere
    {
        let other = if changes.is_some() { "with other changes" } else { "without the changes" };
        notes.push(format!("{} for the same commit {other}", outcome.word()));
    }
    notes
}

fn json(overview: &Overview) -> serde_json::Value {
    let stage = |stage: &StageStatus| {
        let result = stage.last.as_ref().map_or("never", |record| record.outcome.word());
        serde_json::json!({
            "name": stage.name,
            "desc": stage.desc,
            "env": stage.env,
            "after": stage.after,
            "result": result,
            "last": stage.last,
            "moved": stage.moved,
        })
    };
    serde_json::json!({
        "revision": overview.work_tree.revision,
        "changes": overview.work_tree.changes,
        "changed": overview.work_tree.changed,
        "chosen": overview.chosen,
        "stages": overview.stages.iter().map(stage).collect::<Vec<_>>(),
        "warnings": overview.warnings.iter().map(|(warning, _)| warning).collect::<Vec<_>>(),
    })
}
