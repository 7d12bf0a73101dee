//! What stands before a run: every guard that does not hold and everything required that is not there, asked before the
//! first process starts.
//!
//! All answers are gathered first, so that whoever is refused learns everything at once. A word to be typed (`confirm`) is
//! asked for last, when all else holds, and once for all nodes that want the same one.
//!
//! `--break-glass` passes what stands for the judgement of a person or a clock (`approval`, `window`, `deployed`,
//! `confirm`), never what says which bytes go out. What it passed is written down for ever before anything begins.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::base::Digest;
use crate::diag::Span;
use crate::engine::action::export_file;
use crate::engine::command::Carry;
use crate::engine::surroundings::{Scene, Surroundings, scope_conditions};
use crate::event::GlassBroken;
use crate::exec::{Environ, Processes};
use crate::graph::{Called, ConfiguredTask, Loaded, NodeIx};
use crate::ledger::{self, Artefact, Outcome};
use crate::model::{Condition, ConditionKind, EnvName, Envfile, Requirement, VarName, merge_requirements};
use crate::plan::Plan;
use crate::preflight::{Finding, Live, Machine, Question, Sight, Status, Verdict, World, ask_all};
use crate::record::{self, GlassEntry};
use crate::vars::{Lookup, SEALED, SecretId, condition_names, requirement_names};

use super::deploy::{Begun, Job, words};
use super::env::guard::giving;
use super::run::{Ready, Request};
use super::secret::{Wants, unseal};
use super::{Context, Problem, Project, Refusal};

/// Asks a person for a word; `None` if nobody answers.
#[derive(Clone)]
pub struct Prompt(pub Arc<Ask>);

/// A question that is shown, and the answer.
pub type Ask = dyn Fn(&str) -> Option<String> + Send + Sync;

/// How often it is looked whether the answer is still wanted.
const LOOK: Duration = Duration::from_millis(50);

impl Prompt {
    /// Asks, and asks no longer when the run is interrupted: whoever waits for a line does not hear of that.
    fn ask(&self, question: String, processes: Option<&Processes>) -> Option<String> {
        // Without anybody who listens, Ctrl-C ends the program by itself.
        let Some(processes) = processes else { return (self.0)(&question) };
        let (send, receive) = mpsc::channel();
        let ask = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("prompt".to_owned());
        thread.spawn(move || send.send(ask(&question))).ok()?;
        loop {
            match receive.recv_timeout(LOOK) {
                Ok(typed) => return typed,
                Err(RecvTimeoutError::Timeout) if processes.interrupted().is_none() => {}
                Err(_) => return None,
            }
        }
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prompt")
    }
}

/// What was asked and answered before a run.
#[derive(Debug, Default)]
struct Gate {
    /// What refuses.
    refusals: Vec<Refusal>,
    /// What would have refused, had the glass not been broken.
    broken: Vec<Refusal>,
    /// Words that are to be typed, each once.
    words: Vec<Asked>,
    /// What holds, in words.
    evidence: HashMap<NodeIx, Vec<String>>,
    /// Everything that was looked at.
    checks: Vec<Check>,
}

/// Something that has to hold before a node begins, and how it stands with it now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// The node.
    pub node: String,
    /// `guard` or `requires`.
    pub kind: &'static str,
    /// What, as it is written: `branch main`.
    pub what: String,
    /// How it stands.
    #[serde(flatten)]
    pub state: CheckState,
    /// `file:line` where it is written.
    pub place: String,
}

impl Check {
    /// Whether it is an approval that nobody, or not everybody, has given.
    pub fn is_unapproved(&self) -> bool {
        self.what.starts_with("approval ") && matches!(self.state, CheckState::Refuses { .. })
    }
}

/// How it stands with something that has to hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CheckState {
    /// It holds.
    Holds,
    /// It does not.
    Refuses {
        /// Why.
        reason: String,
        /// What would satisfy it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A person is asked for it when the run begins.
    Asked,
    /// It is found out when the run begins: that takes a command, a connection, or a secret.
    Later,
}

/// A word to be typed.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) word: String,
    pub(super) labels: Vec<String>,
    pub(super) place: String,
    pub(super) hint: Option<String>,
}

