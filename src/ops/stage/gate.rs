//! Whether a stage may begin, and with which bytes.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::engine::pin::{Pin, Pins};
use crate::model::{Condition, ConditionKind, EnvName, Envfile, ProjectName, Stage};
use crate::preflight::{Git, Verdict};
use crate::record::{StageOutcome, StageRecord, StageRecords};

use super::super::guard::{Asked, note_broken};
use super::super::run::Request;
use super::super::{Context, Problem, Project, Refusal};
use super::{Standing, ask, before, environment, last, moved, survey};

/// Why a stage is skipped, if it is: its own `when`, or that of a stage before it.
pub(super) fn skipped(
    context: &Context,
    project: &mut Project,
    git: &Git,
    stage: &Stage,
    set: &[(String, String)],
) -> Result<Option<String>, Problem> {
    let mut stages: Vec<Stage> = before(project.envfile(), stage).into_iter().cloned().collect();
    stages.push(stage.clone());
    for one in &stages {
        // What its environment says skips everything that it runs.
        let env = environment(context, project, one)?;
        let mut when = of_environment(project.envfile(), env.as_ref());
        when.extend(one.when.iter().cloned());
        let verdicts = ask(context, project, git, (one, set), &when)?;
        for ((verdict, hint), condition) in verdicts.into_iter().zip(&when) {
            match verdict {
                Verdict::Holds => {}
                Verdict::Fails(reason) if one.name == stage.name => return Ok(Some(reason)),
                Verdict::Fails(reason) => {
                    return Ok(Some(format!("it comes after `{}`, which is skipped: {reason}", one.name)));
                }
                // Nobody can say whether it should run: no reason to skip.
                Verdict::NoRepository(reason) => {
                    let place = project.sources().place(condition.span);
                    return Err(Problem::Refused(vec![Refusal { label: label(one), reason, place, hint }]));
                }
            }
        }
    }
    Ok(None)
}

/// What is in the way of a stage, all of it; or, if nothing is, the bytes that it has to use, and what would have been in the
/// way, had the glass not been broken.
pub(super) fn passed(
    context: &Context,
    project: &mut Project,
    git: &Git,
    stage: &Stage,
    standing: &Standing,
    records: &StageRecords,
    request: &Request,
) -> Result<(Pins, Vec<Refusal>), Problem> {
    let earlier: Vec<Stage> = before(project.envfile(), stage).into_iter().cloned().collect();
    let place = project.sources().place(stage.span);
    let mut refusals = Vec::new();
    let mut refuse = |reason: String, hint: String| {
        let (label, place) = (label(stage), place.clone());
        refusals.push(Refusal { label, reason, place, hint: Some(hint) });
    };
    let mut green: Vec<&StageRecord> = Vec::new();
    for one in &earlier {
        let env = environment(context, project, one)?;
        match standing.result_of(one, env.as_ref(), records) {
            Ok(record) => green.push(record),
            Err(reason) => refuse(reason, format!("`envrun stage {}`", one.name)),
        }
    }
    let mut pins = Pins::new();
    let mut makers: BTreeMap<&str, &StageRecord> = BTreeMap::new();
    let in_order = green.clone();
    // The older record is the one to make again, and the one that is said to differ.
    green.sort_by_key(|record| std::cmp::Reverse(record.began));
    for record in green {
        for (node, outputs) in &record.outputs {
            let Some(outputs) = Digest::from_hex(outputs) else { continue };
            match pins.get(node) {
                Some(pin) if pin.outputs != outputs => refuse(
                    format!(
                        "`{}` was green with {} of `{node}`, and `{}` has {} of it since",
                        record.stage,
                        outputs.short(),
                        makers[node.as_str()].stage,
                        pin.outputs.short(),
                    ),
                    format!("`envrun stage {}`", record.stage),
                ),
                Some(_) => {}
                None => {
                    let by = format!("stage `{}`", record.stage);
                    pins.insert(node.clone(), Pin { outputs, by });
                    makers.insert(node, record);
                }
            }
        }
    }
    // Later stages only use what the first of them made: that is the one to make again where the bytes are gone.
    for record in in_order.iter().rev() {
        for (node, outputs) in &record.outputs {
            if let Some(pin) = pins.get_mut(node).filter(|pin| pin.outputs.to_hex() == *outputs) {
                pin.by = format!("stage `{}`", record.stage);
            }
        }
    }
    // A word to be typed is asked for last, when it is sure that the stage would run.
    let guard: Vec<Condition> =
        stage.guard.iter().filter(|one| !matches!(one.kind, ConditionKind::Confirm(_))).cloned().collect();
    let verdicts = ask(context, project, git, (stage, &request.set), &guard)?;
    let mut broken = Vec::new();
    for ((verdict, hint), condition) in verdicts.into_iter().zip(&guard) {
        if let Verdict::Fails(reason) | Verdict::NoRepository(reason) = verdict {
            let place = project.sources().place(condition.span);
            let refusal = Refusal { label: label(stage), reason, place, hint };
            let is_broken = request.break_glass.is_some() && condition.kind.is_glass();
            if is_broken { &mut broken } else { &mut refusals }.push(refusal);
        }
    }
    if refusals.is_empty() { Ok((pins, broken)) } else { Err(Problem::Refused(refusals)) }
}

