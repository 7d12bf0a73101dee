//! A run, from names on the command line to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::fs::{self, FsError};
use crate::base::{Digest, Timestamp};
use crate::cache::{self, LocalStore};
use crate::engine::action::{Actions, NO_CACHE};
use crate::engine::audit::Audit;
use crate::engine::dispatcher::{self, Ending, Message};
use crate::engine::pin::Pins;
use crate::engine::render;
use crate::engine::service::{Hold, Services};
use crate::engine::surroundings::{Surroundings, state_label};
use crate::event::{self, Event, NodeInfo, NodeState, Notice, OutcomeKind, RunStarted, RunState};
use crate::exec::{Interrupt, Jobserver, Processes, Signals, Tenant};
use crate::fingerprint::{SecretKey, Workspace};
use crate::graph::{self, NodeIx, Target, TaskGraph};
use crate::ledger;
use crate::model::{Command, ConditionKind, EnvName, NodeName};
use crate::plan::{Force, Limits, OnFailure, Plan};
use crate::preflight::{Git, Live, Verdict};
use crate::record::{self, Durations, ManifestLog, RecordError, Recorder, RunId, STATE_DIR};
use crate::report::Reporters;
use crate::vars::{Layer, Lookup, SecretId, Source, TaskValues};

use super::deploy::{self, Job};
use super::guard::{Admitted, Prompt, admit_with, live, merged};
use super::matching::{Choice, choice, chosen_environment};
use super::plan::{self, Frozen};
use super::seal::{Answer, Asked, Broken, seal_answer};
use super::sweep::sweep;
use super::target::{self, targets};
use super::values::{AskedNames, ValueReader, caller_source};
use super::{Context, Problem, Project, has_errors};

/// What a run is asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The targets.
    pub targets: Vec<target::Asked>,
    /// The environment of those that name none.
    pub env: Option<String>,
    /// The stage that all of them run in.
    pub stage: Option<NodeName>,
    /// `--set`.
    pub set: Vec<(String, String)>,
    /// How many commands may run at once.
    pub jobs: Option<u32>,
    /// What a failure means for the rest.
    pub on_failure: OnFailure,
    /// What is executed although it is up to date.
    pub force: Force,
    /// Nothing is executed.
    pub dry_run: bool,
    /// Results are looked for in the cache.
    pub read_cache: bool,
    /// Results are kept in the cache.
    pub write_cache: bool,
    /// What becomes of its services.
    pub hold: Hold,
    /// Warnings about the Envfile are errors.
    pub strict: bool,
    /// Who uses the terminal, and lets go of it for commands that have it to themselves.
    pub tenant: Option<Tenant>,
    /// Words that were given to confirm what asks for one.
    pub confirm: Vec<String>,
    /// Who is asked for such a word; nobody without a terminal.
    pub prompt: Option<Prompt>,
    /// Why guards that stand for somebody's judgement are passed by hand.
    pub break_glass: Option<String>,
    /// The words of the command line, and those of them that are options: what a sealed answer is kept under.
    pub words: Option<(Vec<String>, Vec<String>)>,
    /// Secrets whose value is not asked of their store: while one is replaced, its task sees the old one, or the new.
    pub held: Vec<(SecretId, String)>,
    /// Why its targets are forced, in words that stand after "because", if somebody else than the user wants it.
    pub forced: Option<String>,
    /// The sealed answer to its words, if it holds no more.
    pub broken: Option<Arc<Broken>>,
    /// What its deploys are there for.
    pub job: Job,
    /// The frozen plan that it carries out: it is refused if anything is not as it was.
    pub plan: Option<Arc<Frozen>>,
}

/// How long running commands have after each step of an interrupt before the next one follows by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything a run needs, before anything has begun.
pub struct Ready {
    /// What is to be done.
    pub plan: Plan,
    pub(super) root: PathBuf,
    pub(super) run: RunId,
    pub(super) recorder: Option<Recorder>,
    /// Why there is no recorder.
    pub(super) unrecorded: Option<RecordError>,
    /// Why the user's cache folder is of no use.
    pub(super) no_cache: Option<FsError>,
    pub(super) durations: Durations,
    pub(super) processes: Arc<Processes>,
    pub(super) jobserver: Jobserver,
    pub(super) asked: Asked,
    pub(super) manifests: ManifestLog,
    pub(super) workspace: Workspace,
    pub(super) store: LocalStore,
    pub(super) git: Git,
    pub(super) services: Services,
    /// The environment of targets that name none, where its `match` chose it and something reads it.
    pub chosen: Option<event::Chosen>,
    /// What hashes secrets in this run.
    secrets: SecretKey,
    /// Every time that something was live in an environment.
    live: LiveTimes,
}

/// Tells every time that something was live in an environment.
type LiveTimes = Box<dyn Fn(&EnvName) -> Vec<Live> + Send + Sync>;

