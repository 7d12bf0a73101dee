//! Who put what live, when, and how it came out.

use serde::Serialize;

use crate::base::Timestamp;
use crate::ledger::{Artefact, Release, Saved, Who};

use super::super::{Context, Problem, Project};
use super::{history_to_look_at, refresh_to_look, status};

/// One release, as programs see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line<'a> {
    env: &'a str,
    release: u64,
    kind: &'static str,
    deploy: &'a str,
    revision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_revision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back_to: Option<u64>,
    who: &'a Who,
    run: &'a str,
    began: u64,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    evidence: &'a [String],
    artefacts: &'a [Artefact],
    snapshots: &'a [Saved],
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unsaved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<&'a str>,
    logs: &'a [String],
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_up_by: Option<&'a Who>,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<u64>,
}

/// A release as programs see it.
pub fn line<'a>(env: &'a str, release: &'a Release) -> Line<'a> {
    let (began, end) = (&release.began, release.end.as_ref());
    Line {
        env,
        release: release.id(),
        kind: match began.kind {
            crate::ledger::Kind::Deploy => "deploy",
            crate::ledger::Kind::Rollback => "rollback",
            crate::ledger::Kind::Restore => "restore",
        },
        deploy: &began.node,
        revision: &began.revision,
        previous: began.previous,
        previous_revision: began.previous_revision.as_deref(),
        from: began.from.as_ref().map(|from| format!("{}/{}", from.env, from.release)),
        rolled_back_to: began.of,
        who: &began.who,
        run: &began.run,
        began: release.at.0,
        phase: release.phase.word(),
        outcome: release.outcome().map(crate::ledger::Outcome::word),
        ended: end.map(|end| end.at.0),
        took_ms: release.took().map(|took| took.as_millis()),
        reason: end.and_then(|end| end.reason.as_deref()),
        evidence: &release.evidence,
        artefacts: &release.artefacts,
        snapshots: &release.snapshots,
        values: release.values.as_deref(),
        unsaved: began.unsaved,
        break_glass: began.break_glass.as_deref(),
        logs: end.map_or(&[], |end| &end.logs),
        kept: !release.pruned,
        taken_up_by: release.taken_up.as_ref().map(|taken_up| &taken_up.who),
        was: began.was,
    }
}

/// The releases of environments.
pub struct Overview {
    /// The environments that were looked at.
    pub environments: Vec<String>,
    /// Their releases, newest first, each with its environment.
    pub releases: Vec<(String, Release)>,
    /// Why that may not be all, and what to do.
    pub warnings: Vec<(String, Option<String>)>,
}

/// Every release of an environment, or of all of them.
pub fn releases(context: &Context, project: &Project, env: Option<&str>) -> Result<Overview, Problem> {
    let mut warnings = refresh_to_look(context, project);
    let environments = status::environments(project, env)?;
    let mut all = Vec::new();
    for env in &environments {
        // Within an environment the ledger knows the order, whatever the clocks of machines say.
        let mut latest = Timestamp::default();
        for release in history_to_look_at(project, env, &mut warnings)?.into_releases() {
            latest = latest.max(release.at);
            all.push((latest, env.clone(), release));
        }
    }
    all.reverse();
    all.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let releases = all.into_iter().map(|(_, env, release)| (env, release)).collect();
    Ok(Overview { environments, releases, warnings })
}
