//! The pipeline as a workflow of a CI system: one job per stage, which calls `envrun stage NAME`.
//!
//! What a stage does stands in the Envfile alone; the workflow says only in which order the jobs come, which branches they
//! are for, and where the cache and the secrets come from. Whatever a CI system cannot express (a window, a command, most
//! globs) is left out: envrun asks it itself, and skips or refuses.
//!
//! Invariant: the same Envfile gives the same text.

mod github;
mod gitlab;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::model::{Condition, ConditionKind, EnvName, Envfile, ProjectName, Stage};

use super::{Problem, Project};

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
}

impl System {
    /// As it is called on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
        }
    }
}

/// What one job hands to the next: results and their bytes. The key that hashes secrets lies beside them, and stays where
/// it is.
const CACHED: [&str; 3] = [".envrun/cache/results", ".envrun/cache/blobs", ".envrun/cache/paths"];

/// One job.
struct Job {
    /// What it is called in the workflow: letters, digits, `-` and `_`.
    id: String,
    stage: String,
    desc: Option<String>,
    env: Option<String>,
    /// The ids of the jobs before it.
    needs: Vec<String>,
    /// Each list is of globs of which one must fit the branch; all lists count, those of earlier stages included.
    branches: Vec<Vec<String>>,
    /// The same for tags; an empty list wants any tag.
    tags: Vec<Vec<String>>,
    /// The names of secrets that it sees.
    secrets: BTreeSet<String>,
}

/// What a workflow is made of.
struct Workflow {
    /// The project's name.
    name: String,
    /// How the workflow is made again.
    command: String,
    /// The command that puts envrun on a runner.
    install: String,
    /// Records are pushed to the remote.
    shared: bool,
    jobs: Vec<Job>,
}

/// Writes the workflow of a project. `install` is the command that puts envrun on a runner.
pub fn export(project: &Project, system: System, install: Option<&str>) -> Result<String, Problem> {
    let folder = project.root().file_name().map(|name| name.to_string_lossy().into_owned());
    let workflow = workflow(project.envfile(), folder.unwrap_or_default(), system, install)?;
    Ok(match system {
        System::Github => github::text(&workflow),
        System::Gitlab => gitlab::text(&workflow),
    })
}

fn workflow(
    envfile: &Envfile,
    folder: String,
    system: System,
    install: Option<&str>,
) -> Result<Workflow, Problem> {
    if envfile.stages.is_empty() {
        return Err(Problem::usage(
            "the Envfile declares no stage, and a workflow has one job for each",
            Some("`stage \"test\" { run \"unit\" }`".into()),
        ));
    }
    if envfile.state.is_none() && envfile.stages.values().any(|stage| !stage.after.is_empty()) {
        return Err(Problem::usage(
            "every job has a checkout of its own, so none would see what came of the stages before it",
            Some("`state git=\"origin\"` at the root of the Envfile shares the records".into()),
        ));
    }
    let mut jobs: Vec<Job> = Vec::new();
    for stage in super::stage::in_order(envfile) {
        let id = id(stage.name.as_str(), &jobs);
        let before: Vec<&Job> = stage
            .after
            .iter()
            .filter_map(|earlier| jobs.iter().find(|job| job.stage == earlier.value))
            .collect();
        let needs = before.iter().map(|job| job.id.clone()).collect();
        let mut branches: Vec<Vec<String>> = before.iter().flat_map(|job| job.branches.clone()).collect();
        let mut tags: Vec<Vec<String>> = before.iter().flat_map(|job| job.tags.clone()).collect();
        let env = stage.env.as_ref().map(|env| &env.value);
        for condition in conditions(envfile, stage, env) {
            match &condition.kind {
                ConditionKind::Branch(globs) => branches.push(globs.clone()),
                ConditionKind::Tag(globs) => tags.push(globs.clone()),
                _ => {}
            }
        }
        for lists in [&mut branches, &mut tags] {
            let mut seen = BTreeSet::new();
            lists.retain(|list| seen.insert(list.clone()));
        }
        jobs.push(Job {
            id,
            stage: stage.name.to_string(),
            desc: stage.desc.clone(),
            env: env.map(ToString::to_string),
            needs,
            branches,
            tags,
            secrets: secrets(envfile, env),
        });
    }
    let default = format!("cargo install envrun --locked --version {}", env!("CARGO_PKG_VERSION"));
    let with = install.map(|command| format!(" --install {}", quoted(command))).unwrap_or_default();
    Ok(Workflow {
        name: envfile.name.as_ref().map_or(folder, |name| name.value.clone()),
        command: format!("envrun ci export {}{with}", system.word()),
        install: install.map_or(default, str::to_owned),
        shared: envfile.state.is_some(),
        jobs,
    })
}

/// The `when` of a stage, and that of its environment.
fn conditions<'e>(
    envfile: &'e Envfile,
    stage: &'e Stage,
    env: Option<&EnvName>,
) -> impl Iterator<Item = &'e Condition> {
    let chain = env.and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
    let root = envfile.projects.get(&ProjectName::default());
    let scopes = chain.iter().filter_map(move |env| root?.overlays.get(env));
    scopes.flat_map(|scope| &scope.when).chain(&stage.when)
}

/// Every secret that an environment declares, in any project.
fn secrets(envfile: &Envfile, env: Option<&EnvName>) -> BTreeSet<String> {
    envfile.secrets(env).into_iter().map(|spec| spec.secret.name.to_string()).collect()
}

/// A name for a job that no other job has.
fn id(stage: &str, jobs: &[Job]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let mut base: String = stage.chars().map(plain).collect();
    if !base.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        base.insert(0, '_');
    }
    let mut id = base.clone();
    let mut more = 2;
    while jobs.iter().any(|job| job.id == id) {
        id = format!("{base}-{more}");
        more += 1;
    }
    id
}

/// A text as YAML reads it back, whatever is in it: JSON's strings are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// A glob that only says how a name begins: that beginning, and whether it is the whole name.
fn beginning(glob: &str) -> Option<(&str, bool)> {
    let special = ['*', '?', '[', ']', '{', '}', '!', '\\'];
    if !glob.contains(special) {
        return Some((glob, true));
    }
    let begin = glob.strip_suffix("**").or_else(|| glob.strip_suffix('*'))?;
    (!begin.contains(special)).then_some((begin, false))
}

/// The first lines of every workflow.
fn header(workflow: &Workflow) -> String {
    format!(
        "# Made by `{}` from the Envfile: change that, and make this anew.\n\
         # One job per stage. What a stage does, when it is skipped and what refuses it stands in the Envfile.\n",
        workflow.command.replace('\n', " ")
    )
}
