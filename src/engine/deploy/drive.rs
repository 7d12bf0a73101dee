//! Carries the steps of a transaction out.

use std::io::Write as _;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Failure, Notice, Outcome as NodeOutcome, Stream};
use crate::exec::Interrupt;
use crate::graph::{ConfiguredTask, NodeIx};
use crate::ledger::{
    self, Artefact, Fact, Footprint, LedgerError, Outcome, Reached, Saved, Step, Transaction, What,
};
use crate::model::VarType;
use crate::snapshot::Archive;

use super::super::action::Actions;
use super::super::command::{Attempt as Carried, Carry};
use super::super::dispatcher::Message;
use super::super::snapshot::{Saver, Unsaved, archive, definition};
use super::super::surroundings::Surroundings;
use super::proof::{Ear, Proved};
use super::{Attempt, Bytes, Deployment, Deployments, Tag, about};

impl Actions<'_> {
    /// Carries a deploy out. What it needs is made.
    pub(in crate::engine) fn deploy(
        &self,
        node: NodeIx,
        deployments: &Deployments,
        deployment: &Deployment,
        send: &Sender<Message>,
    ) -> NodeOutcome {
        let ear = Ear { node, send: send.clone(), room: Arc::clone(&self.room), log: Arc::default() };
        let shipped = match &deployment.forward.bytes {
            Bytes::OfNeeds => Vec::new(),
            Bytes::Kept(artefacts) => artefacts.clone(),
        };
        let mut drive = Drive {
            actions: self,
            deployments,
            deployment,
            ear,
            shipped,
            found: Reached::new(deployment.release, deployment.phase),
            why: deployment.why.clone(),
            back_why: None,
            refused: Vec::new(),
            is_lost: false,
            hint: None,
            saved: deployment.saved.clone(),
            deadline: None,
            logs: Vec::new(),
        };
        drive.run()
    }

    fn notice(&self, node: NodeIx, send: &Sender<Message>, message: String, hint: Option<String>) {
        let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint }));
    }
}

struct Drive<'a> {
    actions: &'a Actions<'a>,
    deployments: &'a Deployments,
    deployment: &'a Deployment,
    ear: Ear,
    /// What goes live.
    shipped: Vec<Artefact>,
    /// What the step before found out: written down with the next phase.
    found: Reached,
    /// What failed first.
    why: String,
    /// Why going back failed.
    back_why: Option<String>,
    refused: Vec<String>,
    /// Somebody else has the release by now.
    is_lost: bool,
    /// What to do, where the ledger knows.
    hint: Option<String>,
    /// Data that was saved before anything was changed.
    saved: Vec<Saved>,
    /// When the time for the attempt is over.
    deadline: Option<Instant>,
    logs: Vec<String>,
}

