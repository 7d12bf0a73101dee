//! `envrun env show`: an environment's values, and the ports of environments side by side.

use std::fmt::Write as _;

use crate::ops::env::EnvValues;
use crate::ops::env::ports::{ClashKind, PortTable, ports};
use crate::ops::env::show::{Shown, ShownValue, in_words, show};
use crate::ops::{Problem, Project, target};

use super::super::Invocation;
use super::super::args::{EnvShowArgs, TextOrJson};
use super::super::run::pairs;
use super::super::terminal::Terminal;
use super::{chosen, json, print, table};

pub fn run(invocation: &Invocation<'_>, project: &mut Project, args: &EnvShowArgs) -> Result<u8, Problem> {
    let context = invocation.context;
    // Named twice, it is one all the same: its ports do not clash with themselves.
    let mut seen = std::collections::BTreeSet::new();
    let named: Vec<&String> = args.environments.iter().filter(|name| seen.insert(*name)).collect();
    let set = pairs(&args.set)?;
    let format = if args.json { TextOrJson::Json } else { args.format };
    if args.ports {
        let mut environments = Vec::new();
        for name in named {
            environments.push(Some(target::environment(project.envfile(), name)?));
        }
        if environments.is_empty() {
            environments =
                project.envfile().concrete_environments().map(|env| Some(env.name.clone())).collect();
        }
        if environments.is_empty() {
            environments.push(None);
        }
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for env in environments {
            let (looked, told) = EnvValues::look(context, project, env, &set)?;
            values.push(looked);
            problems.extend(told);
        }
        let table = ports(&values);
        match format {
            TextOrJson::Json => print(&json(&table))?,
            TextOrJson::Text => print(&port_text(&table, invocation.terminal))?,
        };
        return Ok(told(invocation, &problems));
    }
    let mut environments = Vec::new();
    for name in named {
        environments.push(chosen(invocation, project, Some(name))?);
    }
    if environments.is_empty() {
        environments.push(chosen(invocation, project, None)?);
    }
    let (mut shown, mut problems) = (Vec::new(), Vec::new());
    for env in environments {
        let (values, mut told) = EnvValues::look(context, project, env, &set)?;
        let unopened = values.open(context, project);
        told.extend(unopened.problems);
        told.extend(values.invalid(project));
        shown.push(show(project, &values, &told, &unopened.guarded));
        problems.extend(told);
    }
    match (format, &shown[..]) {
        (TextOrJson::Json, [one]) => print(&json(one))?,
        (TextOrJson::Json, all) => print(&json(&all))?,
        (TextOrJson::Text, all) => {
            let texts: Vec<String> =
                all.iter().map(|one| text(one, args.origin, invocation.terminal)).collect();
            print(&texts.join("\n"))?
        }
    };
    Ok(told(invocation, &problems))
}

/// Tells what could not be shown, each once, and gives the status that the worst of it comes to.
fn told(invocation: &Invocation<'_>, problems: &[Problem]) -> u8 {
    let mut known: Vec<String> = Vec::new();
    for problem in problems {
        // Environments that load the same file have read it for themselves.
        let text = in_words(problem).join("\n");
        if !known.contains(&text) {
            invocation.terminal.problem(problem);
            known.push(text);
        }
    }
    problems.iter().map(Problem::exit).max().unwrap_or(0)
}

fn text(shown: &Shown, origin: bool, terminal: &Terminal) -> String {
    /// A value that is longer does not push what comes behind it to the right for all.
    const WIDEST: usize = 48;
    let mut out = String::new();
    if let Some(env) = &shown.environment {
        let heading = terminal.bold_out(env);
        let _ = match &shown.chain[..] {
            [] | [_] => writeln!(out, "{heading}"),
            [parents @ .., _] => writeln!(
                out,
                "{heading} {}",
                terminal.dim_out(&format!(
                    "extends {}",
                    parents.iter().rev().cloned().collect::<Vec<_>>().join(", ")
                ))
            ),
        };
    }
    let names: Vec<String> = shown.values.iter().map(name).collect();
    let texts: Vec<String> = shown.values.iter().map(one_line).collect();
    let width = |texts: &[String], most: usize| {
        texts.iter().map(|text| text.chars().count()).filter(|width| *width <= most).max().unwrap_or(0)
    };
    let (name_width, text_width) = (width(&names, WIDEST), width(&texts, WIDEST));
    for ((value, name), text) in shown.values.iter().zip(&names).zip(&texts) {
        let line = match (&value.origin, origin) {
            (Some(from), true) => {
                let place = match (&from.place, from.layer) {
                    // The file's name says which layer it is.
                    (Some(place), "dotenv") => place.clone(),
                    (Some(place), _) => format!("{place} ({})", from.from),
                    (None, _) => from.from.clone(),
                };
                format!("  {name:name_width$}  {text:text_width$}  {}", terminal.dim_out(&place))
            }
            _ => format!("  {name:name_width$}  {text}"),
        };
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn name(value: &ShownValue) -> String {
    match &value.project {
        Some(project) => format!("{project}:{}", value.name),
        None => value.name.clone(),
    }
}

/// A value on one line: as it is, or, if it is empty or has blanks at its ends, newlines or the like, in quotes.
fn one_line(value: &ShownValue) -> String {
    match (&value.text, &value.problem) {
        (Some(text), _) if text.is_empty() || text.trim() != text || text.contains(char::is_control) => {
            format!("{text:?}")
        }
        (Some(text), _) => text.clone(),
        (None, Some(problem)) => format!("! {problem}"),
        (None, None) => value.note.as_ref().map_or_else(|| "-".to_owned(), |note| format!("({note})")),
    }
}

fn port_text(table_: &PortTable, terminal: &Terminal) -> String {
    let mut headings = vec!["PORT"];
    headings.extend(table_.environments.iter().map(String::as_str));
    let rows: Vec<Vec<String>> = table_
        .rows
        .iter()
        .map(|row| {
            let cell = |env: &String| row.ports.get(env).map_or_else(|| "-".to_owned(), u16::to_string);
            std::iter::once(row.name.clone()).chain(table_.environments.iter().map(cell)).collect()
        })
        .collect();
    let mut out = table(&headings, &rows, |text| terminal.bold_out(text));
    for (kind, what) in [
        (ClashKind::Inside, "used twice in one environment"),
        (ClashKind::Across, "used by more than one environment, which cannot be up together"),
    ] {
        let clashes: Vec<_> = table_.clashes.iter().filter(|clash| clash.kind == kind).collect();
        if !clashes.is_empty() {
            let _ = writeln!(out, "\n{}", terminal.bold_out(what));
        }
        for clash in clashes {
            let name = &clash.uses[0].1;
            let line = if clash.uses.iter().all(|(_, other)| other == name) {
                let environments: Vec<&str> = clash.uses.iter().map(|(env, _)| env.as_str()).collect();
                format!("{name}: {}", environments.join(", "))
            } else {
                let uses: Vec<String> =
                    clash.uses.iter().map(|(env, name)| format!("{env} {name}")).collect();
                uses.join(", ")
            };
            let _ = writeln!(out, "  {:5}  {line}", clash.port);
        }
    }
    out
}
