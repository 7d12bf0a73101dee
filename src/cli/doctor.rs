//! `envrun doctor`: what is missing before anything runs.

use std::fmt::Write as _;

use crate::diag::render::{self, Style};
use crate::ops::doctor::{Check, Group, Report, doctor};
use crate::ops::{Problem, Project};
use crate::preflight::Status;

use super::args::{DoctorArgs, DoctorFormat};
use super::terminal::Terminal;
use super::{Invocation, terminal};

/// A requirement is not met.
const EXIT_REFUSED: u8 = 3;

/// `envrun doctor`.
pub fn run(invocation: &Invocation<'_>, args: &DoctorArgs) -> Result<u8, Problem> {
    let mut project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let report = doctor(invocation.context, &mut project, &args.environments)?;
    let text = match args.format {
        DoctorFormat::Text => text(&report, invocation.terminal),
        DoctorFormat::Json => {
            let json = serde_json::to_string_pretty(&report).expect("a report has only string keys");
            format!("{json}\n")
        }
        DoctorFormat::Github => render::render(&report.diagnostics(), project.sources(), Style::Github),
    };
    report.chosen.iter().for_each(|chosen| invocation.terminal.using(chosen));
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    let refused = report.status == Status::Fail || (args.strict && report.status == Status::Warn);
    Ok(if refused { EXIT_REFUSED } else { 0 })
}

/// The report for people: a line for each check, what to do on a line of its own.
fn text(report: &Report, terminal: &Terminal) -> String {
    let mut out = String::new();
    for group in report.groups.iter().filter(|group| !group.checks.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{}", terminal.bold_out(group.environment.as_deref().unwrap_or("project")));
        lines(group, terminal, &mut out);
    }
    let count = |status, one: &str, more: &str| match report.count(status) {
        0 => String::new(),
        1 => format!(", 1 {one}"),
        count => format!(", {count} {more}"),
    };
    let good = report.count(Status::Pass);
    let _ = writeln!(
        out,
        "\n{good} good{}{}",
        count(Status::Warn, "warning", "warnings"),
        count(Status::Fail, "failure", "failures")
    );
    out
}

fn lines(group: &Group, terminal: &Terminal, out: &mut String) {
    /// A name that is longer does not push what is found to the right for all.
    const WIDEST: usize = 32;
    let names: Vec<String> = group.checks.iter().map(title).collect();
    let widths = names.iter().map(|name| name.chars().count());
    let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    for (check, name) in group.checks.iter().zip(names) {
        let mark = mark(check.status, terminal);
        let _ = writeln!(out, "  {mark} {name:width$}  {}", check.reason());
        if let Some(hint) = &check.hint {
            let _ = writeln!(out, "      hint: {}", hint.replace('\n', "\n            "));
        }
    }
}

fn title(check: &Check) -> String {
    let first = check.name.lines().next().unwrap_or_default();
    // A store's own name does not say what it is.
    let first = if check.kind == "store" { &format!("store {first}") } else { first };
    match &check.node {
        Some(node) => format!("{first} ({node})"),
        None => first.to_owned(),
    }
}

fn mark(status: Status, terminal: &Terminal) -> String {
    let (plain, pretty, colour) = match status {
        Status::Pass => ("ok  ", "✓", "32"),
        Status::Warn => ("warn", "!", "33"),
        Status::Fail => ("FAIL", "✗", "1;31"),
    };
    let mark = if terminal.unicode { pretty } else { plain };
    if terminal.colour_out { format!("\x1b[{colour}m{mark}\x1b[0m") } else { mark.to_owned() }
}
