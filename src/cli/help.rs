//! `envrun TARGET --help`: what a task is for and what it takes.

use std::fmt::Write as _;

use clap::CommandFactory;

use crate::diag::nearest;
use crate::model::{ArgKind, ArgSpec, EnvName, Envfile, Node, Task};
use crate::ops::list::usage;
use crate::ops::target::target;
use crate::ops::{Problem, Project};

use super::args::Cli;
use super::words::TargetWords;
use super::{Invocation, terminal};

/// A target that is no node may be a command that was meant.
pub fn or_command(problem: Problem) -> Problem {
    let Problem::NoNode { text } = &problem else { return problem };
    let meant = match text.as_str() {
        "help" => Some("--help".to_owned()),
        "version" => Some("--version".to_owned()),
        text => {
            let cli = Cli::command();
            let commands = cli.get_subcommands().filter(|command| !command.is_hide_set());
            nearest(text, commands.map(clap::Command::get_name)).map(str::to_owned)
        }
    };
    match meant {
        Some(command) => {
            Problem::usage(problem.to_string(), Some(format!("did you mean `envrun {command}`?")))
        }
        None => problem,
    }
}

pub fn print(
    invocation: &Invocation<'_>,
    project: &Project,
    words: &TargetWords,
    env: Option<&EnvName>,
) -> Result<u8, Problem> {
    let envfile = project.envfile();
    let (found, task) = target(envfile, &words.name, env)?;
    let text = match task {
        Some(task) => task_help(envfile, &words.name, task, |text| invocation.terminal.bold_out(text)),
        None => {
            let node = envfile.node(found.env.as_ref(), &found.path);
            let desc = node.and_then(Node::desc).unwrap_or("no description");
            format!("{} {}: {desc}\n", node.map_or("node", Node::kind), found.path)
        }
    };
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

fn task_help(envfile: &Envfile, name: &str, task: &Task, bold: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    if let Some(desc) = &task.desc {
        let _ = writeln!(out, "{desc}\n");
    }
    let words: String = task.args.iter().map(|arg| format!(" {}", usage(arg))).collect();
    let _ = writeln!(out, "{} envrun {name}{words}", bold("usage:"));
    let rows: Vec<(String, String)> = task.args.iter().map(row).collect();
    if !rows.is_empty() {
        let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
        let _ = writeln!(out, "\n{}", bold("arguments:"));
        for (left, right) in rows {
            let _ = writeln!(out, "{}", format!("  {left:width$}  {right}").trim_end());
        }
    }
    let needs: Vec<String> = task.needs.iter().map(|need| need.path.to_string()).collect();
    if !needs.is_empty() {
        let _ = writeln!(out, "\n{} {}", bold("needs:"), needs.join(", "));
    }
    let environments: Vec<&str> = envfile.concrete_environments().map(|env| env.name.as_str()).collect();
    if !environments.is_empty() && !name.contains('.') {
        let _ = writeln!(
            out,
            "\nin another environment: envrun ENV.{name}, where ENV is {}",
            environments.join(", ")
        );
    }
    out
}

fn row(arg: &ArgSpec) -> (String, String) {
    let name = &arg.name.value;
    let left = match arg.kind {
        ArgKind::Switch => format!("--{name}"),
        ArgKind::Positional { repeat: true } => format!("{name}…"),
        ArgKind::Positional { repeat: false } => name.clone(),
    };
    let mut notes = Vec::new();
    if let Some(one_of) = &arg.constraints.one_of {
        notes.push(format!("one of {}", one_of.value.join(", ")));
    }
    if let Some(min) = arg.constraints.min {
        notes.push(format!("at least {}", min.value));
    }
    if let Some(max) = arg.constraints.max {
        notes.push(format!("at most {}", max.value));
    }
    if let Some(pattern) = &arg.constraints.pattern {
        notes.push(format!("matches {}", pattern.value));
    }
    if let Some(default) = &arg.default {
        notes.push(format!(
            "default: {}",
            if default.to_string().is_empty() { "nothing".into() } else { default.to_string() }
        ));
    }
    if let Some(env) = &arg.env {
        notes.push(format!("or ${env}"));
    }
    let notes = if notes.is_empty() { String::new() } else { format!("[{}]", notes.join("; ")) };
    let desc = arg.desc.as_deref().unwrap_or_default();
    (left, format!("{desc} {notes}").trim().to_owned())
}
