//! The pipeline: what came of each stage for the work tree as it is, and one stage after the other.
//!
//! What a record speaks of is the [`WorkTree`]: the commit, and the digest of whatever differs from it. A stage begins only
//! if every stage before it has a green record of the same work tree, made of the same inputs (`survey`), and if all these
//! records agree on the bytes of what they made or used (`gate`). Those bytes are the ones it uses: it takes them out of
//! the cache, whichever machine made them, and is refused if it can only make others.
//!
//! | a stage's … | means |
//! |---|---|
//! | `when` | does not hold: skipped, exit status 0, and so is every stage after it |
//! | `guard` | does not hold: refused before anything runs, exit status 3, nothing recorded |
//! | … only other bytes than the proved ones can be had | refused, exit status 3, nothing recorded |
//! | `run` | its nodes, in its environment; `$ENVRUN_STAGE` is its name |
//!
//! Invariant: what cannot be known (a remote that does not answer, a record that is damaged) opens no gate.
//! Invariant: a record is made of the work tree that the stage ran on from beginning to end, or not at all.

mod gate;
mod survey;
mod work_tree;

use std::collections::BTreeMap;
use std::ffi::OsStr;

use crate::base::text::one_line;
use crate::engine::dispatcher::Ending;
use crate::engine::pin::Pins;
use crate::event::Chosen;
use crate::exec::Environ;
use crate::model::{EnvName, Envfile, NodeName, Stage};
use crate::preflight::{Git, Verdict};
use crate::record::{StageBook, StageInputs, StageOutcome, StageRecord, StageRecords};
use crate::report::Reporters;

use super::matching::Choice;
use super::run::{Proof, Request, Terms, carry_out};
use super::{Context, Problem, Project, Refusal};
use survey::Survey;
pub use work_tree::WorkTree;

/// The exit status of a run that somebody refused.
const EXIT_REFUSED: u8 = 3;

/// The pipeline, for people to look at.
#[derive(Debug, Clone)]
pub struct Overview {
    /// What the results speak of.
    pub work_tree: WorkTree,
    /// Every stage, in the order written.
    pub stages: Vec<StageStatus>,
    /// The environment of stages that name none, where its `match` chose it.
    pub chosen: Option<Chosen>,
    /// What keeps this from being the whole truth, each with what to do.
    pub warnings: Vec<(String, Option<String>)>,
}

/// One stage of the pipeline.
#[derive(Debug, Clone)]
pub struct StageStatus {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub desc: Option<String>,
    /// The environment it runs in, its own or that of targets without one.
    pub env: Option<String>,
    /// The stages before it.
    pub after: Vec<String>,
    /// The last record of this work tree.
    pub last: Option<StageRecord>,
    /// The last record of the same commit with other uncommitted changes, or none; told where there is no better one.
    pub elsewhere: Option<StageRecord>,
    /// The last record was made with other inputs: which.
    pub moved: Vec<String>,
}

/// How a stage went that was asked for.
#[derive(Debug)]
pub enum Went {
    /// It ran.
    Ran(StageRecord, Ending),
    /// It was refused half way, because other bytes would have come of it: nothing is recorded.
    Refused(Ending),
    /// It was skipped: why.
    Skipped(String),
    /// It is green already.
    Green(StageRecord),
}

/// Where a project stands: what every question about its pipeline begins with.
struct Standing {
    survey: Survey,
    work_tree: WorkTree,
    book: StageBook,
}

impl Standing {
    fn find(context: &Context, project: &mut Project, set: &[(String, String)]) -> Result<Self, Problem> {
        let survey = Survey::make(context, project, set)?;
        let work_tree = WorkTree::look(project.root(), &survey.makes, context.clock.now())
            .map_err(|reason| Problem::Refused(vec![no_work_tree(project, reason)]))?;
        let remote = project.envfile().state.as_ref().map(|remote| remote.value.clone());
        let book = StageBook::open(project.root(), remote.as_deref());
        Ok(Self { survey, work_tree, book })
    }
}

/// Stages speak of revisions.
fn no_work_tree(project: &Project, reason: String) -> Refusal {
    let first = project.envfile().stages.values().next();
    Refusal {
        label: "stage".into(),
        reason,
        place: first.map(|stage| project.sources().place(stage.span)).unwrap_or_default(),
        hint: Some("results of stages are kept for a commit: `git init`, and commit".into()),
    }
}

