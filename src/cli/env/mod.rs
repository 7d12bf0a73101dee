//! `envrun env`: environments, looked at and used.

mod diff;
mod export;
mod life;
mod list;
mod show;
mod sync;

use crate::model::{EnvName, ProjectName};
use crate::ops::env::exec::{become_command, lend};
use crate::ops::env::{self, chosen_project};
use crate::ops::matching::Choice;
use crate::ops::run::Request;
use crate::ops::{Problem, Project};

use super::args::{EnvArgs, EnvCommand, EnvExecArgs, EnvPlace};
use super::run::pairs;
use super::{Invocation, terminal};

/// `envrun env`.
pub fn run(invocation: &Invocation<'_>, args: EnvArgs) -> Result<u8, Problem> {
    let mut project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    match args.command {
        EnvCommand::List(args) => list::run(invocation, &project, &args),
        EnvCommand::Show(args) => show::run(invocation, &mut project, &args),
        EnvCommand::Diff(args) => diff::run(invocation, &mut project, &args),
        EnvCommand::Sync(args) => sync::run(invocation, &project, &args),
        EnvCommand::Create(args) => life::create(invocation, &mut project, &args),
        EnvCommand::Destroy(args) => life::destroy(invocation, &mut project, &args),
        EnvCommand::Gc(args) => life::gc(invocation, &mut project, &args),
        EnvCommand::Exec(args) => exec(invocation, &mut project, &args),
        EnvCommand::Export(args) => export::run(invocation, &mut project, &args),
    }
}

/// What an [`EnvPlace`] names: environment, project, values of `--set`.
type Placed = (Option<EnvName>, ProjectName, Vec<(String, String)>);

fn place(invocation: &Invocation<'_>, project: &Project, place: &EnvPlace) -> Result<Placed, Problem> {
    let env = chosen(invocation, project, place.environment.as_deref())?;
    Ok((env, chosen_project(project, place.project.as_deref())?, pairs(&place.set)?))
}

/// The environment that was named, or else the one that is meant; if its `match` chose it, that is told.
pub(super) fn chosen(
    invocation: &Invocation<'_>,
    project: &Project,
    name: Option<&str>,
) -> Result<Option<EnvName>, Problem> {
    let choice = env::chosen(invocation.context, project, name)?;
    choice.as_ref().and_then(Choice::told).iter().for_each(|chosen| invocation.terminal.using(chosen));
    Ok(choice.map(|choice| choice.env))
}

fn exec(invocation: &Invocation<'_>, project: &mut Project, args: &EnvExecArgs) -> Result<u8, Problem> {
    let (env, owner, set) = place(invocation, project, &args.place)?;
    if args.command.is_empty() {
        let env = env.map(|env| format!(" {env}")).unwrap_or_default();
        return Err(Problem::usage("which command?", Some(format!("`envrun env exec{env} -- COMMAND`"))));
    }
    let request = Request {
        set,
        confirm: args.confirm.clone(),
        prompt: invocation.terminal.prompt(),
        ..Request::default()
    };
    let lent = lend(invocation.context, project, &owner, env.as_ref(), &request)?;
    for missing in lent.notices.iter().chain(&lent.missing) {
        invocation.terminal.say(&format!("notice: {missing}"));
    }
    Err(become_command(invocation.context, &args.command, &lent))
}

fn print(text: &str) -> Result<u8, Problem> {
    terminal::print(text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("it has only string keys");
    format!("{text}\n")
}

/// Rows under headings, in columns; the last is as long as it is.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>], bold: impl Fn(&str) -> String) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(headings[at].chars().count())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut out = bold(&line(&mut headings.iter().copied()));
    out.push('\n');
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
        out.push('\n');
    }
    out
}
