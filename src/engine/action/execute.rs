//! The execution of a node, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::base::{Digest, RelPath};
use crate::cache::{ActionResult, StoreError};
use crate::event::{Because, Failure, Notice, Outcome, Stream};
use crate::fingerprint::{Fingerprint, FinishError, Prepared};
use crate::graph::NodeIx;

use super::super::audit::Watching;
use super::super::command::{Attempt, Carry};
use super::super::deploy::{Deployment, Deployments};
use super::super::dispatcher::Message;
use super::super::lock::NodeLock;
use super::super::snapshot::{Saver, Unsaved};
use super::super::surroundings::state_label;
use super::{Actions, Known, NO_CACHE, no_outputs, unfingerprinted};

/// The most of a task's output that is kept with its result.
const LOG_LIMIT: usize = 16 << 20;

impl Actions<'_> {
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
        if let Some(snapshot) = crate::engine::snapshot::definition(configured) {
            return self.save(node, known, snapshot, send);
        }
        let lock = match self.lock(node, send) {
            Ok(lock) => lock,
            Err(outcome) => return *outcome,
        };
        if lock.as_ref().is_some_and(|lock| lock.was_taken)
            && let Some(outcome) = self.made_by_another(node, send)
        {
            return outcome;
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
    pub(in crate::engine) fn shipped(&self, node: NodeIx) -> Vec<(String, Digest, Vec<String>)> {
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

fn unfinished(error: FinishError) -> Failure {
    match error {
        FinishError::Fs(error) => Failure::Io { reason: error.to_string() },
        other => Failure::Outputs { reason: other.to_string() },
    }
}