/// The stage of that name.
pub fn find<'e>(envfile: &'e Envfile, name: &str) -> Result<&'e Stage, Problem> {
    envfile.stages.get(name).ok_or_else(|| {
        let known: Vec<&str> = envfile.stages.keys().map(NodeName::as_str).collect();
        let hint = crate::diag::did_you_mean(name, known.iter().copied()).or_else(|| match known[..] {
            [] => Some("the Envfile declares none: `stage \"test\" { run \"unit\" }`".into()),
            _ => Some(format!("there is {}", known.join(", "))),
        });
        Problem::usage(format!("there is no stage `{name}`"), hint)
    })
}

/// Every stage before one, itself left out, in the order of the pipeline.
fn before<'e>(envfile: &'e Envfile, stage: &Stage) -> Vec<&'e Stage> {
    let mut found: Vec<&Stage> = Vec::new();
    let mut todo: Vec<&str> = stage.after.iter().map(|name| name.value.as_str()).collect();
    while let Some(name) = todo.pop() {
        let Some(earlier) = envfile.stages.get(name) else { continue };
        if !found.iter().any(|known| known.name == earlier.name) {
            todo.extend(earlier.after.iter().map(|name| name.value.as_str()));
            found.push(earlier);
        }
    }
    in_order(envfile).into_iter().filter(|one| found.iter().any(|known| known.name == one.name)).collect()
}

/// Every stage, each after those that it comes after, as near to the order written as that allows.
pub(super) fn in_order(envfile: &Envfile) -> Vec<&Stage> {
    let mut order: Vec<&Stage> = Vec::new();
    while order.len() < envfile.stages.len() {
        let is_in = |order: &[&Stage], name: &str| order.iter().any(|one| one.name.as_str() == name);
        let next = envfile.stages.values().find(|stage| {
            !is_in(&order, stage.name.as_str())
                && stage.after.iter().all(|earlier| is_in(&order, &earlier.value))
        });
        // An Envfile whose stages stand in a circle is not loaded.
        let Some(next) = next else { break };
        order.push(next);
    }
    order
}

/// The last record that says more than that a stage was skipped, or else the last.
fn last<'r>(
    records: &'r StageRecords,
    stage: &Stage,
    of: impl Fn(&StageRecord) -> bool,
) -> Option<&'r StageRecord> {
    let mine = || records.records.iter().rev().filter(|one| one.stage == stage.name.as_str() && of(one));
    mine().find(|record| record.outcome != StageOutcome::Skipped).or_else(|| mine().next())
}

/// What of a stage's inputs is not as a record says. Nodes that cannot be worked out here are no part of it.
fn moved(record: &StageRecord, env: Option<&EnvName>, now: &BTreeMap<String, StageInputs>) -> Vec<String> {
    // Where `match` chose another environment, its nodes are others, unless they read nothing of it.
    let then = record.env.as_deref();
    if then != env.map(EnvName::as_str) && now.keys().any(|label| !record.inputs.contains_key(label)) {
        return vec![match then {
            Some(env) => format!("another environment, `{env}`"),
            None => "no environment".into(),
        }];
    }
    let of = |label: &String, inputs: &StageInputs| {
        let then = record.inputs.get(label)?;
        match (then.files == inputs.files, then.values == inputs.values) {
            (true, true) => None,
            (false, _) => Some(format!("other input files of `{label}`")),
            (true, false) => Some(format!("other values of `{label}`")),
        }
    };
    now.iter().filter_map(|(label, inputs)| of(label, inputs)).collect()
}

/// The pipeline with the last result of each stage, as it is with the values of `set`.
pub fn overview(
    context: &Context,
    project: &mut Project,
    set: &[(String, String)],
) -> Result<Overview, Problem> {
    let standing = Standing::find(context, project, set)?;
    let work_tree = standing.work_tree;
    let mut warnings = Vec::new();
    let records = match standing.book.read(&work_tree.revision) {
        Ok(records) => records,
        Err(error) => {
            let problem = Problem::Stages(error);
            warnings.push((format!("{problem}; this is what was known here before"), problem.hint()));
            standing.book.last_known(&work_tree.revision)?
        }
    };
    for path in &records.damaged {
        warnings.push((format!("the stage record {path} is damaged, and counts as none"), None));
    }
    let choice = super::matching::choice(context, project, None)?;
    let default = choice.as_ref().map(|choice| &choice.env);
    let status = |stage: &Stage| {
        let here = last(&records, stage, |record| work_tree.is_of(record)).cloned();
        let now = standing.survey.inputs.get(&stage.name);
        let env = stage.env.as_ref().map(|env| &env.value).or(default);
        let moved = here.as_ref().zip(now).map(|(record, now)| moved(record, env, now));
        StageStatus {
            name: stage.name.to_string(),
            desc: stage.desc.clone(),
            env: env.map(ToString::to_string),
            after: stage.after.iter().map(|name| name.value.clone()).collect(),
            elsewhere: last(&records, stage, |record| !work_tree.is_of(record)).cloned(),
            last: here,
            moved: moved.unwrap_or_default(),
        }
    };
    let stages = project.envfile().stages.values().map(status).collect();
    let is_used = project.envfile().stages.values().any(|stage| stage.env.is_none());
    let chosen = choice.as_ref().and_then(Choice::told).filter(|_| is_used);
    Ok(Overview { work_tree, stages, chosen, warnings })
}

