//! What a watcher has to keep an eye on, and whether one file is still what somebody read.
//!
//! A task's freshness rests on its input files, on every folder that a walk looked through to find them, on ignore
//! files, and on what depfiles named. [`Workspace::interest`] gathers where these lie; the same walk that makes a key
//! finds them, so nothing can be an input and not be watched.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use crate::base::RelPath;
use crate::base::fs::FsError;

use super::Workspace;
use super::expand::Expansion;
use super::freshness::{Fingerprint, Prepared, holds};
use super::record::{List, Record};
use super::state::State;
use super::table::{FileKind, PathId};

/// Where everything lies that some tasks rest on.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    files: HashSet<PathId>,
    folders: HashSet<PathId>,
    /// What lies in a folder of its own right: an ignore file, a link, a name that is not there (yet).
    others: HashSet<PathId>,
}

impl Interest {
    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }
}

impl Workspace {
    /// Adds what a task rests on. Of one that cannot be found out (a folder that may not be read) the error is told; what
    /// was found so far stays.
    pub fn interest(&self, task: &Prepared, into: &mut Interest) -> Result<(), FsError> {
        let Expansion { files, walked } = match self.remembered(task, self.patterns_of(task))? {
            Some(expansion) => expansion,
            None => self.expand(&task.inputs)?,
        };
        into.files.extend(files);
        for row in walked {
            if row.kind == FileKind::Dir { &mut into.folders } else { &mut into.others }.insert(row.id);
        }
        for id in self.intern_all(task.inputs.literals().map(RelPath::as_bytes)) {
            if !into.folders.contains(&id) {
                into.others.insert(id);
            }
        }
        if let Some(record) = self.state().record(&task.label).filter(Record::has_discovered) {
            into.files.extend(record.rows(List::Discovered).map(|row| row.id));
        }
        Ok(())
    }

    /// The folders to watch, each an absolute path; not all of them need be there.
    pub fn folders_of(&self, interest: &Interest) -> BTreeSet<PathBuf> {
        let state = self.state();
        let mut parents: HashSet<&[u8]> = HashSet::new();
        for id in interest.files.iter().chain(&interest.others) {
            parents.insert(parent(state.table.path(*id)));
        }
        parents.extend(interest.folders.iter().map(|id| state.table.path(*id)));
        parents.into_iter().map(|path| self.root.join(path)).collect()
    }

    /// Says that a path may have changed, though no command ended: who asks for it next looks again.
    pub fn doubt(&self, path: &RelPath) {
        let id = self.intern(path.as_bytes());
        self.state_mut().table.entries[id as usize].epoch = 0;
    }

    /// Whether a file is now what it was when a key was made. A folder always is: what is in it has names of its own.
    pub fn is_as_in(&self, fingerprint: &Fingerprint, path: &RelPath) -> bool {
        let files = fingerprint.files.iter().chain(fingerprint.discovered.iter().flatten());
        self.is_as(path, |state, id| {
            files.clone().find(|seen| seen.row.id == id).map(|seen| holds(&state.table, &seen.row))
        })
    }

    /// Whether a file is now what it was in a task's last good run.
    pub fn is_as_recorded(&self, label: &str, path: &RelPath) -> bool {
        if self.state().record(label).is_none() {
            return false;
        }
        self.is_as(path, |state, id| {
            let mut rows = state.record(label)?.all_rows();
            rows.find(|row| row.id == id).map(|row| holds(&state.table, &row))
        })
    }

    fn is_as(&self, path: &RelPath, then: impl Fn(&State, PathId) -> Option<bool>) -> bool {
        self.doubt(path);
        let id = self.intern(path.as_bytes());
        if self.look(&[id]).is_err() {
            return false;
        }
        let state = self.state();
        // What was not read then and is not there now changes nothing.
        let nothing = || matches!(state.table.entry(id).kind, FileKind::Missing | FileKind::Dir);
        then(&state, id).unwrap_or_else(nothing)
    }
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(at) => &path[..at],
        None => b"",
    }
}

impl Prepared {
    /// Whether a file, as its name goes, may be an input.
    pub fn may_read(&self, path: &RelPath) -> bool {
        self.inputs.covers(path)
    }

    /// Whether a file, as its name goes, is an output or a depfile.
    pub fn may_write(&self, path: &RelPath) -> bool {
        self.outputs.covers(path) || self.depfiles.contains(path)
    }
}
