//! What was asked for, looked up: targets with their environments and checked arguments.

use std::ffi::OsStr;

use crate::diag::Diagnostic;
use crate::graph::Target;
use crate::graph::address::{UNKNOWN, resolve_environment, resolve_target};
use crate::model::{ArgKind, ArgSpec, EnvName, Envfile, Node, Task, Value, VarType, check_value};

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
pub fn targets(
    context: &Context,
    envfile: &Envfile,
    asked: &[Asked],
    env: Option<&EnvName>,
) -> Result<Vec<Target>, Problem> {
    let mut targets: Vec<Target> = Vec::new();
    for asked in asked {
        let (target, task) = target(envfile, &asked.name, env)?;
        let args = match task {
            Some(task) => arguments(context, &task.args, asked, &format!("`envrun {} --help`", asked.name))?,
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
    let target = resolve_target(envfile, text, env).map_err(|diagnostic| {
        if diagnostic.code != UNKNOWN {
            asked_wrongly(diagnostic)
        } else if envfile.environments.contains_key(text) {
            let hint = format!(
                "`{text}` is an environment: `envrun {text}.NODE` runs something in it, `envrun env show {text}` shows its values"
            );
            Problem::usage(diagnostic.message, Some(hint))
        } else if diagnostic.help.is_none() {
            Problem::NoNode { text: text.to_owned() }
        } else {
            asked_wrongly(diagnostic)
        }
    })?;
    let task = match envfile.node(target.env.as_ref(), &target.path) {
        Some(Node::Task(task)) => Some(&**task),
        _ => None,
    };
    Ok((target, task))
}

/// The arguments that a target declares; none for a name that stands for nothing.
pub fn declared(envfile: &Envfile, text: &str, env: Option<&EnvName>) -> Vec<ArgSpec> {
    target(envfile, text, env)
        .ok()
        .and_then(|(_, task)| task)
        .map(|task| task.args.clone())
        .unwrap_or_default()
}

/// An environment named on the command line.
pub fn environment(envfile: &Envfile, name: &str) -> Result<EnvName, Problem> {
    resolve_environment(envfile, name).map_err(asked_wrongly)
}

/// What is wrong with a word of the command line has no place in a text.
pub(super) fn asked_wrongly(diagnostic: Diagnostic) -> Problem {
    Problem::usage(
        diagnostic.message,
        diagnostic.help.or_else(|| Some("`envrun list` shows what there is".into())),
    )
}

/// Checks what was given against what is declared.
pub(super) fn arguments(
    context: &Context,
    specs: &[ArgSpec],
    asked: &Asked,
    hint: &str,
) -> Result<Vec<(String, String)>, Problem> {
    let help = || Some(hint.to_owned());
    let mut values = Vec::new();
    for spec in specs {
        let name = &spec.name.value;
        let given = asked.args.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let from_caller = || {
            spec.env
                .as_ref()
                .and_then(|name| context.caller.get(OsStr::new(name))?.to_str().map(str::to_owned))
        };
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
                Problem::usage(
                    format!("`{one}` for `{name}` of `{}` {}", asked.name, violation.message),
                    help(),
                )
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
