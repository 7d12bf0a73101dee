//! Everything a run needs, looked up and opened before anything begins.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::fs::{self, FsError};
use crate::cache::LocalStore;
use crate::engine::action::NO_CACHE;
use crate::engine::pin::Pins;
use crate::engine::service::Services;
use crate::engine::surroundings::{Surroundings, state_label};
use crate::event::{self, Event, NodeInfo, Notice, RunStarted};
use crate::exec::{Jobserver, Processes};
use crate::fingerprint::{SecretKey, Workspace};
use crate::graph::{self, NodeIx, TaskGraph};
use crate::model::{Command, ConditionKind, EnvName};
use crate::ops::guard::live;
use crate::ops::matching::{Choice, choice, chosen_environment};
use crate::ops::seal::Asked;
use crate::ops::sweep::sweep;
use crate::ops::target::{self, targets};
use crate::ops::{Context, Problem, Project};
use crate::plan::{Limits, Plan};
use crate::preflight::{Git, Live, Verdict};
use crate::record::{self, Durations, ManifestLog, RecordError, Recorder, RunId, STATE_DIR};
use crate::report::Reporters;

use super::super::env::end::stands;
use super::Request;
use super::graph::{declared_sets, graph_of};
use super::store::{drawn_key, local_store, secret_key};

/// How long running commands have after each step of an interrupt before the next one follows by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything a run needs, before anything has begun.
pub struct Ready {
    /// What is to be done.
    pub plan: Plan,
    pub(in crate::ops) root: PathBuf,
    pub(in crate::ops) run: RunId,
    pub(in crate::ops) recorder: Option<Recorder>,
    /// Why there is no recorder.
    pub(in crate::ops) unrecorded: Option<RecordError>,
    /// Why the user's cache folder is of no use.
    pub(in crate::ops) no_cache: Option<FsError>,
    pub(in crate::ops) durations: Durations,
    pub(in crate::ops) processes: Arc<Processes>,
    pub(in crate::ops) jobserver: Jobserver,
    pub(in crate::ops) asked: Asked,
    pub(in crate::ops) manifests: ManifestLog,
    pub(in crate::ops) workspace: Workspace,
    pub(in crate::ops) store: LocalStore,
    pub(in crate::ops) git: Git,
    pub(in crate::ops) services: Services,
    /// The environment of targets that name none, where its `match` chose it and something reads it.
    pub chosen: Option<event::Chosen>,
    /// What hashes secrets in this run.
    pub(super) secrets: SecretKey,
    /// Every time that something was live in an environment.
    live: LiveTimes,
}

/// Tells every time that something was live in an environment.
type LiveTimes = Box<dyn Fn(&EnvName) -> Vec<Live> + Send + Sync>;

impl Ready {
    /// Looks everything up that a request names, and opens everything it needs. Nothing is executed.
    pub fn new(context: &Context, project: &mut Project, request: &Request) -> Result<Self, Problem> {
        Self::open(context, project, request, false)
    }

    /// The same to look at the plan only, of which not everything has to be fit to run.
    pub(in crate::ops) fn to_look_at(
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
        if !request.dry_run {
            stands(context, project, graph.iter().filter_map(|(_, node)| node.env.as_ref()))?;
        }
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
    pub(in crate::ops) fn renew(&mut self, context: &Context, project: &Project) {
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
    pub(in crate::ops) fn plan_again(
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
    pub(super) fn without_needs_of(&mut self, project: &Project, request: &Request, pins: &Pins) {
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
    pub(super) fn cut(&mut self, project: &Project, there: impl Fn(&graph::ConfiguredTask) -> bool) {
        self.replan(project, self.plan.graph.without_needs_of(there));
    }

    /// Leaves out of the plan what only those need that will be skipped, where that is known before anything runs: no
    /// container comes up for tests that are not for this branch.
    pub(super) fn leave_out_skipped(&mut self, context: &Context, project: &Project, request: &Request) {
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

pub(in crate::ops) fn record_limits(project: &Project) -> record::Limits {
    let limits = record::Limits::default();
    record::Limits { keep: project.envfile().keep_logs.unwrap_or(limits.keep), ..limits }
}

pub(in crate::ops) fn started(plan: &Plan, run: &RunId, project: &Project, request: &Request) -> RunStarted {
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
