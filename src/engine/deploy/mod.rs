//! A deploy's life: what its needs made is kept, its actions make it live, its proof says whether it stays so.
//!
//! [`crate::ledger::Transaction`] says which step follows which; here the steps are carried out, each after its phase is
//! in the ledger. What is needed for that (the environment's lock, the definition with the values of the new revision and
//! with those of the one before, the proofs) was worked out before the run began and is a [`Deployment`].
//!
//! Going back carries out the same actions with the revision that was live, and then the same proof. It goes on after a
//! first Ctrl-C, as `on-fail` does; a second one leaves the journal open.
//!
//! Invariant: nothing is changed in an environment before `applying` is in its ledger.
//! Invariant: what is shipped is what was kept: the bytes of an earlier release are put in place before its actions are
//! carried out, and nobody makes others there meanwhile.

mod bytes;
mod drive;
mod proof;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cache::LocalStore;
use crate::graph::{ConfiguredTask, NodeIx};
use crate::ledger::{Artefact, Course, LedgerError, Locked, Outcome, Phase, Saved, What};

pub use crate::ledger::Tag;
pub use proof::Proof;

/// The deploys of a run.
pub struct Deployments {
    /// By node.
    pub list: HashMap<NodeIx, Deployment>,
    /// The environments that they change, each locked.
    pub locks: BTreeMap<String, Mutex<Locked>>,
    /// Where the bytes of releases are kept.
    pub store: LocalStore,
}

/// One deploy, rollback, or the end of one that was cut short.
pub struct Deployment {
    /// The environment.
    pub env: String,
    /// The deploy, without the environment.
    pub name: String,
    /// Its number in the environment's ledger.
    pub release: u64,
    /// What is known of it beforehand.
    pub course: Course,
    /// The phase it is in already.
    pub phase: Phase,
    /// It is to be taken back, not to be brought to its end.
    pub back_only: bool,
    /// An earlier release is put back: nothing is asked of its values.
    pub is_rollback: bool,
    /// The revision that goes live.
    pub forward: Attempt,
    /// The one before it, if there is one.
    pub back: Option<Attempt>,
    /// Data that is saved first: the snapshot nodes.
    pub snapshots: Vec<ConfiguredTask>,
    /// Data that is put back: snapshot nodes, and which of their copies.
    pub data: Vec<(ConfiguredTask, u64)>,
    /// What was saved before it was cut short.
    pub saved: Vec<Saved>,
    /// What is asked again when the bytes are known: why it must not go on, if it must not.
    pub gate: Option<Gate>,
    /// The git tag on the revision that is replaced.
    pub tag: Option<Tag>,
    /// Why it goes back, where it was cut short and that is known already.
    pub why: String,
    /// What is told if it fails and does not go back.
    pub stay: Stay,
    /// How many revisions stay ready to go back to.
    pub keep: u32,
}

/// What is told of a release that fails and does not go back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stay {
    /// Why it does not go back; empty for one that does.
    pub why: String,
    /// How what is live becomes sound again.
    pub way_out: Option<String>,
    /// The output of what it was to replace.
    pub logs: Vec<String>,
}

/// Asks whether these bytes may go live; the evidence, or every reason why not.
pub type Gate = Box<dyn Fn(&[Artefact]) -> Result<Vec<String>, (Vec<String>, Option<String>)> + Send + Sync>;

/// A way to make one revision live.
pub struct Attempt {
    /// The definition, with the values of that revision.
    pub node: ConfiguredTask,
    /// The revision.
    pub revision: String,
    /// What it ships.
    pub bytes: Bytes,
    /// What must succeed then.
    pub proofs: Vec<Proof>,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
}

/// What an attempt ships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bytes {
    /// What the needs of the deploy made in this run.
    OfNeeds,
    /// What an earlier release shipped.
    Kept(Vec<Artefact>),
}

impl Deployment {
    /// Whether nothing but data is put back.
    pub fn is_restore(&self) -> bool {
        self.forward.node.kind() == "snapshot"
    }

    /// Why it is carried out, in words that stand after "because".
    pub fn because(&self) -> String {
        let forward = about(&self.forward.revision);
        if self.is_restore() {
            let what = if self.back_only { "what it had" } else { forward.as_str() };
            return format!("{what} is put back in `{}`", self.env);
        }
        match (&self.back, self.back_only) {
            (Some(back), true) => format!("`{}` goes back to {}", self.env, about(&back.revision)),
            (Some(back), false) if back.revision != self.forward.revision => {
                format!("`{}` goes from {} to {forward}", self.env, about(&back.revision))
            }
            (Some(_), false) => format!("{forward} goes live in `{}` once more", self.env),
            (None, _) => format!("{forward} goes live in `{}`", self.env),
        }
    }
}

impl Deployments {
    fn lock(&self, env: &str) -> MutexGuard<'_, Locked> {
        let locked = self.locks.get(env).expect("every deploy's environment was locked");
        // A thread that panicked wrote whole lines or none.
        locked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line into an environment's ledger.
    pub fn write(&self, env: &str, what: What) -> Result<(), LedgerError> {
        self.lock(env).write(what)
    }

    /// Ends every release that did not come as far as changing something.
    pub fn abandon(&self, outcome: Outcome, reason: &str) -> Result<(), LedgerError> {
        for deployment in self.list.values() {
            let mut locked = self.lock(&deployment.env);
            let release = locked.history().release(deployment.release);
            if release.is_some_and(|release| release.end.is_none() && !release.phase.touched()) {
                let (release, reason) = (deployment.release, Some(reason.to_owned()));
                locked.write(What::Ended { release, outcome, reason, logs: Vec::new() })?;
            }
        }
        Ok(())
    }
}

/// `revision 3f2a1b9c0d`: what a phase is about.
fn about(revision: &str) -> String {
    let is_id = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    match revision.starts_with("copy ") {
        true => revision.to_owned(),
        false => format!("revision {}", if is_id { &revision[..10] } else { revision }),
    }
}
