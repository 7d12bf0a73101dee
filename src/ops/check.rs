//! Everything that can be known to be wrong without running anything.

use crate::diag::Diagnostic;
use crate::graph;

use super::Project;

/// What is wrong with the texts, and, if they can be understood, with the graph that they describe.
pub fn check(project: &Project) -> Vec<Diagnostic> {
    let mut diagnostics = project.loaded.diagnostics.clone();
    if !project.loaded.has_errors() {
        diagnostics.extend(graph::cycles(project.envfile()));
    }
    diagnostics
}
