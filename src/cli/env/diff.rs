//! `envrun env diff`: two environments, compared.

use std::fmt::Write as _;

use crate::ops::env::diff::{Difference, Entry, Parts, Side, diff};
use crate::ops::{Problem, Project, target};

use super::super::Invocation;
use super::super::args::{EnvDiffArgs, TextOrJson};
use super::super::terminal::Terminal;
use super::{json, print};

/// There is a difference that nobody wrote down (`--strict`).
const EXIT_UNEXPLAINED: u8 = 1;

pub fn run(invocation: &Invocation<'_>, project: &mut Project, args: &EnvDiffArgs) -> Result<u8, Problem> {
    let a = target::environment(project.envfile(), &args.a)?;
    let b = target::environment(project.envfile(), &args.b)?;
    let found = diff(invocation.context, project, &a, &b)?;
    match args.format {
        TextOrJson::Json => print(&json(&found))?,
        TextOrJson::Text => print(&text(&found, invocation.terminal))?,
    };
    Ok(if args.strict && found.unexplained() > 0 { EXIT_UNEXPLAINED } else { 0 })
}

fn text(found: &Difference, terminal: &Terminal) -> String {
    let mut out = String::new();
    let only = |side: &str| format!("only in {side}");
    let one = |entry: &Entry, of: fn(&Entry) -> Option<&Side>| {
        let side = of(entry)?;
        Some(vec![entry.name.clone(), shown(Some(side)), note(entry, &[side], terminal)])
    };
    let mut left = Vec::new();
    let mut right = Vec::new();
    let mut both = Vec::new();
    for entry in &found.entries {
        match (&entry.a, &entry.b) {
            (Some(a), Some(b)) => {
                let arrow = if terminal.unicode { "→" } else { "->" };
                let values = format!("{} {arrow} {}", shown(Some(a)), shown(Some(b)));
                both.push(vec![entry.name.clone(), values, note(entry, &[a, b], terminal)]);
            }
            (Some(_), None) => left.extend(one(entry, |entry| entry.a.as_ref())),
            (None, _) => right.extend(one(entry, |entry| entry.b.as_ref())),
        }
    }
    section(&mut out, &only(&found.a), left, terminal);
    section(&mut out, &only(&found.b), right, terminal);
    section(&mut out, "different", both, terminal);
    let shared = found.shared_secrets.iter().map(|name| vec![name.clone()]).collect();
    section(&mut out, "secrets with the same value in both", shared, terminal);
    let unread = found.unread.iter().map(|name| vec![name.clone()]).collect();
    let keeps: Vec<String> = found
        .guarded
        .iter()
        .map(|(env, reason)| format!("the guard of {env} keeps secrets: {reason}"))
        .collect();
    section(&mut out, &format!("not compared: {}", keeps.join("; ")), unread, terminal);
    for (what, parts) in [("nodes", &found.nodes), ("requires", &found.requires), ("guard", &found.guard)] {
        parts_section(&mut out, what, parts, found, terminal);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let unexplained = found.unexplained();
    let _ = write!(out, "{} equal, {} different", found.equal, found.entries.len());
    if unexplained > 0 {
        let _ = write!(out, ", {unexplained} of them not explained by the Envfile");
    }
    if !found.unread.is_empty() {
        let _ = write!(out, ", {} not compared", found.unread.len());
    }
    out.push('\n');
    out
}

fn shown(side: Option<&Side>) -> String {
    match side.map(|side| &side.value) {
        Some(serde_json::Value::String(text)) if text.is_empty() || text.contains(char::is_control) => {
            format!("{text:?}")
        }
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "-".to_owned(),
    }
}

/// Where the values come from; said loudly where that is no explanation.
fn note(entry: &Entry, sides: &[&Side], terminal: &Terminal) -> String {
    let mut from: Vec<&str> = sides.iter().map(|side| side.from.as_str()).collect();
    from.dedup();
    let from = terminal.dim_out(&from.join(", "));
    if entry.explained { from } else { format!("{from}  not explained") }
}

fn section(out: &mut String, heading: &str, rows: Vec<Vec<String>>, terminal: &Terminal) {
    /// A value that is longer does not push what comes behind it to the right for all.
    const WIDEST: usize = 48;
    if rows.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{} ({})", terminal.bold_out(heading), rows.len());
    let width = |at: usize| {
        let widths = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    for row in &rows {
        let cell = |at: usize| row.get(at).map(String::as_str).unwrap_or_default();
        let line = format!("  {:first$}  {:second$}  {}", cell(0), cell(1), cell(2));
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn parts_section(out: &mut String, what: &str, parts: &Parts, found: &Difference, terminal: &Terminal) {
    if parts.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{}", terminal.bold_out(what));
    for (heading, names) in [
        (format!("only in {}", found.a), &parts.only_a),
        (format!("only in {}", found.b), &parts.only_b),
        ("different".to_owned(), &parts.different),
    ] {
        if !names.is_empty() {
            let _ = writeln!(out, "  {heading}: {}", names.join(", "));
        }
    }
}
