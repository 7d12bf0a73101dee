//! Which revision a deploy puts live, and what it ships.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::base::Digest;
use crate::base::codec::Put;
use crate::base::fs::FsError;
use crate::cache::LocalStore;
use crate::engine::deploy::Bytes;
use crate::graph::{ConfiguredTask, NodeIx};
use crate::ledger::{self, Origin, Release};
use crate::model::{Deploy, Node};
use crate::plan::Plan;
use crate::vars::{Form, TaskValues};

use super::super::{Project, Refusal, check};
use super::begin::Job;
use super::bytes::proved;

/// Which revision goes live, and what it ships.
pub(super) struct Goal {
    pub revision: String,
    pub bytes: Bytes,
    pub from: Option<Origin>,
    pub of: Option<u64>,
}

/// Which revision goes live, and what it ships.
pub(super) fn goal(
    project: &Project,
    node: &ConfiguredTask,
    deploy: &Deploy,
    (job, known): (&Job, Option<&Release>),
    (history, store): (&ledger::History, &LocalStore),
) -> Result<Goal, Box<Refusal>> {
    let refusal = |reason: String, span, hint: Option<&str>| {
        let place = project.sources().place(span);
        Box::new(Refusal { label: node.label.clone(), reason, place, hint: hint.map(str::to_owned) })
    };
    if let Some(known) = known {
        let bytes = Bytes::Kept(known.artefacts.clone());
        return Ok(Goal { revision: known.began.revision.clone(), bytes, from: None, of: None });
    }
    if let Job::Rollback { of, .. } = job
        && let Some(target) = history.release(*of)
    {
        return Ok(Goal {
            revision: target.began.revision.clone(),
            bytes: Bytes::Kept(target.artefacts.clone()),
            from: target.began.from.clone(),
            of: Some(*of),
        });
    }
    if let Some(from) = &deploy.from {
        let other = ledger::history(project.root(), from.value.as_str())
            .map_err(|error| refusal(error.to_string(), from.span, None))?;
        let name = node.path.to_string();
        let release = proved(&other, from.value.as_str(), &name, store)
            .map_err(|reason| refusal(reason, from.span, None))?;
        return Ok(Goal {
            revision: release.began.revision.clone(),
            bytes: Bytes::Kept(release.artefacts.clone()),
            from: Some(Origin { env: from.value.to_string(), release: release.id() }),
            of: None,
        });
    }
    let git = crate::preflight::Git::new(project.root());
    let revision = match &deploy.revision {
        None if git.is_missing() => {
            of_files(project.root()).map_err(|error| refusal(error.to_string(), deploy.task.span, None))
        }
        None => git
            .revision()
            .map_err(|reason| refusal(reason, deploy.task.span, Some("`git init` and a first commit"))),
        Some(text) => TaskValues::new(&node.values, &node.task, Vec::new())
            .interpolate(&text.value, Form::Text, text.span)
            .map_err(|diagnostic| diagnostic.message.clone())
            .and_then(|name| git.commit(&name))
            .map_err(|reason| refusal(reason, text.span, None)),
    }?;
    Ok(Goal { revision, bytes: Bytes::OfNeeds, from: None, of: None })
}

/// What stands for the commit where there is no repository, of a tarball say: a digest over every file that is not ignored,
/// as long as the id of a commit is.
fn of_files(root: &Path) -> Result<String, FsError> {
    let mut text = Vec::new();
    for path in check::files(root) {
        let full = path.below(root);
        let wrong = |error| FsError::new("read", &full, error);
        let kind = full.symlink_metadata().map_err(wrong)?;
        let content = if kind.is_symlink() {
            Digest::of(full.read_link().map_err(wrong)?.as_os_str().as_bytes())
        } else if kind.is_file() {
            File::open(&full).and_then(|mut file| Digest::read(&mut file)).map_err(wrong)?
        } else {
            // A pipe or a socket has no content, and reading one would wait.
            continue;
        };
        let is_executable = kind.is_file() && kind.permissions().mode() & 0o111 != 0;
        text.extend([u8::from(kind.is_symlink()), u8::from(is_executable)]);
        text.put_bytes(path.as_bytes());
        text.extend(content.as_bytes());
    }
    Ok(Digest::of(&text).to_hex()[..40].to_owned())
}

/// What a deploy gives to its commands.
pub(super) fn given(revision: &str, other: Option<&str>) -> Vec<(String, String)> {
    vec![
        ("ENVRUN_REVISION".to_owned(), revision.to_owned()),
        // Empty for the first one: a shell that refuses unset names may still ask.
        ("ENVRUN_PREVIOUS".to_owned(), other.unwrap_or_default().to_owned()),
    ]
}

/// What is given to a deploy reaches what it needs too, where the deploy names a revision of its own.
pub(super) fn hand_down(plan: &mut Plan, ix: NodeIx, given: Vec<(String, String)>) {
    let is_own = matches!(&plan.graph[ix].special, Some(Node::Deploy(deploy)) if deploy.revision.is_some());
    if is_own {
        let mut todo: Vec<NodeIx> = plan.graph.needs(ix).collect();
        let mut seen = BTreeSet::new();
        while let Some(need) = todo.pop() {
            if seen.insert(need) {
                todo.extend(plan.graph.needs(need));
                plan.graph[need].given.clone_from(&given);
            }
        }
    }
    plan.graph[ix].given = given;
}
