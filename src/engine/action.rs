//! One action's life: is it needed, is it there, make it, keep it.
//!
//! ```text
//! when ─▶ done ─▶ up to date? ─▶ in the cache? ─▶ execute ─▶ inputs again, outputs ─▶ keep
//! ```
//!
//! Asked only when a node's turn has come, never before: what it needs has no outputs before that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use crate::base::{Digest, RelPath};
use crate::cache::{ActionResult, Hit, RestoreError, StoreError};
use crate::diag::Diagnostic;
use crate::event::{Because, Failure, Notice, Outcome, Stream};
use crate::fingerprint::{
    Definition, Difference, Fingerprint, FingerprintError, FinishError, Freshness, Lookup, Manifest, Need,
    Prepared,
};
use crate::graph::{ConfiguredTask, NodeIx, Step};
use crate::model::CacheMode;
use crate::plan::Plan;
use crate::preflight::Verdict;
use crate::record;

use super::audit::Watching;
use super::command::{Attempt, Carry};
use super::deploy::{Deployment, Deployments};
use super::dispatcher::{Message, OutputRoom};
use super::lock::NodeLock;
use super::memory::Memory;
use super::pin::Pin;
use super::service::{Services, service_of};
use super::snapshot::{Saver, Unsaved};
use super::surroundings::{Scene, Surroundings, state_label};

/// The answer to "has it to be executed?".
#[derive(Debug)]
pub enum Checked {
    /// Yes.
    MustRun,
    /// No: it is over.
    Over(Outcome),
}

/// What is known of one node so far. Small: most nodes of a large graph are up to date, and need none of it.
#[derive(Default)]
struct Slot {
    known: OnceLock<Box<Result<Known, Failure>>>,
    stale: Mutex<Option<Box<Stale>>>,
    /// When it was first looked at.
    looked: OnceLock<SystemTime>,
    /// Its lock was taken by this run before.
    locked: AtomicBool,
    /// What was found in the cache when it was first looked at, if it is small.
    found: Mutex<Option<Box<Hit>>>,
    /// What was wrong with its entry in the cache, and is not told yet.
    warning: Mutex<Option<String>>,
    /// In a session: what it read when it was executed.
    read: Mutex<Option<Box<Fingerprint>>>,
    /// In a session: what it is executed with, in short.
    with: OnceLock<Digest>,
    /// What flows to the keys of those who need it; not set as long as a dry run cannot know it.
    outputs: OnceLock<Digest>,
    /// What tells its definition from any other, where it was up to date.
    text: OnceLock<Digest>,
    /// What made it what it is has changed: what comes of an execution that goes on is not kept.
    obsolete: AtomicBool,
    /// What is known since the node was reopened. Nothing is taken away that somebody may still be reading.
    next: OnceLock<Box<Slot>>,
}

/// Why a node is not up to date, found by the check and used by the execution.
struct Stale {
    fingerprint: Option<Fingerprint>,
    reasons: Vec<Difference>,
}

/// What the definition of a node comes to.
struct Known {
    scene: Scene,
    /// What its key is made of; not for a task that has neither inputs nor outputs.
    definition: Option<Definition>,
    prepared: OnceLock<Result<Prepared, Failure>>,
}

/// The actions of a run.
pub struct Actions<'a> {
    pub(super) plan: &'a Plan,
    pub(super) around: &'a Surroundings<'a>,
    slots: Vec<Slot>,
    pub(super) room: Arc<OutputRoom>,
    /// Nodes that failed, and why.
    pub(super) failed: Mutex<Vec<(NodeIx, String)>>,
}

/// What to do about a cache that cannot be used.
pub const NO_CACHE: &str =
    "the run goes on without it; make room or make it writable, or name another folder with ENVRUN_CACHE_DIR";

/// The most of a task's output that is kept with its result.
const LOG_LIMIT: usize = 16 << 20;

impl<'a> Actions<'a> {
    /// Nothing is known yet.
    pub fn new(plan: &'a Plan, around: &'a Surroundings<'a>) -> Self {
        let slots = plan.graph.indices().map(|_| Slot::default()).collect();
        Self { plan, around, slots, room: Arc::default(), failed: Mutex::default() }
    }

    /// What is known of a node now.
    fn slot(&self, node: NodeIx) -> &Slot {
        let mut slot = &self.slots[node.index()];
        while let Some(next) = slot.next.get() {
            slot = next;
        }
        slot
    }

    /// Forgets what is known of a node that nobody checks or executes at this moment.
    pub fn reset(&self, node: NodeIx) {
        // One that nothing is known of has nothing to forget.
        let _ = self.slot(node).next.set(Box::default());
    }

    /// Says of a node that is executed at this moment that what comes of it is not to be kept.
    pub fn give_up(&self, node: NodeIx) {
        self.slot(node).obsolete.store(true, Ordering::SeqCst);
    }

    /// Whether a file is not what it was when the node's result was made, or is being made.
    pub fn has_read_otherwise(&self, node: NodeIx, path: &RelPath) -> bool {
        self.read_otherwise(node, path).is_none_or(|files| !files.is_empty())
    }

    /// The file, or of a folder each one, that is not what it was when the node's result was made, or is being made;
    /// `None` if it never had a good one.
    pub fn read_otherwise(&self, node: NodeIx, path: &RelPath) -> Option<Vec<RelPath>> {
        let label = state_label(&self.plan.graph[node]);
        self.with_read(node, |read| self.around.workspace.otherwise(&label, read, path))
    }

    /// The same of all files that it reads, those that came included; `None` also for a node that reads none.
    pub fn all_read_otherwise(&self, node: NodeIx) -> Option<Vec<RelPath>> {
        let prepared = self.declaration(node)?;
        self.with_read(node, |read| self.around.workspace.all_otherwise(prepared, read))
    }

