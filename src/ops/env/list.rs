//! Every environment, and what sets it apart.

use std::collections::BTreeMap;

use indexmap::IndexSet;
use serde::Serialize;

use crate::base::Timestamp;
use crate::model::{Envfile, Environment, NodePath, VarName};

use super::super::{Problem, Project};
use super::made::{Made, MadeEnvironment, State};

/// An environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub desc: Option<String>,
    /// What it extends.
    pub extends: Option<String>,
    /// It is the environment of a target that names none.
    pub default: bool,
    /// It is only there to be extended.
    #[serde(rename = "abstract")]
    pub is_abstract: bool,
    /// It is a pattern from which environments are made.
    pub ephemeral: bool,
    /// How many nodes it has, of all projects.
    pub nodes: usize,
    /// The nodes that it has and the root has not.
    pub own_nodes: Vec<String>,
    /// How many variables and secrets are declared in it.
    pub variables: usize,
    /// The conditions that refuse, as they are written, those it inherits first.
    pub guard: Vec<String>,
    /// The conditions under which it is chosen, as they are written.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// How it was made, if it was made from a pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<MadeRow>,
}

/// How an environment was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MadeRow {
    /// The pattern; it may be gone from the Envfile.
    pub pattern: String,
    /// What was given.
    pub args: BTreeMap<String, String>,
    /// The ports that were drawn.
    pub ports: BTreeMap<String, u16>,
    /// How far it is.
    pub state: State,
    /// Somebody is making it, or taking it down.
    pub busy: bool,
    /// Why it was not made, or not taken down.
    pub failure: Option<String>,
    /// In how many seconds it is due, if its pattern has a `ttl` and nobody uses it.
    pub due_in: Option<u64>,
}

/// Every environment, in the order written.
pub fn list(project: &Project, now: Timestamp) -> Result<Vec<Row>, Problem> {
    let envfile = project.envfile();
    let paths = envfile.node_paths();
    let mut rows: Vec<Row> = envfile.environments.values().map(|env| row(project, env, &paths)).collect();
    for (name, made) in Made::read(project.root())?.environments {
        let due_in = made.ttl(envfile).map(|ttl| made.left(project.root(), &name, ttl, now).as_secs());
        let (busy, failure) = (made.is_busy(project.root(), &name), made.broken_off(project.root(), &name));
        let MadeEnvironment { pattern, args, ports, state, .. } = made;
        let made = Some(MadeRow { pattern, args, ports, state, busy, failure, due_in });
        match rows.iter_mut().find(|row| row.name == name && is_made(envfile, &name)) {
            Some(row) => row.made = made,
            // Its pattern is gone, or its name was taken: it is there all the same, and can be taken down.
            None => rows.push(Row { name, made, ..Row::default() }),
        }
    }
    Ok(rows)
}

fn is_made(envfile: &Envfile, name: &str) -> bool {
    envfile.environments.get(name).is_some_and(|env| env.made_from.is_some())
}

fn row(project: &Project, env: &Environment, paths: &[NodePath]) -> Row {
    let envfile = project.envfile();
    let has = |path: &&NodePath| envfile.node(Some(&env.name), path).is_some();
    let is_own = |path: &&NodePath| has(path) && envfile.node(None, path).is_none();
    let mut names: IndexSet<&VarName> = IndexSet::new();
    let (mut guard, mut matches) = (Vec::new(), Vec::new());
    for (at, project_) in envfile.projects.values().enumerate() {
        let overlays = env.chain.iter().filter_map(|env| project_.overlays.get(env));
        for scope in std::iter::once(&project_.base).chain(overlays) {
            scope.lay_names(&mut names);
            guard.extend(scope.guard.iter().map(|condition| written(project, condition.span)));
            // Only the root's are asked.
            if at == 0 {
                matches.extend(scope.matches.iter().map(|condition| written(project, condition.span)));
            }
        }
    }
    Row {
        name: env.name.to_string(),
        desc: env.desc.clone(),
        extends: env.chain.len().checked_sub(2).map(|at| env.chain[at].to_string()),
        default: envfile.default_env.as_ref().is_some_and(|default| default.value == env.name),
        is_abstract: env.is_abstract,
        ephemeral: env.ephemeral,
        nodes: paths.iter().filter(has).count(),
        own_nodes: paths.iter().filter(is_own).map(ToString::to_string).collect(),
        variables: names.len(),
        guard,
        matches,
        made: None,
    }
}

/// A condition as it is written, on one line.
fn written(project: &Project, span: crate::diag::Span) -> String {
    let text = project.sources().snippet(span);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
