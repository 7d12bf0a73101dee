//! What stands on the command line, as a target.

use crate::diag::Diagnostic;
use crate::model::address::{self, AddressError, Scene};
use crate::model::{EnvName, Envfile, ProjectName};

use super::{Target, say};

/// The code of a name that no node has.
pub const UNKNOWN: &str = "target/unknown";

/// Reads `[<env|stage>.][<project>:]<name>` as it is written on the command line, seen from the root project. A text
/// that names no environment gets `default_env`, or none where none is declared. `:name` is the root project's node,
/// even if a subcommand has the same name.
///
/// # Errors
/// An unknown name, with the nearest one; an environment that is only a pattern, with those that a run can be in; a
/// node that the environment does not have, with those that do.
pub fn resolve_target(
    envfile: &Envfile,
    text: &str,
    default_env: Option<&EnvName>,
) -> Result<Target, Diagnostic> {
    let root = ProjectName::default();
    let address =
        address::resolve(envfile, Scene { project: &root, namespace: "" }, text).map_err(|error| {
            let env = text.split_once('.').map(|(env, _)| env);
            let unknown = matches!(error, AddressError::Unknown { .. });
            let env = env.filter(|_| unknown);
            env.and_then(|env| lost(envfile, env).or_else(|| no_environment(envfile, env, text, &error)))
                .unwrap_or_else(|| diagnostic(error))
        })?;
    let env = address.env.or_else(|| default_env.cloned());
    if let Some(env) = &env {
        is_concrete(envfile, env)?;
    }
    if envfile.node(env.as_ref(), &address.path).is_none() {
        return Err(say::not_in_environment(envfile, &address.path, env.as_ref(), None));
    }
    Ok(Target { path: address.path, env, stage: address.stage, args: Vec::new() })
}

/// What is to be said of `qa.setup`, where there is a node `setup` and nothing like an environment `qa`: what is wrong is
/// the environment, which the nearest name of a node would not tell.
fn no_environment(envfile: &Envfile, env: &str, text: &str, error: &AddressError) -> Option<Diagnostic> {
    let AddressError::Unknown { nearest, .. } = error else { return None };
    let rest = &text[env.len()..];
    let root = ProjectName::default();
    let scene = Scene { project: &root, namespace: "" };
    let is_node = address::resolve(envfile, scene, rest.strip_prefix('.')?).is_ok();
    let is_near = nearest.as_ref().is_some_and(|nearest| nearest.ends_with(rest));
    let has_any = envfile.concrete_environments().next().is_some();
    if !is_node || is_near || !has_any {
        return None;
    }
    resolve_environment(envfile, env).err()
}

/// Finds an environment by the name that was given for it.
///
/// # Errors
/// It is unknown, or only a pattern.
pub fn resolve_environment(envfile: &Envfile, text: &str) -> Result<EnvName, Diagnostic> {
    let Some((name, _)) = envfile.environments.get_key_value(text) else {
        if let Some(lost) = lost(envfile, text) {
            return Err(lost);
        }
        let known: Vec<&str> = envfile.concrete_environments().map(|env| env.name.as_str()).collect();
        let help =
            crate::diag::did_you_mean(text, known.iter().copied()).or_else(|| match known.as_slice() {
                [] => Some("the Envfile declares none".into()),
                known => Some(format!("there is {}", say::list(known.iter().copied()))),
            });
        return Err(Diagnostic::error(
            "target/unknown-environment",
            format!("there is no environment `{text}`"),
        )
        .maybe_help(help));
    };
    is_concrete(envfile, name)?;
    Ok(name.clone())
}

/// What is to be said of a name that the Envfile does not know, and that is that of an environment that was made, or may be.
pub fn lost(envfile: &Envfile, text: &str) -> Option<Diagnostic> {
    if envfile.environments.contains_key(text) {
        return None;
    }
    let (message, help) = match (envfile.orphans.get(text), &envfile.made_unread) {
        (Some(pattern), _) => (
            format!("`{text}` was made from the pattern `{pattern}`, which is no longer in the Envfile"),
            format!(
                "write `env \"{pattern}\" ephemeral=#true` back as it was; or take it down: `envrun env destroy {text}`"
            ),
        ),
        (None, Some(reason)) => (
            format!("`{text}` is not in the Envfile, and which environments were made is not known"),
            reason.clone(),
        ),
        (None, None) => return None,
    };
    Some(Diagnostic::error("target/unknown-environment", message).help(help))
}

/// Refuses an environment that no run can be in.
fn is_concrete(envfile: &Envfile, env: &EnvName) -> Result<(), Diagnostic> {
    match address::not_concrete(&envfile.environments, env) {
        Some((what, concrete)) => {
            Err(diagnostic(AddressError::NotConcrete { env: env.clone(), what, concrete }))
        }
        None => Ok(()),
    }
}

fn diagnostic(error: AddressError) -> Diagnostic {
    let code = match error {
        AddressError::Unknown { .. } => UNKNOWN,
        AddressError::NotIn { .. } => "target/not-in-environment",
        AddressError::NotConcrete { .. } => "target/not-concrete",
        AddressError::Ambiguous { .. } => "target/ambiguous",
        AddressError::Malformed { .. } => "target/malformed",
    };
    Diagnostic::error(code, error.to_string()).maybe_help(error.help())
}
