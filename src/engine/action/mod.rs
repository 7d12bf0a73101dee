//! One action's life: is it needed, is it there, make it, keep it.
//!
//! ```text
//! when ─▶ done ─▶ up to date? ─▶ in the cache? ─▶ execute ─▶ inputs again, outputs ─▶ keep
//! ```
//!
//! Asked only when a node's turn has come, never before: what it needs has no outputs before that. `check.rs` asks,
//! `execute.rs` makes and keeps, `explain.rs` says why; what is known of a node meanwhile stands here.

mod check;
mod execute;
mod explain;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::base::{Digest, RelPath};
use crate::cache::Hit;
use crate::diag::Diagnostic;
use crate::event::{Failure, Notice, Outcome};
use crate::fingerprint::{Definition, Difference, Fingerprint, FingerprintError, Need, Prepared};
use crate::graph::{ConfiguredTask, NodeIx};
use crate::plan::Plan;
use crate::record;

use super::dispatcher::{Message, OutputRoom};
use super::lock::{NodeLock, Taken};
use super::pin::Pin;
use super::service::{Services, service_of};
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

    pub(super) fn failed(&self, node: &ConfiguredTask, failure: Failure, ran: bool) -> Outcome {
        // Where the run could not be recorded, there is none to look at.
        let recorded = || record::runs_dir(self.around.root).join(self.around.run.as_str()).is_dir();
        let log = (ran && recorded()).then(|| record::log_path(self.around.run, &node.label));
        Outcome::Failed { failure, log, hint: node.task.hint.clone() }
    }

    fn is_obsolete(&self, node: NodeIx) -> bool {
        self.slot(node).obsolete.load(Ordering::SeqCst)
    }

    /// The lock of the place that a node makes its outputs in, where one is needed and to be had; how the node ends, if
    /// nothing comes of it.
    fn lock(&self, node: NodeIx, send: &Sender<Message>) -> Result<Option<NodeLock>, Box<Outcome>> {
        let configured = &self.plan.graph[node];
        // Only what writes outputs can be done twice with harm. One that cannot be prepared does not come to that.
        if configured.task.outputs.is_none() {
            return Ok(None);
        }
        let Ok(Some(prepared)) = self.prepared(node) else { return Ok(None) };
        let looked = self.slot(node).looked.get().copied();
        let looked = looked.unwrap_or_else(SystemTime::now);
        let tell = |message: String| {
            let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint: None }));
        };
        let unwanted = || self.is_obsolete(node);
        let taken = self.around.lock_of_place(&prepared.place(), prepared.label(), looked, &tell, &unwanted);
        let mut lock = match taken {
            Taken::Ours(lock) => lock,
            Taken::Without => return Ok(None),
            Taken::GivenUp => return Err(Box::new(Outcome::Cancelled)),
            Taken::WithinItself => {
                let reasons =
                    vec!["a command of it runs it again: it would wait for itself for ever".to_owned()];
                return Err(Box::new(self.failed(configured, Failure::Refused { reasons }, false)));
            }
        };
        if self.slot(node).locked.swap(true, Ordering::SeqCst) {
            // It was ours, for a result that could not be put in place.
            lock.forget_stamp();
        }
        let workspace = self.around.workspace;
        if lock.was_taken {
            workspace.touched();
        }
        // What another envrun left in the output folders since is not this one's to be credited with.
        workspace.catch_up();
        lock.stamp();
        Ok(Some(lock))
    }
}

/// What a task without outputs gives to the keys of those who need it.
pub(super) fn no_outputs() -> Digest {
    Digest::of(b"")
}

fn undefined(diagnostic: &Diagnostic) -> Failure {
    let hint = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    Failure::Io { reason: format!("{}{hint}", diagnostic.message) }
}

pub(super) fn unfingerprinted(error: FingerprintError) -> Failure {
    Failure::Io { reason: error.to_string() }
}

/// The file that lines of `NAME=value` for later actions are appended to.
pub fn export_file(around: &Surroundings<'_>, node: NodeIx) -> PathBuf {
    around.root.join(record::STATE_DIR).join("tmp").join(format!("{}-{}.export", around.run, node.0))
}