    /// What a node read, as far as that is known beyond what is recorded.
    fn with_read<T>(&self, node: NodeIx, asks: impl FnOnce(Option<&Fingerprint>) -> T) -> T {
        if let Some(read) = &*self.slot(node).read.lock().unwrap_or_else(PoisonError::into_inner) {
            return asks(Some(read));
        }
        // One that is about to begin is executed with what its check found.
        if let Some(found) = self.slot_stale(node).as_ref().and_then(|stale| stale.fingerprint.as_ref()) {
            return asks(Some(found));
        }
        let label = state_label(&self.plan.graph[node]);
        asks(self.around.memory.and_then(|memory| memory.read(&label)).as_ref())
    }

    /// What is known of a node's files changed, or may have: whoever asks next looks again.
    pub fn touched(&self) {
        self.around.workspace.touched();
    }

    /// In a session: keeps in mind what a node reads at this moment.
    pub(super) fn set_read(&self, node: NodeIx, fingerprint: Fingerprint) {
        *self.slot(node).read.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(fingerprint));
    }

    /// A node's files as declared, for whoever watches them; nothing for one without any.
    pub fn declaration(&self, node: NodeIx) -> Option<&Prepared> {
        self.prepared(node).ok().flatten()
    }

    /// The check, where it can be done without waiting for a process or for files to be written; `None` where not.
    pub fn check_at_once(&self, node: NodeIx) -> Option<Checked> {
        let configured = &self.plan.graph[node];
        if configured.special.is_some() {
            return None;
        }
        let asks = self.around.when(configured).next().is_some()
            || configured.task.done.is_some()
            || self.pin(configured).is_some();
        if asks {
            return None;
        }
        self.fresh(node).or_else(|| match self.in_cache(node) {
            // A damaged entry is gone once it was looked at: nobody else will hear of it.
            Some(Lookup::Miss { warning }) => {
                let slot = self.slot(node);
                *slot.warning.lock().unwrap_or_else(PoisonError::into_inner) = warning;
                None
            }
            Some(Lookup::Hit(hit)) => {
                if hit.is_small() {
                    *self.slot(node).found.lock().unwrap_or_else(PoisonError::into_inner) = Some(hit);
                }
                None
            }
            None => Some(self.must_run(node)),
        })
    }

    /// The check, with all that it takes.
    pub fn check(&self, node: NodeIx, send: &Sender<Message>) -> Checked {
        match self.checked(node, send) {
            Checked::Over(outcome) => Checked::Over(self.held_to_pin(node, outcome)),
            must_run => must_run,
        }
    }

    fn checked(&self, node: NodeIx, send: &Sender<Message>) -> Checked {
        let configured = &self.plan.graph[node];
        match self.unneeded(node, configured, send) {
            Ok(None) => {}
            Ok(Some(outcome)) => return Checked::Over(outcome),
            Err(failure) => return Checked::Over(self.failed(configured, failure, false)),
        }
        if let Some(service) = service_of(configured) {
            return Checked::Over(self.serve(node, service, send));
        }
        if let Some(outcome) = self.pinned(node, send) {
            return Checked::Over(outcome);
        }
        if configured.special.is_some() {
            return self.must_run(node);
        }
        if let Some(checked) = self.fresh(node) {
            return checked;
        }
        match self.restored(node, send) {
            Some(outcome) => Checked::Over(outcome),
            None => self.must_run(node),
        }
    }

    /// `when` and `done`.
    fn unneeded(
        &self,
        node: NodeIx,
        configured: &ConfiguredTask,
        send: &Sender<Message>,
    ) -> Result<Option<Outcome>, Failure> {
        let conditions: Vec<_> = self.around.when(configured).collect();
        if conditions.is_empty() && configured.task.done.is_none() {
            return Ok(None);
        }
        let known = self.known(node)?;
        let carry = Carry::new(self.around, configured, &known.scene, node);
        for condition in conditions {
            match self.around.ask(condition, &known.scene, &|command| carry.probe(command)) {
                Verdict::Holds => {}
                Verdict::Fails(reason) => return Ok(Some(Outcome::Skipped { reason })),
                // Nobody can say whether it should run: that is a mistake of the surroundings, not a reason to skip.
                Verdict::NoRepository(reason) => return Err(Failure::Refused { reasons: vec![reason] }),
            }
        }
        let forced = self.plan.is_forced(node);
        if let Some(done) = &configured.task.done
            && !forced
            && carry.probe(&done.value).unwrap_or_else(|reason| {
                let message = format!("the `done` of `{}` could not be run: {reason}", configured.label);
                let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint: None }));
                false
            })
        {
            self.set_outputs(node, no_outputs());
            return Ok(Some(Outcome::AlreadyDone));
        }
        Ok(None)
    }

    /// Over at once: a group, a definition that cannot be, a task that is up to date.
    fn fresh(&self, node: NodeIx) -> Option<Checked> {
        let configured = &self.plan.graph[node];
        if configured.is_group() {
            if let Some(digest) = self.group_digest(node) {
                self.set_outputs(node, digest);
            }
            return Some(Checked::Over(Outcome::Grouped));
        }
        let _ = self.slot(node).looked.set(SystemTime::now());
        if let Some(outputs) = self.unchanged(node) {
            self.set_outputs(node, outputs);
            return Some(Checked::Over(Outcome::UpToDate));
        }
        let prepared = match self.prepared(node) {
            Ok(prepared) => prepared,
            Err(failure) => return Some(Checked::Over(self.failed(configured, failure, false))),
        };
        let Some(prepared) = prepared.filter(|_| configured.task.is_cacheable()) else {
            return self.remembered(node, None).map(Checked::Over);
        };
        let needs = match self.needs(node) {
            Ok(needs) => needs,
            Err(_) => {
                self.set_stale(node, None, self.foreseen(node, prepared));
                return None;
            }
        };
        if self.slot_stale(node).is_some() {
            return None;
        }
        match self.around.workspace.check(prepared, &needs) {
            Ok(Freshness::UpToDate { outputs }) if !self.plan.is_forced(node) => {
                self.set_outputs(node, outputs);
                Some(Checked::Over(Outcome::UpToDate))
            }
            Ok(Freshness::UpToDate { .. }) => match self.around.workspace.fingerprint(prepared, &needs) {
                Ok(fingerprint) => {
                    self.set_stale(node, Some(fingerprint), vec![Difference::Forced]);
                    None
                }
                Err(error) => Some(Checked::Over(self.failed(configured, unfingerprinted(error), false))),
            },
            Ok(Freshness::Stale { fingerprint, reasons }) => {
                let remembered = self.remembered(node, Some(&fingerprint));
                self.set_stale(node, Some(fingerprint), reasons);
                remembered.map(Checked::Over)
            }
            Err(error) => Some(Checked::Over(self.failed(configured, unfingerprinted(error), false))),
        }
    }

    /// In a session: how the node ended when it was last executed with all that it would be executed with now.
    fn remembered(&self, node: NodeIx, fingerprint: Option<&Fingerprint>) -> Option<Outcome> {
        let memory = self.around.memory.filter(|_| !self.plan.is_forced(node))?;
        let with = self.identity(node, fingerprint)?;
        let _ = self.slot(node).with.set(with);
        match memory.ended(&state_label(&self.plan.graph[node]), &with)? {
            Some(failed) => Some(failed),
            // One that can be cached and went well has a record, and that decides.
            None if fingerprint.is_some() => None,
            None => {
                self.set_outputs(node, no_outputs());
                Some(Outcome::UpToDate)
            }
        }
    }

    /// What a node would be executed with: its key; of one that has none its definition, and what it needs. A need that
    /// makes nothing was executed so often.
    fn identity(&self, node: NodeIx, fingerprint: Option<&Fingerprint>) -> Option<Digest> {
        let memory = self.around.memory?;
        let configured = &self.plan.graph[node];
        let needs = self.needs(node).ok()?;
        let mut hasher = blake3::Hasher::new();
        let key = match (fingerprint, self.prepared(node).ok()?) {
            (Some(fingerprint), _) => return Some(fingerprint.identity()),
            (None, Some(prepared)) => self.around.workspace.fingerprint(prepared, &needs).ok()?.identity(),
            (None, None) => {
                let scene = &self.known(node).ok()?.scene;
                let definition = self.around.definition(configured, scene).ok()?;
                self.around.workspace.identity(&definition, needs.iter().map(|need| need.outputs))
            }
        };
        hasher.update(key.as_bytes());
        let mut todo: Vec<NodeIx> = self.plan.graph.needs(node).collect();
        while let Some(need) = todo.pop() {
            let needed = &self.plan.graph[need];
            if needed.task.is_group() {
                todo.extend(self.plan.graph.needs(need));
            } else if needed.task.outputs.is_none() {
                hasher.update(&memory.times(&state_label(needed)).to_le_bytes());
            }
        }
        Some(hasher.finalize().into())
    }

    /// The digest of the outputs, if the definition, the needs and all files are those of the last good run. What was
    /// worked out for that is let go: nobody asks for it again, and ten thousand nodes would keep it to the end.
    fn unchanged(&self, node: NodeIx) -> Option<Digest> {
        let slot = self.slot(node);
        if slot.known.get().is_some() || self.plan.is_forced(node) {
            return None;
        }
        let workspace = self.around.workspace;
        let outputs = |need: NodeIx| self.slot(need).outputs.get().copied();
        let unchanged = |label: &str, text: Digest| {
            let needs: Vec<Digest> = self.plan.graph.needs(node).map(outputs).collect::<Option<_>>()?;
            let outputs = workspace.unchanged(label, &text, needs)?;
            let _ = slot.text.set(text);
            Some(outputs)
        };
        if let Some(text) = self.around.texts.and_then(|texts| *texts.get(node.index())?)
            && let Some(outputs) = unchanged(&state_label(&self.plan.graph[node]), text)
        {
            return Some(outputs);
        }
        let known = Box::new(self.work_out(node));
        let outputs = (*known).as_ref().ok().and_then(|known| {
            let definition = known
                .definition
                .as_ref()
                .filter(|definition| definition.tools.is_empty())
                .filter(|_| self.plan.graph[node].task.is_cacheable())?;
            unchanged(&definition.label, workspace.text_of(definition))
        });
        if outputs.is_none() {
            // Another thread that worked it out at the same time came to the same.
            let _ = slot.known.set(known);
        }
        outputs
    }

    /// What differs as far as a dry run can know: something that the node needs would run first, and what it will make is
    /// unknown.
    fn foreseen(&self, node: NodeIx, prepared: &Prepared) -> Vec<Difference> {
        let unknown = Digest([0xff; 32]);
        let needs: Vec<Need> = self
            .plan
            .graph
            .needs(node)
            .map(|need| Need {
                label: self.plan.graph[need].label.clone(),
                outputs: self.slot(need).outputs.get().copied().unwrap_or(unknown),
            })
            .collect();
        let workspace = self.around.workspace;
        let Some(last) = workspace.last_good(prepared.label()) else { return vec![Difference::NeverRan] };
        match workspace.fingerprint(prepared, &needs) {
            Ok(fingerprint) => Manifest::diff(&last.manifest, &workspace.manifest(prepared, &fingerprint)),
            // An input that cannot be read is told when the task really runs.
            Err(_) => vec![Difference::NeverRan],
        }
    }

    /// The result in the cache, if there may be one and it may be used.
    fn in_cache(&self, node: NodeIx) -> Option<Lookup> {
        let configured = &self.plan.graph[node];
        let store = self
            .around
            .read_cache
            .filter(|_| configured.task.is_cacheable() && !self.plan.is_forced(node))
            // A file that it renders may hold a secret, or have been changed by hand.
            .filter(|_| !configured.renders())?;
        let prepared = self.prepared(node).ok()??;
        let stale = self.slot_stale(node);
        let fingerprint = stale.as_ref()?.fingerprint.as_ref()?;
        match self.around.workspace.lookup(store, prepared, fingerprint) {
            Lookup::Miss { warning: None } => None,
            found => Some(found),
        }
    }

    /// Puts the result in place, if the cache has it.
    fn restored(&self, node: NodeIx, send: &Sender<Message>) -> Option<Outcome> {
        let hit = self.hit(node, send)?;
        if self.plan.limits.dry_run {
            self.set_outputs(node, hit.result.outputs_digest());
            return Some(from_cache(Vec::new()));
        }
        let _lock = self.lock(node);
        self.put_in_place(node, *hit, send)
    }

    /// The result in the cache; what is wrong with it is told.
    fn hit(&self, node: NodeIx, send: &Sender<Message>) -> Option<Box<Hit>> {
        let found = self.slot(node).found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_todays = |hit: &Hit| {
            let stale = self.slot_stale(node);
            let fingerprint = stale.as_ref().and_then(|stale| stale.fingerprint.as_ref());
            fingerprint.is_some_and(|fingerprint| fingerprint.key() == hit.key)
        };
        if let Some(hit) = found.filter(|hit| is_todays(hit)) {
            return Some(hit);
        }
        let noted = self.slot(node).warning.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (hit, warning) = match self.in_cache(node) {
            Some(Lookup::Hit(hit)) => (Some(hit), None),
            Some(Lookup::Miss { warning }) => (None, warning),
            None => (None, None),
        };
        for message in noted.into_iter().chain(warning) {
            let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint: None }));
        }
        hit
    }

    /// Puts a result in place. The caller holds the node's lock.
    fn put_in_place(&self, node: NodeIx, hit: Hit, send: &Sender<Message>) -> Option<Outcome> {
        let store = self.around.read_cache?;
        let prepared = self.prepared(node).ok()??;
        let stale = self.slot_stale(node);
        let fingerprint = stale.as_ref()?.fingerprint.as_ref()?;
        match self.around.workspace.restore(store, prepared, fingerprint, &hit) {
            Ok(digest) => {
                self.set_outputs(node, digest);
                if let Some(memory) = self.around.memory {
                    memory.remember(&state_label(&self.plan.graph[node]), fingerprint.identity(), None);
                }
                let manifest = self.around.workspace.manifest(prepared, fingerprint);
                self.around.manifests.add(&self.plan.graph[node].label, &manifest);
                Some(from_cache(hit.result.log))
            }
            Err(error) => {
                let label = &self.plan.graph[node].label;
                if matches!(error, RestoreError::Damaged(_) | RestoreError::Undeclared(_)) {
                    // Nobody shall find it again, and hear of it again.
                    store.forget(&hit.key);
                }
                let message = format!("the cached result of `{label}` was not used: {error}");
                let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint: None }));
                None
            }
        }
    }

    /// It has to be executed; in a dry run that is all there is to say.
    fn must_run(&self, node: NodeIx) -> Checked {
        if !self.plan.limits.dry_run {
            return Checked::MustRun;
        }
        let commands = self.commands(node);
        Checked::Over(Outcome::WouldRun { because: self.because(node), commands })
    }

    /// Nobody waits for a place any longer: the run was interrupted.
    pub fn stop_waiting(&self) {
        self.around.jobserver.stop();
    }

    /// The services of the run.
    pub fn services(&self) -> &'a Services {
        self.around.services
    }

    fn pin(&self, node: &ConfiguredTask) -> Option<&Pin> {
        self.around.pins?.get(&state_label(node))
    }

    /// A node whose proved outputs are in place already, or come out of the cache.
    fn pinned(&self, node: NodeIx, send: &Sender<Message>) -> Option<Outcome> {
        let configured = &self.plan.graph[node];
        let pin = self.pin(configured)?;
        if self.around.workspace.in_place(&state_label(configured)) == Some(pin.outputs) {
            self.set_outputs(node, pin.outputs);
            return Some(Outcome::UpToDate);
        }
        let store = self.around.read_cache?;
        let hit = self.around.workspace.find_proved(store, pin.outputs)?;
        let from = pin.by.clone();
        if self.plan.limits.dry_run {
            self.set_outputs(node, pin.outputs);
            return Some(Outcome::Restored { from, log: Vec::new() });
        }
        let prepared = match self.prepared(node) {
            Ok(prepared) => prepared?,
            Err(failure) => return Some(self.failed(configured, failure, false)),
        };
        let _lock = self.lock(node);
        match self.around.workspace.place_proved(store, prepared, &hit) {
            Ok(outputs) => {
                self.set_outputs(node, outputs);
                // What it printed was said when it was made.
                Some(Outcome::Restored { from, log: Vec::new() })
            }
            Err(error) => {
                let message =
                    format!("what {} proved of `{}` was not used: {error}", pin.by, configured.label);
                let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint: None }));
                None
            }
        }
    }

    /// Refuses a node that is over with other bytes than those that were proved.
    fn held_to_pin(&self, node: NodeIx, outcome: Outcome) -> Outcome {
        let configured = &self.plan.graph[node];
        let good =
            matches!(outcome, Outcome::UpToDate | Outcome::Restored { .. } | Outcome::Succeeded { .. });
        let Some(pin) = self.pin(configured).filter(|_| good) else { return outcome };
        match self.slots[node.index()].outputs.get() {
            Some(outputs) if *outputs != pin.outputs => {
                let reason = format!(
                    "{} made other bytes of it, {} and not {}, and they were not found in the cache",
                    pin.by,
                    pin.outputs.short(),
                    outputs.short()
                );
                let hint = Some(pin.remedy());
                Outcome::Failed { failure: Failure::Refused { reasons: vec![reason] }, log: None, hint }
            }
            _ => outcome,
        }
    }

    /// Executes a node, and keeps what came of it.
    pub fn execute(&self, node: NodeIx, send: &Sender<Message>) -> Outcome {
        let outcome = self.executed(node, send);
        self.held_to_pin(node, outcome)
    }

    fn executed(&self, node: NodeIx, send: &Sender<Message>) -> Outcome {
        let configured = &self.plan.graph[node];
        if let Some(deploys) = self.around.deploys
            && let Some(deployment) = deploys.list.get(&node)
        {
            return self.begin_deploy(node, deploys, deployment, send);
        }
        if configured.kind() == "deploy" {
            // Without its environment's lock nothing is changed there.
            let reason = "a deploy is carried out only by a run that is asked for it".to_owned();
            return self.failed(configured, Failure::Io { reason }, false);
        }
        let Some(_token) = self.around.jobserver.acquire(configured.follow_up || self.around.cleanup) else {
            return Outcome::Cancelled;
        };
        if self.is_obsolete(node) {
            return Outcome::Cancelled;
        }
        let known = match self.known(node) {
            Ok(known) => known,
            Err(failure) => return self.failed(configured, failure, false),
        };
        if let Some(snapshot) = super::snapshot::definition(configured) {
            return self.save(node, known, snapshot, send);
        }
        let lock = self.lock(node);
        if lock.as_ref().is_some_and(|lock| lock.was_taken) {
            // Another envrun had it, and what it made is in the cache: there may be nothing left to do.
            self.around.workspace.touched();
            *self.slot_stale(node) = None;
            if let Some(Checked::Over(outcome)) = self.fresh(node) {
                return outcome;
            }
            if let Some(outcome) = self.hit(node, send).and_then(|hit| self.put_in_place(node, *hit, send)) {
                return outcome;
            }
        }
        let dir = known.scene.dir.display().into_owned();
        let started =
            Message::Started { node, because: self.because(node), commands: self.commands(node), dir };
        let _ = send.send(started);
        if configured.task.interactive {
            // What is said of it stands above what it asks.
            let (caught, up) = channel();
            let _ = send.send(Message::Caught(caught));
            let _ = up.recv();
        }

        // In a fresh checkout it would not be there; if the task fails, it is put back.
        let prepared = match self.prepared(node) {
            Ok(prepared) => prepared,
            Err(failure) => return self.failed(configured, failure, false),
        };
        let aside = prepared.map(|prepared| self.around.workspace.set_aside(prepared));
        let made = self.make(node, known, prepared, send);
        match (&made, aside) {
            (Err(_), Some(aside)) => aside.put_back(),
            (Err(_), None) | (Ok(_), _) => {}
        }
        lock.iter().for_each(NodeLock::stamp);
        let outcome = made.unwrap_or_else(|failure| match failure {
            Some(failure) => self.failed(configured, failure, true),
            None => Outcome::Cancelled,
        });
        self.remember(node, &outcome);
        outcome
    }

    /// In a session: keeps in mind how an execution ended.
    fn remember(&self, node: NodeIx, outcome: &Outcome) {
        let Some(memory) = self.around.memory else { return };
        // One that was given up ended for reasons that are not its own.
        if *outcome == Outcome::Cancelled || self.is_obsolete(node) {
            return;
        }
        let with = self.slot(node).with.get().copied().or_else(|| self.identity(node, None));
        let failed = matches!(outcome, Outcome::Failed { .. }).then(|| outcome.clone());
        if let Some(with) = with {
            memory.remember(&state_label(&self.plan.graph[node]), with, failed);
        }
    }

    /// Runs the commands and keeps what came of it; the failure is `None` if it was cancelled.
    fn make(
        &self,
        node: NodeIx,
        known: &Known,
        prepared: Option<&Prepared>,
        send: &Sender<Message>,
    ) -> Result<Outcome, Option<Failure>> {
        let configured = &self.plan.graph[node];
        let fingerprint = match prepared {
            Some(prepared) => Some((prepared, self.before(node, known, prepared)?)),
            None => None,
        };
        if let (Some((_, fingerprint)), Some(_)) = (&fingerprint, self.around.memory) {
            *self.slot(node).read.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Box::new(fingerprint.clone()));
        }
        let watching = self.watching(node, fingerprint.as_ref());
        let mut carry = Carry::new(self.around, configured, &known.scene, node);
        carry.watch(watching.as_ref().map(|watching| &watching.watch));
        carry.tell(send, &self.room);
        carry.force = self.plan.is_forced(node);
        carry.told = self.told(node);
        let attempt = carry.run();
        let rendered = std::mem::take(&mut carry.rendered);
        let (log, took) = carry.log();
        let fingerprint = fingerprint.ok_or_else(|| files(&rendered));
        let made = match attempt {
            // Whoever gives it up later finds a result of what was there before, under the key of that.
            Attempt::Good if self.is_obsolete(node) => Err(None),
            Attempt::Good => self.keep(node, fingerprint, watching.as_ref(), (log, took), send).map_err(Some),
            Attempt::Cancelled => Err(None),
            Attempt::Failed(failure) => Err(Some(failure)),
        };
        if let Some(watching) = watching {
            self.tell_watched(node, &known.scene.dir, &watching, send);
        }
        made
    }

    /// What has to be there before the first command: today's key, and the folders of the outputs.
    fn before(&self, node: NodeIx, known: &Known, prepared: &Prepared) -> Result<Fingerprint, Failure> {
        let outputs = known.definition.iter().flat_map(|definition| &definition.outputs);
        for output in outputs.filter(|output| !output.starts_with('!')) {
            // Every compiler wants the folder of its output to exist, and a fresh checkout does not have it.
            let literal = output.split(['*', '?', '[', '{']).next().unwrap_or_default();
            let Ok(path) = known.scene.dir.resolve(literal.rsplit_once('/').map_or("", |(folder, _)| folder))
            else {
                continue;
            };
            let folder = path.below(self.around.root);
            std::fs::create_dir_all(&folder).map_err(|error| Failure::Io {
                reason: format!("cannot make the folder {}: {error}", path.display()),
            })?;
        }
        if let Some(stale) = self.slot_stale(node).as_mut() {
            // In a session somebody may ask what it is going to be executed with: there is no moment without an answer.
            let found = match self.around.memory {
                Some(_) => stale.fingerprint.clone(),
                None => stale.fingerprint.take(),
            };
            if let Some(fingerprint) = found {
                return Ok(fingerprint);
            }
        }
        let needs = self.needs(node).unwrap_or_default();
        self.around.workspace.fingerprint(prepared, &needs).map_err(unfingerprinted)
    }

    /// After the last command succeeded: inputs again, outputs, cache. A task without a key has only a digest of its outputs.
    fn keep(
        &self,
        node: NodeIx,
        fingerprint: Result<(&Prepared, Fingerprint), Digest>,
        watching: Option<&Watching>,
        (log, took): (Vec<u8>, Duration),
        send: &Sender<Message>,
    ) -> Result<Outcome, Failure> {
        let configured = &self.plan.graph[node];
        let workspace = self.around.workspace;
        let notice = |message: String, hint: Option<String>| {
            let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint }));
        };
        let (prepared, fingerprint) = match fingerprint {
            Ok(fingerprint) => fingerprint,
            Err(outputs) => {
                workspace.touched();
                self.set_outputs(node, outputs);
                return Ok(Outcome::Succeeded { stored: false });
            }
        };
        let mut finished = workspace.finish(prepared, fingerprint).map_err(unfinished)?;
        if let Some(watching) = watching {
            self.hold_against_depfile(node, watching, &finished)?;
        }
        let made = self.made_for(node);
        let made = made.iter().map(|(label, outputs)| (&**label, *outputs));
        finished.moved.extend(workspace.moved_outputs(&finished.fingerprint, made));
        let result = ActionResult {
            outputs: finished.outputs,
            log,
            took,
            made: self.around.clock.now(),
            run: self.around.run.to_string(),
            discovered: finished.discovered,
        };
        self.set_outputs(node, result.outputs_digest());
        if let Some(first) = finished.moved.first() {
            let label = &configured.label;
            let (message, hint) = if first.own {
                (
                    format!("`{label}` changes its own input {}: its result is not kept", first.path),
                    "take the file out of `inputs`, or let the task write somewhere else",
                )
            } else {
                (
                    format!(
                        "{} changed while `{label}` ran: its result is not kept, and it runs again next time",
                        first.path
                    ),
                    "what it made may be of the old or the new file; if it changes that file itself, take it out of `inputs`",
                )
            };
            // A session runs it again at once, says which file it is, and finds who does this for ever.
            match self.around.memory {
                Some(memory) => memory.note_moved(&state_label(configured), first.path.to_string()),
                None => notice(message, Some(hint.into())),
            }
            workspace.note_outputs(prepared, &result);
            return Ok(Outcome::Succeeded { stored: false });
        }
        let mut stored = false;
        if let Some(store) = self.around.write_cache.filter(|_| configured.task.is_cacheable())
            && result.log.len() < LOG_LIMIT
            && !configured.renders()
        {
            match workspace.store(store, &finished.fingerprint, &result) {
                Ok(()) => stored = true,
                Err(StoreError::GaveUp) => {}
                Err(StoreError::Unwritable(error)) => {
                    let message = format!("results are not kept in the cache: {error}");
                    let hint = Some(NO_CACHE.into());
                    let _ = send.send(Message::Notice(Notice { node: None, message, hint }));
                }
                Err(error) => notice(format!("the result was not kept: {error}"), None),
            }
        }
        workspace.commit(prepared, &finished.fingerprint, &result);
        self.around.manifests.add(&configured.label, &workspace.manifest(prepared, &finished.fingerprint));
        Ok(Outcome::Succeeded { stored })
    }

    /// Saves the data of a snapshot node.
    fn save(
        &self,
        node: NodeIx,
        known: &Known,
        snapshot: &crate::model::Snapshot,
        send: &Sender<Message>,
    ) -> Outcome {
        let configured = &self.plan.graph[node];
        let dir = known.scene.dir.display().into_owned();
        let because = self.because(node);
        let _ = send.send(Message::Started { node, because, commands: self.commands(node), dir });
        let saver = Saver {
            around: self.around,
            node: configured,
            snapshot,
            prepare: &|carry| carry.tell(send, &self.room),
            ix: node,
        };
        match saver.save("asked for") {
            Ok((copy, untidy)) => {
                let bytes = format!("{}\n", copy.summary()).into_bytes();
                let credit = self.room.take(bytes.len());
                let _ = send.send(Message::Output { node, stream: Stream::Stdout, bytes, credit });
                if let Some(message) = untidy {
                    let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint: None }));
                }
                self.set_outputs(node, Digest::from_hex(&copy.digest).unwrap_or_else(no_outputs));
                Outcome::Succeeded { stored: false }
            }
            Err(Unsaved::Failed(failure)) => self.failed(configured, failure, true),
            Err(Unsaved::Cancelled) => Outcome::Cancelled,
        }
    }

    /// Carries a deploy out. It takes no place of `-j`: its proof does, and waits for most of its time.
    fn begin_deploy(
        &self,
        node: NodeIx,
        deploys: &Deployments,
        deployment: &Deployment,
        send: &Sender<Message>,
    ) -> Outcome {
        let task = &deployment.forward.node.task;
        let because = Because { reason: deployment.because(), more: 0 };
        let dir = task.dir.value.clone();
        let _ = send.send(Message::Started { node, because, commands: self.commands(node), dir });
        let outcome = self.deploy(node, deploys, deployment, send);
        self.set_outputs(node, no_outputs());
        self.around.workspace.touched();
        outcome
    }

    /// What the needs of a node made: the name that it is kept under, the digest of the outputs, and what they are declared
    /// as, relative to the root. A group stands for its needs.
    pub(super) fn shipped(&self, node: NodeIx) -> Vec<(String, Digest, Vec<String>)> {
        let mut shipped = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut todo: Vec<NodeIx> = self.plan.graph.needs(node).collect();
        while let Some(need) = todo.pop() {
            if !seen.insert(need) {
                continue;
            }
            let configured = &self.plan.graph[need];
            if configured.is_group() {
                todo.extend(self.plan.graph.needs(need));
                continue;
            }
            let Some(outputs) = self.slots[need.index()].outputs.get() else { continue };
            let Ok(Known { definition: Some(definition), .. }) = self.known(need) else { continue };
            if definition.outputs.is_empty() {
                continue;
            }
            let declared = definition.outputs.iter().map(|text| definition.from_root(text)).collect();
            shipped.insert(definition.label.clone(), (*outputs, declared));
        }
        shipped.into_iter().map(|(label, (digest, declared))| (label, digest, declared)).collect()
    }

    fn known(&self, node: NodeIx) -> Result<&Known, Failure> {
        let known = self.slot(node).known.get_or_init(|| Box::new(self.work_out(node)));
        (**known).as_ref().map_err(Clone::clone)
    }

    fn work_out(&self, node: NodeIx) -> Result<Known, Failure> {
        let configured = &self.plan.graph[node];
        let scene = self.around.scene(configured).map_err(|diagnostic| undefined(&diagnostic))?;
        let task = &configured.task;
        let definition = if let Some(service) = service_of(configured) {
            self.around.watched(configured, service, &scene).map_err(|diagnostic| undefined(&diagnostic))?
        } else if task.inputs.is_none() && task.outputs.is_none() {
            None
        } else {
            let definition = self.around.definition(configured, &scene);
            Some(definition.map_err(|diagnostic| undefined(&diagnostic))?)
        };
        Ok(Known { scene, definition, prepared: OnceLock::new() })
    }

    /// What a key is made of, understood; `None` for a task that has neither inputs nor outputs.
    pub(super) fn prepared(&self, node: NodeIx) -> Result<Option<&Prepared>, Failure> {
        let known = self.known(node)?;
        let Some(definition) = &known.definition else { return Ok(None) };
        let prepare = || self.around.workspace.prepare(definition).map_err(unfingerprinted);
        known.prepared.get_or_init(prepare).as_ref().map(Some).map_err(Clone::clone)
    }

    /// What tells the definition of a node from any other, if that is known, and all there is to know: not of one with
    /// `tools`.
    pub fn text(&self, node: NodeIx) -> Option<Digest> {
        let slot = self.slot(node);
        let prepared = || {
            let known = (**slot.known.get()?).as_ref().ok()?;
            known.definition.as_ref().filter(|definition| definition.tools.is_empty())?;
            Some(known.prepared.get()?.as_ref().ok()?.text())
        };
        slot.text.get().copied().or_else(prepared)
    }

    /// What a node needs and what that made; the label of a need whose outputs a dry run cannot know.
    pub(super) fn needs(&self, node: NodeIx) -> Result<Vec<Need>, String> {
        let need = |need: NodeIx| {
            let label = self.plan.graph[need].label.clone();
            match self.slot(need).outputs.get() {
                Some(outputs) => Ok(Need { label, outputs: *outputs }),
                None => Err(label),
            }
        };
        self.plan.graph.needs(node).map(need).collect()
    }

    /// The tasks whose outputs a node may read, by the names that their state is kept under. A group stands for its needs.
    fn made_for(&self, node: NodeIx) -> BTreeMap<String, Digest> {
        let mut makers = BTreeMap::new();
        let mut groups = BTreeSet::new();
        let mut todo: Vec<NodeIx> = self.plan.graph.needs(node).collect();
        while let Some(need) = todo.pop() {
            let configured = &self.plan.graph[need];
            if configured.is_group() {
                if groups.insert(need) {
                    todo.extend(self.plan.graph.needs(need));
                }
            } else if configured.task.outputs.is_some()
                && let Some(outputs) = self.slot(need).outputs.get()
            {
                makers.insert(state_label(configured), *outputs);
            }
        }
        makers
    }

    /// A group's outputs are those of its needs.
    fn group_digest(&self, node: NodeIx) -> Option<Digest> {
        let mut hasher = blake3::Hasher::new();
        for need in self.needs(node).ok()? {
            hasher.update(need.outputs.as_bytes());
        }
        Some(hasher.finalize().into())
    }

    /// The digest of what a node made, where it is known.
    pub fn outputs(&self, node: NodeIx) -> Option<Digest> {
        self.slot(node).outputs.get().copied()
    }

    pub(super) fn set_outputs(&self, node: NodeIx, outputs: Digest) {
        // A node ends once; that another thread was quicker cannot be.
        let _ = self.slot(node).outputs.set(outputs);
    }

    fn set_stale(&self, node: NodeIx, fingerprint: Option<Fingerprint>, reasons: Vec<Difference>) {
        *self.slot(node).stale.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Box::new(Stale { fingerprint, reasons }));
    }

    fn slot_stale(&self, node: NodeIx) -> MutexGuard<'_, Option<Box<Stale>>> {
        self.slot(node).stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn because(&self, node: NodeIx) -> Because {
        let reasons = self.reasons(node);
        Because {
            more: reasons.len().saturating_sub(1),
            reason: reasons.into_iter().next().unwrap_or_default(),
        }
    }

    /// Why a node is executed: everything that differs, in words that stand after "because". Never empty.
    pub fn reasons(&self, node: NodeIx) -> Vec<String> {
        let task = &self.plan.graph[node].task;
        if let Some(stale) = &*self.slot_stale(node)
            && !stale.reasons.is_empty()
        {
            // Executed before in this session, and nothing was kept of that.
            if stale.reasons == [Difference::NeverRan]
                && let Some(memory) = self.around.memory
                && let Some(reason) = memory.why_no_result(&state_label(&self.plan.graph[node]))
            {
                return vec![reason];
            }
            let words = |difference: &Difference| match difference {
                Difference::Forced => self.around.forced.to_owned(),
                other => other.words(),
            };
            return stale.reasons.iter().map(words).collect();
        }
        let known = |memory: &Memory| memory.has_run(&state_label(&self.plan.graph[node]));
        let reason = if self.plan.graph[node].kind() == "snapshot" {
            "a copy is made whenever it is asked for"
        } else if self.around.memory.is_some_and(known) && !self.plan.is_forced(node) {
            "what it needs is not what it was"
        } else if self.plan.is_forced(node) {
            self.around.forced
        } else if task.done.is_some() {
            "its `done` is not true yet"
        } else if task.mutates {
            "it changes something outside"
        } else if task.cache == CacheMode::Never {
            "its `cache` is #false"
        } else {
            "it has no inputs or outputs, so it always runs"
        };
        vec![reason.to_owned()]
    }

    /// Everything that differs from an earlier manifest of the node, in words; `None` if a dry run cannot know, because
    /// something that it needs would run first.
    pub fn differences(&self, node: NodeIx, earlier: &Manifest) -> Option<Vec<Difference>> {
        let prepared = self.prepared(node).ok()??;
        let needs = self.needs(node).ok()?;
        let fingerprint = self.around.workspace.fingerprint(prepared, &needs).ok()?;
        let today = self.around.workspace.manifest(prepared, &fingerprint);
        Some(Manifest::diff(earlier, &today))
    }

    /// Its commands, as they are shown.
    pub fn commands(&self, node: NodeIx) -> Vec<String> {
        let configured = &self.plan.graph[node];
        let scene = self.known(node).ok().map(|known| &known.scene);
        let show = |step| match step {
            Step::Run(command, _) => {
                let values = scene.map(|scene| &scene.values);
                let shown = values
                    .and_then(|values| self.around.interpolated(command, values, &configured.task).ok());
                shown.as_ref().unwrap_or(command).display()
            }
            Step::Render(render, _) => {
                let path =
                    scene.and_then(|scene| super::render::path(render, &scene.dir, &scene.values).ok());
                format!(
                    "render {}",
                    path.map_or_else(|| render.path.value.clone(), |path| path.display().into_owned())
                )
            }
            Step::Called(called) => format!("call {}", called.path),
            Step::Load(load, _) => super::snapshot::shown(load, scene.map(|scene| &scene.values)),
        };
        let deployment = self.around.deploys.and_then(|deploys| deploys.list.get(&node));
        // Data are put back: what saves them stands behind that.
        if deployment.is_some_and(Deployment::is_restore)
            && let Some(restore) = super::snapshot::definition(configured).and_then(|it| it.restore.as_ref())
        {
            return vec![show(Step::Run(&restore.value, restore.span))];
        }
        configured.actions().into_iter().map(show).collect()
    }

    pub(super) fn failed(&self, node: &ConfiguredTask, failure: Failure, ran: bool) -> Outcome {
        // Where the run could not be recorded, there is none to look at.
        let recorded = || record::runs_dir(self.around.root).join(self.around.run.as_str()).is_dir();
        let log = (ran && recorded()).then(|| record::log_path(self.around.run, &node.label));
        Outcome::Failed { failure, log, hint: node.task.hint.clone() }
    }

    fn is_obsolete(&self, node: NodeIx) -> bool {
        self.slot(node).obsolete.load(Ordering::SeqCst)
    }

    fn lock(&self, node: NodeIx) -> Option<NodeLock> {
        let configured = &self.plan.graph[node];
        // Only what writes outputs can be done twice with harm.
        configured.task.outputs.as_ref()?;
        let looked = self.slot(node).looked.get().copied();
        let looked = looked.unwrap_or_else(SystemTime::now);
        let mut lock = NodeLock::take(self.around.root, &configured.label, looked)?;
        if self.slot(node).locked.swap(true, Ordering::SeqCst) {
            // It was ours, for a result that could not be put in place.
            lock.forget_stamp();
        }
        let workspace = self.around.workspace;
        if lock.was_taken_after(workspace.opened()) {
            // What another envrun left in the output folders since is not this one's to be credited with.
            workspace.relearn(&state_label(configured));
        }
        lock.stamp();
        Some(lock)
    }
}