/// Answers that are the same for every node of an environment.
type Answers = HashMap<(Span, Option<EnvName>), Option<(String, Option<String>)>>;

/// What came of everything that is asked before the first process starts.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// What refuses.
    pub refusals: Vec<Refusal>,
    /// What was done and is worth saying.
    pub notices: Vec<(String, Option<String>)>,
    /// What a run that is not dry would ask a person for.
    pub would_ask: Vec<String>,
    /// Guards that were passed by hand.
    pub broken: Option<GlassBroken>,
    /// Stores were asked.
    pub read_secrets: bool,
    /// The guards of deploys that hold, in words.
    pub evidence: HashMap<NodeIx, Vec<String>>,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
    /// Secrets that a dry run made up because they are still to be made.
    pub pretended: BTreeSet<(Option<EnvName>, SecretId)>,
}

/// Asks everything that has to hold before the first process starts: first what can be asked without secrets, then a
/// person, then, when all of that holds, the stores, and last what could only be asked with them.
pub(super) fn admit(
    context: &Context,
    project: &Project,
    ready: &Ready,
    request: &Request,
) -> Result<Admitted, Problem> {
    admit_with(context, project, ready, request, None)
}

/// The same for a run whose deploys are made ready: what their proofs want is asked for too.
pub(super) fn admit_with(
    context: &Context,
    project: &Project,
    ready: &Ready,
    request: &Request,
    begun: Option<&Begun>,
) -> Result<Admitted, Problem> {
    let around = ready.surroundings(context, project, request);
    let with_loaded = with_loaded(&ready.plan);
    let carried_out = with_loaded.as_ref().unwrap_or(&ready.plan);
    let with_proofs = begun.and_then(|begun| begun.with_proofs(carried_out));
    let (plan, dry_run) = (with_proofs.as_ref().unwrap_or(carried_out), ready.plan.limits.dry_run);
    // Whoever goes back is not asked whether he may: what is live now is worse.
    let is_asked = request.job == Job::Deploy;
    let wants = Wants::of(&plan.graph, &around, is_asked);
    let break_glass = request.break_glass.is_some();
    let mut gate = Gate::default();
    let looking =
        Looking { context, project, plan: carried_out, around: &around, wants: &wants, break_glass };
    if is_asked {
        gate.look(&looking, When::BeforeSecrets);
    }
    let mut admitted = Admitted::default();
    if dry_run {
        admitted.would_ask = gate.would_ask();
    } else {
        if begun.is_none_or(|begun| begun.refusals.is_empty()) {
            gate.ask_words(request, &ready.processes);
        }
        if !gate.refusals.is_empty() {
            return Ok(Admitted { refusals: merged(gate.refusals), ..admitted });
        }
        admitted.broken = gate.broken(context, project, request, around.run)?;
    }
    // A dry run goes on, but not into an environment whose guard refuses.
    let of = |refusal: &Refusal| {
        let mut nodes = plan.graph.iter().map(|(_, node)| node);
        nodes.find(|node| node.label == refusal.label).map(|node| node.env.clone())
    };
    let refused = gate.refusals.iter().filter_map(of).collect();
    let unsealed = unseal(context, project, plan, &around, (&wants, &request.held), &refused);
    gate.refusals.extend(unsealed.refusals);
    if is_asked {
        gate.refusals.extend(without_value(plan, &around, project));
    }
    if is_asked && (gate.refusals.is_empty() || dry_run) {
        gate.look(&looking, When::WithSecrets);
    }
    let (notices, read_secrets, evidence) = (unsealed.notices, unsealed.read_any, gate.evidence);
    let (refusals, checks, pretended) = (merged(gate.refusals), gate.checks, unsealed.pretended);
    Ok(Admitted { refusals, notices, read_secrets, evidence, checks, pretended, ..admitted })
}

