//! `envrun show`: what a target comes to, each line with its place.

use crate::load::Line;
use crate::model::EnvName;
use crate::ops::matching::{Choice, choice};
use crate::ops::target::target;
use crate::ops::{Problem, Project};

use super::args::ShowArgs;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &ShowArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let choice = choice(invocation.context, &project, None)?;
    let (node, env, lines) = match args.stage {
        true => stage(&project, &args.target)?,
        false => match node(&project, &args.target, choice.as_ref().map(|choice| &choice.env)) {
            Err(problem) => stage(&project, &args.target).map_err(|_| problem)?,
            found => found?,
        },
    };
    if let Some(chosen) =
        choice.as_ref().and_then(Choice::told).filter(|chosen| env.as_ref() == Some(&chosen.env))
        && target(project.envfile(), &args.target, None).is_ok_and(|(target, _)| target.env.is_none())
    {
        invocation.terminal.using(&chosen);
    }
    let text = if args.json {
        let lines: Vec<_> =
            lines.iter().map(|line| serde_json::json!({ "text": line.text, "place": line.place })).collect();
        let shown = serde_json::json!({ "node": node, "environment": env, "lines": lines });
        format!("{shown:#}\n")
    } else {
        let width = lines
            .iter()
            .map(|line| line.text.lines().last().map_or(0, |last| last.chars().count()))
            .max()
            .unwrap_or(0)
            .min(80);
        lines
            .iter()
            .map(|line| {
                let last = line.text.lines().last().map_or(0, |last| last.chars().count());
                let gap = " ".repeat(width.saturating_sub(last) + 2);
                let place = if line.place.is_empty() {
                    String::new()
                } else {
                    invocation.terminal.dim_out(&format!("// {}", line.place))
                };
                format!("{}\n", format!("{}{gap}{place}", line.text).trim_end())
            })
            .collect()
    };
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

/// What is shown: a name, an environment, lines.
type Shown = (String, Option<String>, Vec<Line>);

fn node(project: &Project, name: &str, env: Option<&EnvName>) -> Result<Shown, Problem> {
    let (found, _) = target(project.envfile(), name, env)?;
    // One that was made from a pattern is written as the pattern is.
    let environments = &project.envfile().environments;
    let made_from = found.env.as_ref().and_then(|env| environments.get(env)?.made_from.as_ref());
    let written = made_from.or(found.env.as_ref());
    let mut lines = project.loaded.definition(&found.path, written).unwrap_or_default();
    lines.extend(project.loaded.schedules(&found.path, found.env.as_ref()));
    Ok((found.path.to_string(), found.env.as_ref().map(ToString::to_string), lines))
}

fn stage(project: &Project, name: &str) -> Result<Shown, Problem> {
    let stage = crate::ops::stage::find(project.envfile(), name)?;
    let lines = project.loaded.stage_definition(name).unwrap_or_default();
    Ok((format!("stage {name}"), stage.env.as_ref().map(|env| env.value.to_string()), lines))
}
