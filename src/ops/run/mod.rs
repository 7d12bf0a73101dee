//! A run, from names on the command line to its end.
//!
//! `ready.rs` looks everything up and opens it, `graph.rs` makes the graph of the targets, `store.rs` knows the user's cache
//! folder. What is here asks what has to hold, lets the engine carry the plan out, and keeps what came of it.
//!
//! Invariant: nothing is executed before everything that has to hold was asked, apart from the commands that answer it.

mod graph;
mod ready;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};

use crate::base::{Digest, Timestamp};
use crate::engine::action::Actions;
use crate::engine::audit::Audit;
use crate::engine::dispatcher::{self, Ending, Message};
use crate::engine::pin::Pins;
use crate::engine::render;
use crate::engine::service::Hold;
use crate::engine::surroundings::{Surroundings, state_label};
use crate::event::{Event, NodeState, Notice, OutcomeKind, RunState};
use crate::exec::{Interrupt, Processes, Signals, Tenant};
use crate::fingerprint::Workspace;
use crate::ledger;
use crate::model::NodeName;
use crate::plan::{Force, OnFailure, Plan};
use crate::record::{Durations, RunId};
use crate::report::Reporters;
use crate::vars::{Layer, Lookup, SecretId, TaskValues};

use super::deploy::{self, Job};
use super::guard::{Admitted, Prompt, admit_with, merged};
use super::plan::{self, Frozen};
use super::seal::{Answer, Broken, seal_answer};
use super::target;
use super::{Context, Problem, Project};

pub(super) use graph::declared_sets;
pub use graph::graph_of;
pub use ready::Ready;
pub(super) use ready::started;
use store::note_uses;
pub use store::{cache_folder, local_store};
pub(super) use store::{collect, kept_key, secret_key};

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

/// What is left of a run in memory when it is over. A program that ends now forgets it: to take ten thousand nodes apart
/// is work for nobody, and touches every page they lie in.
pub struct Rest {
    _plan: Plan,
    _workspace: Workspace,
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
        begun.write_down(project.root(), &request.set)?;
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

pub(super) fn listen(processes: &Arc<Processes>, send: &Sender<Message>) -> Option<Signals> {
    let send = send.clone();
    Signals::listen_to_the_last(Arc::clone(processes), move |signal, _| {
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
    Signals::listen_to_the_last(Arc::clone(processes), move |signal, before| {
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
