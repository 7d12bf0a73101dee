//! Everything that can be known to be wrong without running anything.

use std::collections::HashSet;
use std::path::Path;

use crate::base::RelPath;
use crate::base::glob::{Glob, Pattern};
use crate::diag::{Diagnostic, Span, Spanned};
use crate::graph;
use crate::model::{Envfile, Node, Task};

use super::Project;

/// What is wrong with the texts and the graph that they describe, and, if they can be understood, with the files.
pub fn check(project: &Project) -> Vec<Diagnostic> {
    let mut diagnostics = project.loaded.diagnostics.clone();
    diagnostics.extend(graph::cycles(project.envfile()));
    if !project.loaded.has_errors() {
        diagnostics.extend(idle_globs(project.envfile(), project.root()));
        diagnostics.extend(super::rendered::drift(project));
    }
    diagnostics
}

/// Globs of inputs that match no file, and that no task's outputs could ever match.
fn idle_globs(envfile: &Envfile, root: &Path) -> Vec<Diagnostic> {
    let mut seen = HashSet::new();
    let globs: Vec<(Span, &str, Glob)> = tasks(envfile)
        .flat_map(|task| patterns(task, task.inputs.iter().flatten()))
        .filter_map(|(span, text, pattern)| match pattern {
            Pattern::Glob(glob) if seen.insert(span) => Some((span, text, glob)),
            _ => None,
        })
        .collect();
    if globs.is_empty() {
        return Vec::new();
    }
    let outputs: Vec<Pattern> = tasks(envfile)
        .flat_map(|task| patterns(task, task.outputs.iter().flatten()))
        .map(|(_, _, pattern)| pattern)
        .collect();
    let files = files(root);
    let is_idle = |glob: &Glob| {
        let pattern = Pattern::Glob(glob.clone());
        !matches_some(glob, &files) && !outputs.iter().any(|output| output.overlaps(&pattern))
    };
    globs
        .into_iter()
        .filter(|(_, _, glob)| is_idle(glob))
        .map(|(span, text, _)| {
            Diagnostic::warning("check/no-file", format!("the input `{text}` matches no file"))
                .at(span, "")
                .help("look at its spelling and at `dir`; a glob does not see what `.gitignore` names")
        })
        .collect()
}

/// Every task, as each environment has it.
fn tasks(envfile: &Envfile) -> impl Iterator<Item = &Task> {
    let scopes = envfile
        .projects
        .values()
        .flat_map(|project| std::iter::once(&project.base).chain(project.overlays.values()));
    scopes.flat_map(|scope| scope.nodes.values()).filter_map(|node| match node {
        Node::Task(task) => Some(&**task),
        Node::Service(_) | Node::Deploy(_) | Node::Snapshot(_) => None,
    })
}

/// The patterns among `texts` that say what is there, as far as they are the same in every environment.
fn patterns<'t>(
    task: &'t Task,
    texts: impl Iterator<Item = &'t Spanned<String>>,
) -> impl Iterator<Item = (Span, &'t str, Pattern)> {
    let dir = RelPath::root().resolve(&task.dir.value).ok().filter(|_| !task.dir.value.contains('$'));
    texts.filter_map(move |text| {
        let plain = !text.value.contains('$') && !text.value.starts_with('!');
        let pattern = Pattern::parse(dir.as_ref()?, &text.value).ok().filter(|_| plain)?;
        Some((text.span, text.value.as_str(), pattern))
    })
}

/// Every file of the project that git does not ignore, sorted.
pub(super) fn files(root: &Path) -> Vec<RelPath> {
    let walk = ignore::WalkBuilder::new(root)
        .standard_filters(false)
        .git_ignore(true)
        .git_exclude(true)
        .require_git(false)
        .filter_entry(|entry| !matches!(entry.file_name().to_str(), Some(".git" | ".envrun")))
        .build();
    // What cannot be read is a matter for the task that reads it.
    let files = walk.flatten().filter(|entry| !entry.file_type().is_some_and(|kind| kind.is_dir()));
    let mut files: Vec<RelPath> = files.filter_map(|entry| RelPath::strip(root, entry.path())).collect();
    files.sort();
    files
}

/// Whether one of the sorted `files` matches.
fn matches_some(glob: &Glob, files: &[RelPath]) -> bool {
    glob.alternatives().iter().any(|alternative| {
        let from = files.partition_point(|file| file < &alternative.prefix);
        let below = |file: &&RelPath| file.as_bytes().starts_with(alternative.prefix.as_bytes());
        files[from..].iter().take_while(below).any(|file| glob.matches(file))
    })
}
