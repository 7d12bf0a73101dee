//! Files that were rendered, and what became of them since.

use std::path::{Path, PathBuf};

use crate::diag::{Diagnostic, Span};
use crate::model::Node;
use crate::preflight::Finding;
use crate::record::RenderedFile;

use super::Project;

/// Every file that a task of the project has rendered and that is still there: where that is written, and how it is with
/// it.
pub(super) fn findings(project: &Project) -> Vec<(RenderedFile, Span, Finding)> {
    let known = RenderedFile::all(project.root()).into_iter().filter_map(|file| {
        let span = place(project, &file.node)?;
        let path = project.root().join(&file.path);
        let bytes = std::fs::read(&path).ok()?;
        Some((file, span, path, bytes))
    });
    let known: Vec<_> = known.collect();
    let open: Vec<PathBuf> =
        known.iter().filter(|(file, ..)| file.secret).map(|(_, _, path, _)| path.clone()).collect();
    project.ignored.expect(open);
    let is_seen = |path: &Path| project.ignored.ignores(path) == Some(false);
    let seen: Vec<bool> = known.iter().map(|(file, _, path, _)| file.secret && is_seen(path)).collect();
    let look = |((file, span, _, bytes), is_seen): ((RenderedFile, Span, PathBuf, Vec<u8>), bool)| {
        let finding = if !file.is(&bytes) {
            Finding::warn(format!("changed by hand since `{}` rendered it", file.node)).hint(format!(
                "put what you want to keep into the Envfile, a dotenv file or the template; `envrun {} --force` \
                 overwrites it",
                file.node
            ))
        } else if is_seen {
            Finding::fail("it holds a secret, and git does not ignore it").hint(format!(
                "echo '/{path}' >> .gitignore   (and `git rm --cached '{path}'` if it was committed)",
                path = file.path
            ))
        } else {
            Finding::pass(format!("as `{}` rendered it", file.node))
        };
        (file, span, finding)
    };
    known.into_iter().zip(seen).map(look).collect()
}

/// What `check` says of those that were changed by hand.
pub(super) fn drift(project: &Project) -> Vec<Diagnostic> {
    let changed = RenderedFile::all(project.root()).into_iter().filter_map(|file| {
        let span = place(project, &file.node)?;
        let bytes = std::fs::read(project.root().join(&file.path)).ok()?;
        let message = format!("`{}` was changed by hand since `{}` rendered it", file.path, file.node);
        (!file.is(&bytes)).then(|| {
            Diagnostic::warning("check/drift", message).at(span, "rendered here").help(format!(
                "put what you want to keep into the Envfile; `envrun {} --force` overwrites it",
                file.node
            ))
        })
    });
    changed.collect()
}

/// Those of one environment that were changed by hand, in words.
pub(super) fn changed(project: &Project, env: &str) -> Vec<String> {
    let of_env = |file: &RenderedFile| file.node.split_once('.').is_some_and(|(its, _)| its == env);
    let changed = RenderedFile::all(project.root()).into_iter().filter(of_env).filter(|file| {
        let there = std::fs::read(project.root().join(&file.path));
        place(project, &file.node).is_some() && there.is_ok_and(|bytes| !file.is(&bytes))
    });
    changed
        .map(|file| format!("{} was changed by hand since `{}` rendered it", file.path, file.node))
        .collect()
}

/// Where the node of that label renders; nothing if it does no longer.
fn place(project: &Project, label: &str) -> Option<Span> {
    let envfile = project.envfile();
    let (env, rest) = match label.split_once('.') {
        Some((env, rest)) if envfile.environments.contains_key(env) => (Some(env), rest),
        _ => (None, label),
    };
    let (owner, name) = rest.rsplit_once(':').unwrap_or(("", rest));
    let owner = envfile.projects.get(owner)?;
    let overlay = env.and_then(|env| owner.overlays.get(env)?.nodes.get(name));
    let node: &Node = overlay.or_else(|| owner.base.nodes.get(name))?;
    Some(node.task().renders().next()?.path.span)
}
