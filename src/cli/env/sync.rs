//! `envrun env sync`: what one environment has and another lacks, added.

use std::fmt::Write as _;

use crate::ops::env::chosen_project;
use crate::ops::env::sync::{Asked, Plan, apply, plan};
use crate::ops::{Problem, Project, target};

use super::super::Invocation;
use super::super::args::{EnvSyncArgs, TextOrJson};
use super::super::run::pairs;
use super::super::terminal::Terminal;
use super::{json, print};

pub fn run(invocation: &Invocation<'_>, project: &Project, args: &EnvSyncArgs) -> Result<u8, Problem> {
    let asked = Asked {
        from: target::environment(project.envfile(), &args.from)?,
        to: target::environment(project.envfile(), &args.to)?,
        project: chosen_project(project, args.project.as_deref())?,
        set: pairs(&args.set)?,
    };
    let plan = plan(invocation.context, project, &asked)?;
    // First of all: whoever reads along can still say no.
    match args.format {
        TextOrJson::Json => print(&json(&plan))?,
        TextOrJson::Text => print(&text(&plan, invocation.terminal))?,
    };
    if args.dry_run || plan.is_empty() {
        return Ok(0);
    }
    let done = apply(invocation.context, project, &asked, &plan, &[], &mut |_| Ok(Box::new(|| Ok(()))))?;
    invocation.terminal.say(&format!(
        "{} is synced; as it was before: {} (copy {})",
        plan.file,
        done.at.display(),
        done.snapshot
    ));
    Ok(0)
}

fn text(plan: &Plan, terminal: &Terminal) -> String {
    let mut out = String::new();
    let heading = if plan.is_empty() {
        format!("{} lacks nothing that can be added from {}", plan.to, plan.from)
    } else {
        format!("{} → {}: {}", plan.from, plan.to, plan.file)
    };
    let arrow = if terminal.unicode { heading } else { heading.replace('→', "->") };
    let _ = writeln!(out, "{}", terminal.bold_out(&arrow));
    for added in &plan.add {
        let from = terminal.dim_out(&format!("from {}", added.from));
        let value = if added.value.contains(char::is_control) || added.value.is_empty() {
            format!("{:?}", added.value)
        } else {
            added.value.clone()
        };
        let _ = writeln!(out, "  + {} = {value}  {from}", added.name);
    }
    for name in &plan.secrets {
        let _ = writeln!(out, "  + {name} = ***  to be asked for or generated");
    }
    for left in &plan.left {
        let _ = writeln!(out, "  - {} is not added: {}", left.name, left.why);
    }
    match plan.kept.len() {
        0 => {}
        1 => {
            let _ = writeln!(out, "  = {} stays as it is", plan.kept[0]);
        }
        count => {
            let _ = writeln!(out, "  = {count} names stay as they are");
        }
    }
    out
}
