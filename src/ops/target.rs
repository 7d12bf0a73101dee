//! What was asked for, looked up: targets with their environments and checked arguments.

use std::ffi::OsStr;

use crate::diag::did_you_mean;
use crate::graph::Target;
use crate::model::address::{self, AddressError, Scene};
use crate::model::{
    ArgKind, ArgSpec, EnvName, Envfile, Node, ProjectName, Task, Value, VarType, check_value,
};

use super::{Context, Problem};

/// A target as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As written: `prod.deploy`.
    pub name: String,
    /// Its arguments by name, as written.
    pub args: Vec<(String, String)>,
}

/// Looks targets up. `env` is the environment of those that name none.
pub fn targets(context: &Context, envfile: &Envfile, asked: &[Asked], env: Option<&EnvName>) -> Result<Vec<Target>, Problem> {
    let mut targets: Vec<Target> = Vec::new();
    for asked in asked {
        let (target, task) = target(envfile, &asked.name, env)?;
        let args = match task {
            Some(task) => arguments(context, task, asked)?,
            None => Vec::new(),
        };
        let target = Target { args, ..target };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// Looks one name up, as it is written on the command line.
pub fn target<'a>(
    envfile: &'a Envfile,
    text: &str,
    env: Option<&EnvName>,
) -> Result<(Target, Option<&'a Task>), Problem> {
    let scene = Scene { project: &ProjectName::default(), namespace: "" };
    let address = address::resolve(envfile, scene, text).map_err(|error| not_found(envfile, text, &error))?;
    let env = address.env.or_else(|| env.cloned());
    let Some(node) = envfile.node(env.as_ref(), &address.path) else {
        let has = envfile.environments_of(&address.path);
        let place = env.as_ref().map_or("without an environment".to_owned(), |env| format!("in environment `{env}`"));
        let names: Vec<String> = has.iter().map(|env| format!("`{env}.{}`", address.path)).collect();
        return Err(Problem::usage(
            format!("there is no `{}` {place}", address.path),
            (!names.is_empty()).then(|| format!("there is {}", names.join(", "))),
        ));
    };
    let task = if let Node::Task(task) = node { Some(&**task) } else { None };
    Ok((Target { path: address.path, env, args: Vec::new() }, task))
}

/// The arguments that a target declares; none for a name that stands for nothing.
pub fn declared(envfile: &Envfile, text: &str, env: Option<&EnvName>) -> Vec<ArgSpec> {
    target(envfile, text, env).ok().and_then(|(_, task)| task).map(|task| task.args.clone()).unwrap_or_default()
}

/// An environment named on the command line.
pub fn environment(envfile: &Envfile, name: &str) -> Result<EnvName, Problem> {
    let env = EnvName::from(name);
    let concrete = || {
        let names: Vec<String> = envfile.concrete_environments().map(|env| format!("`{}`", env.name)).collect();
        (!names.is_empty()).then(|| format!("there is {}", names.join(", ")))
    };
    match envfile.environments.get(&env) {
        None => {
            let nearest = did_you_mean(name, envfile.environments.keys().map(EnvName::as_str));
            Err(Problem::usage(format!("there is no environment `{name}`"), nearest.or_else(concrete)))
        }
        Some(found) if found.is_abstract || found.ephemeral => {
            let what = if found.is_abstract { "abstract: it is there to be extended" } else { "a pattern that environments are made from" };
            Err(Problem::usage(format!("environment `{name}` is {what}"), concrete()))
        }
        Some(_) => Ok(env),
    }
}

fn not_found(envfile: &Envfile, text: &str, error: &AddressError) -> Problem {
    // `qa.setup`: the part before the dot may have been meant as an environment.
    if let (AddressError::Unknown { .. }, Some((first, rest))) = (error, text.split_once('.'))
        && !envfile.environments.is_empty()
        && target(envfile, rest, None).is_ok()
        && let Err(problem) = environment(envfile, first)
    {
        return problem;
    }
    Problem::usage(error.to_string(), error.help().or_else(|| Some("`envrun list` shows what there is".into())))
}

/// Checks what was given against what the task declares.
fn arguments(context: &Context, task: &Task, asked: &Asked) -> Result<Vec<(String, String)>, Problem> {
    let help = || Some(format!("`envrun {} --help`", asked.name));
    let mut values = Vec::new();
    for spec in &task.args {
        let name = &spec.name.value;
        let given = asked.args.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let from_caller = || spec.env.as_ref().and_then(|name| context.caller.get(OsStr::new(name))?.to_str().map(str::to_owned));
        let Some(value) = given.or_else(from_caller) else {
            if spec.default.is_none() && matches!(spec.kind, ArgKind::Positional { .. }) {
                return Err(Problem::usage(format!("`{}` wants a value for `{name}`", asked.name), help()));
            }
            continue;
        };
        // A switch that is not set does not arrive at all.
        if spec.kind == ArgKind::Switch {
            if value == "true" {
                values.push((name.clone(), value));
            }
            continue;
        }
        for one in value.split('\n') {
            check_value(kind(spec), &spec.constraints, one).map_err(|violation| {
                Problem::usage(format!("`{one}` for `{name}` of `{}` {}", asked.name, violation.message), help())
            })?;
        }
        values.push((name.clone(), value));
    }
    Ok(values)
}

/// The type of an argument: that of its default, a number if it has limits, text otherwise.
fn kind(spec: &ArgSpec) -> VarType {
    match spec.default {
        Some(Value::Int(_)) => VarType::Int,
        Some(Value::Float(_)) => VarType::Float,
        None if spec.constraints.min.is_some() || spec.constraints.max.is_some() => VarType::Float,
        _ => VarType::String,
    }
}