/// What is declared for a service or a deploy and has no value. Their commands see the whole environment, and what they
/// start or change outlives the run: a program that looks for a variable which nobody mentions is not to find out by itself.
/// A secret whose store was not asked is none of them.
fn without_value(plan: &Plan, around: &Surroundings<'_>, project: &Project) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let lasting = |node: &&ConfiguredTask| matches!(node.kind(), "deploy" | "service");
    for node in plan.graph.iter().map(|(_, node)| node).filter(lasting) {
        for (_, lookup) in around.task_values(node, &node.task).iter() {
            let Lookup::Missing(wrong) = lookup else { continue };
            if wrong.code == SEALED {
                continue;
            }
            let span = wrong.labels.first().map_or(node.task.span, |label| label.span);
            let (label, reason) = (node.label.clone(), wrong.message.clone());
            let place = project.sources().place(span);
            refusals.push(Refusal { label, reason, place, hint: wrong.help.clone() });
        }
    }
    refusals
}

/// The plan with what its `load` actions carry out behind its own nodes: the snapshots at both ends and the task between
/// them want secrets of their own, and those of another environment stand behind its guard.
fn with_loaded(plan: &Plan) -> Option<Plan> {
    let loaded = plan.graph.iter().flat_map(|(_, node)| node.loads.iter());
    let nodes: Vec<ConfiguredTask> = loaded.flat_map(Loaded::carried_out).cloned().collect();
    (!nodes.is_empty()).then(|| Plan { graph: plan.graph.with_beside(nodes), ..plan.clone() })
}

/// When a condition is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// It mentions no secret: before any store is.
    BeforeSecrets,
    /// It mentions one.
    WithSecrets,
}

/// What is looked at.
struct Looking<'a> {
    context: &'a Context,
    project: &'a Project,
    plan: &'a Plan,
    around: &'a Surroundings<'a>,
    wants: &'a Wants,
    break_glass: bool,
}

impl Gate {
    /// Asks everything but words to be typed.
    fn look(&mut self, looking: &Looking<'_>, when: When) {
        let Looking { context, project, plan, around, wants, break_glass } = *looking;
        let mut answers = Answers::new();
        let mut required = Vec::new();
        for (ix, node) in plan.graph.iter() {
            let mut guards: Vec<&Condition> = Vec::new();
            // An environment's guard stands before what changes something in it, and before its secrets.
            if changes_something(node) || wants.has(ix) {
                guards.extend(scope_conditions(around.envfile, node, |scope| &scope.guard));
            }
            guards.extend(&node.task.guard);
            called_guards(&node.calls, &mut guards);
            let mut rows: Vec<Requirement> = node.task.requires.clone();
            if node.kind() == "deploy" {
                let laid = scope_requirements(around.envfile, node).chain(&rows);
                rows = merge_requirements(laid).into_iter().cloned().collect();
            }
            if guards.is_empty() && rows.is_empty() {
                continue;
            }
            let scene = around.scene_of_guards(node);
            let is_now = |names: BTreeSet<VarName>| {
                let wants_any = !scene.values.secrets(names.iter().map(VarName::as_str)).is_empty();
                wants_any == (when == When::WithSecrets)
            };
            let carry = Carry::new(around, node, &scene, ix);
            for guard in guards.into_iter().filter(|guard| is_now(condition_names(around.envfile, guard))) {
                let place = project.sources().place(guard.span);
                let check = |state| Check {
                    node: node.label.clone(),
                    kind: "guard",
                    what: words::condition(&guard.kind),
                    state,
                    place: place.clone(),
                };
                if let ConditionKind::Confirm(word) = &guard.kind {
                    self.checks.push(check(CheckState::Asked));
                    self.word(word, node, place, guard.hint.clone());
                    // With broken glass nobody is asked for it: it is passed, and does not hold.
                    if !break_glass {
                        self.evidence.entry(ix).or_default().push(words::condition(&guard.kind));
                    }
                    continue;
                }
                if plan.limits.dry_run && matches!(guard.kind, ConditionKind::Exec { .. }) {
                    self.checks.push(check(CheckState::Later));
                    continue;
                }
                let Some((reason, hint)) = answer(&mut answers, around, guard, &scene, &carry) else {
                    self.checks.push(check(CheckState::Holds));
                    self.evidence.entry(ix).or_default().push(words::condition(&guard.kind));
                    continue;
                };
                let (why, what_now) = (reason.clone(), hint.clone());
                self.checks.push(check(CheckState::Refuses { reason: why, hint: what_now }));
                let refusal = Refusal { label: node.label.clone(), reason, place, hint };
                if break_glass && guard.kind.is_glass() { &mut self.broken } else { &mut self.refusals }
                    .push(refusal);
            }
            if !rows.is_empty() {
                let rows = rows.iter().filter(|row| is_now(requirement_names(around.envfile, row)));
                let later = rows.clone().filter(|row| plan.limits.dry_run && row.without_effort().is_none());
                self.checks.extend(later.map(|row| Check {
                    node: node.label.clone(),
                    kind: "requires",
                    what: row.title(),
                    state: CheckState::Later,
                    place: project.sources().place(row.span),
                }));
                required.extend(questions(plan, around, node, &scene, &export_file(around, ix), rows));
            }
        }
        for check in required_checks(required, around, project, context.cores) {
            if let Check { node, what, state: CheckState::Refuses { reason, hint }, place, .. } = &check {
                let reason = format!("it requires {what}: {reason}");
                let (label, place, hint) = (node.clone(), place.clone(), hint.clone());
                self.refusals.push(Refusal { label, reason, place, hint });
            }
            self.checks.push(check);
        }
        self.refusals.extend(super::service::refusals(plan, around, project));
    }

