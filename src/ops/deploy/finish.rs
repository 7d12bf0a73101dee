//! A release that was cut short, brought to an end: on, or back.

use crate::engine::dispatcher::Ending;
use crate::ledger::{
    Began, History, Holder, Kind, LedgerError, Locked, Outcome, Release, Saved, What, given,
};
use crate::model::Node;
use crate::record::RunId;
use crate::report::Reporters;
use crate::snapshot::Archive;

use super::super::run::{Request, Rest, declared_sets, graph_of, local_store, run};
use super::super::target::Asked;
use super::super::{Context, Problem, Project, Refusal};
use super::begin::{Job, goes_on, sharing, who};
use super::goal::goal;
use super::preparation::not_here;
use super::words::{short, title};
use super::{history_of, open, refresh_of};

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// `envrun deploy resume`.
    Resume,
    /// `envrun deploy back`.
    Back,
}

/// How it came out.
pub enum Finished {
    /// There was something to do, and this is what became of it.
    Ran(Ending, Box<Rest>),
    /// Nothing had been changed yet: it was only written down that it is over.
    Closed(String),
}

/// Brings the release of an environment that was cut short to an end.
pub fn finish(
    context: &Context,
    project: &mut Project,
    env: &str,
    how: Finish,
    request: &Request,
    reporters: Reporters,
) -> Result<Finished, Problem> {
    let env = super::super::target::environment(project.envfile(), env)?;
    refresh_of(context, project, &[env.to_string()].into())?;
    let history = history_of(project, env.as_str())?;
    let Some(release) = open(&history).cloned() else {
        return Err(Problem::usage(
            format!("no deploy of `{env}` was cut short"),
            Some(format!("`envrun status {env}` shows what is live there")),
        ));
    };
    if let Some(mut holder) = crate::ledger::holder(project.root(), env.as_str()) {
        holder.read = context.clock.now();
        let (env, holder) = (env.to_string(), Box::new(holder));
        return Err(LedgerError::Held { env, holder }.into());
    }
    if let Some(problem) = goes_on(context, project, env.as_str(), &release) {
        return Err(problem);
    }
    let label = format!("{env}.{}", release.began.node);
    // What it was given by hand it has again, unless it is given something else.
    let mut set = given(project.root(), env.as_str(), &release);
    let is_given_anew = |name: &String| request.set.iter().any(|(other, _)| other == name);
    // A variable that the Envfile has no more is given to nobody.
    set.retain(|one| !is_given_anew(&one.0) && declared_sets(project, std::slice::from_ref(one)).is_ok());
    set.extend_from_slice(&request.set);
    if how == Finish::Resume {
        all_given(project, env.as_str(), &release, &set)?;
    }
    let request = &Request { set, ..request.clone() };
    if !release.phase.touched() {
        if how == Finish::Back {
            close(context, project, env.as_str(), &release, how)?;
            return Ok(Finished::Closed(format!("{}: nothing had been changed", title(&release))));
        }
        // Nothing is done yet that could be gone on with: the same is begun anew.
        let mut request = Request { targets: vec![asked(label)], ..request.clone() };
        let Began { kind, of, data, unsaved, break_glass, .. } = release.began.clone();
        match (kind, of) {
            (Kind::Rollback, Some(of)) => {
                request.job = Job::Rollback { of, emergency: break_glass.is_some(), data };
            }
            (Kind::Restore, Some(copy)) => {
                let is_here = |saved: &Saved| {
                    Archive::of_label(project.root(), &saved.snapshot).of_ledger(saved).is_some()
                };
                if let Some(saved) = release.began.data.iter().find(|saved| !is_here(saved)) {
                    return Err(Problem::Refused(vec![not_here(env.as_str(), &history, saved)]));
                }
                request.job = Job::Restore { copy, unsaved };
            }
            _ => {
                moved(context, project, &request, &history, &release)?;
                request.break_glass = break_glass;
            }
        }
        close(context, project, env.as_str(), &release, how)?;
        let (ending, rest) = run(context, project, &request, reporters)?;
        return Ok(Finished::Ran(ending, Box::new(rest)));
    }
    let job = match how {
        Finish::Resume => Job::Resume(release.id()),
        Finish::Back => Job::Back(release.id()),
    };
    let request = Request { targets: vec![asked(label)], job, ..request.clone() };
    let (ending, rest) = run(context, project, &request, reporters)?;
    Ok(Finished::Ran(ending, Box::new(rest)))
}

