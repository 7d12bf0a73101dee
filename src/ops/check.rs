//! Everything that can be known to be wrong without running anything.

use crate::diag::Diagnostic;
use crate::graph::{self, Target};
use crate::model::EnvName;

use super::Project;

/// What is wrong with the texts, and, if nothing is, with the graph of every environment.
pub fn check(project: &Project) -> Vec<Diagnostic> {
    let mut diagnostics = project.loaded.diagnostics.clone();
    if project.loaded.has_errors() {
        return diagnostics;
    }
    let envfile = project.envfile();
    let environments: Vec<Option<&EnvName>> =
        std::iter::once(None).chain(envfile.concrete_environments().map(|env| Some(&env.name))).collect();
    for env in environments {
        let of_env = envfile.node_paths().into_iter().filter(|path| envfile.node(env, path).is_some());
        let targets: Vec<Target> =
            of_env.map(|path| Target { path, env: env.cloned(), args: Vec::new() }).collect();
        if let Err(found) = graph::build(envfile, &targets) {
            // A ring that stands at the root is found in every environment, and told once. What is only not built yet is
            // no mistake of the Envfile's: it is told when a run needs it.
            let new = found.into_iter().filter(|one| one.code != graph::NOT_BUILT);
            for one in new {
                if !diagnostics.iter().any(|known| known.labels == one.labels && known.code == one.code) {
                    diagnostics.push(one);
                }
            }
        }
    }
    diagnostics
}