    fn word(&mut self, word: &str, node: &ConfiguredTask, place: String, hint: Option<String>) {
        match self.words.iter_mut().find(|asked| asked.word == word) {
            Some(asked) => asked.labels.push(node.label.clone()),
            None => {
                let labels = vec![node.label.clone()];
                self.words.push(Asked { word: word.to_owned(), labels, place, hint });
            }
        }
    }

    /// Asks for the words, if nothing else refuses.
    fn ask_words(&mut self, request: &Request, processes: &Processes) {
        if !self.refusals.is_empty() {
            return;
        }
        for asked in std::mem::take(&mut self.words) {
            if request.break_glass.is_some() {
                self.broken.push(asked.untyped());
            } else if let Err(refusal) = asked.ask(request, Some(processes)) {
                self.refusals.push(refusal);
                return;
            }
        }
    }

    /// In words, what a run that is not dry would ask for beside what refuses it.
    fn would_ask(&self) -> Vec<String> {
        let words = self.words.iter();
        words
            .map(|asked| {
                let (labels, word) = (asked.labels.join("`, `"), &asked.word);
                format!("`{labels}` would ask for the word `{word}` ({})", asked.place)
            })
            .collect()
    }

    /// What the broken glass comes to, written down for ever; nothing if it was not broken. Not to be able to write it down
    /// refuses the run.
    fn broken(
        &self,
        context: &Context,
        project: &Project,
        request: &Request,
        run: &record::RunId,
    ) -> Result<Option<GlassBroken>, Problem> {
        note_broken(context, project, request, &run.to_string(), self.broken.clone())
    }
}

impl Asked {
    /// Asks a person, unless the word was given on the command line.
    pub(super) fn ask(&self, request: &Request, processes: Option<&Processes>) -> Result<(), Refusal> {
        let word = &self.word;
        if request.confirm.contains(word) {
            return Ok(());
        }
        let labels = self.labels.join("`, `");
        let hint = self.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let typed = request.prompt.as_ref().and_then(|prompt| {
            let question = format!("`{labels}` wants to be confirmed{hint}: type {word} to go on: ");
            prompt.ask(question, processes)
        });
        match typed {
            Some(typed) if typed == *word => Ok(()),
            Some(typed) if !typed.is_empty() => {
                let reason = format!("`{typed}` was typed, not `{word}`");
                Err(self.refusal(reason, Some("nothing was done; start again".into())))
            }
            _ => {
                let flag = format!("--confirm {}", crate::vars::write::shell_word(word));
                let hint = match &self.hint {
                    Some(hint) => format!("{hint}; without a terminal, give `{flag}`"),
                    None => format!("type it when you are asked; without a terminal, give `{flag}`"),
                };
                let refusal = match &request.confirm[..] {
                    [] => self.untyped(),
                    given => {
                        let given = given.join("` and `");
                        self.refusal(format!("`--confirm` gave `{given}`, and the word is `{word}`"), None)
                    }
                };
                Err(Refusal { hint: Some(hint), ..refusal })
            }
        }
    }