pub(super) fn asked(name: String) -> Asked {
    Asked { name, args: Vec::new() }
}

/// Whoever goes on with a release goes on with the values that it was given: those that only the checkout knows that began it
/// are asked for.
fn all_given(
    project: &Project,
    env: &str,
    release: &Release,
    set: &[(String, String)],
) -> Result<(), Problem> {
    let is_wanted = |name: &&String| {
        let is_declared = declared_sets(project, &[((*name).clone(), String::new())]).is_ok();
        is_declared && set.iter().all(|(given, _)| given != *name)
    };
    let missing: Vec<&String> = release.began.given.iter().filter(is_wanted).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
    let sets: Vec<String> = missing.iter().map(|name| format!("-s {name}=…")).collect();
    Err(Problem::usage(
        format!(
            "{} was given {} by hand, and what that was is not known here",
            title(release),
            names.join(", ")
        ),
        Some(format!(
            "{} knows: `envrun deploy resume {env} {}`; or `envrun deploy back {env}`",
            release.began.who.user,
            sets.join(" ")
        )),
    ))
}

/// Whoever goes on with a deploy means that one: if another revision would go live by now, it is refused.
fn moved(
    context: &Context,
    project: &mut Project,
    request: &Request,
    history: &History,
    release: &Release,
) -> Result<(), Problem> {
    let label = &request.targets[0].name;
    let (target, _) = super::super::target::target(project.envfile(), label, None)?;
    let store = local_store(context, Some(project));
    let (graph, _) = graph_of(context, project, &[target], &request.set, None)?;
    let node = graph.targets().map(|ix| &graph[ix]).next();
    let Some((node, Node::Deploy(deploy))) = node.and_then(|node| Some((node, node.special.as_ref()?)))
    else {
        return Ok(());
    };
    // What speaks against it altogether is told by the run.
    let Ok(goal) = goal(project, node, deploy, (&Job::Deploy, None), (history, &store)) else {
        return Ok(());
    };
    if goal.revision == release.began.revision {
        return Ok(());
    }
    let env = node.env.as_ref().map(ToString::to_string).unwrap_or_default();
    Err(Problem::Refused(vec![Refusal {
        label: format!("deploy resume {env}"),
        reason: format!(
            "{} had changed nothing yet, and by now {} would go live",
            title(release),
            short(&goal.revision)
        ),
        place: "in its history".to_owned(),
        hint: Some(format!(
            "`envrun deploy back {env}` closes it; `envrun {label}` then deploys what is meant now"
        )),
    }]))
}

/// Writes down that a release is over before anything was changed.
fn close(
    context: &Context,
    project: &Project,
    env: &str,
    release: &Release,
    how: Finish,
) -> Result<(), Problem> {
    let holder = Holder {
        who: who(context, project.root()),
        since: context.clock.now(),
        doing: format!("deploy back {env}"),
        run: RunId::draw(context.clock.now()).to_string(),
        ..Holder::default()
    };
    let mut locked = Locked::take(project.root(), env, &holder, &context.clock, sharing(project, false))?;
    // Whoever held the lock until now may have come further.
    let still =
        locked.history().release(release.id()).is_some_and(|now| now.end.is_none() && !now.phase.touched());
    if still {
        let reason = match how {
            Finish::Resume => "it was begun anew",
            Finish::Back => "it was taken back before anything was changed",
        };
        locked.write(What::Ended {
            release: release.id(),
            outcome: Outcome::Abandoned,
            reason: Some(reason.to_owned()),
            logs: Vec::new(),
        })?;
    }
    Ok(())
}
