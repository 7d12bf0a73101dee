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
use super::bytes::{Absent, elsewhere, is_there, proved};
use super::words::{short, title};

/// Which revision goes live, and what it ships.
pub(super) struct Goal {
    pub revision: String,
    pub bytes: Bytes,
    pub from: Option<Origin>,
    pub of: Option<u64>,
}

/// Why nothing goes live.
pub(super) struct NoGoal {
    pub refusal: Refusal,
    /// The revision that would, if only its bytes were there: guards are asked about that one all the same.
    pub revision: Option<String>,
}

/// Which revision goes live, and what it ships.
pub(super) fn goal(
    project: &Project,
    node: &ConfiguredTask,
    deploy: &Deploy,
    (job, known): (&Job, Option<&Release>),
    (history, store): (&ledger::History, &LocalStore),
) -> Result<Goal, Box<NoGoal>> {
    let refusal = |reason: String, span, hint: Option<&str>| {
        let place = project.sources().place(span);
        let refusal = Refusal { label: node.label.clone(), reason, place, hint: hint.map(str::to_owned) };
        Box::new(NoGoal { refusal, revision: None })
    };
    if let Some(known) = known {
        let bytes = Bytes::Kept(known.artefacts.clone());
        return Ok(Goal { revision: known.began.revision.clone(), bytes, from: None, of: None });
    }
    if let Job::Rollback { of, .. } = job
        && let Some(target) = history.release(*of)
    {
        if !is_there(store, &target.artefacts) {
            let refusal = unplaced(node, target, history, store);
            return Err(Box::new(NoGoal { refusal, revision: Some(target.began.revision.clone()) }));
        }
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
        let release = proved(&other, from.value.as_str(), &name, store).map_err(|absent| {
            let Absent { reason, hint, revision } = absent;
            Box::new(NoGoal { revision, ..*refusal(reason, from.span, hint.as_deref()) })
        })?;
        return Ok(Goal {
            revision: release.began.revision.clone(),
            bytes: Bytes::Kept(release.artefacts.clone()),
            from: Some(Origin { env: from.value.to_string(), release: release.id() }),
            of: None,
        });
    }
    let git = crate::preflight::Git::new(project.root());
    let revision = match &deploy.revision {
        None if git.is_missing() => of_files(project.root(), project.plan_file.as_deref())
            .map_err(|error| refusal(error.to_string(), deploy.task.span, None)),
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

/// The bytes of a release that is to be gone back to are not here: what was live is left alone.
fn unplaced(
    node: &ConfiguredTask,
    target: &Release,
    history: &ledger::History,
    store: &LocalStore,
) -> Refusal {
    let env = node.env.as_ref().map(ToString::to_string).unwrap_or_default();
    let name = node.path.to_string();
    let others = history.candidates(&name).into_iter().filter(|other| is_there(store, &other.artefacts));
    let others: Vec<String> =
        others.map(|other| format!("{} ({})", other.id(), short(&other.began.revision))).collect();
    let available = match &others[..] {
        [] => String::new(),
        others => format!("; there are those of {}, for `--to`", others.join(", ")),
    };
    let again = format!("git switch --detach {} && envrun {env}.{name}", short(&target.began.revision));
    Refusal {
        label: format!("rollback {env}"),
        reason: format!(
            "the bytes of {} are not in this cache: they were collected, or made elsewhere{available}",
            title(target)
        ),
        place: "in its history".to_owned(),
        hint: Some(elsewhere(&again)),
    }
}

/// What stands for the commit where there is no repository, of a tarball say: a digest over every file that is not ignored,
/// as long as the id of a commit is.
fn of_files(root: &Path, plan_file: Option<&Path>) -> Result<String, FsError> {
    let plan = plan_file.and_then(|plan| plan.canonicalize().ok());
    let mut text = Vec::new();
    for path in check::files(root) {
        let full = path.below(root);
        if plan.is_some() && full.canonicalize().ok() == plan {
            continue;
        }
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

/// What is given to a deploy reaches what it needs too, where the deploy names a revision of its own, or where only the
/// deploy has one, because there is no repository.
pub(super) fn hand_down(plan: &mut Plan, ix: NodeIx, given: Vec<(String, String)>) {
    let is_own = |deploy: &Deploy| {
        deploy.revision.is_some()
            || plan.graph.needs(ix).next().is_some()
                && plan.graph[ix].values.lookup("ENVRUN_REVISION").text().is_none()
    };
    let is_own = matches!(&plan.graph[ix].special, Some(Node::Deploy(deploy)) if is_own(deploy));
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
