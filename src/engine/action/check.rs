//! The check: whether a node has to be executed.

use std::sync::PoisonError;
use std::sync::mpsc::Sender;
use std::time::SystemTime;

use crate::base::Digest;
use crate::cache::{Hit, RestoreError};
use crate::event::{Failure, Notice, Outcome};
use crate::fingerprint::{Difference, Fingerprint, Freshness, Lookup, Manifest, Need, Prepared};
use crate::graph::{ConfiguredTask, NodeIx};
use crate::preflight::Verdict;

use super::super::command::Carry;
use super::super::dispatcher::Message;
use super::super::service::service_of;
use super::super::surroundings::state_label;
use super::{Actions, Checked, no_outputs, unfingerprinted};

impl Actions<'_> {
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
    pub(super) fn fresh(&self, node: NodeIx) -> Option<Checked> {
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
    pub(super) fn identity(&self, node: NodeIx, fingerprint: Option<&Fingerprint>) -> Option<Digest> {
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
        let lock = match self.lock(node, send) {
            Ok(lock) => lock,
            Err(outcome) => return Some(*outcome),
        };
        if lock.as_ref().is_some_and(|lock| lock.was_taken) {
            return self.made_by_another(node, send);
        }
        self.put_in_place(node, *hit, send)
    }

    /// What came of a node that another envrun had since it was looked at, whose lock is ours now. What that one made is in
    /// place or in the cache: there may be nothing left to do. Written once more it would change under those who read it.
    pub(super) fn made_by_another(&self, node: NodeIx, send: &Sender<Message>) -> Option<Outcome> {
        *self.slot_stale(node) = None;
        if let Some(Checked::Over(outcome)) = self.fresh(node) {
            return Some(outcome);
        }
        self.hit(node, send).and_then(|hit| self.put_in_place(node, *hit, send))
    }

    /// The result in the cache; what is wrong with it is told.
    pub(super) fn hit(&self, node: NodeIx, send: &Sender<Message>) -> Option<Box<Hit>> {
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
    pub(super) fn put_in_place(&self, node: NodeIx, hit: Hit, send: &Sender<Message>) -> Option<Outcome> {
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
        let _lock = match self.lock(node, send) {
            Ok(lock) => lock,
            Err(outcome) => return Some(*outcome),
        };
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
    pub(super) fn held_to_pin(&self, node: NodeIx, outcome: Outcome) -> Outcome {
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
}

fn from_cache(log: Vec<u8>) -> Outcome {
    Outcome::Restored { from: "the local cache".into(), log }
}
