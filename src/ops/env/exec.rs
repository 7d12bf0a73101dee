//! A command in an environment.

use std::ffi::OsString;

use crate::diag::Diagnostic;
use crate::exec::{self, Environ};
use crate::model::{EnvName, ProjectName};
use crate::vars::{INVALID, Lookup};

use super::super::run::Request;
use super::super::{Context, Problem, Project, secret};
use super::end::stands;
use super::{EnvValues, guard};

/// What a command is to see, and what it will miss.
#[derive(Debug)]
pub struct Lent {
    /// The environment's variables over the caller's.
    pub environ: Environ,
    /// Why a declared name has no value, for each that has none.
    pub missing: Vec<String>,
    /// Secrets that were made for it.
    pub notices: Vec<String>,
}

/// Puts together what a command in the environment sees. The environment's guard comes first, with the words that it wants
/// to be typed: a command may do anything.
pub fn lend(
    context: &Context,
    project: &mut Project,
    owner: &ProjectName,
    env: Option<&EnvName>,
    request: &Request,
) -> Result<Lent, Problem> {
    stands(context, project, env.into_iter())?;
    let values = EnvValues::read(context, project, env.cloned(), &request.set)?;
    let values = values.of(owner).expect("the project was looked up");
    let what = env.map_or_else(|| "env exec".to_owned(), |env| format!("env exec {env}"));
    let known = guard::ask(context, project, owner, env, values, &what)?;
    guard::confirm(project, owner, env, &what, request)?;
    let opened = secret::open_all(context, project, values, secret::Missing::Make, known)?;
    let mut environ = Environ::new(&context.caller);
    let mut missing = Vec::new();
    let mut wrong: Vec<Diagnostic> = Vec::new();
    for (name, lookup) in values.iter() {
        match lookup {
            Lookup::Value { text, .. } => environ.set(name.as_str(), &**text),
            // Several names may miss the same one.
            Lookup::Missing(told) if wrong.contains(told) || missing.contains(&told.message) => {}
            Lookup::Missing(told) if told.code == INVALID => wrong.push((**told).clone()),
            Lookup::Missing(told) => missing.push(told.message.clone()),
            Lookup::Undeclared => {}
        }
    }
    if !wrong.is_empty() {
        return Err(project.problem(wrong));
    }
    if let Some(env) = env {
        environ.set("ENVRUN_ENV", env.as_str());
    }
    Ok(Lent { environ, missing, notices: opened.notices.into_iter().map(|(message, _)| message).collect() })
}

/// Makes a command of this process: it has envrun's own pid, streams, signals and end. Returns only if that cannot be
/// done.
pub fn become_command(context: &Context, words: &[OsString], lent: &Lent) -> Problem {
    Problem::Start(exec::replace(words, &context.cwd, &lent.environ))
}
