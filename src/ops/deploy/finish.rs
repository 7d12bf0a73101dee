//! A release that was cut short, brought to an end: on, or back.

use crate::engine::dispatcher::Ending;
use crate::ledger::{Holder, Locked, Outcome, Release, What};
use crate::record::RunId;
use crate::report::Reporters;

use super::super::run::{Request, Rest, run};
use super::super::target::Asked;
use super::super::{Context, Problem, Project};
use super::begin::{Job, goes_on, held, remote, who};
use super::words::title;
use super::{history_of, open, refresh};

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
    refresh(project)?;
    let history = history_of(project, env.as_str())?;
    let Some(release) = open(&history).cloned() else {
        return Err(Problem::usage(
            format!("no deploy of `{env}` was cut short"),
            Some(format!("`envrun status {env}` shows what is live there")),
        ));
    };
    let who = who(context);
    if remote(project).is_some() && release.began.who.host == who.host && goes_on(&release, &who) {
        return Err(held(env.as_str(), &release, context.clock.now()));
    }
    let label = format!("{env}.{}", release.began.node);
    if !release.phase.touched() {
        close(context, project, env.as_str(), &release, how)?;
        return match how {
            Finish::Back => Ok(Finished::Closed(format!("{}: nothing had been changed", title(&release)))),
            // Nothing is done yet that could be gone on with: it is begun anew.
            Finish::Resume => {
                let request = Request { targets: vec![asked(label)], ..request.clone() };
                let (ending, rest) = run(context, project, &request, reporters)?;
                Ok(Finished::Ran(ending, Box::new(rest)))
            }
        };
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

/// Writes down that a release is over before anything was changed.
fn close(
    context: &Context,
    project: &Project,
    env: &str,
    release: &Release,
    how: Finish,
) -> Result<(), Problem> {
    let holder = Holder {
        who: who(context),
        since: context.clock.now(),
        doing: format!("deploy back {env}"),
        run: RunId::draw(context.clock.now()).to_string(),
        ..Holder::default()
    };
    let mut locked = Locked::take(project.root(), env, &holder, &context.clock, remote(project))?;
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