fn from_cache(log: Vec<u8>) -> Outcome {
    Outcome::Restored { from: "the local cache".into(), log }
}

/// What a task without outputs gives to the keys of those who need it.
pub(super) fn no_outputs() -> Digest {
    Digest::of(b"")
}

/// What a task that renders files and has no other outputs gives to those keys.
fn files(rendered: &[(RelPath, Digest)]) -> Digest {
    if rendered.is_empty() {
        return no_outputs();
    }
    let mut hasher = blake3::Hasher::new();
    for (path, digest) in rendered {
        hasher.update(Digest::of(path.as_bytes()).as_bytes());
        hasher.update(digest.as_bytes());
    }
    hasher.finalize().into()
}

fn undefined(diagnostic: &Diagnostic) -> Failure {
    let hint = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    Failure::Io { reason: format!("{}{hint}", diagnostic.message) }
}

pub(super) fn unfingerprinted(error: FingerprintError) -> Failure {
    Failure::Io { reason: error.to_string() }
}

fn unfinished(error: FinishError) -> Failure {
    match error {
        FinishError::Fs(error) => Failure::Io { reason: error.to_string() },
        other => Failure::Outputs { reason: other.to_string() },
    }
}

/// The file that lines of `NAME=value` for later actions are appended to.
pub fn export_file(around: &Surroundings<'_>, node: NodeIx) -> PathBuf {
    around.root.join(record::STATE_DIR).join("tmp").join(format!("{}-{}.export", around.run, node.0))
}