/// What is left of a run in memory when it is over. A program that ends now forgets it: to take ten thousand nodes apart
/// is work for nobody, and touches every page they lie in.
pub struct Rest {
    _plan: Plan,
    _workspace: Workspace,
}

impl Ready {
    /// Looks everything up that a request names, and opens everything it needs. Nothing is executed.
    pub fn new(context: &Context, project: &mut Project, request: &Request) -> Result<Self, Problem> {
        Self::open(context, project, request, false)
    }

    /// The same to look at the plan only, of which not everything has to be fit to run.
    pub(super) fn to_look_at(
        context: &Context,
        project: &mut Project,
        request: &Request,
    ) -> Result<Self, Problem> {
        Self::open(context, project, &Request { dry_run: true, ..request.clone() }, true)
    }

    fn open(
        context: &Context,
        project: &mut Project,
        request: &Request,
        sketch: bool,
    ) -> Result<Self, Problem> {
        let choice = choice(context, project, request.env.as_deref())?;
        let env = choice.as_ref().map(|choice| &choice.env);
        let mut targets = targets(context, project.envfile(), &request.targets, env)?;
        let chosen = choice.as_ref().and_then(Choice::told).filter(|_| {
            let names_env = |asked: &target::Asked| {
                let alone = target::target(project.envfile(), &asked.name, None);
                alone.is_ok_and(|(target, _)| target.env.is_some())
            };
            !request.targets.iter().all(names_env)
        });
        if let Some(stage) = &request.stage {
            targets.iter_mut().for_each(|target| target.stage = Some(stage.clone()));
        }
        declared_sets(project, &request.set)?;
        let root = project.root().to_path_buf();
        let now = context.clock.now();
        let (recorder, unrecorded) = if request.dry_run {
            (None, None)
        } else {
            sweep(&root);
            match Recorder::create(&root, &context.clock, record_limits(project)) {
                Ok(recorder) => (Some(recorder), None),
                Err(error) => (None, Some(error)),
            }
        };
        let run = recorder.as_ref().map_or_else(|| RunId::draw(now), |recorder| recorder.id().clone());
        let known_run = Some(&run).filter(|_| !sketch);
        let (graph, asked) = graph_of(context, project, &targets, &request.set, known_run)?;
        let durations = Durations::load(&root).for_many(graph.len());
        let variable = |name: &str| context.caller.get(OsStr::new(name)).map(OsString::as_os_str);
        // An explicit -j is the user's word; without one the places are those of the make above.
        let joined =
            request.jobs.is_none().then(|| variable("MAKEFLAGS").and_then(Jobserver::join)).flatten();
        let wanted = request.jobs.map_or_else(context.cores, |jobs| jobs as usize);
        let jobs = joined.as_ref().and_then(Jobserver::jobs).unwrap_or(wanted);
        let limits = Limits {
            jobs: NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN),
            on_failure: request.on_failure,
            force: request.force,
            dry_run: request.dry_run,
        };
        let plan = Plan::new(graph, &project.envfile().pools, limits, |label| durations.of(label));
        // What reads nothing of its environment is the same in all of them.
        let is_read = plan.graph.iter().any(|(_, node)| node.env.as_ref() == env);
        let chosen = chosen.filter(|_| is_read);