impl Drive<'_> {
    fn run(&mut self) -> NodeOutcome {
        let deployment = self.deployment;
        let mut transaction = Transaction::at(deployment.course, deployment.phase);
        let mut step = if deployment.back_only { transaction.back() } else { transaction.step() };
        if deployment.back_only && step == Step::GoBack && !self.reach(&transaction) {
            return self.unfinished(&transaction);
        }
        loop {
            let fact = match step {
                Step::End(outcome) => return self.end(outcome, &transaction),
                Step::Leave => return self.unfinished(&transaction),
                // Guards were asked before anything began.
                Step::Guard | Step::Begin => Fact::Done,
                Step::Prepare => self.prepare(),
                Step::Snapshot => self.snapshot(),
                Step::Apply => self.apply(&deployment.forward, false),
                Step::Verify => self.prove(&deployment.forward, false),
                Step::GoBack => self.go_back(),
            };
            let before = transaction.phase();
            step = transaction.on(fact);
            if !matches!(step, Step::End(_) | Step::Leave) && !self.reach(&transaction) {
                // The ledger does not take the phase: nothing of it is begun.
                if before.touched() || self.is_lost {
                    return self.unfinished(&Transaction::at(deployment.course, before));
                }
                return NodeOutcome::Failed {
                    failure: Failure::Io { reason: self.why.clone() },
                    log: None,
                    hint: None,
                };
            }
        }
    }

    /// Writes down that a phase is reached, and tells it.
    fn reach(&mut self, transaction: &Transaction) -> bool {
        let (release, phase) = (self.deployment.release, transaction.phase());
        let found = std::mem::replace(&mut self.found, Reached::new(release, phase));
        let why = (phase == ledger::Phase::GoingBack && !self.why.is_empty()).then(|| self.why.clone());
        let reached = Reached { phase, why, ..found };
        if let Err(error) = self.deployments.write(&self.deployment.env, What::Reached(reached)) {
            self.unwritten(&error);
            return false;
        }
        let held = |attempt: &Attempt| {
            let hold: Duration = attempt.proofs.iter().map(|proof| proof.hold).sum();
            if hold.is_zero() {
                String::new()
            } else {
                format!("for {}", crate::base::unit::show_duration(hold))
            }
        };
        let about = match phase {
            ledger::Phase::Applying => about(&self.deployment.forward.revision),
            ledger::Phase::Verifying => held(&self.deployment.forward),
            ledger::Phase::GoingBack => match &self.deployment.back {
                Some(back) if self.why.is_empty() => format!("to {}", about(&back.revision)),
                Some(back) => format!("to {} because {}", about(&back.revision), self.why),
                None => String::new(),
            },
            _ => String::new(),
        };
        // What takes no time is in the ledger, and nothing to tell.
        let is_told = match phase {
            ledger::Phase::Snapshotted => !self.deployment.snapshots.is_empty(),
            ledger::Phase::Verifying => !self.deployment.forward.proofs.is_empty(),
            phase => phase.touched(),
        };
        if !is_told {
            return true;
        }
        let phase = phase.word().to_owned();
        self.note(format!("{phase} {about}").trim_end());
        let _ = self.ear.send.send(Message::Phase { node: self.ear.node, phase, about });
        true
    }

    fn prepare(&mut self) -> Fact {
        if self.deployment.forward.bytes == Bytes::OfNeeds {
            match self.actions.keep_bytes(self.ear.node, &self.deployments.store) {
                Ok(artefacts) => self.shipped = artefacts,
                Err(reason) => return self.failed(reason),
            }
        }
        if let Some(gate) = &self.deployment.gate {
            match gate(&self.shipped) {
                Ok(evidence) => self.found.evidence = evidence,
                Err((reasons, hint)) => {
                    self.hint = hint;
                    self.why = reasons.join("; ");
                    self.refused = reasons;
                    return Fact::Refused;
                }
            }
        }
        self.found.artefacts = self.shipped.clone();
        self.pin();
        self.unless_interrupted()
    }

    fn snapshot(&mut self) -> Fact {
        let release = self.deployment.release;
        for node in &self.deployment.snapshots {
            let why = format!("before release {release} of `{}`", self.deployment.env);
            match self.saver(node, false, |saver| saver.save(&why)) {
                Ok((copy, untidy)) => {
                    self.say(&format!("`{}` is saved: {}", node.label, copy.summary()));
                    if let Some(message) = untidy {
                        self.actions.notice(self.ear.node, &self.ear.send, message, None);
                    }
                    let (snapshot, id) = (node.label.clone(), copy.number.to_string());
                    let saved = Saved { snapshot, id, digest: copy.digest };
                    self.saved.push(saved.clone());
                    self.found.snapshots.push(saved);
                }
                Err(unsaved) => return self.unsaved(&node.label, "saved", &unsaved),
            }
        }
        self.unless_interrupted()
    }

    /// Does something with the data of a snapshot node; what its commands print is the deploy's.
    fn saver<T>(
        &self,
        node: &ConfiguredTask,
        back: bool,
        does: impl FnOnce(&Saver<'_, '_>) -> Result<T, Unsaved>,
    ) -> Result<T, Unsaved> {
        let around = around(self.actions, back);
        let snapshot = definition(node).expect("only snapshots were taken for it");
        let prepare = |carry: &mut Carry<'_>| carry.tell(&self.ear.send, &self.ear.room);
        does(&Saver { around: &around, node, snapshot, prepare: &prepare, ix: self.ear.node })
    }

    fn unsaved(&mut self, label: &str, what: &str, unsaved: &Unsaved) -> Fact {
        match unsaved {
            Unsaved::Cancelled => self.interrupted(),
            Unsaved::Failed(failure) => {
                let mut reason =
                    format!("`{label}` was not {what}: {}", crate::report::failure_words(failure));
                // Data that cannot be saved any more are why somebody wants others.
                if what == "saved" && self.deployment.forward.node.kind() == "snapshot" {
                    let without = format!("`envrun restore {label} --unsaved` does without");
                    reason = format!("{reason}; if it is too damaged for that, {without}");
                }
                self.say(&reason);
                self.failed(reason)
            }
        }
    }

    /// Puts the data back that a rollback asks for: what it replaces is saved by now.
    fn put_back(&mut self) -> Option<Fact> {
        for (node, number) in &self.deployment.data {
            let put_back = self.saver(node, false, |saver| {
                let archive = saver.archive();
                let copy = archive.find(&number.to_string(), &jiff::tz::TimeZone::system())?;
                archive.check(&copy)?;
                saver.put_back(&archive.data(*number)).map(|()| copy)
            });
            match put_back {
                Ok(copy) => self.say(&format!("`{}` is put back: {}", node.label, copy.summary())),
                Err(unsaved) => return Some(self.unsaved(&node.label, "put back", &unsaved)),
            }
        }
        None
    }

    /// Puts back what a restore replaced.
    fn put_saved_back(&mut self) -> Fact {
        for (node, _) in &self.deployment.data {
            let saved = self.saved.iter().find(|saved| saved.snapshot == node.label);
            let Some(saved) = saved.cloned() else {
                return self.failed(format!("what `{}` had was not saved", node.label));
            };
            let archive = archive(self.actions.around.root, node);
            let Some(copy) = archive.of_ledger(&saved) else {
                let reason =
                    format!("copy {} of `{}`, which it had, is not in this checkout", saved.id, node.label);
                return self.failed(reason);
            };
            let put_back = self.saver(node, true, |saver| {
                archive.check(&copy)?;
                saver.put_back(&archive.data(copy.number))
            });
            match put_back {
                Ok(()) => self.say(&format!("`{}` has again what it had: {}", node.label, copy.summary())),
                Err(unsaved) => return self.unsaved(&node.label, "put back", &unsaved),
            }
        }
        self.unless_halted(true)
    }

    /// Carries the actions of an attempt out.
    fn apply(&mut self, attempt: &Attempt, back: bool) -> Fact {
        self.deadline = attempt.timeout.map(|timeout| Instant::now() + timeout);
        let around = around(self.actions, back);
        let _locks = match &attempt.bytes {
            Bytes::OfNeeds => Vec::new(),
            Bytes::Kept(artefacts) => {
                let Ear { node, send, .. } = &self.ear;
                let tell = |message| self.actions.notice(*node, send, message, None);
                match self.actions.place_bytes(&around, artefacts, &self.deployments.store, &tell) {
                    Ok(locks) => locks,
                    Err(Some(reason)) => return self.failed(reason),
                    Err(None) => return self.interrupted(),
                }
            }
        };
        if !back && let Some(fact) = self.put_back() {
            return fact;
        }
        let scene = match around.scene(&attempt.node) {
            Ok(scene) => scene,
            Err(diagnostic) => return self.failed(diagnostic.message.clone()),
        };
        let mut carry = Carry::new(&around, &attempt.node, &scene, self.ear.node);
        carry.tell(&self.ear.send, &self.ear.room);
        let carried = carry.run();
        let (log, _) = carry.log();
        self.ear.log.lock().unwrap_or_else(PoisonError::into_inner).extend(log);
        match carried {
            Carried::Good => self.unless_halted(back),
            Carried::Cancelled => self.interrupted(),
            Carried::Failed(failure) => {
                let reason = in_words(&failure);
                self.say(&reason);
                self.failed(reason)
            }
        }
    }

    fn prove(&mut self, attempt: &Attempt, back: bool) -> Fact {
        let around = around(self.actions, back);
        // What is taken up again here has all its time before it.
        let deadline = self.deadline.or_else(|| attempt.timeout.map(|timeout| Instant::now() + timeout));
        for proof in &attempt.proofs {
            match proof.carry_out(&around, &self.ear, deadline) {
                Proved::Yes => {}
                Proved::No(reason) => return self.failed(reason),
                Proved::Interrupted => return self.interrupted(),
            }
        }
        self.unless_halted(back)
    }

    fn go_back(&mut self) -> Fact {
        self.keep_log(false);
        self.note("going back");
        if self.deployment.is_restore() {
            let first = std::mem::take(&mut self.why);
            let fact = self.put_saved_back();
            let second = std::mem::replace(&mut self.why, first);
            if fact != Fact::Done {
                self.back_why = Some(second);
            }
            self.keep_log(true);
            return fact;
        }
        let Some(back) = &self.deployment.back else {
            self.back_why = Some(self.deployment.stay.why.clone());
            return Fact::Failed;
        };
        // What fails from here on is told beside what failed first.
        let first = std::mem::take(&mut self.why);
        let fact = match self.apply(back, true) {
            Fact::Done => self.prove(back, true),
            other => other,
        };
        let second = std::mem::replace(&mut self.why, first);
        if fact != Fact::Done {
            self.back_why = Some(second);
        }
        self.keep_log(true);
        fact
    }

    fn failed(&mut self, reason: String) -> Fact {
        self.why = reason;
        Fact::Failed
    }

    fn interrupted(&mut self) -> Fact {
        self.why = "it was interrupted".into();
        match self.actions.around.processes.interrupted() {
            Some(Interrupt::Terminate | Interrupt::Kill) => Fact::Halted,
            Some(Interrupt::Told { .. }) | None => Fact::Interrupted,
        }
    }

    fn unless_interrupted(&mut self) -> Fact {
        match self.actions.around.processes.interrupted() {
            Some(_) => self.interrupted(),
            None => Fact::Done,
        }
    }

    /// A first Ctrl-C does not stop what goes back.
    fn unless_halted(&mut self, back: bool) -> Fact {
        match self.actions.around.processes.interrupted() {
            None => Fact::Done,
            Some(Interrupt::Told { .. }) if back => Fact::Done,
            Some(_) => self.interrupted(),
        }
    }

    /// The ledger does not take a line: somebody took the release over, or the disk does not.
    fn unwritten(&mut self, error: &LedgerError) {
        let message = match error {
            LedgerError::TakenOver { .. } => error.to_string(),
            _ => format!("the ledger cannot be written: {error}"),
        };
        self.say(&message);
        self.is_lost = matches!(error, LedgerError::TakenOver { .. } | LedgerError::Diverged(_));
        self.why = message;
        self.hint = error.hint();
    }

    fn end(&mut self, outcome: Outcome, transaction: &Transaction) -> NodeOutcome {
        let deployment = self.deployment;
        self.keep_log(false);
        if outcome == Outcome::Live {
            // Before the ledger says that it is over: whoever goes on with one that was killed here makes it then.
            self.mark_replaced();
        }
        let back = (outcome == Outcome::Broken).then(|| self.left(transaction.phase()));
        let reason = match &back {
            _ if outcome == Outcome::Live => None,
            Some(back) => Some(format!("{}; {back}", self.why)),
            None if self.why.is_empty() => None,
            None => Some(self.why.clone()),
        };
        let (release, logs) = (deployment.release, self.logs.clone());
        let ended = What::Ended { release, outcome, reason, logs: logs.clone() };
        if let Err(error) = self.deployments.write(&deployment.env, ended) {
            self.unwritten(&error);
            self.back_why = None;
            return self.unfinished(transaction);
        }
        match outcome {
            Outcome::Live => self.leave_footprint(&deployment.forward),
            Outcome::Back => deployment.back.iter().for_each(|back| self.leave_footprint(back)),
            Outcome::Broken | Outcome::Refused | Outcome::Abandoned => {}
        }
        if outcome == Outcome::Live {
            self.after_live();
        } else {
            self.name_data(outcome);
        }
        let unshared = self.deployments.lock(&deployment.env).settle();
        if let Some(error) = unshared {
            let message = format!("other checkouts do not know of this yet: {error}");
            let shares = format!(
                "`envrun status {}` in this checkout tells them as soon as it takes that",
                deployment.env
            );
            let hint = match (&error, error.hint()) {
                (LedgerError::Ref(_), Some(hint)) => format!("{hint}; {shares}"),
                (_, hint) => hint.unwrap_or(shares),
            };
            self.actions.notice(self.ear.node, &self.ear.send, message, Some(hint));
        }
        let mut hint = deployment.forward.node.task.hint.clone();
        let failure = match outcome {
            Outcome::Live => return NodeOutcome::Succeeded { stored: false },
            Outcome::Back | Outcome::Abandoned if deployment.back_only => {
                return NodeOutcome::Succeeded { stored: false };
            }
            Outcome::Back => Failure::WentBack {
                reason: self.why.clone(),
                revision: deployment.back.as_ref().map_or_else(String::new, |back| back.revision.clone()),
                logs,
            },
            Outcome::Broken => Failure::Broken {
                reason: self.why.clone(),
                back: back.unwrap_or_default(),
                logs: logs.iter().chain(&deployment.stay.logs).cloned().collect(),
                way_out: self.way_out(),
            },
            Outcome::Refused => {
                hint = self.hint.take().or(hint);
                Failure::Refused { reasons: self.refused.clone() }
            }
            Outcome::Abandoned if self.actions.around.processes.interrupted().is_some() => {
                return NodeOutcome::Cancelled;
            }
            Outcome::Abandoned => Failure::Io { reason: self.why.clone() },
        };
        NodeOutcome::Failed { failure, log: None, hint }
    }

    /// Why it did not go back, and what is live now: a person has to know both before anything else.
    fn left(&self, phase: ledger::Phase) -> String {
        let Deployment { forward, back, stay, .. } = self.deployment;
        if self.deployment.is_restore() {
            if self.saved.is_empty() {
                return "what was there before was not saved, so nothing was put back".to_owned();
            }
            let why = self.back_why.as_deref().unwrap_or("nothing was put back");
            let copies: Vec<String> = self
                .saved
                .iter()
                .map(|saved| format!("what `{}` had is kept as copy {}", saved.snapshot, saved.id))
                .collect();
            return format!("going back failed too: {why}; {}", copies.join(", "));
        }
        match (phase, back) {
            (ledger::Phase::GoingBack, Some(back)) => {
                let why = self.back_why.as_deref().unwrap_or("it was stopped");
                let revision = about(&back.revision);
                format!("going back to {revision} failed too: {why}; what that left is live now, unproved")
            }
            (ledger::Phase::Verifying, _) => {
                format!("{}: {} is live now, unproved", stay.why, about(&forward.revision))
            }
            _ => {
                let revision = about(&forward.revision);
                format!("{}: what its commands did of {revision} until then is live now", stay.why)
            }
        }
    }

    fn way_out(&self) -> Option<String> {
        if !self.deployment.is_restore() {
            return self.deployment.stay.way_out.clone();
        }
        let Some(Saved { snapshot, id, .. }) = self.saved.first() else {
            let (label, revision) = (&self.deployment.forward.node.label, &self.deployment.forward.revision);
            let number = revision.trim_start_matches("copy ");
            return Some(format!(
                "`envrun restore {label} --at {number} --unsaved` tries it again; `envrun snapshot list {label}` shows \
                 what else there is"
            ));
        };
        Some(format!("`envrun restore {snapshot} --at {id}` puts back what was there before"))
    }

    /// Looks at what is live now, so that `status` notices when somebody else changes it.
    fn leave_footprint(&self, attempt: &Attempt) {
        let Deployment { env, name, .. } = self.deployment;
        let around = self.actions.around;
        let locked = self.deployments.lock(env);
        let (false, Some(live)) = (self.deployment.is_restore(), locked.history().live(name)) else { return };
        let Ok(scene) = around.scene(&attempt.node) else { return };
        let dir = scene.dir.below(around.root);
        let declared = around.task_values(&attempt.node, &attempt.node.task).declared();
        let paths = declared.into_iter().filter(|value| value.ty == Some(VarType::Path) && !value.secret);
        let folders: Vec<_> = paths.filter_map(|value| Some(dir.join(&**value.lookup.text()?))).collect();
        let kept = Footprint::take(around.root, live, &folders).keep(around.root, env, name);
        if let Err(error) = kept {
            let message = format!("`envrun status` will not notice what is changed by hand: {error}");
            self.actions.notice(self.ear.node, &self.ear.send, message, None);
        }
    }

    /// Data is not put back silently: whoever needs it is told where it is.
    fn name_data(&self, outcome: Outcome) {
        if self.deployment.is_restore() || !matches!(outcome, Outcome::Back | Outcome::Broken) {
            return;
        }
        let locked = self.deployments.lock(&self.deployment.env);
        let Some(release) = locked.history().release(self.deployment.release) else { return };
        for saved in &release.snapshots {
            let Saved { snapshot, id, .. } = saved;
            // Whoever takes a release up saves nothing, and has no such node.
            let is_here = Archive::of_label(self.actions.around.root, snapshot).of_ledger(saved).is_some();
            let place = if is_here { "" } else { " of another checkout" };
            let message = format!(
                "the data of `{snapshot}` was not put back; before this deploy it was copy {id}{place}"
            );
            let hint = format!("`envrun restore {snapshot} --at {id}`");
            let hint = Some(if is_here { hint } else { format!("{hint}, where it was saved") });
            self.actions.notice(self.ear.node, &self.ear.send, message, hint);
        }
    }

    /// The tag on what was replaced.
    fn mark_replaced(&self) {
        if let Some(Tag { name, revision }) = &self.deployment.tag
            && let Err(reason) = self.actions.around.git.tag(name, revision)
        {
            let message = format!("the tag `{name}` was not made: {reason}");
            self.actions.notice(self.ear.node, &self.ear.send, message, None);
        }
    }

    /// The bytes that nobody will go back to.
    fn after_live(&self) {
        let deployment = self.deployment;
        let mut locked = self.deployments.lock(&deployment.env);
        let releases = locked.history().prunable(&deployment.name, deployment.keep);
        if !releases.is_empty() {
            // They stay a little longer then.
            let _ = locked.write(What::Pruned { releases });
        }
        drop(locked);
        self.pin();
    }

    /// Tells the cache which bytes must not be collected.
    fn pin(&self) {
        let locked = self.deployments.lock(&self.deployment.env);
        let releases = locked.history().releases().iter().filter(|release| !release.pruned);
        let keys = releases.flat_map(|release| &release.artefacts).chain(&self.shipped).map(Artefact::key);
        let ledger = ledger::folder(self.actions.around.root, &self.deployment.env);
        if let Err(error) = self.deployments.store.pin(&ledger, keys) {
            let message = format!("the bytes of this release may be collected: {error}");
            self.actions.notice(self.ear.node, &self.ear.send, message, None);
        }
    }

    fn unfinished(&mut self, transaction: &Transaction) -> NodeOutcome {
        self.keep_log(transaction.phase() == ledger::Phase::GoingBack);
        let (env, phase) = (self.deployment.env.clone(), transaction.phase().word().to_owned());
        let reason = self.back_why.clone().unwrap_or_else(|| self.why.clone());
        let failure = match self.is_lost {
            true => Failure::Lost { env, phase, reason },
            false => Failure::Unfinished { env, phase, reason },
        };
        NodeOutcome::Failed { failure, log: None, hint: self.hint.take() }
    }

    /// Writes what was printed into the environment's own log: that of a run is gone long before the release is.
    fn keep_log(&mut self, back: bool) {
        let bytes = std::mem::take(&mut *self.ear.log.lock().unwrap_or_else(PoisonError::into_inner));
        let name = format!("logs/{}{}.log", self.deployment.release, if back { "-back" } else { "" });
        let relative = format!("{}/env/{}/{name}", crate::record::STATE_DIR, self.deployment.env);
        let path = self.actions.around.root.join(&relative);
        if bytes.is_empty() && !(self.deployment.phase.touched() && path.exists()) && !back {
            return;
        }
        let folder = path.parent().unwrap_or(self.actions.around.root);
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::File::options().create(true).append(true).open(&path))
            .and_then(|mut file| file.write_all(&bytes));
        if written.is_ok() && !self.logs.contains(&relative) {
            self.logs.push(relative);
        }
    }

    /// A line for the log alone: what the lines behind it are about.
    fn note(&self, text: &str) {
        let mut log = self.ear.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(format!("== {text}\n").as_bytes());
    }

    fn say(&self, text: &str) {
        self.ear.hear(Stream::Stderr, format!("{text}\n").as_bytes());
    }
}

/// What the commands of an attempt share.
fn around<'a>(actions: &Actions<'a>, back: bool) -> Surroundings<'a> {
    Surroundings { cleanup: back || actions.around.cleanup, deploys: None, ..*actions.around }
}

/// A failure, with the command it is that of.
fn in_words(failure: &Failure) -> String {
    let words = crate::report::failure_words(failure);
    match failure.command() {
        Some(command) => format!("`{}`: {words}", first_line(command)),
        None => words,
    }
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}
