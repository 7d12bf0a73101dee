//! What `deployed` asks again when the bytes are known: whether these very bytes were live there.

use std::path::Path;
use std::time::Duration;

use crate::base::Clock;
use crate::engine::deploy::Gate;
use crate::engine::surroundings::scope_conditions;
use crate::graph::ConfiguredTask;
use crate::ledger;
use crate::model::{ConditionKind, EnvName};
use crate::preflight::Live;

use super::super::Project;
use super::super::guard::{digest, live};
use super::words::{shipped, short};

/// The second look of the `deployed` guards of a deploy, if it has any.
pub(super) fn gate(project: &Project, node: &ConfiguredTask, clock: &Clock) -> Option<Gate> {
    let scope = scope_conditions(project.envfile(), node, |scope| &scope.guard);
    let wanted: Vec<(EnvName, Option<Duration>, Option<Duration>)> = scope
        .chain(&node.task.guard)
        .filter_map(|condition| match &condition.kind {
            ConditionKind::Deployed { env, within, hold } => Some((env.clone(), *within, *hold)),
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return None;
    }
    let live = live(project.root());
    let root = project.root().to_path_buf();
    let (clock, name) = (clock.clone(), node.path.to_string());
    Some(Box::new(move |artefacts| {
        let (mut evidence, mut reasons, mut hint) = (Vec::new(), Vec::new(), None);
        // Without files there is nothing but the revision, and that was asked about.
        let Some(ours) = digest(artefacts) else { return Ok(evidence) };
        let now = clock.now();
        for (env, within, hold) in &wanted {
            let fits = |live: &Live| {
                let held = live.until.unwrap_or(now).since(live.since);
                live.artefacts == Some(ours)
                    && within.is_none_or(|within| now.since(live.since) <= within)
                    && hold.is_none_or(|hold| held >= hold)
            };
            let known = live(env);
            let found = shipped(artefacts);
            if known.iter().any(fits) {
                evidence.push(format!("these bytes were live in {env}: {found}"));
                continue;
            }
            hint.get_or_insert_with(|| {
                format!(
                    "`envrun {env}.{name}` proves these bytes there; `from \"{env}\"` in the deploy ships the proved ones instead"
                )
            });
            let was = known.iter().any(|live| live.artefacts == Some(ours));
            reasons.push(match was {
                true => {
                    format!("these bytes ({found}) were live in {env}, but not as long or as lately as asked")
                }
                false => format!(
                    "other bytes were live in {env}: proved is {}, found is {found}",
                    proved(&root, env)
                ),
            });
        }
        if reasons.is_empty() { Ok(evidence) } else { Err((reasons, hint)) }
    }))
}

/// What an environment has proved last, with where that comes from: `package 3f2a1b9c0d4e (release 2 of revision …)`.
fn proved(root: &Path, env: &EnvName) -> String {
    let Ok(history) = ledger::history(root, env.as_str()) else { return "not known".to_owned() };
    let good = history.nodes().into_iter().filter_map(|node| history.last_good(node));
    let all: Vec<String> = good
        .map(|release| {
            let what = match &release.artefacts[..] {
                [] => "no file".to_owned(),
                some => shipped(some),
            };
            format!("{what} (release {} of revision {})", release.id(), short(&release.began.revision))
        })
        .collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}