        let state = root.join(STATE_DIR);
        // A tree that cannot be written may be read: the recorder has said so already.
        let folders = fs::create_folder(&state.join("tmp"));
        let unrecorded = unrecorded.or_else(|| folders.err().filter(|_| !request.dry_run).map(Into::into));
        let (secrets, no_cache) = match secret_key(&context.cache_dir) {
            Ok(key) => (key, None),
            // What is hashed with it is never found again, and never wrong.
            Err(error) => (drawn_key()?, Some(error)),
        };
        let jobserver = joined.unwrap_or_else(|| Jobserver::serve(jobs, variable("PATH")));
        let processes = Processes::new(PATIENCE);
        request.tenant.iter().for_each(|tenant| processes.set_tenant(tenant.clone()));
        Ok(Self {
            processes,
            workspace: Workspace::open(&root, &state.join("state"), secrets.clone())?,
            secrets,
            store: local_store(context, Some(project)),
            git: Git::new(&root).without(project.plan_file.as_deref()),
            services: Services::new(state.clone(), context.program.clone(), request.hold),
            live: Box::new(live(&root)),
            manifests: ManifestLog::new(&root, &run),
            plan,
            root,
            run,
            recorder,
            unrecorded,
            no_cache,
            durations,
            jobserver,
            asked,
            chosen,
        })
    }

    /// Makes everything ready for one run more of the same plan: another id, another record, another look at git.
    pub(super) fn renew(&mut self, context: &Context, project: &Project) {
        self.unrecorded = None;
        match Recorder::create(&self.root, &context.clock, record_limits(project)) {
            Ok(recorder) => {
                self.run = recorder.id().clone();
                self.recorder = Some(recorder);
            }
            Err(error) => {
                self.run = RunId::draw(context.clock.now());
                self.unrecorded = Some(error);
            }
        }
        self.manifests = ManifestLog::new(&self.root, &self.run);
        self.git = Git::new(&self.root);
        self.durations = Durations::load(&self.root).for_many(self.plan.graph.len());
    }

    /// Plans anew, because the Envfile or what it reads is another one; nothing is changed if that cannot be.
    pub(super) fn plan_again(
        &mut self,
        context: &Context,
        project: &mut Project,
        request: &Request,
    ) -> Result<(), Problem> {
        let env = chosen_environment(context, project, request)?;
        let targets = targets(context, project.envfile(), &request.targets, env.as_ref())?;
        declared_sets(project, &request.set)?;
        let (graph, asked) = graph_of(context, project, &targets, &request.set, Some(&self.run))?;
        let limits = self.plan.limits.clone();
        self.plan = Plan::new(graph, &project.envfile().pools, limits, |label| self.durations.of(label));
        self.asked = asked;
        Ok(())
    }

    /// Leaves out of the plan what only those need whose proved bytes are at hand.
    fn without_needs_of(&mut self, project: &Project, request: &Request, pins: &Pins) {
        let at_hand = |node: &graph::ConfiguredTask| {
            let label = state_label(node);
            pins.get(&label).is_some_and(|pin| {
                self.workspace.in_place(&label) == Some(pin.outputs)
                    || request.read_cache && self.workspace.find_proved(&self.store, pin.outputs).is_some()
            })
        };
        let there: BTreeSet<String> = self
            .plan
            .graph
            .iter()
            .filter(|(_, node)| at_hand(node))
            .map(|(_, node)| state_label(node))
            .collect();
        self.cut(project, |node| there.contains(&state_label(node)));
    }

    /// Leaves out of the plan what only those need that are `there`.
    fn cut(&mut self, project: &Project, there: impl Fn(&graph::ConfiguredTask) -> bool) {
        self.replan(project, self.plan.graph.without_needs_of(there));
    }

    /// Leaves out of the plan what only those need that will be skipped, where that is known before anything runs: no
    /// container comes up for tests that are not for this branch.
    fn leave_out_skipped(&mut self, context: &Context, project: &Project, request: &Request) {
        let around = self.surroundings(context, project, request);
        let nothing = |_: &Command| Err("it is asked when its turn has come".to_owned());
        // Whatever else a `when` asks may be another answer when what it needs is over.
        let is_settled = |kind: &ConditionKind| {
            use ConditionKind::{Branch, Ci, Host, Os};
            matches!(kind, Branch(_) | Ci(_) | Host(_) | Os(_))
        };
        let is_skipped = |node: &graph::ConfiguredTask| {
            let mut settled = around.when(node).filter(|condition| is_settled(&condition.kind)).peekable();
            settled.peek().is_some() && {
                let scene = around.scene_of_guards(node);
                settled.any(|condition| matches!(around.ask(condition, &scene, &nothing), Verdict::Fails(_)))
            }
        };
        let nodes = self.plan.graph.iter().filter(|(_, node)| is_skipped(node));
        let skipped: BTreeSet<NodeIx> = nodes.map(|(ix, _)| ix).collect();
        if !skipped.is_empty() {
            self.replan(project, self.plan.graph.without_needs_of_skipped(&skipped));
        }
    }

    fn replan(&mut self, project: &Project, graph: TaskGraph) {
        let limits = self.plan.limits.clone();
        self.plan = Plan::new(graph, &project.envfile().pools, limits, |label| self.durations.of(label));
    }

    /// What the actions of the run share.
    pub fn surroundings<'a>(
        &'a self,
        context: &'a Context,
        project: &'a Project,
        request: &'a Request,
    ) -> Surroundings<'a> {
        Surroundings {
            root: &self.root,
            envfile: project.envfile(),
            caller: &context.caller,
            workspace: &self.workspace,
            read_cache: Some(&self.store).filter(|_| request.read_cache && self.has_cache()),
            write_cache: Some(&self.store)
                .filter(|_| request.write_cache && !request.dry_run && self.has_cache()),
            processes: &self.processes,
            jobserver: &self.jobserver,
            git: &self.git,
            ignored: &project.ignored,
            live: &*self.live,
            host: &context.host,
            clock: &context.clock,
            forced: request.forced.as_deref().unwrap_or("it was forced"),
            planned: request.plan.as_ref().map(|frozen| frozen.digest.as_str()),
            redactor: &context.redactor,
            run: &self.run,
            manifests: &self.manifests,
            audit: None,
            services: &self.services,
            memory: None,
            pins: None,
            deploys: None,
            cleanup: false,
            texts: None,
        }
    }

    /// Whether results can be kept: where the folder of the user cannot be used, another one may be.
    fn has_cache(&self) -> bool {
        self.no_cache.as_ref().is_none_or(|error| !error.path.starts_with(self.store.dir()))
    }

    /// Begins to tell: the first event, and where the record is.
    pub fn begin(&mut self, project: &Project, request: &Request, reporters: &mut Reporters) {
        if let Some(recorder) = self.recorder.take() {
            reporters.record(recorder);
        }
        let started = started(&self.plan, &self.run, project, request);
        reporters.tell(Event::RunStarted(RunStarted { chosen: self.chosen.clone(), ..started }));
        if let Some(error) = self.unrecorded.take() {
            let message = format!("this run is not recorded: {error}");
            reporters.tell(Event::Notice(Notice { node: None, message, hint: None }));
        }
        if let Some(error) = self.no_cache.as_ref().filter(|_| request.read_cache || request.write_cache) {
            let message = format!("the cache is not used: {error}");
            reporters.tell(Event::Notice(Notice { node: None, message, hint: Some(NO_CACHE.into()) }));
        }
    }
}

