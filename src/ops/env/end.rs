//! Environments that were made from a pattern, taken down again.
//!
//! `destroy` runs `on-destroy`, stops the services, then removes what was rendered in the environment and its state, and
//! takes it off the [list](super::made). What fails stays on the list with the reason, so that it can be tried again.
//!
//! An environment whose pattern is gone from the Envfile has nodes no more. Its services are stopped and its files removed
//! all the same; but what its `on-destroy` would have done nobody can do, so if there was one it stays listed until the
//! pattern is written back, or somebody says that it is not needed.
//!
//! Invariant: `on-destroy` has succeeded before anything of the environment is removed, unless whoever asked does without.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::base::fs::{self, FsError};
use crate::base::{RelPath, Timestamp};
use crate::ledger;
use crate::model::EnvName;
use crate::preflight::Git;
use crate::record::{RenderedFile, STATE_DIR};
use crate::service::Place;

use super::super::service;
use super::super::target::environment;
use super::super::{Context, Problem, Project};
use super::life::{Failed, Run, hook, lock, outcome, targets};
use super::made::{Made, MadeEnvironment, State, is_locked};

/// The exit status of a run in which a task failed.
const EXIT_FAILED: u8 = 1;

/// What came of taking an environment down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// Other than 0, it stays listed.
    pub exit: u8,
    /// Files that were rendered in it and that somebody has changed since: they are left.
    pub left: Vec<String>,
    /// Why its `on-destroy` failed, where whoever asked does without.
    pub undone: Option<String>,
}

/// Takes an environment down, or tries again what failed. `force` does without an `on-destroy` that fails, or that nobody can
/// run, since the pattern is gone.
pub fn destroy(
    context: &Context,
    project: &mut Project,
    name: &str,
    force: bool,
    run: Run<'_>,
) -> Result<Destroyed, Problem> {
    let root = project.root().to_path_buf();
    let list = Made::read(&root)?;
    let Some(known) = list.environments.get(name) else { return Err(not_made(project, &list, name)) };
    let made = EnvName::from(name);
    if project.envfile().environments.get(&made).is_some_and(|env| env.made_from.is_none()) {
        return Err(Problem::usage(
            format!(
                "`{name}` was made from `{}`, and now an environment of the Envfile has its name and its state",
                known.pattern
            ),
            Some("rename the one in the Envfile, then take this one down".into()),
        ));
    }
    let _lock = lock(&root, &made)?;
    Made::edit(&root, |list| {
        if let Some(made) = list.environments.get_mut(name) {
            made.state = State::Destroying;
        }
    })?;
    project.ending = Some(made.clone());
    let hooks =
        project.envfile().environments.get(&made).map(|found| targets(&made, &found.pattern.on_destroy));
    let mut undone = None;
    let destroyed = match hooks {
        Some(hooks) => hook(project, hooks, run, "on-destroy")
            .or_else(|failed| {
                // One that a guard refuses or that somebody interrupted did not fail.
                if !force || failed.exit != EXIT_FAILED {
                    return Err(failed);
                }
                undone = Some(failed.reason);
                Ok(())
            })
            .and_then(|()| stop_services(context, project, name)),
        None => end_without_pattern(context, project, &made, known, force),
    };
    let (exit, failure) = outcome(destroyed);
    if let Some((reason, problem)) = failure {
        Made::edit(&root, |list| {
            if let Some(made) = list.environments.get_mut(name) {
                made.failure = Some(reason);
            }
        })?;
        return problem.map_or(Ok(Destroyed { exit, left: Vec::new(), undone: None }), Err);
    }
    let left = remove_rendered(project, name)?;
    remove_state(&root, name)?;
    Made::edit(&root, |list| list.environments.remove(name))?;
    Ok(Destroyed { exit: 0, left, undone })
}