/// The names of all stages, in the order of the pipeline.
pub fn names(project: &Project) -> Vec<String> {
    in_order(project.envfile()).iter().map(|stage| stage.name.to_string()).collect()
}

/// Runs one stage. `request` says how; what runs, the stage says. With `unless_green`, a stage that is green already, for
/// this work tree and with these inputs, is left alone.
pub fn run_stage(
    context: &Context,
    project: &mut Project,
    name: &str,
    request: &Request,
    unless_green: bool,
    reporters: Reporters,
) -> Result<Went, Problem> {
    let stage = find(project.envfile(), name)?.clone();
    let standing = Standing::find(context, project, &request.set)?;
    let git = Git::new(project.root());
    let mut record = StageRecord::new(name, &standing.work_tree.revision, standing.work_tree.changes.clone());
    let env = environment(context, project, &stage)?;
    record.env = env.as_ref().map(ToString::to_string);
    record.who = who(context, &git, project.root());
    record.host.clone_from(&context.host);
    record.began = context.clock.now();
    record.run = crate::record::RunId::draw(record.began).to_string();
    record.inputs = standing.survey.inputs.get(&stage.name).cloned().unwrap_or_default();

    if let Some(reason) = gate::skipped(context, project, &git, &stage, &request.set)? {
        record.outcome = StageOutcome::Skipped;
        record.reason = Some(reason.clone());
        if !request.dry_run {
            // To be skipped is no result that anybody rests on: whether it is told elsewhere does not matter.
            let _ = standing.book.add(&record);
        }
        return Ok(Went::Skipped(reason));
    }
    let records = standing.book.read(&standing.work_tree.revision)?;
    let (pins, broken) = gate::passed(context, project, &git, &stage, &standing, &records, request)?;
    if unless_green
        && let Some(green) = last(&records, &stage, |one| standing.work_tree.is_of(one))
        && green.outcome == StageOutcome::Green
        && moved(green, env.as_ref(), &record.inputs).is_empty()
        && uses(green, &pins)
    {
        return Ok(Went::Green(green.clone()));
    }
    gate::confirmed(context, project, &stage, request, &record.run, broken)?;

    let request = Request {
        targets: survey::targets(&stage),
        env: stage.env.as_ref().map(|env| env.value.to_string()),
        stage: Some(stage.name.clone()),
        ..request.clone()
    };
    let mut proof = Proof::default();
    let terms = Terms { pins: Some(&pins), proof: Some(&mut proof), ..Terms::default() };
    let (ending, _) = carry_out(context, project, &request, reporters, terms)?;
    if request.dry_run {
        return Ok(Went::Ran(record, ending));
    }
    // Whoever is held up has no result.
    if ending.exit == EXIT_REFUSED {
        return Ok(Went::Refused(ending));
    }
    record.took_ms = u64::try_from(context.clock.now().since(record.began).as_millis()).unwrap_or(u64::MAX);
    record.run.clone_from(&proof.run);
    record.outputs = proof.outputs.iter().map(|(label, outputs)| (label.clone(), outputs.to_hex())).collect();
    (record.outcome, record.reason) = outcome(&ending, &proof);
    if record.outcome == StageOutcome::Green
        && let Err(reason) = standing.still_stands(context, project)
    {
        record.outcome = StageOutcome::Red;
        record.reason = Some(reason);
    }
    let added = standing.book.add(&record);
    added.map_err(|source| Problem::Unshared {
        stage: name.to_owned(),
        outcome: record.outcome.word(),
        source,
    })?;
    Ok(Went::Ran(record, ending))
}

/// Whether a stage that is green used the bytes that it would use now.
fn uses(green: &StageRecord, pins: &Pins) -> bool {
    pins.iter()
        .all(|(label, pin)| green.outputs.get(label).is_none_or(|outputs| *outputs == pin.outputs.to_hex()))
}

