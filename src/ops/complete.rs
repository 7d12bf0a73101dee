//! What may stand where the cursor is: environments, tasks, their arguments.

use crate::model::{ArgKind, ArgSpec, EnvName, Envfile, Environment, Node, NodePath, VarType};

/// A word that may stand there, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// What it is for; may be empty.
    pub desc: String,
}

impl Candidate {
    /// A word and what it is for.
    pub fn new(word: impl Into<String>, desc: impl Into<String>) -> Self {
        Self { word: word.into(), desc: desc.into() }
    }
}

/// Targets that begin with `prefix`. Behind `env.` those of that environment; else names, and environments with their dot.
pub fn targets(envfile: &Envfile, prefix: &str) -> Vec<Candidate> {
    let inside = prefix.split_once('.').map(|(env, _)| EnvName::from(env));
    let inside = inside.filter(|env| envfile.environments.contains_key(env));
    let mut found = Vec::new();
    let listed = |env: Option<&EnvName>, path: &NodePath| {
        envfile
            .node(env, path)
            .filter(|node| !matches!(node, Node::Task(task) if task.hidden))
            .map(|node| node.desc().unwrap_or_default().to_owned())
    };
    if let Some(env) = &inside {
        for path in envfile.node_paths() {
            found.extend(listed(Some(env), &path).map(|desc| Candidate::new(format!("{env}.{path}"), desc)));
        }
    } else {
        let default = envfile.default_env.as_ref().map(|env| &env.value);
        for path in envfile.node_paths() {
            found.extend(listed(default, &path).map(|desc| Candidate::new(path.to_string(), desc)));
        }
        for env in envfile.concrete_environments() {
            found.push(Candidate::new(
                format!("{}.", env.name),
                env.desc.clone().unwrap_or_else(|| "environment".into()),
            ));
        }
    }
    found.retain(|candidate| candidate.word.starts_with(prefix));
    found
}

/// Environments that begin with `prefix`.
pub fn environments(envfile: &Envfile, prefix: &str) -> Vec<Candidate> {
    envfile
        .concrete_environments()
        .filter(|env| env.name.as_str().starts_with(prefix))
        .map(|env| Candidate::new(env.name.as_str(), env.desc.clone().unwrap_or_default()))
        .collect()
}

/// Stages that begin with `prefix`.
pub fn stages(envfile: &Envfile, prefix: &str) -> Vec<Candidate> {
    let stages = envfile.stages.values().filter(|stage| stage.name.as_str().starts_with(prefix));
    stages.map(|stage| Candidate::new(stage.name.as_str(), stage.desc.clone().unwrap_or_default())).collect()
}

/// Nodes that have a schedule, with its times.
pub fn schedules(envfile: &Envfile) -> Vec<Candidate> {
    let schedules = envfile.schedules.iter();
    schedules.map(|schedule| Candidate::new(schedule.label(), schedule.times.to_string())).collect()
}