/// Carries a request out, and gives how it ended. What happens is told to `reporters`.
pub fn run(
    context: &Context,
    project: &mut Project,
    request: &Request,
    reporters: Reporters,
) -> Result<(Ending, Rest), Problem> {
    carry_out(context, project, request, reporters, Terms::default())
}

/// What a run is held to, and asked for, beyond a request.
#[derive(Default)]
pub(super) struct Terms<'a> {
    /// Where it is left what the commands of the targets touch.
    pub audit: Option<&'a Audit>,
    /// The bytes that nodes must have, where somebody proved them. A node whose bytes are at hand needs nothing.
    pub pins: Option<&'a Pins>,
    /// Where it is left how the run went.
    pub proof: Option<&'a mut Proof>,
}

/// How a run went, for a record that others rest on.
#[derive(Debug, Clone, Default)]
pub(super) struct Proof {
    /// The run's id.
    pub run: String,
    /// The outputs of every node that has some and is over and good, by the name that its state is kept under. They are
    /// in the cache under their digest, if the run may write there.
    pub outputs: BTreeMap<String, Digest>,
    /// Nodes that failed, by label.
    pub failed: Vec<String>,
    /// Nodes that were skipped, by label.
    pub skipped: Vec<String>,
    /// Everything that was asked for was skipped.
    pub idle: bool,
}