/// Asks for the words that the guard of a stage wants to be typed, and writes down what is passed without.
pub(super) fn confirmed(
    context: &Context,
    project: &Project,
    stage: &Stage,
    request: &Request,
    run: &str,
    mut broken: Vec<Refusal>,
) -> Result<(), Problem> {
    for condition in &stage.guard {
        let ConditionKind::Confirm(word) = &condition.kind else { continue };
        let asked = Asked {
            word: word.clone(),
            labels: vec![label(stage)],
            place: project.sources().place(condition.span),
            hint: condition.hint.clone(),
        };
        if request.break_glass.is_some() {
            broken.push(asked.untyped());
        } else if !request.dry_run {
            asked.ask(request, None).map_err(|refusal| Problem::Refused(vec![refusal]))?;
        }
    }
    if !request.dry_run {
        let request = Request { targets: survey::targets(stage), ..request.clone() };
        note_broken(context, project, &request, run, broken)?;
    }
    Ok(())
}

impl Standing {
    /// The green record of an earlier stage for this work tree and these inputs, or why there is none.
    fn result_of<'r>(
        &self,
        stage: &Stage,
        env: Option<&EnvName>,
        records: &'r StageRecords,
    ) -> Result<&'r StageRecord, String> {
        let (name, work_tree) = (&stage.name, &self.work_tree);
        let found = last(records, stage, |record| work_tree.is_of(record))
            .filter(|record| record.outcome != StageOutcome::Skipped);
        let Some(record) = found else {
            let other = last(records, stage, |record| !work_tree.is_of(record));
            return Err(match (other, work_tree.changed.first()) {
                (Some(other), Some(path)) if other.changes.is_none() => format!(
                    "`{name}` has a result only for the commit without the uncommitted changes ({path}{})",
                    match work_tree.changed.len() {
                        1 => String::new(),
                        more => format!(" and {} more", more - 1),
                    }
                ),
                (Some(_), _) => format!("`{name}` has a result only for other uncommitted changes"),
                (None, _) => format!("`{name}` has no result for {}", work_tree.name()),
            });
        };
        if record.outcome != StageOutcome::Green {
            let reason = record.reason.as_deref().unwrap_or("it failed");
            return Err(format!("`{name}` is {}: {reason} (run {})", record.outcome.word(), record.run));
        }
        let now = self.inputs_of(stage);
        match &moved(record, env, now)[..] {
            [] => Ok(record),
            [what, ..] => Err(format!("`{name}` is green with {what}")),
        }
    }

    fn inputs_of(&self, stage: &Stage) -> &BTreeMap<String, crate::record::StageInputs> {
        static NONE: BTreeMap<String, crate::record::StageInputs> = BTreeMap::new();
        self.survey.inputs.get(&stage.name).unwrap_or(&NONE)
    }
}

/// The `when` of an environment and of those that it extends, as the root project says it.
fn of_environment(envfile: &Envfile, env: Option<&EnvName>) -> Vec<Condition> {
    let chain = env.and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
    let Some(root) = envfile.projects.get(&ProjectName::default()) else { return Vec::new() };
    chain.iter().filter_map(|env| root.overlays.get(env)).flat_map(|scope| scope.when.clone()).collect()
}

/// As it is called in a refusal.
fn label(stage: &Stage) -> String {
    format!("stage {}", stage.name)
}