/// Refuses who wants to run something in an environment that another envrun is just taking down: what it would leave behind
/// there, nobody would remove. Not what its `on-destroy` itself starts.
pub(in crate::ops) fn stands<'e>(
    context: &Context,
    project: &Project,
    envs: impl Iterator<Item = &'e EnvName>,
) -> Result<(), Problem> {
    let declared = &project.envfile().environments;
    let is_made = |env: &&EnvName| declared.get(*env).is_some_and(|env| env.made_from.is_some());
    // Most projects have made none, and most runs are in none that was.
    let made: BTreeSet<&EnvName> = envs.filter(is_made).collect();
    if made.is_empty() {
        return Ok(());
    }
    let list = Made::read(project.root())?;
    for env in made {
        let is_inside = project.ending.as_ref() == Some(env)
            || context.caller_text("ENVRUN_RUN").is_some_and(|run| !run.is_empty())
                && context.caller_text("ENVRUN_ENV").as_deref() == Some(env.as_str());
        let message = match list.environments.get(env.as_str()).map(|made| made.state) {
            None => format!("`{env}` was taken down a moment ago"),
            Some(State::Destroying) if !is_inside && is_locked(project.root(), env) => {
                format!("another envrun is taking `{env}` down")
            }
            Some(_) => continue,
        };
        let hint = "wait for it; `envrun env create` makes another one".to_owned();
        return Err(Problem::Busy { message, hint });
    }
    Ok(())
}

/// What there is to collect, and what came of it.
#[derive(Debug)]
pub struct Collected {
    /// The environment.
    pub name: String,
    /// Why it was due.
    pub why: String,
    /// What came of it.
    pub destroyed: Result<Destroyed, Problem>,
}

impl Collected {
    /// Whether it was taken down.
    pub fn is_gone(&self) -> bool {
        matches!(&self.destroyed, Ok(Destroyed { exit: 0, .. }))
    }
}

/// The environments that are due: idle for longer than their `ttl`, or not taken down when they should have been.
pub fn due(project: &Project, list: &Made, now: Timestamp) -> Vec<(String, String)> {
    let root = project.root();
    let why = |(name, made): (&String, &MadeEnvironment)| {
        let why = match (made.state, made.ttl(project.envfile())) {
            (State::Destroying, _) => "it could not be taken down before".to_owned(),
            (_, Some(ttl)) if made.left(root, name, ttl, now) == Duration::ZERO => {
                format!("nobody used it for {}", crate::base::unit::show_duration(ttl))
            }
            _ => return None,
        };
        Some((name.clone(), why))
    };
    list.environments.iter().filter_map(why).collect()
}

/// The environments that are not due and that nobody is at, but that were not made to the end: which, why, and what to do.
/// They are left, because whoever made one may want to see how far it came.
pub fn unfinished(project: &Project, list: &Made, now: Timestamp) -> Vec<(String, String, String)> {
    let root = project.root();
    let due = due(project, list, now);
    let told = |(name, made): (&String, &MadeEnvironment)| {
        let reason = made.broken_off(root, name)?;
        if made.state != State::Creating || due.iter().any(|(due, _)| due == name) {
            return None;
        }
        Some((name.clone(), reason, made.remedy(project.envfile(), name)))
    };
    list.environments.iter().filter_map(told).collect()
}

/// Takes down every environment that is due; one that fails keeps none of the others.
pub fn collect(context: &Context, project: &mut Project, run: Run<'_>) -> Result<Vec<Collected>, Problem> {
    let list = Made::read(project.root())?;
    let mut collected = Vec::new();
    for (name, why) in due(project, &list, context.clock.now()) {
        let destroyed = destroy(context, project, &name, false, run);
        collected.push(Collected { name, why, destroyed });
    }
    Ok(collected)
}

fn not_made(project: &Project, list: &Made, name: &str) -> Problem {
    let message = match environment(project.envfile(), name) {
        Ok(_) => format!("`{name}` stands in the Envfile; only what `envrun env create` made is taken down"),
        Err(_) => format!("no environment `{name}` was made"),
    };
    let known = list.environments.keys().map(String::as_str);
    let hint = crate::diag::did_you_mean(name, known.clone()).or_else(|| {
        let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        (!known.is_empty()).then(|| format!("there is {}", known.join(", ")))
    });
    Problem::usage(message, hint)
}

/// Stops what is still up in an environment: what `on-destroy` needed was needed until now.
fn stop_services(context: &Context, project: &mut Project, name: &str) -> Result<(), Failed> {
    let stopped = service::choose(context, project, &[name.to_owned()])
        .and_then(|chosen| service::down(context, project, &chosen));
    stopped.map(drop).map_err(services_are_up)
}