    /// That nobody typed it.
    pub(super) fn untyped(&self) -> Refusal {
        self.refusal(format!("the word `{}` was not typed", self.word), None)
    }

    fn refusal(&self, reason: String, hint: Option<String>) -> Refusal {
        Refusal { label: self.labels.join("` and `"), reason, place: self.place.clone(), hint }
    }
}

/// Writes down for ever what was passed by hand, and gives it; nothing if the glass was not broken.
pub(super) fn note_broken(
    context: &Context,
    project: &Project,
    request: &Request,
    run: &str,
    broken: Vec<Refusal>,
) -> Result<Option<GlassBroken>, Problem> {
    let Some(reason) = request.break_glass.clone() else { return Ok(None) };
    let passed = merged(broken)
        .iter()
        .map(|refusal| format!("`{}`: {} ({})", refusal.label, refusal.reason, refusal.place))
        .collect();
    let who = format!("{}@{}", context.person(project.root()), context.host);
    let broken = GlassBroken { reason, who, passed };
    if !broken.passed.is_empty() {
        let targets = request.targets.iter().map(|target| target.name.clone()).collect();
        let entry =
            GlassEntry { time: context.clock.now(), run: run.to_owned(), targets, broken: broken.clone() };
        record::note_glass(project.root(), &entry)?;
    }
    Ok(Some(broken))
}

/// Every time that something was live and proved in an environment, by its ledger, the last one first. A ledger that
/// cannot be read says nothing.
pub(super) fn live(root: &Path) -> impl Fn(&EnvName) -> Vec<Live> + Send + Sync + use<> {
    let root = root.to_path_buf();
    move |env| {
        let Ok(history) = ledger::history(&root, env.as_str()) else { return Vec::new() };
        let mut found = Vec::new();
        for node in history.nodes() {
            // When whatever came later took the place of what was live.
            let mut until = None;
            for release in history.of_node(node) {
                match &release.end {
                    Some(end) if release.reached_live() => {
                        let live = Live {
                            revision: release.began.revision.clone(),
                            artefacts: digest(&release.artefacts),
                            since: end.at,
                            until,
                        };
                        found.push(live);
                        until = Some(release.at);
                    }
                    Some(end) if end.outcome == Outcome::Broken => until = Some(release.at),
                    None if release.phase.touched() => until = Some(release.at),
                    Some(_) | None => {}
                }
            }
        }
        found.sort_by_key(|live| std::cmp::Reverse(live.since));
        found
    }
}

/// One digest of all that a release ships; nothing for one that ships no files. Whatever the tasks are called that made
/// it: their digests hold the paths.
pub(super) fn digest(artefacts: &[Artefact]) -> Option<Digest> {
    let mut all: Vec<&Digest> = artefacts.iter().map(|artefact| &artefact.digest).collect();
    all.sort_unstable();
    let text: String = all.iter().map(|digest| format!("{}\n", digest.to_hex())).collect();
    (!all.is_empty()).then(|| Digest::of(text.as_bytes()))
}

/// Whether an environment's guard stands before a node.
pub(super) fn changes_something(node: &ConfiguredTask) -> bool {
    fn calls_one(calls: &[Called]) -> bool {
        calls.iter().any(|called| called.task.mutates || calls_one(&called.calls))
    }
    node.task.mutates || matches!(node.kind(), "deploy" | "service") || calls_one(&node.calls)
}

/// The guards of called tasks: who carries out a task's actions passes its guards.
fn called_guards<'n>(calls: &'n [Called], into: &mut Vec<&'n Condition>) {
    for called in calls {
        into.extend(&called.task.guard);
        called_guards(&called.calls, into);
    }
}