/// Carries a request out on these terms.
pub(super) fn carry_out(
    context: &Context,
    project: &mut Project,
    request: &Request,
    mut reporters: Reporters,
    terms: Terms<'_>,
) -> Result<(Ending, Rest), Problem> {
    let Terms { audit, pins, proof } = terms;
    reporters.redact(&context.redactor);
    if request.strict {
        let warnings = super::check::check(project);
        if !warnings.is_empty() {
            return Err(project.problem(warnings));
        }
    }
    let mut ready = Ready::new(context, project, request)?;
    if request.job != Job::Deploy {
        // What is there already is put live: nothing is made.
        ready.cut(project, |node| node.kind() == "deploy");
    }
    if let Some(pins) = pins.filter(|pins| !pins.is_empty()) {
        ready.without_needs_of(project, request, pins);
    }
    // A frozen plan says for itself what it is made of.
    if request.plan.is_none() {
        ready.leave_out_skipped(context, project, request);
    }
    let group = ready.plan.graph.iter().map(|(_, node)| node).find(|node| node.target && node.is_group());
    if let (Some(_), Some(group)) = (audit, group) {
        return Err(Problem::usage(
            format!("`{}` has no commands, so there is nothing to see", group.label),
            Some("name one of the tasks that it needs".into()),
        ));
    }
    let mut begun = match request.dry_run {
        true => {
            // The guards of a deploy are asked about what it would put live, which need not be HEAD.
            deploy::foresee(project, &mut ready.plan, &ready.store, ready.run.as_str())?;
            None
        }
        false => {
            deploy::begin(context, project, &mut ready.plan, (request, &ready.run, ready.secrets.clone()))?
        }
    };
    let (send, receive) = mpsc::channel();
    // What a ledger says has begun comes to an end there, whoever asks to stop before the first process starts.
    let is_early = Arc::new(AtomicBool::new(true));
    let signals = begun.as_ref().and_then(|_| listen_early(&ready.processes, &send, &is_early));
    let cleared = clear(context, project, &ready, request, begun.as_mut());
    let cleared = match ready.processes.interrupted() {
        Some(_) if begun.is_some() => Err(Problem::Interrupted),
        _ => cleared,
    };
    let Admitted { refusals, notices, would_ask, broken, read_secrets, .. } =
        cleared.map_err(|problem| match &begun {
            Some(begun) => begun.give_up(problem),
            None => problem,
        })?;
    let planned = request.plan.as_ref().map(|frozen| frozen.pins()).unwrap_or_default();
    let warnings = begun.as_mut().map(|begun| std::mem::take(&mut begun.warnings)).unwrap_or_default();
    let deployments = begun.map(|begun| begun.deployments);
    ready.begin(project, request, &mut reporters);
    for message in warnings {
        reporters.tell(Event::Notice(Notice { node: None, message, hint: None }));
    }
    if !request.dry_run {
        note_made(context, project, &ready.plan);
    }
    broken.into_iter().for_each(|broken| reporters.tell(Event::GlassBroken(broken)));
    for (message, hint) in notices {
        reporters.tell(Event::Notice(Notice { node: None, message, hint }));
    }
    for refusal in refusals {
        let message = refusal.would();
        reporters.tell(Event::Notice(Notice { node: None, message, hint: refusal.hint }));
    }
    for message in would_ask {
        reporters.tell(Event::Notice(Notice { node: None, message, hint: None }));
    }
    for notice in shadowed(context, &ready.plan) {
        reporters.tell(Event::Notice(notice));
    }
    is_early.store(false, Ordering::SeqCst);
    let _signals = signals.or_else(|| listen(&ready.processes, &send));
    let deploys = deployments.as_ref();
    let pins = pins.or(Some(&planned).filter(|pins| !pins.is_empty()));
    let plan = &ready.plan;
    let broken = request.broken.as_deref();
    let texts = broken.and_then(|broken| broken.texts(&ready.root, plan, &ready.asked));
    let texts = texts.as_deref();
    let around =
        Surroundings { audit, pins, deploys, texts, ..ready.surroundings(context, project, request) };
    if let Some(broken) = broken {
        ready.workspace.believe(&broken.seen);
    }
    ready.workspace.prefetch(plan.graph.iter().map(|(_, node)| node.label.as_str()));
    project.ignored.expect(rendered_files(plan, &around));
    let actions = Actions::new(plan, &around);
    let ending = dispatcher::run(plan, &actions, &ready.processes, (send, &receive), &mut reporters);
    ready.processes.wait();
    ready.processes.finish();
    ready.manifests.finish();
    if let Some(deployments) = &deployments {
        let reason =
            if ending.exit == 130 { "it was interrupted" } else { "what it needs failed or was skipped" };
        deployments.abandon(ledger::Outcome::Abandoned, reason)?;
    }
    if let Some(proof) = proof {
        *proof = proved(plan, &around, reporters.state(), &ready.run);
    }
    if !request.dry_run {
        remember(plan, &ending, ready.durations.clone(), context.clock.now());
        // Where the record of the run cannot be written either, that was told.
        if let Err(error) = ready.workspace.save()
            && reporters.is_recorded()
        {
            let message = format!("what this run found out is not kept: {error}");
            let hint = Some("the next run looks at everything again".into());
            reporters.tell(Event::Notice(Notice { node: None, message, hint }));
        }
        // What lies in a store is not written down, so nobody could see later that it changed.
        if let (0, 0, false, Some((words, options)), Some(started)) =
            (ending.exit, ending.changed, read_secrets, &request.words, reporters.state().started())
        {
            let text = |node| actions.text(node);
            let answer = Answer { words, options, text: &text, key: &ready.secrets, broken };
            seal_answer(context, project, plan, &around, &answer, started, ready.asked.clone());
        }
    }
    if around.write_cache.is_some() {
        note_uses(plan, reporters.state(), &ready);
        collect(&ready.store, ending.changed);
    }
    drop(actions);
    let Ready { plan, workspace, .. } = ready;
    Ok((ending, Rest { _plan: plan, _workspace: workspace }))
}

/// Asks everything that has to hold before the first process starts; a run that is not dry goes on only if all of it does.
/// The releases that begin are in their ledgers then, and guarded.
fn clear(
    context: &Context,
    project: &Project,
    ready: &Ready,
    request: &Request,
    mut begun: Option<&mut deploy::Begun>,
) -> Result<Admitted, Problem> {
    if let Some(begun) = &mut begun {
        begun.write_down()?;
    }
    let mut admitted = admit_with(context, project, ready, request, begun.as_deref())?;
    let around = ready.surroundings(context, project, request);
    if let Some(begun) = &mut begun {
        admitted.refusals.append(&mut begun.refusals);
        let is_refused = !admitted.refusals.is_empty();
        admitted.refusals.extend(begun.values(project, &around, is_refused));
        admitted.refusals = merged(admitted.refusals);
    }
    if !admitted.refusals.is_empty() && !request.dry_run {
        return Err(Problem::Refused(admitted.refusals));
    }
    // As late as can be: what changes the environment is locked out, and every secret that is read was read.
    if let Some(frozen) = &request.plan {
        let moved = plan::moved(context, project, ready, request, frozen, (&Default::default(), false))?;
        if !moved.is_empty() {
            return Err(Problem::Moved { plan: frozen.name(), moved });
        }
        // The release tells for ever which plan it came of.
        for ix in begun.iter().flat_map(|begun| begun.deployments.list.keys()) {
            admitted.evidence.entry(*ix).or_default().push(format!("plan {}", frozen.digest));
        }
    }
    if let Some(begun) = begun {
        begun.guarded(&around, &admitted.evidence)?;
    }
    Ok(admitted)
}

