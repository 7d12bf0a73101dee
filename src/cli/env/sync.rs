//! `envrun env sync`: what one environment has and another lacks, added.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use crate::ops::env::chosen_project;
use crate::ops::env::sync::{Asked, Lacking, Plan, apply, foresee, generated, keep_secrets, permit, plan};
use crate::ops::run::Request;
use crate::ops::{Problem, Project, Refusal, target};

use super::super::Invocation;
use super::super::args::{EnvSyncArgs, TextOrJson};
use super::super::run::pairs;
use super::super::secret;
use super::super::terminal::Terminal;
use super::{json, print};

/// Somebody said no.
const EXIT_NO: u8 = 3;

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
    // What cannot be done is no less wrong for being only looked at.
    foresee(invocation.context, project, &asked, &plan)?;
    if args.dry_run || plan.is_empty() {
        return Ok(0);
    }
    let request =
        Request { confirm: args.confirm.clone(), prompt: invocation.terminal.prompt(), ..Request::default() };
    let is_confirmed = permit(invocation.context, project, &asked, &request)?;
    // Whoever typed a word, or sits at no terminal, has said what is wanted.
    let has_reader = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !args.yes && !is_confirmed && has_reader {
        let answer = request.prompt.as_ref().and_then(|prompt| (prompt.0)("go on? [y/N] "));
        if !answer.is_some_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")) {
            invocation.terminal.say("nothing was changed");
            return Ok(EXIT_NO);
        }
    }
    let mut secrets = generated(project, &asked, &plan)?;
    let to_ask: Vec<&Lacking> = plan.secrets.iter().filter(|lacking| !lacking.generated).collect();
    if !to_ask.is_empty() && !std::io::stdin().is_terminal() {
        return Err(Problem::Refused(to_ask.iter().map(|lacking| refusal(&plan, lacking)).collect()));
    }
    for lacking in to_ask {
        let value = secret::asked(invocation, Some(&asked.to), &lacking.name)?;
        secrets.push((lacking.name.clone(), value));
    }
    // What is made or typed here is shown nowhere, whatever comes.
    invocation.context.redactor.learn(secrets.iter().map(|(_, value)| value.as_str()));
    let done = apply(invocation.context, project, &asked, &plan, &secrets, &mut |secrets| {
        keep_secrets(invocation.context, project, &asked, secrets)
    })?;
    invocation.terminal.say(&match &plan.file {
        Some(file) => {
            format!("{file} is synced; as it was before: {} (copy {})", done.at.display(), done.snapshot)
        }
        None => format!("{} is synced", plan.to),
    });
    Ok(0)
}

/// Without anybody to ask, nothing is done.
fn refusal(plan: &Plan, lacking: &Lacking) -> Refusal {
    Refusal {
        label: format!("env sync {} {}", plan.from, plan.to),
        reason: format!("{} lacks the secret {}, and there is nobody to ask", plan.to, lacking.name),
        place: plan.file.clone().unwrap_or_else(|| plan.to.clone()),
        hint: Some(lacking.hint.clone()),
    }
}

fn text(plan: &Plan, terminal: &Terminal) -> String {
    let mut out = String::new();
    let heading = if plan.is_empty() {
        format!("{} lacks nothing that can be added from {}", plan.to, plan.from)
    } else {
        match &plan.file {
            Some(file) => format!("{} → {}: {file}", plan.from, plan.to),
            None => format!("{} → {}", plan.from, plan.to),
        }
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
    for lacking in &plan.secrets {
        let how = if lacking.generated { "to be generated" } else { "to be asked for" };
        let _ = writeln!(out, "  + {} = ***  {how}", lacking.name);
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