fn services_are_up(problem: Problem) -> Failed {
    Failed::new(problem.exit(), format!("its services are up: {problem}"), Some(problem))
}

/// The end of an environment whose pattern is gone.
fn end_without_pattern(
    context: &Context,
    project: &Project,
    env: &EnvName,
    made: &MadeEnvironment,
    force: bool,
) -> Result<(), Failed> {
    let pattern = &made.pattern;
    let refused = |reason: String, without: &str| {
        let hint = format!(
            "write `env \"{pattern}\" ephemeral=#true` back as it was, then `envrun env destroy {env}`; or take it down without \
             {without}: `envrun env destroy --force {env}`"
        );
        let problem = Problem::usage(reason.clone(), Some(hint));
        Failed::new(problem.exit(), reason, Some(problem))
    };
    if !made.on_destroy.is_empty() && !force {
        let nodes: Vec<String> = made.on_destroy.iter().map(|node| format!("`{node}`")).collect();
        return Err(refused(
            format!(
                "on-destroy cannot run: {}; the Envfile has no pattern `{pattern}` any more",
                nodes.join(", ")
            ),
            "it",
        ));
    }
    let daemons = service::down_undeclared(context, project, env).map_err(services_are_up)?;
    if !daemons.is_empty() && !force {
        let daemons: Vec<String> = daemons.iter().map(|label| format!("`{label}`")).collect();
        return Err(refused(
            format!(
                "nobody knows how to stop {}; the Envfile has no pattern `{pattern}` any more",
                daemons.join(", ")
            ),
            "stopping that",
        ));
    }
    Ok(())
}

/// Removes the files that were rendered in an environment and that are as they were rendered. What git has is left: it
/// was there before. Gives those that somebody has changed.
fn remove_rendered(project: &Project, env: &str) -> Result<Vec<String>, Problem> {
    let root = project.root();
    let git = Git::new(root);
    let mut left = Vec::new();
    let of_env = |file: &RenderedFile| file.node.split_once('.').is_some_and(|(its, _)| its == env);
    for file in RenderedFile::all(root).into_iter().filter(of_env) {
        let Ok(known) = RelPath::root().resolve(&file.path) else { continue };
        let path = root.join(&file.path);
        match fs::read_if_there(&path)? {
            Some(bytes) if !file.is(&bytes) => left.push(file.path.clone()),
            Some(_) if is_inside(root, &path) && !git.has_content(&path) => fs::remove_file(&path)?,
            _ => {}
        }
        RenderedFile::forget(root, &known)?;
    }
    Ok(left)
}

/// Whether no link on the way leads out of the project.
fn is_inside(root: &Path, path: &Path) -> bool {
    let real = path.parent().and_then(|folder| folder.canonicalize().ok());
    real.zip(root.canonicalize().ok()).is_some_and(|(folder, root)| folder.starts_with(root))
}

/// Removes everything that is kept for an environment.
fn remove_state(root: &Path, env: &str) -> Result<(), Problem> {
    let folder = ledger::folder(root, env);
    // The supervisor of the services that were just stopped may still be writing its last words there.
    let patience = Instant::now() + Duration::from_secs(10);
    let place = Place::new(&root.join(STATE_DIR), Some(env));
    // It has the lock until it is gone.
    let _alone = if place.folder().exists() { place.lock(Duration::from_secs(10))? } else { None };
    loop {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error)
                if error.kind() == std::io::ErrorKind::DirectoryNotEmpty && Instant::now() < patience =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(FsError::new("remove", folder, error).into()),
            // It may come back as long as somebody writes there.
            Ok(()) => {}
        }
    }
    let logs = root.join(STATE_DIR).join("logs").join(env);
    match std::fs::remove_dir_all(&logs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(FsError::new("remove", logs, error).into());
        }
        _ => {}
    }
    let secrets = root.join(STATE_DIR).join("secrets");
    fs::remove_file(&secrets.join(format!("{env}.env")))?;
    fs::remove_file(&secrets.join(format!("{env}.env.lock")))?;
    // Whoever waits for it has it open and finds nothing on the list.
    fs::remove_file(&root.join(STATE_DIR).join("env").join(format!("{env}.life.lock")))?;
    Ok(())
}