/// Why a guard does not hold, and what would satisfy it.
fn answer(
    answers: &mut Answers,
    around: &Surroundings<'_>,
    guard: &Condition,
    scene: &Scene,
    carry: &Carry<'_>,
) -> Option<(String, Option<String>)> {
    let ask = || match around.ask(guard, scene, &|command| carry.probe(command)) {
        Verdict::Holds => None,
        Verdict::Fails(reason) | Verdict::NoRepository(reason) => {
            let hint = giving(guard, scene.values.values()).or_else(|| around.remedy(guard, scene));
            Some((reason, hint))
        }
    };
    match guard.kind {
        // What a node's own variables and folder have a say in.
        ConditionKind::Exec { .. }
        | ConditionKind::Set(_)
        | ConditionKind::Unset(_)
        | ConditionKind::File(_) => ask(),
        _ => {
            let key = (guard.span, scene.values.values().env().cloned());
            answers.entry(key).or_insert_with(ask).clone()
        }
    }
}

/// What refuses several nodes is said once.
pub(super) fn merged(refusals: Vec<Refusal>) -> Vec<Refusal> {
    let mut merged: Vec<Refusal> = Vec::new();
    for refusal in refusals {
        let is_same = |known: &&mut Refusal| known.reason == refusal.reason && known.place == refusal.place;
        match merged.iter_mut().find(is_same) {
            // Two conditions of one node may fail for one reason.
            Some(known) if known.label.split("` and `").any(|label| label == refusal.label) => {}
            Some(known) => known.label = format!("{}` and `{}", known.label, refusal.label),
            None => merged.push(refusal),
        }
    }
    merged
}

/// What a node requires of the machine.
fn questions<'n, 'r>(
    plan: &Plan,
    around: &Surroundings<'_>,
    node: &'n ConfiguredTask,
    scene: &Scene,
    export: &Path,
    rows: impl Iterator<Item = &'r Requirement>,
) -> Vec<(&'n String, Question, Requirement)> {
    let environ = Arc::new(around.environ(node, scene, export));
    let sight = Sight {
        values: &scene.values,
        dir: &scene.dir.below(around.root),
        environ: &environ,
        shell: scene.shell.as_deref(),
    };
    let asked = rows.filter_map(|requirement| {
        if plan.limits.dry_run { requirement.without_effort() } else { Some(requirement.clone()) }
    });
    let named = |asked: Requirement| {
        let name = Some(Question::title(&asked, &sight, around.root));
        (&node.label, Question::of(&asked, &sight), Requirement { name, ..asked })
    };
    asked.map(named).collect()
}

/// What the environment of a deploy requires of the machine: the doctor is asked by itself before anything goes live.
fn scope_requirements<'n>(
    envfile: &'n Envfile,
    node: &'n ConfiguredTask,
) -> impl Iterator<Item = &'n Requirement> {
    let chain =
        node.env.as_ref().and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
    let mut lineage = Vec::new();
    let mut next = envfile.projects.get(&node.path.project);
    while let Some(project) = next {
        lineage.push(project);
        next = project.outer.as_ref().and_then(|outer| envfile.projects.get(outer));
    }
    lineage.into_iter().rev().flat_map(move |project| {
        let overlays = chain.iter().filter_map(|env| project.overlays.get(env));
        std::iter::once(&project.base).chain(overlays).flat_map(|scope| &scope.requires)
    })
}

/// What is required, and how it stands with it.
fn required_checks(
    required: Vec<(&String, Question, Requirement)>,
    around: &Surroundings<'_>,
    project: &Project,
    cores: fn() -> usize,
) -> Vec<Check> {
    if required.is_empty() {
        return Vec::new();
    }
    let questions: Vec<Question> = required.iter().map(|(_, question, _)| question.clone()).collect();
    let machine = Machine::look(around.root, cores());
    let caller = Environ::new(around.caller);
    let world = World { machine: &machine, processes: around.processes, caller: &caller, root: around.root };
    let findings = ask_all(&questions, &world).into_iter();
    let check = |(finding, (label, _, requirement)): (Finding, (&String, Question, Requirement))| Check {
        node: label.clone(),
        kind: "requires",
        what: requirement.title(),
        state: match finding.status {
            Status::Pass | Status::Warn => CheckState::Holds,
            Status::Fail => CheckState::Refuses {
                reason: finding.reason(),
                hint: requirement.hint.clone().or(finding.hint),
            },
        },
        place: project.sources().place(requirement.span),
    };
    findings.zip(required).map(check).collect()
}
