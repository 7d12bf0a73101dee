//! Data that is saved, proved, and put back: what the commands of a snapshot node do, and in which order.
//!
//! ```text
//! save:     draft ─▶ `save` ─▶ digest ─▶ `verify` ─▶ a copy ─▶ what the policy lets go is removed
//! put back: `restore`, with a copy in $SNAPSHOT
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use jiff::tz::TimeZone;

use crate::event::Failure;
use crate::graph::ConfiguredTask;
use crate::ledger::{self, History};
use crate::model::{Command, Node, Snapshot};
use crate::snapshot::{Archive, Copy, Meta, SnapshotError};

use super::command::{Attempt, Carry};
use super::surroundings::Surroundings;

/// Why data was not saved or not put back.
#[derive(Debug)]
pub enum Unsaved {
    /// Something failed.
    Failed(Failure),
    /// The run was stopped.
    Cancelled,
}

impl From<SnapshotError> for Unsaved {
    fn from(error: SnapshotError) -> Self {
        Self::Failed(Failure::Io { reason: error.to_string() })
    }
}

impl Unsaved {
    fn new(attempt: Attempt) -> Result<(), Self> {
        match attempt {
            Attempt::Good => Ok(()),
            Attempt::Failed(failure) => Err(Self::Failed(failure)),
            Attempt::Cancelled => Err(Self::Cancelled),
        }
    }
}

/// Runs the commands of one snapshot node.
pub struct Saver<'a, 'c> {
    /// What all share.
    pub around: &'a Surroundings<'a>,
    /// The node.
    pub node: &'a ConfiguredTask,
    /// Its definition.
    pub snapshot: &'a Snapshot,
    /// Sets up whatever carries a command out: who listens to it.
    pub prepare: &'c dyn Fn(&mut Carry<'_>),
    /// The number of the node in the run, for its files.
    pub ix: crate::graph::NodeIx,
}

impl Saver<'_, '_> {
    /// Saves the data: a new copy, and whatever the policy lets go is removed. `why` stands in its description.
    ///
    /// The second value is what could not be tidied up; the copy is good all the same.
    pub fn save(&self, why: &str) -> Result<(Copy, Option<String>), Unsaved> {
        let Some(save) = &self.snapshot.save else {
            let reason = format!("`{}` does not say how it is saved: it has no `save`", self.node.label);
            return Err(Unsaved::Failed(Failure::Io { reason }));
        };
        let archive = self.archive();
        let draft = archive.draft()?;
        self.carry(&save.value, &draft.data())?;
        let caller = |names: [&str; 2]| names.iter().find_map(|name| self.caller(name)).unwrap_or_default();
        let meta = Meta {
            revision: self.around.git.revision().ok(),
            why: why.to_owned(),
            run: self.around.run.to_string(),
            user: caller(["USER", "LOGNAME"]),
            host: self.around.host.to_owned(),
        };
        let copy = draft.finish(self.around.clock, meta, |data| match &self.snapshot.verify {
            Some(verify) => self.carry(&verify.value, data).map(|()| true),
            None => Ok(false),
        })?;
        let untidy =
            self.prune(&archive).err().map(|reason| format!("old copies were not removed: {reason}"));
        Ok((copy, untidy))
    }

    /// Puts data back: those in the folder `data`.
    pub fn put_back(&self, data: &Path) -> Result<(), Unsaved> {
        match &self.snapshot.restore {
            Some(restore) => self.carry(&restore.value, data),
            None => {
                let reason =
                    format!("`{}` does not say how it is put back: it has no `restore`", self.node.label);
                Err(Unsaved::Failed(Failure::Io { reason }))
            }
        }
    }

    /// Where its copies are.
    pub fn archive(&self) -> Archive {
        archive(self.around.root, self.node)
    }

    fn prune(&self, archive: &Archive) -> Result<(), String> {
        let Some(keep) = self.snapshot.keep else { return Ok(()) };
        let env = self.node.env.as_ref().map_or("", |env| env.as_str());
        let history = ledger::history(self.around.root, env).map_err(|error| error.to_string())?;
        let pinned = pinned(&history, &self.node.label);
        archive.prune(keep, &pinned, &TimeZone::system()).map(drop).map_err(|error| error.to_string())
    }

    /// Runs one command with `data` as its `$SNAPSHOT`.
    fn carry(&self, command: &Command, data: &Path) -> Result<(), Unsaved> {
        let Some(text) = data.to_str() else {
            let reason = format!("`{}` is not UTF-8, and $SNAPSHOT must be", data.display());
            return Err(Unsaved::Failed(Failure::Io { reason }));
        };
        let mut node = self.node.clone();
        node.given.push(("SNAPSHOT".into(), text.to_owned()));
        let failed = |reason: &str| Unsaved::Failed(Failure::Io { reason: reason.to_owned() });
        let scene = self.around.scene(&node).map_err(|diagnostic| failed(&diagnostic.message))?;
        let mut carry = Carry::new(self.around, &node, &scene, self.ix);
        (self.prepare)(&mut carry);
        Unsaved::new(carry.one(command))
    }

    fn caller(&self, name: &str) -> Option<String> {
        self.around.caller.get(std::ffi::OsStr::new(name))?.to_str().map(str::to_owned)
    }
}

/// Where the copies of a snapshot node are.
pub fn archive(root: &Path, node: &ConfiguredTask) -> Archive {
    let env = node.env.as_ref().map(|env| env.as_str());
    Archive::of(root, env, &node.path.to_string(), &node.label)
}

/// The definition of a snapshot node; `None` for another kind.
pub fn definition(node: &ConfiguredTask) -> Option<&Snapshot> {
    match node.special.as_ref()? {
        Node::Snapshot(snapshot) => Some(snapshot),
        _ => None,
    }
}

/// The copies of a node that a release points to whose bytes are kept.
pub fn pinned(history: &History, label: &str) -> BTreeSet<u64> {
    let releases = history.releases().iter().filter(|release| !release.pruned);
    let saved = releases.flat_map(|release| &release.snapshots);
    saved.filter(|saved| saved.snapshot == label).filter_map(|saved| saved.id.parse().ok()).collect()
}
