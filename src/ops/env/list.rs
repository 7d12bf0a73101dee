//! Every environment, and what sets it apart.

use indexmap::IndexSet;
use serde::Serialize;

use crate::model::{Environment, NodePath, VarName};

use super::super::Project;

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
}

/// Every environment, in the order written.
pub fn list(project: &Project) -> Vec<Row> {
    let envfile = project.envfile();
    let paths = envfile.node_paths();
    envfile.environments.values().map(|env| row(project, env, &paths)).collect()
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
            names.extend(scope.vars.keys().chain(scope.secrets.keys()));
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
    }
}

/// A condition as it is written, on one line.
fn written(project: &Project, span: crate::diag::Span) -> String {
    let text = project.sources().snippet(span);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
