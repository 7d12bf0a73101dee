//! Plans: what a run would do, with everything that has to hold for it; frozen into a file; and carried out if nothing moved.
//!
//! [`plan`] walks a run dry, as `--dry-run` does, and looks at everything that it rests on: the texts of the Envfile, the
//! commit, what goes into the key of every node (files, commands, variables, tools, what it needs), the values of its
//! environments, what is live there. All of it is in a [`Frozen`] plan, as digests. [`apply`] looks again, by the same
//! walk, before anybody is asked for anything, and once more when the environments are locked and all secrets are read; it
//! names whatever is not as it was. Outputs that the plan knew are pinned for the run, so that it ships these bytes and no
//! others.
//!
//! Invariant: a plan holds no value of a secret; where one would get into it, no plan is written.
//! Invariant: guards are not part of a plan: they are asked when it is carried out.

mod frozen;
mod look;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::engine::dispatcher::Ending;
use crate::report::Reporters;

pub use frozen::{Changes, Deploy, FORMAT, Fate, Frozen, Node, Target, Value, short};

use super::deploy::foresee;
use super::guard::{Admitted, Check, admit};
use super::run::{Ready, Request, Rest, carry_out};
use super::target::Asked;
use super::{Context, Problem, Project, Refusal};

/// What a run would do, and how it stands with everything that has to hold for it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Checklist {
    /// The plan.
    pub plan: Frozen,
    /// Guards and requirements.
    pub checks: Vec<Check>,
    /// What speaks against it beside them, in words.
    pub against: Vec<String>,
    /// What is worth knowing: secrets that would be made.
    pub notes: Vec<String>,
}

/// Makes a plan of a request. Whoever is going to write it down, to the file `kept`, is told how that very plan is approved.
pub fn plan(
    context: &Context,
    project: &mut Project,
    request: &Request,
    kept: Option<&Path>,
) -> Result<Checklist, Problem> {
    let request = Request { dry_run: true, ..request.clone() };
    project.plan_file = kept.map(|path| context.cwd.join(path));
    let mut ready = ready(context, project, &request)?;
    // The guards of a deploy are asked about what it would put live, which need not be HEAD.
    foresee(project, &mut ready.plan, &ready.store, ready.run.as_str())?;
    let Admitted { mut checks, refusals, notices, pretended, .. } =
        admit(context, project, &ready, &request)?;
    let (plan, foreseen) = look::look(context, project, &ready, &request, None, &pretended)?;
    if kept.is_some() && checks.iter().any(Check::is_unapproved) {
        let request = Request { plan: Some(Arc::new(plan.clone())), ..request };
        checks = admit(context, project, &ready, &request)?.checks;
    }
    let is_told = |refusal: &&Refusal| !checks.iter().any(|check| check.place == refusal.place);
    let mut against: Vec<String> = refusals.iter().filter(is_told).map(ToString::to_string).collect();
    for deploy in &foreseen {
        against.extend(deploy.revision.as_ref().err().map(ToString::to_string));
        against
            .extend(deploy.unfinished.as_ref().map(|what| format!("`{}` is not free: {what}", deploy.env)));
    }
    let against = against.iter().map(|text| context.redactor.text(text).into_owned()).collect();
    let notes = notices.iter().map(|(text, _)| context.redactor.text(text).into_owned()).collect();
    Ok(Checklist { plan, checks, against, notes })
}

/// The checklist of a request that deploys something: what a dry run of it has to tell. `None` for any other.
pub fn of_deploys(
    context: &Context,
    project: &mut Project,
    request: &Request,
) -> Result<Option<Checklist>, Problem> {
    let has_one = {
        let scopes = project.envfile().projects.values().flat_map(crate::model::Project::scopes);
        scopes
            .flat_map(|scope| scope.nodes.values())
            .any(|node| matches!(node, crate::model::Node::Deploy(_)))
    };
    if !has_one {
        return Ok(None);
    }
    let checklist = plan(context, project, request, None)?;
    Ok(Some(checklist).filter(|checklist| checklist.plan.nodes.iter().any(|node| node.deploy.is_some())))
}

/// Writes a plan to a file, unless a secret would be in it.
pub fn freeze(context: &Context, plan: &Frozen, path: &Path) -> Result<(), Problem> {
    let text = plan.text();
    if context.redactor.text(&text) != text {
        return Err(Problem::usage(
            "the plan would hold the value of a secret, so it is not written",
            Some("give secrets by their store, not by `--set` or an argument".into()),
        ));
    }
    plan.write(&context.cwd.join(path))
}

/// Reads a plan of this project, in which its file counts as no change from now on.
pub fn thaw(context: &Context, project: &mut Project, path: &Path) -> Result<Frozen, Problem> {
    let frozen = Frozen::read(&context.cwd.join(path))?;
    let name = project.envfile().name.as_ref().map(|name| name.value.as_str()).unwrap_or_default();
    if frozen.project != name {
        return Err(Problem::usage(
            format!("{} is a plan of the project `{}`, and this is `{name}`", path.display(), frozen.project),
            Some("go to that project, or make a plan of this one".into()),
        ));
    }
    project.plan_file = Some(context.cwd.join(path));
    Ok(frozen)
}

/// Carries a plan out, if nothing that it rests on moved. `request` says how; what is run is in the plan.
pub fn apply(
    context: &Context,
    project: &mut Project,
    frozen: Frozen,
    request: &Request,
    reporters: Reporters,
) -> Result<(Ending, Rest), Problem> {
    let frozen = Arc::new(frozen);
    let targets = frozen.targets.iter();
    let request = Request {
        targets: targets
            .map(|target| Asked { name: target.name.clone(), args: target.args.clone() })
            .collect(),
        env: frozen.env.clone(),
        set: frozen.set.clone(),
        plan: Some(Arc::clone(&frozen)),
        ..request.clone()
    };
    // Before anybody is asked for a word, or an environment is locked.
    let dry = Request { dry_run: true, ..request.clone() };
    let mut ready = ready(context, project, &dry)?;
    foresee(project, &mut ready.plan, &ready.store, ready.run.as_str())?;
    let Admitted { pretended, refusals, .. } = admit(context, project, &ready, &dry)?;
    let moved = moved(context, project, &ready, &dry, &frozen, (&pretended, !refusals.is_empty()))?;
    if !moved.is_empty() {
        return Err(Problem::Moved { plan: frozen.name(), moved });
    }
    carry_out(context, project, &request, reporters, Default::default())
}

/// Makes a dry run ready, with what other checkouts wrote of the environments that it deploys to.
fn ready(context: &Context, project: &mut Project, request: &Request) -> Result<Ready, Problem> {
    let ready = Ready::new(context, project, request)?;
    let deploys = ready.plan.graph.iter().filter(|(_, node)| node.kind() == "deploy");
    let environments: std::collections::BTreeSet<String> =
        deploys.filter_map(|(_, node)| node.env.as_ref().map(ToString::to_string)).collect();
    if !environments.is_empty() {
        super::deploy::refresh_of(context, project, &environments)?;
    }
    Ok(ready)
}

/// Everything that is not as it was when the plan was made, in words.
pub(super) fn moved(
    context: &Context,
    project: &Project,
    ready: &Ready,
    request: &Request,
    frozen: &Frozen,
    (pretended, sealed): (&look::Pretended, bool),
) -> Result<Vec<String>, Problem> {
    let (now, _) = look::look(context, project, ready, request, Some(frozen), pretended)?;
    let moved = frozen.moved(&now, sealed);
    Ok(moved.iter().map(|text| context.redactor.text(text).into_owned()).collect())
}
