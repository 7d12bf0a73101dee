//! `envrun list`: what there is to run, by group.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::ops::list::{ListedNode, Listing, list};
use crate::ops::{Problem, Project};

use super::args::ListArgs;
use super::{Invocation, terminal};

/// The list for people.
fn text(listing: &Listing, all: bool, bold: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    if !listing.environments.is_empty() {
        let _ = writeln!(out, "{}", bold("environments"));
        let width = listing.environments.iter().map(|env| env.name.chars().count()).max().unwrap_or(0);
        for env in &listing.environments {
            let mut notes = Vec::new();
            if env.default {
                notes.push("default".to_owned());
            }
            if env.is_abstract {
                notes.push("abstract".to_owned());
            }
            if env.ephemeral {
                notes.push("ephemeral".to_owned());
            }
            if let Some(parent) = &env.extends {
                notes.push(format!("extends {parent}"));
            }
            let notes = if notes.is_empty() { String::new() } else { format!("({})", notes.join(", ")) };
            row(&mut out, &env.name, width, &[env.desc.as_deref().unwrap_or_default(), &notes]);
        }
    }
    if !listing.stages.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{}", bold("stages"));
        let width = listing.stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0);
        for stage in &listing.stages {
            let env = stage.env.as_ref().map(|env| format!(" in {env}")).unwrap_or_default();
            let after = match &stage.after[..] {
                [] => String::new(),
                after => format!(", after {}", after.join(", ")),
            };
            let runs = format!("({}{env}{after})", stage.run.join(", "));
            row(&mut out, &stage.name, width, &[stage.desc.as_deref().unwrap_or_default(), &runs]);
        }
    }
    let schedules = schedules(listing, &bold);
    let mut groups: IndexMap<&str, Vec<&ListedNode>> = IndexMap::new();
    for node in listing.nodes.iter().filter(|node| all || !node.hidden) {
        let plural = match node.kind {
            "task" => "tasks",
            "service" => "services",
            "deploy" => "deploys",
            _ => "snapshots",
        };
        groups.entry(node.group.as_deref().unwrap_or(plural)).or_default().push(node);
    }
    // What people come for stands first: plain tasks, then the named groups and the other kinds in the order written.
    groups.sort_by_key(|group, _| usize::from(*group != "tasks"));
    for (group, nodes) in groups {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "{}", bold(group));
        let names: Vec<String> = nodes.iter().map(|node| with_args(node)).collect();
        let width =
            names.iter().map(|name| name.chars().count()).filter(|width| *width <= 36).max().unwrap_or(0);
        for (node, name) in nodes.iter().zip(&names) {
            let only = if node.environments.is_empty() {
                String::new()
            } else {
                format!("(only {})", node.environments.join(", "))
            };
            row(&mut out, name, width, &[node.desc.as_deref().unwrap_or_default(), &only]);
        }
    }
    if !schedules.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&schedules);
    }
    out
}

/// What runs at given times.
fn schedules(listing: &Listing, bold: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    if !listing.schedules.is_empty() {
        let _ = writeln!(out, "{}", bold("schedules"));
    }
    let width = listing.schedules.iter().map(|one| one.node.chars().count()).max().unwrap_or(0);
    for schedule in &listing.schedules {
        row(&mut out, &schedule.node, width, &[&schedule.times]);
    }
    out
}

fn with_args(node: &ListedNode) -> String {
    std::iter::once(node.name.as_str())
        .chain(node.args.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ")
}

fn row(out: &mut String, name: &str, width: usize, rest: &[&str]) {
    let rest: Vec<&str> = rest.iter().copied().filter(|text| !text.is_empty()).collect();
    let line = format!("  {name:width$}  {}", rest.join(" "));
    let _ = writeln!(out, "{}", line.trim_end());
}

/// `envrun list`.
pub fn run(invocation: &Invocation<'_>, args: &ListArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let mut listing = list(project.envfile(), args.filter.as_deref());
    let text = if args.json {
        listing.nodes.retain(|node| args.all || !node.hidden);
        let json = serde_json::to_string_pretty(&listing).expect("a listing has only string keys");
        format!("{json}\n")
    } else {
        if let Some(filter) = &args.filter
            && listing.nodes.is_empty()
        {
            return Err(Problem::usage(
                format!("nothing here is called or holds `{filter}`"),
                Some("`envrun list` shows everything".into()),
            ));
        }
        text(&listing, args.all, |text| invocation.terminal.bold_out(text))
    };
    show(&text)
}

/// `envrun` without anything: the default task, else the list; without an Envfile what to do about that.
pub fn no_target(invocation: &Invocation<'_>) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    without_target(invocation, &project)
}

/// The list, for a run that names no target.
pub fn without_target(invocation: &Invocation<'_>, project: &Project) -> Result<u8, Problem> {
    show(&text(&list(project.envfile(), None), false, |text| invocation.terminal.bold_out(text)))
}

fn show(text: &str) -> Result<u8, Problem> {
    terminal::print(text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}
