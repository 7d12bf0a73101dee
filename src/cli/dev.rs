//! `envrun dev`, which is `envrun run --watch`.

use crate::model::{EnvName, Node};
use crate::ops::dev::{Looks, Terms, dev};
use crate::ops::run::Request;
use crate::ops::{Problem, Project};

use super::args::RunOptions;
use super::console::{Console, keys};
use super::terminal::Stay;
use super::words::TargetWords;
use super::{Invocation, run};

/// Stays with these targets.
pub fn run(
    invocation: &Invocation<'_>,
    project: Project,
    options: &RunOptions,
    mut targets: Vec<TargetWords>,
) -> Result<u8, Problem> {
    if options.dry_run || options.question {
        let option = if options.dry_run { "--dry-run" } else { "--question" };
        return Err(Problem::usage(
            format!("`{option}` executes nothing, so there is nothing to stay for"),
            None,
        ));
    }
    let mut options = options.clone();
    if options.env.is_none()
        && let Some(first) = targets.first()
        && is_environment(&project, &first.name)
    {
        options.env = Some(targets.remove(0).name);
    }
    if targets.is_empty() {
        targets = default_targets(&project)?;
    }
    run::warn(invocation, &project, &options);
    let request = run::request(&options, targets)?;
    let terms = Terms {
        file: invocation.place.file.clone(),
        looks: if options.poll { Looks::Again } else { Looks::Told },
    };
    let mut reporters = run::reporters(invocation, &options, Stay::Session)?;
    let (terminal, clock) = (&invocation.terminal, &invocation.context.clock);
    let mut console =
        Console::new(terminal, clock, project.root(), keys(invocation, options.screen.shown.output));
    terminal.watch_services(project.root());
    let request = Request { tenant: terminal.tenant(), ..request };
    reporters.add("console", console.listener());
    dev(invocation.context, project, &request, &terms, reporters, &mut console)
}

/// Whether a word names an environment, and nothing that could be a target.
fn is_environment(project: &Project, word: &str) -> bool {
    let envfile = project.envfile();
    let env = EnvName::from(word);
    let is_target = envfile.node_paths().iter().any(|path| path.to_string() == word);
    !is_target && envfile.environments.contains_key(&env)
}

/// Without a target: what is called `dev`, else everything that stays up.
fn default_targets(project: &Project) -> Result<Vec<TargetWords>, Problem> {
    let target = |name: String| TargetWords { name, args: Vec::new(), help: false };
    let envfile = project.envfile();
    if envfile.node_paths().iter().any(|path| path.to_string() == "dev") {
        return Ok(vec![target("dev".to_owned())]);
    }
    let services: Vec<TargetWords> = envfile
        .node_paths()
        .into_iter()
        .filter(|path| matches!(envfile.node(None, path), Some(Node::Service(_))))
        .map(|path| target(path.to_string()))
        .collect();
    if services.is_empty() {
        return Err(Problem::usage(
            "`envrun dev` needs something to stay with: nothing here is called `dev`, and nothing stays up",
            Some("name one or more tasks: `envrun dev TARGET`".into()),
        ));
    }
    Ok(services)
}
