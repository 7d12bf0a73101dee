//! When one node stands for all environments.
//!
//! A task reached in an environment is the *shared* node, without an environment in its label and its identity, when
//! its resolved definition reads nothing of that environment:
//!
//! * it is cacheable, so that it sees only the variables it names; or it has no actions at all;
//! * neither it nor a task that it calls is patched or added by the environment or by one that it extends;
//! * every variable it names (in commands, paths, conditions, `uses`) has there the value that it has at the root, and
//!   is none of those by which envrun tells the environment, such as `ENVRUN_ENV`;
//! * everything it needs is shared too, or pinned to an environment by name.
//!
//! So `uat.deploy` and `prod.deploy` meet in the same `build`. What is shared in one environment need not be in another:
//! where `dev` alone sets `CFLAGS`, `uat` and `prod` share `build`, and `dev.build` is a node of its own.
//!
//! `on-fail`, `on-success` and `after` do not count: they say what happens around a node, not what it makes. A shared
//! node calls the follow-ups of every environment in which it is reached.

use std::collections::BTreeSet;

use crate::model::{ConditionKind, EnvName, Envfile, NodePath, Task, VarName};
use crate::vars::{EnvironmentNames, Lookup, Values};

use super::call::Expansion;

/// Whether the definition as such, without patches, values and needs, may be shared.
pub(super) fn may_be(task: &Task, expansion: &Expansion) -> bool {
    // Guards and requirements are asked for the environment: what they ask about must not be a matter of the environment.
    let asks_variables = |kind: &ConditionKind| {
        matches!(
            kind,
            ConditionKind::Set(_)
                | ConditionKind::Unset(_)
                | ConditionKind::Exec { .. }
                | ConditionKind::Approval { .. }
        )
    };
    (task.is_cacheable() || task.is_group())
        && !expansion.patched
        && !task.guard.iter().any(|condition| asks_variables(&condition.kind))
        && !task.requires.iter().any(|required| required.asks_variables())
}

/// Whether `env`, or an environment that it extends, says something of its own about the node.
pub(super) fn is_patched(envfile: &Envfile, path: &NodePath, env: &EnvName) -> bool {
    let project = envfile.projects.get(&path.project);
    project
        .and_then(|project| project.overlays.get(env))
        .is_some_and(|scope| scope.nodes.contains_key(&path.name))
}

/// Whether everything in `names` stands for the same in the environment and at the root. `decided` are the names that an
/// environment may decide.
pub(super) fn same_values(
    names: &BTreeSet<VarName>,
    decided: &EnvironmentNames,
    here: &Values,
    root: &Values,
) -> bool {
    names.iter().map(VarName::as_str).filter(|name| decided.contains(name)).all(|name| {
        !name.starts_with("ENVRUN_")
            && match (here.lookup(name), root.lookup(name)) {
                (
                    Lookup::Value { text, secret, .. },
                    Lookup::Value { text: root_text, secret: root_secret, .. },
                ) => text == root_text && secret == root_secret,
                (Lookup::Undeclared, Lookup::Undeclared) => true,
                // A missing value is said where it is missed: in the environment.
                _ => false,
            }
    })
}
