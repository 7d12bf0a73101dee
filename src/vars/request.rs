//! What values are made of, and which scopes count for a project in an environment.

use std::sync::Arc;

use crate::diag::Span;
use crate::model::{EnvName, Envfile, Environment, Project, ProjectName, Scope};

use super::dotenv;
use super::interpolate::{Form, interpolate};
use super::lookup::Layer;
use super::values::Values;

/// Looks a name up outside the Envfile.
pub type Source = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What [`Values`] are made of.
#[derive(Clone)]
pub struct Request<'a> {
    /// What the Envfile says.
    pub envfile: &'a Envfile,
    /// Whose values.
    pub project: &'a ProjectName,
    /// In which environment; `None` where no environment is declared.
    pub env: Option<&'a EnvName>,
    /// The dotenv files that [`dotenv_files`] named and that were there, in that order.
    pub dotenv: &'a [DotenvFile],
    /// `--set`, in order; the last of a name counts.
    pub set: &'a [(String, String)],
    /// What envrun itself gives (`ENVRUN_REVISION`, …). Asked only for names that begin with `ENVRUN_` and that
    /// something mentions; `ENVRUN_ENV` is known without.
    pub given: Source,
    /// The caller's variables.
    pub caller: Source,
}

/// A dotenv file and what it says.
#[derive(Debug, Clone)]
pub struct DotenvFile {
    /// The project that names it.
    pub project: ProjectName,
    /// The path as written, with its `${NAME}` replaced; relative to the project's folder.
    pub path: String,
    /// It may be absent.
    pub optional: bool,
    /// Where it is named.
    pub span: Span,
    /// What it says; empty until it was read.
    pub entries: Vec<dotenv::Entry>,
}

/// The dotenv files of a project in an environment, those of the projects around it first, in the order in which they
/// are to be read. Their paths may depend on everything but dotenv files.
pub fn dotenv_files(request: &Request<'_>) -> Vec<DotenvFile> {
    let values = Values::layered(&Request { dotenv: &[], ..request.clone() }, true);
    let mut files = Vec::new();
    for project in lineage(request.envfile, request.project) {
        for (_, scope) in scopes(request.envfile, project, request.env) {
            for file in &scope.dotenv {
                let mut lookup = |name: &str| values.lookup(name).text().map(|text| text.to_string());
                // A path that cannot be known is kept as written: reading it then fails, and names it.
                let path = interpolate(&file.path.value, Form::Text, &mut lookup)
                    .map_or_else(|_| file.path.value.clone(), std::borrow::Cow::into_owned);
                files.push(DotenvFile {
                    project: project.name.clone(),
                    path,
                    optional: file.optional,
                    span: file.path.span,
                    entries: Vec::new(),
                });
            }
        }
    }
    files
}

/// A project and those around it, outermost first.
pub(super) fn lineage<'a>(envfile: &'a Envfile, project: &ProjectName) -> Vec<&'a Project> {
    let mut chain = Vec::new();
    let mut next = envfile.projects.get(project);
    while let Some(project) = next {
        chain.push(project);
        next = project.outer.as_ref().and_then(|outer| envfile.projects.get(outer));
    }
    chain.reverse();
    chain
}

/// What a project says for an environment: its base, then each environment of the chain, weakest first.
pub(super) fn scopes<'a>(
    envfile: &'a Envfile,
    project: &'a Project,
    env: Option<&EnvName>,
) -> impl Iterator<Item = (Layer, &'a Scope)> {
    let chain: &[EnvName] =
        env.and_then(|env| envfile.environments.get(env)).map_or(&[], |Environment { chain, .. }| chain);
    std::iter::once((Layer::Root, &project.base))
        .chain(chain.iter().filter_map(|env| Some((Layer::Env(env.clone()), project.overlays.get(env)?))))
}