/// What may stand behind the words of `envrun env`: environments, patterns, a pattern's arguments.
pub fn environment_words(envfile: &Envfile, words: &[String], prefix: &str) -> Vec<Candidate> {
    let of = |is: fn(&Environment) -> bool| {
        let found =
            envfile.environments.values().filter(|env| is(env) && env.name.as_str().starts_with(prefix));
        found
            .map(|env| Candidate::new(env.name.as_str(), env.desc.clone().unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    match words {
        [word, pattern, ..] if word == "create" => {
            let specs = envfile.environments.get(pattern.as_str()).map_or(&[][..], |env| &env.pattern.args);
            let flags = specs.iter().map(|spec| {
                Candidate::new(format!("--{}", spec.name.value), spec.desc.clone().unwrap_or_default())
            });
            flags.filter(|flag| prefix.starts_with('-') && flag.word.starts_with(prefix)).collect()
        }
        _ if prefix.starts_with('-') => Vec::new(),
        [word] if word == "create" => of(|env| env.ephemeral && !env.is_abstract),
        [word, ..] if word == "destroy" => of(|env| env.made_from.is_some()),
        [word] if ["exec", "export"].contains(&word.as_str()) => environments(envfile, prefix),
        [word, ..] if ["show", "diff", "sync"].contains(&word.as_str()) => environments(envfile, prefix),
        _ => Vec::new(),
    }
}

/// Secrets that an environment has.
pub fn secrets(envfile: &Envfile, env: Option<&str>, prefix: &str) -> Vec<Candidate> {
    let env = env.map(EnvName::from);
    let secrets = envfile.secrets(env.as_ref()).into_iter().map(|spec| spec.secret);
    secrets
        .filter(|secret| secret.name.as_str().starts_with(prefix))
        .map(|secret| Candidate::new(secret.name.as_str(), secret.desc.unwrap_or_default()))
        .collect()
}

/// Services that begin with `prefix`: those of the environment that stands `before`; without one, environments too.
pub fn services(envfile: &Envfile, before: Option<&str>, prefix: &str) -> Vec<Candidate> {
    let named = before.map(EnvName::from).filter(|env| envfile.environments.contains_key(env));
    let env = named.as_ref().or(envfile.default_env.as_ref().map(|env| &env.value));
    let mut found = if before.is_none() { environments(envfile, prefix) } else { Vec::new() };
    for path in envfile.node_paths() {
        if let Some(Node::Service(service)) = envfile.node(env, &path) {
            found.push(Candidate::new(path.to_string(), service.task.desc.clone().unwrap_or_default()));
        }
    }
    found.retain(|candidate| candidate.word.starts_with(prefix));
    found
}

/// Variables that `--set` may name, with `=`.
pub fn variables(envfile: &Envfile, prefix: &str) -> Vec<Candidate> {
    let vars = envfile.projects.values().flat_map(|project| project.base.vars.values());
    vars.filter(|var| var.name.as_str().starts_with(prefix))
        .map(|var| Candidate::new(format!("{}=", var.name), var.desc.clone().unwrap_or_default()))
        .collect()
}

/// What a task takes that begins with `prefix`: its flags, or the values of its next positional argument.
pub fn arguments(declared: &[ArgSpec], given: &[String], prefix: &str) -> Vec<Candidate> {
    let flags = declared.iter().filter(|arg| !matches!(arg.kind, ArgKind::Positional { .. }));
    let mut found: Vec<Candidate> = flags
        .map(|arg| Candidate::new(format!("--{}", arg.name.value), arg.desc.clone().unwrap_or_default()))
        .filter(|candidate| candidate.word.starts_with(prefix) && !given.contains(&candidate.word))
        .collect();
    let words = given.iter().filter(|word| !word.starts_with('-')).count();
    let mut positional = declared.iter().filter(|arg| matches!(arg.kind, ArgKind::Positional { .. }));
    if let Some(arg) =
        positional.clone().nth(words).or_else(|| positional.next_back().filter(|arg| repeats(arg)))
    {
        let values = arg.constraints.one_of.as_ref().map(|one_of| one_of.value.clone()).unwrap_or_default();
        let desc = arg.desc.clone().unwrap_or_else(|| arg.name.value.clone());
        found.extend(
            values
                .into_iter()
                .filter(|value| value.starts_with(prefix))
                .map(|value| Candidate::new(value, desc.clone())),
        );
    }
    found
}

fn repeats(arg: &ArgSpec) -> bool {
    matches!(arg.kind, ArgKind::Positional { repeat: true })
}

/// Values of a declared variable behind `NAME=`: those of an enumeration, or of a boolean.
pub fn values(envfile: &Envfile, name: &str) -> Vec<Candidate> {
    let var = envfile.projects.values().find_map(|project| project.base.vars.get(name));
    let Some(var) = var else { return Vec::new() };
    let words = match &var.constraints.one_of {
        Some(one_of) => one_of.value.clone(),
        None if var.ty == Some(VarType::Bool) => vec!["true".into(), "false".into()],
        None => Vec::new(),
    };
    words.into_iter().map(|word| Candidate::new(format!("{name}={word}"), "")).collect()
}