impl Standing {
    /// Whether the work tree is what it was: a result of two work trees is one of neither.
    fn still_stands(&self, context: &Context, project: &mut Project) -> Result<(), String> {
        let now = WorkTree::look(project.root(), &self.survey.makes, context.clock.now())?;
        if now.revision != self.work_tree.revision {
            return Err("another commit was checked out while it ran".into());
        }
        if now.changes != self.work_tree.changes {
            let new: Vec<&String> =
                now.changed.iter().filter(|path| !self.work_tree.changed.contains(path)).collect();
            return Err(match new.first() {
                Some(path) => format!(
                    "{path} changed or came up while it ran, so nobody can say what the result is of (ignore it, or declare it as an output)"
                ),
                None => "the work tree changed while it ran, so nobody can say what the result is of".into(),
            });
        }
        Ok(())
    }
}

fn outcome(ending: &Ending, proof: &Proof) -> (StageOutcome, Option<String>) {
    let named = |labels: &[String]| {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        labels.join(", ")
    };
    match ending.exit {
        // Nothing failed, and nothing of what the stage is there for was done.
        0 if proof.idle => (StageOutcome::Skipped, Some(format!("{} was skipped", named(&proof.skipped)))),
        0 if proof.skipped.is_empty() => (StageOutcome::Green, None),
        0 => (StageOutcome::Green, Some(format!("{} was skipped", named(&proof.skipped)))),
        130 => (StageOutcome::Red, Some("it was interrupted".into())),
        _ if proof.failed.is_empty() => (StageOutcome::Red, Some(format!("exit status {}", ending.exit))),
        _ => (StageOutcome::Red, Some(format!("{} failed", named(&proof.failed)))),
    }
}

/// Who runs this: the CI system's word first, because there git knows nobody.
fn who(context: &Context, git: &Git, root: &std::path::Path) -> String {
    let caller = |name: &str| context.caller_text(name).filter(|value| !value.is_empty());
    let name = caller("GITHUB_ACTOR")
        .or_else(|| caller("GITLAB_USER_LOGIN"))
        .or_else(|| git.who())
        .unwrap_or_else(|| context.person(root));
    one_line(&name)
}

/// The environment that a stage runs in: its own, or the one that a target without one has.
fn environment(context: &Context, project: &Project, stage: &Stage) -> Result<Option<EnvName>, Problem> {
    match &stage.env {
        Some(env) => Ok(Some(env.value.clone())),
        None => super::matching::chosen_environment(context, project, &Request::default()),
    }
}

/// What a condition of a stage is asked with: the values of its environment, seen from its project's folder.
fn ask(
    context: &Context,
    project: &mut Project,
    git: &Git,
    (stage, set): (&Stage, &[(String, String)]),
    conditions: &[crate::model::Condition],
) -> Result<Vec<(Verdict, Option<String>)>, Problem> {
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    let env = environment(context, project, stage)?;
    let (values, folder) = survey::values(context, project, stage, env.as_ref(), set)?;
    let caller = |name: &str| context.caller.get(OsStr::new(name))?.to_str().map(str::to_owned);
    let variable = |name: &str| match values.lookup(name).text() {
        Some(text) => Some(text.to_string()),
        None => caller(name),
    };
    let mut environ = Environ::new(&context.caller);
    for (name, value) in values.iter() {
        if let Some(text) = value.text() {
            environ.set(name.as_str(), &**text);
        }
    }
    environ.set("ENVRUN_STAGE", stage.name.as_str());
    if let Some(env) = &env {
        environ.set("ENVRUN_ENV", env.as_str());
    }
    let exec = |command: &crate::model::Command| super::probe::succeeds(command, &folder, &environ);
    let around = crate::preflight::Surroundings {
        git,
        variable: &variable,
        caller: &caller,
        exists: &|path| folder.join(path).exists(),
        exec: &exec,
        host: &context.host,
        now: context.clock.now(),
        env: env.as_ref(),
        revision: &|| None,
        plan: None,
        artefacts: None,
        live: &super::guard::live(project.root()),
        confirmed: &|_| false,
        scratch: &project.root().join(crate::record::STATE_DIR).join("tmp"),
    };
    let asked = conditions.iter().map(|condition| {
        let verdict = crate::preflight::check(condition, &around);
        let remedy = (verdict != Verdict::Holds).then(|| crate::preflight::remedy(condition, &around));
        (verdict, remedy.flatten())
    });
    Ok(asked.collect())
}
