//! `envrun why`: every difference from the last good run.

use std::fmt::Write as _;

use crate::event::OutcomeKind;
use crate::ops::explain::{Explanation, Versus, explain};
use crate::ops::run::Request;
use crate::ops::target::{Asked, declared};
use crate::ops::{Problem, Project};

use super::args::WhyArgs;
use super::run::words_problem;
use super::words::split;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &WhyArgs) -> Result<u8, Problem> {
    let mut project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let default = project.envfile().default_env.as_ref().map(|env| env.value.clone());
    let mut words = vec![args.target.clone()];
    words.extend(args.words.iter().cloned());
    let words =
        split(&words, |name| declared(project.envfile(), name, default.as_ref())).map_err(|mut error| {
            if args.words.iter().any(|word| word == "--first" || word.starts_with("--vs")) {
                error.hint = Some("options of `envrun why` stand before the target's own arguments".into());
            }
            words_problem(&error)
        })?;
    let mut targets = words.targets.into_iter();
    let Some(first) = targets.next() else {
        return Err(Problem::usage("`envrun why` wants a target", None));
    };
    if let Some(second) = targets.next() {
        return Err(Problem::usage(
            format!("`envrun why` explains one target: `{}` is a second one", second.name),
            Some(format!("`envrun why {}`", second.name)),
        ));
    }
    let request = Request {
        targets: vec![Asked { name: first.name, args: first.args }],
        read_cache: true,
        ..Request::default()
    };
    let explanation = explain(invocation.context, &mut project, &request, args.vs.as_deref())?;
    let text = match (&explanation.versus, args.first) {
        (Some(versus), true) => versus_first_text(&explanation, versus),
        (Some(versus), false) => versus_text(&explanation, versus),
        (None, true) => first_text(&explanation),
        (None, false) => text(&explanation),
    };
    if let Some(chosen) = &explanation.chosen {
        invocation.terminal.using(chosen);
    }
    terminal::print(&invocation.context.redactor.text(&text))
        .map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

fn text(explanation: &Explanation) -> String {
    let label = &explanation.label;
    let mut out = match explanation.outcome {
        Some(OutcomeKind::UpToDate) => format!("`{label}` is up to date\n"),
        Some(OutcomeKind::AlreadyDone) => format!("`{label}` is there already: its `done` succeeds\n"),
        Some(OutcomeKind::Skipped) => format!("`{label}` would be skipped\n"),
        Some(OutcomeKind::Grouped) => format!("`{label}` only stands for what it needs\n"),
        Some(OutcomeKind::Restored) => format!("`{label}` would be restored from the cache, because\n"),
        Some(OutcomeKind::WouldRun) => format!("`{label}` would run, because\n"),
        _ => format!("`{label}` would not run\n"),
    };
    for (failed, reason) in &explanation.failures {
        let _ = writeln!(out, "  `{failed}`: {reason}");
    }
    for reason in &explanation.reasons {
        let _ = writeln!(out, "  {reason}");
    }
    if !explanation.upstream.is_empty() {
        out.push_str("before it would run\n");
        for (label, reason) in &explanation.upstream {
            let _ = writeln!(out, "  `{label}` because {reason}");
        }
    }
    out
}

/// The way from the node to the first cause.
fn first_text(explanation: &Explanation) -> String {
    way_text(&explanation.first).unwrap_or_else(|| text(explanation))
}

/// The way from the node to the first thing that is not as the run had it.
fn versus_first_text(explanation: &Explanation, versus: &Versus) -> String {
    match way_text(&versus.first) {
        Some(way) => format!("since run {}:\n{way}", versus.run),
        None => versus_text(explanation, versus),
    }
}

/// A way from a node to a cause; `None` if it has no steps.
fn way_text(steps: &[(String, String)]) -> Option<String> {
    let ((label, reason), way) = steps.split_last()?;
    let mut out = format!("`{label}` because {reason}\n");
    for (label, _) in way.iter().rev() {
        let _ = writeln!(out, "  and so `{label}`");
    }
    Some(out)
}

fn versus_text(explanation: &Explanation, versus: &Versus) -> String {
    let label = &explanation.label;
    match versus.differences.as_deref() {
        Some([]) => format!("`{label}` is as run {} had it\n", versus.run),
        Some(differences) => {
            let lines: String = differences.iter().map(|difference| format!("  {difference}\n")).collect();
            format!("`{label}` differs from run {}:\n{lines}", versus.run)
        }
        None => format!(
            "`{label}` cannot be compared with run {} before what it needs has run\n{}",
            versus.run,
            text(explanation)
        ),
    }
}