/// What a run made that others may rest on.
fn proved(plan: &Plan, around: &Surroundings<'_>, state: &RunState, run: &RunId) -> Proof {
    let skipped = |node| state.state(node) == Some(NodeState::Over(OutcomeKind::Skipped));
    let idle = plan.graph.targets().next().is_some() && plan.graph.targets().all(skipped);
    let mut proof = Proof { run: run.to_string(), idle, ..Proof::default() };
    for (ix, node) in plan.graph.iter() {
        let Some(NodeState::Over(kind)) = state.state(ix) else { continue };
        match kind {
            OutcomeKind::Failed => proof.failed.push(node.label.clone()),
            OutcomeKind::Skipped => proof.skipped.push(node.label.clone()),
            OutcomeKind::UpToDate | OutcomeKind::Restored | OutcomeKind::Succeeded => {
                if node.task.outputs.is_none() || !node.task.is_cacheable() {
                    continue;
                }
                let label = state_label(node);
                if let Some(outputs) = around.workspace.keep_proved(around.write_cache, &label) {
                    proof.outputs.insert(label, outputs);
                }
            }
            _ => {}
        }
    }
    proof
}

/// Takes down that the environments of this run are used, where that decides how long they live.
fn note_made(context: &Context, project: &Project, plan: &Plan) {
    let environments: BTreeSet<_> = plan.graph.iter().filter_map(|(_, node)| node.env.as_ref()).collect();
    for env in environments {
        if project.envfile().environments.get(env).is_some_and(|env| env.made_from.is_some()) {
            super::env::made::note_use(project.root(), env.as_str(), context.clock.now());
        }
    }
}

/// The caller's variables that are passed over, because the Envfile declares the name and a task reads it.
pub(super) fn shadowed(context: &Context, plan: &Plan) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut seen = BTreeSet::new();
    for (ix, node) in plan.graph.iter() {
        for name in &*node.reads {
            let Some(callers) = context.caller_text(name.as_str()) else { continue };
            let own = node.task.vars.contains_key(name).then(|| node.label.clone());
            if !seen.insert((name.clone(), node.env.clone(), own)) {
                continue;
            }
            // The node's own variables win over those of its environment.
            let found = match node.task.vars.contains_key(name) {
                true => TaskValues::new(&node.values, &node.task, Vec::new()).lookup(name.as_str()),
                false => node.values.lookup(name.as_str()),
            };
            let Lookup::Value { text, origin, secret } = found else { continue };
            let by_envfile =
                matches!(origin.layer, Layer::Root | Layer::Env(_) | Layer::Dotenv(_) | Layer::Task);
            // A value built on the caller's (`PATH "bin:${PATH}"`) passes nothing over.
            if by_envfile && !secret && !text.contains(&callers) {
                let who = match origin.layer {
                    Layer::Root => "the Envfile".to_owned(),
                    Layer::Task => format!("the `vars` of `{}`", node.label),
                    layer => layer.to_string(),
                };
                let message = format!("{name} of your shell is not used: {who} gives it");
                let hint = Some(format!("`--set {name}=…` gives it another value for one run"));
                notices.push(Notice { node: Some(ix), message, hint });
            }
        }
    }
    notices
}

/// Notes, once a day, that the results of what is up to date here are still of use: nothing reads them, and they would
/// otherwise be collected one day as if nobody wanted them.
fn note_uses(plan: &Plan, state: &RunState, ready: &Ready) {
    let stamp = ready.root.join(STATE_DIR).join("state/used");
    let noted = std::fs::metadata(&stamp).and_then(|meta| meta.modified());
    if noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|age| age < super::seal::HOLDS)) {
        return;
    }
    sweep_state(&ready.root.join(STATE_DIR));
    ready.workspace.sweep_aside();
    let is_up_to_date = |ix| state.state(ix) == Some(NodeState::Over(OutcomeKind::UpToDate));
    let nodes = plan.graph.iter().filter(|(ix, _)| is_up_to_date(*ix));
    let labels: Vec<String> = nodes.map(|(_, node)| state_label(node)).collect();
    ready.store.note_uses(ready.workspace.keys(labels.iter().map(String::as_str)));
    // Without the stamp the next run notes it again.
    let _ = std::fs::write(stamp, b"");
}

