//! What there is to run: environments, tasks, what they are for.

use serde::Serialize;

use crate::model::{ArgKind, EnvName, Envfile, Node, NodePath, Schedule, Stage};

/// Everything an Envfile offers, in the order written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The project's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Every environment.
    pub environments: Vec<ListedEnvironment>,
    /// Every stage, in the order of the pipeline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<ListedStage>,
    /// Every node.
    pub nodes: Vec<ListedNode>,
    /// What runs at given times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ListedSchedule>,
}

/// A node that runs at given times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSchedule {
    /// What runs: `prod.db`.
    pub node: String,
    /// At which times: `30 2 * * * Europe/Berlin`, `every 30s`.
    pub times: String,
}

/// A stage of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedStage {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// The environment it runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The stages before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// What it runs.
    pub run: Vec<String>,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedEnvironment {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// What it extends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// It is the environment of a target that names none.
    pub default: bool,
    /// It is only there to be extended.
    #[serde(rename = "abstract")]
    pub is_abstract: bool,
    /// It is a pattern from which environments are made.
    pub ephemeral: bool,
}

/// A task, service, deploy or snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedNode {
    /// `api:test`.
    pub name: String,
    /// `task`, `service`, `deploy` or `snapshot`.
    pub kind: &'static str,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// The heading it is listed under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its other names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alias: Vec<String>,
    /// Its arguments as on the command line: `<level>`, `[path]`, `[--coverage]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The only environments that have it; empty when all do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// It is not listed unless asked for.
    pub hidden: bool,
}

/// Lists what `envfile` offers; with a filter only what is in that environment or project, or has it in its name.
pub fn list(envfile: &Envfile, filter: Option<&str>) -> Listing {
    let environments = envfile
        .environments
        .values()
        .map(|env| ListedEnvironment {
            name: env.name.to_string(),
            desc: env.desc.clone(),
            // The chain ends with the environment itself; what it extends stands before.
            extends: env.chain.len().checked_sub(2).map(|at| env.chain[at].to_string()),
            default: envfile.default_env.as_ref().is_some_and(|default| default.value == env.name),
            is_abstract: env.is_abstract,
            ephemeral: env.ephemeral,
        })
        .collect();
    let chosen = filter.map(EnvName::from).filter(|env| envfile.environments.contains_key(env));
    let wanted = |path: &NodePath| match (&chosen, filter) {
        (Some(env), _) => envfile.node(Some(env), path).is_some(),
        (None, Some(filter)) => path.project.as_str() == filter || path.to_string().contains(filter),
        (None, None) => true,
    };
    let paths = envfile.node_paths();
    let nodes = paths
        .iter()
        .filter(|path| wanted(path))
        .filter_map(|path| node(envfile, path, chosen.as_ref()))
        .collect();
    let is_wanted = |stage: &&Stage| match (&chosen, filter) {
        (Some(env), _) => stage.env.as_ref().is_some_and(|of| of.value == *env),
        (None, Some(filter)) => stage.name.as_str().contains(filter),
        (None, None) => true,
    };
    let stages = super::stage::in_order(envfile).into_iter().filter(is_wanted).map(stage).collect();
    let is_of = |schedule: &&Schedule| match (&chosen, filter) {
        (Some(env), _) => schedule.node.env.as_ref().is_none_or(|of| of == env),
        (None, Some(filter)) => schedule.label().contains(filter),
        (None, None) => true,
    };
    let schedule =
        |schedule: &Schedule| ListedSchedule { node: schedule.label(), times: schedule.times.to_string() };
    let schedules = envfile.schedules.iter().filter(is_of).map(schedule).collect();
    Listing {
        project: envfile.name.as_ref().map(|name| name.value.clone()),
        environments,
        stages,
        nodes,
        schedules,
    }
}

fn stage(stage: &Stage) -> ListedStage {
    let run = stage.run.iter().map(|node| match &node.env {
        Some(env) => format!("{env}.{}", node.path),
        None => node.path.to_string(),
    });
    ListedStage {
        name: stage.name.to_string(),
        desc: stage.desc.clone(),
        env: stage.env.as_ref().map(|env| env.value.to_string()),
        after: stage.after.iter().map(|name| name.value.clone()).collect(),
        run: run.collect(),
    }
}

fn node(envfile: &Envfile, path: &NodePath, env: Option<&EnvName>) -> Option<ListedNode> {
    let environments = envfile.environments_of(path);
    let node = envfile.node(env.or(environments.first()), path)?;
    let mut listed = ListedNode {
        name: path.to_string(),
        kind: node.kind(),
        desc: node.desc().map(str::to_owned),
        group: None,
        alias: Vec::new(),
        args: Vec::new(),
        environments: environments.iter().map(ToString::to_string).collect(),
        hidden: false,
    };
    if let Node::Task(task) = node {
        listed.group.clone_from(&task.group);
        listed.alias = task.alias.iter().map(|alias| alias.value.clone()).collect();
        listed.args = task.args.iter().map(usage).collect();
        listed.hidden = task.hidden;
    }
    Some(listed)
}

/// An argument as in a usage line.
pub fn usage(arg: &crate::model::ArgSpec) -> String {
    let name = &arg.name.value;
    match arg.kind {
        ArgKind::Switch => format!("[--{name}]"),
        ArgKind::Positional { repeat } => {
            let more = if repeat { "…" } else { "" };
            if arg.default.is_some() { format!("[{name}{more}]") } else { format!("<{name}{more}>") }
        }
    }
}