/// Removes what killed runs left in the project's own folder.
fn sweep_state(state: &Path) {
    for room in ["state", "state/seals", "runs", "runs/graphs"] {
        fs::sweep(&state.join(room));
    }
    let is_old = |entry: &std::fs::DirEntry| {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        modified.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > super::seal::HOLDS))
    };
    for entry in std::fs::read_dir(state.join("tmp")).into_iter().flatten().flatten().filter(is_old) {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Keeps the cache within its limits, now and then, after a run that may have added to it. Whoever cannot collect leaves it
/// to the next.
pub(super) fn collect(store: &LocalStore, changed: usize) {
    if changed > 0 && store.is_collection_due() {
        let _ = store.collect();
    }
}

/// The local store, where the Envfile or the context puts it.
pub fn local_store(context: &Context, project: Option<&Project>) -> LocalStore {
    let settings = project.map(|project| project.envfile().cache.clone()).unwrap_or_default();
    let limits = cache::Limits::default();
    let limits = cache::Limits {
        max_size: settings.max_size.unwrap_or(limits.max_size),
        max_age: settings.max_age.unwrap_or(limits.max_age),
    };
    LocalStore::open(&cache_folder(context, project), limits)
}

/// Where the local store lies.
pub fn cache_folder(context: &Context, project: Option<&Project>) -> PathBuf {
    let dir = project.and_then(|project| Some(project.root().join(&**project.envfile().cache.dir.as_ref()?)));
    dir.unwrap_or_else(|| context.cache_dir.clone())
}

pub(super) fn record_limits(project: &Project) -> record::Limits {
    let limits = record::Limits::default();
    record::Limits { keep: project.envfile().keep_logs.unwrap_or(limits.keep), ..limits }
}

/// `--set` gives values to names that are declared; another name is a mistake.
pub(super) fn declared_sets(project: &Project, set: &[(String, String)]) -> Result<(), Problem> {
    if set.is_empty() {
        return Ok(());
    }
    let envfile = project.envfile();
    let (mut known, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for project in envfile.projects.values() {
        for scope in std::iter::once(&project.base).chain(project.overlays.values()) {
            known.extend(scope.vars.keys().map(ToString::to_string));
            secrets.extend(scope.secrets.keys().map(ToString::to_string));
            for node in scope.nodes.values() {
                known.extend(node.task().vars.keys().map(ToString::to_string));
            }
        }
    }
    for (name, _) in set {
        if !known.contains(name) && secrets.contains(name) {
            return Err(Problem::usage(
                format!(
                    "`{name}` is a secret: its value is never an argument, where everybody could read it"
                ),
                Some(format!("`envrun secret set ENV {name}` asks for it, or reads it from standard input")),
            ));
        }
        if !known.contains(name) {
            let hint = crate::diag::did_you_mean(name, known.iter().map(String::as_str));
            return Err(Problem::usage(
                format!("`--set {name}=…`: there is no variable `{name}` in the Envfile"),
                hint.or_else(|| Some("declare it in `vars`".into())),
            ));
        }
    }
    Ok(())
}

pub(super) fn listen(processes: &Arc<Processes>, send: &Sender<Message>) -> Option<Signals> {
    let send = send.clone();
    Signals::listen(Arc::clone(processes), move |signal, _| {
        // The run may be over already; then there is nothing left to stop.
        let _ = send.send(Message::Signal(signal));
    })
    .ok()
}

/// The same before the run begins, as long as it `is_early`: nobody reads what is sent yet, so commands that are asked for
/// their answer are told here.
fn listen_early(
    processes: &Arc<Processes>,
    send: &Sender<Message>,
    is_early: &Arc<AtomicBool>,
) -> Option<Signals> {
    let (send, is_early, told) = (send.clone(), Arc::clone(is_early), Arc::clone(processes));
    Signals::listen(Arc::clone(processes), move |signal, before| {
        if is_early.load(Ordering::SeqCst) {
            told.interrupt(match before {
                0 => Interrupt::Told { signal },
                1 => Interrupt::Terminate,
                _ => Interrupt::Kill,
            });
        }
        let _ = send.send(Message::Signal(signal));
    })
    .ok()
}

pub(super) fn started(plan: &Plan, run: &RunId, project: &Project, request: &Request) -> RunStarted {
    let info = |(_, node): (NodeIx, &graph::ConfiguredTask)| NodeInfo {
        label: node.label.as_str().into(),
        desc: node.task.desc.as_deref().map(Into::into),
        group: node.is_group(),
        target: node.target,
        service: node.kind() == "service",
    };
    RunStarted {
        format: event::FORMAT,
        run: run.to_string(),
        envrun: env!("CARGO_PKG_VERSION").into(),
        root: project.root().display().to_string(),
        targets: request.targets.iter().map(|target| target.name.clone()).collect(),
        jobs: plan.limits.jobs.get(),
        dry_run: plan.limits.dry_run,
        chosen: None,
        nodes: plan.graph.iter().map(info).collect(),
    }
}

/// Remembers how long the executed nodes took: only a hint for the next run, so a failure loses nothing but a good order.
pub(super) fn remember(plan: &Plan, ending: &Ending, mut durations: Durations, now: Timestamp) {
    if ending.times.is_empty() {
        return;
    }
    for (node, took) in &ending.times {
        durations.observe(&plan.graph[*node].label, *took, now);
    }
    let _ = durations.save(now);
}

/// Where it lies what hashes secrets.
fn key_file(cache_dir: &Path) -> PathBuf {
    cache_dir.join("secret.key")
}

/// What hashes secrets, if it was drawn already.
pub(super) fn kept_key(cache_dir: &Path) -> Option<SecretKey> {
    std::fs::read(key_file(cache_dir)).ok()?.try_into().ok().map(SecretKey)
}

/// What hashes secrets: drawn once for the user, and kept where only the user reads.
pub(super) fn secret_key(cache_dir: &Path) -> Result<SecretKey, FsError> {
    let path = key_file(cache_dir);
    for _ in 0..2 {
        if let Some(bytes) = fs::read_if_there(&path)?
            && let Ok(key) = <[u8; 32]>::try_from(bytes)
        {
            return Ok(SecretKey(key));
        }
        let SecretKey(key) = drawn_key()?;
        fs::create_folder(cache_dir)?;
        fs::write_atomic_with(&path, 0o600, |file| file.write_all(&key))?;
    }
    // Two that are drawn at the same moment: the one that lies there now is the one.
    Err(FsError::new("read back", path, std::io::Error::other("it is not 32 bytes long")))
}

fn drawn_key() -> Result<SecretKey, FsError> {
    let mut key = [0; 32];
    let mut random =
        File::open("/dev/urandom").map_err(|error| FsError::new("open", "/dev/urandom", error))?;
    random.read_exact(&mut key).map_err(|error| FsError::new("read", "/dev/urandom", error))?;
    Ok(SecretKey(key))
}

/// The graph of targets: for a run, or, without one, to look at.
pub fn graph_of(
    context: &Context,
    project: &mut Project,
    targets: &[Target],
    set: &[(String, String)],
    run: Option<&RunId>,
) -> Result<(TaskGraph, Asked), Problem> {
    let graph = graph_as_read(context, project, targets, set, run);
    if !project.envfile().is_torn() {
        return graph;
    }
    project.read_texts()?;
    graph_as_read(context, project, targets, set, run)
}

/// The graph as far as what was read of the Envfile tells.
fn graph_as_read(
    context: &Context,
    project: &mut Project,
    targets: &[Target],
    set: &[(String, String)],
    run: Option<&RunId>,
) -> Result<(TaskGraph, Asked), Problem> {
    let given = project.given(run, context.clock.now());
    let was_asked = Arc::new(AtomicBool::new(false));
    let given: Source = {
        let was_asked = Arc::clone(&was_asked);
        Arc::new(move |name: &str| {
            was_asked.store(true, Ordering::Relaxed);
            given(name)
        })
    };
    let names = AskedNames::default();
    let stages = stages_of(targets)?;
    let loaded = &mut project.loaded;
    let mut values = ValueReader {
        envfile: &loaded.envfile,
        root: &loaded.root,
        sources: &mut loaded.sources,
        set,
        given,
        stages,
        caller: caller_source(&context.caller, &names),
        wrong: Vec::new(),
        unread: Vec::new(),
        asked: Vec::new(),
    };
    let build = if run.is_some() { graph::build } else { graph::sketch };
    let graph = build(&loaded.envfile, targets, &mut |project, env| values.values(project, env));
    if let Some(error) = values.unread.into_iter().next() {
        return Err(error.into());
    }
    let mut wrong = values.wrong;
    let files = values.asked;
    if let (Ok(graph), true) = (&graph, run.is_some()) {
        wrong.extend(graph::meetings(graph));
    }
    match graph {
        Ok(graph) if !has_errors(&wrong) => Ok((graph, Asked { names, files, given: was_asked })),
        Ok(_) => Err(project.problem(wrong)),
        Err(diagnostics) => {
            wrong.extend(diagnostics);
            Err(project.problem(wrong))
        }
    }
}

/// The stage that each environment's nodes run in, as the targets name it.
fn stages_of(targets: &[Target]) -> Result<BTreeMap<Option<EnvName>, NodeName>, Problem> {
    let mut stages: BTreeMap<Option<EnvName>, NodeName> = BTreeMap::new();
    for target in targets {
        let Some(stage) = &target.stage else { continue };
        match stages.insert(target.env.clone(), stage.clone()) {
            Some(other) if other != *stage => {
                return Err(Problem::usage(
                    format!("`{other}.…` and `{stage}.…` are nodes of two stages in one environment"),
                    Some("run one stage after the other".into()),
                ));
            }
            _ => {}
        }
    }
    Ok(stages)
}

/// The files that a plan will render, as far as their paths are known.
fn rendered_files(plan: &Plan, around: &Surroundings<'_>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (_, node) in plan.graph.iter().filter(|(_, node)| node.task.renders().next().is_some()) {
        let scene = around.scene_of_guards(node);
        let paths =
            node.task.renders().filter_map(|render| render::path(render, &scene.dir, &scene.values).ok());
        files.extend(paths.map(|path| path.below(around.root)));
    }
    files
}
