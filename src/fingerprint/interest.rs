//! What a watcher has to keep an eye on, and whether one file is still what somebody read.
//!
//! A task's freshness rests on its input files, on every folder that a walk looked through to find them, on ignore
//! files, and on what depfiles named. [`Workspace::interest`] gathers where these lie; the same walk that makes a key
//! finds them, so nothing can be an input and not be watched.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use crate::base::RelPath;
use crate::base::fs::FsError;

use super::Workspace;
use super::expand::Expansion;
use super::freshness::{Fingerprint, Prepared, holds};
use super::record::{List, Record, Row};
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

    /// Says that these paths may have changed, though no command ended: whoever asks for one of them, or for the names in its
    /// folder, looks again.
    pub fn doubt<'a>(&self, paths: impl IntoIterator<Item = &'a RelPath>) {
        let with_folder = paths.into_iter().flat_map(|path| [Some(path.clone()), path.parent()]);
        let paths: Vec<RelPath> = with_folder.flatten().collect();
        let ids = self.intern_all(paths.iter().map(RelPath::as_bytes));
        let mut state = self.state_mut();
        ids.iter().for_each(|id| state.table.entries[*id as usize].epoch = 0);
    }

    /// The files of the project that a task's depfiles named, though no pattern does.
    pub fn named_by_depfiles(&self, task: &Prepared) -> Vec<RelPath> {
        let state = self.state();
        let record = state.record(&task.label).filter(Record::has_discovered);
        let rows = record.into_iter().flat_map(|record| record.rows(List::Discovered));
        rows.filter_map(|row| RelPath::from_bytes(state.table.path(row.id))).collect()
    }

    /// The files that are not what they were: when a key was made, or without one in the task's last good run. Of a path
    /// that was a folder those that lay in it; what came into one has a name of its own to be asked for. `None` for a task
    /// that never ran well.
    pub fn otherwise(
        &self,
        label: &str,
        before: Option<&Fingerprint>,
        path: &RelPath,
    ) -> Option<Vec<RelPath>> {
        self.rows_before(&self.state(), label, before)?;
        let rows = |state: &State| self.rows_before(state, label, before).unwrap_or_default();
        Some(self.others(path, rows))
    }

    /// The same of all files that a task reads, those that came included. Asked when nobody knows which it may be.
    pub fn all_otherwise(&self, task: &Prepared, before: Option<&Fingerprint>) -> Option<Vec<RelPath>> {
        let now = self.fingerprint(task, &[]).ok()?;
        let state = self.state();
        let then = self.rows_before(&state, &task.label, before)?;
        let mut then: HashMap<PathId, Row> = then.into_iter().map(|row| (row.id, row)).collect();
        let is_other = |row: &Row| {
            let then = then.remove(&row.id);
            then.is_none_or(|then| (then.kind, then.digest) != (row.kind, row.digest))
        };
        let mut others: Vec<PathId> = now.rows().filter(is_other).map(|row| row.id).collect();
        others.extend(then.into_keys());
        let mut others: Vec<RelPath> =
            others.into_iter().filter_map(|id| RelPath::from_bytes(state.table.path(id))).collect();
        others.sort_unstable();
        others.dedup();
        Some(others)
    }

    fn rows_before(&self, state: &State, label: &str, before: Option<&Fingerprint>) -> Option<Vec<Row>> {
        if let Some(before) = before {
            return Some(before.rows().collect());
        }
        let record = state.record(label)?;
        let lists = [List::Files, List::Discovered];
        Some(lists.into_iter().flat_map(|list| record.rows(list)).collect())
    }

    fn others(&self, path: &RelPath, rows: impl Fn(&State) -> Vec<Row>) -> Vec<RelPath> {
        let own = self.intern(path.as_bytes());
        let rows: Vec<Row> = {
            let state = self.state();
            let concerns = |row: &Row| {
                let name = state.table.path(row.id);
                let below = |rest: &[u8]| matches!(rest.first(), None | Some(b'/'));
                path.is_root() || name.strip_prefix(path.as_bytes()).is_some_and(below)
            };
            rows(&state).into_iter().filter(concerns).collect()
        };
        let ids: Vec<PathId> = rows.iter().map(|row| row.id).chain([own]).collect();
        {
            let mut state = self.state_mut();
            ids.iter().for_each(|id| state.table.entries[*id as usize].epoch = 0);
        }
        if self.look(&ids).is_err() {
            return vec![path.clone()];
        }
        let state = self.state();
        if rows.is_empty() {
            // What was not read then and is not there now changes nothing.
            let is_nothing = matches!(state.table.entry(own).kind, FileKind::Missing | FileKind::Dir);
            return if is_nothing { Vec::new() } else { vec![path.clone()] };
        }
        let others = rows.iter().filter(|row| !holds(&state.table, row));
        others.filter_map(|row| RelPath::from_bytes(state.table.path(row.id))).collect()
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

    /// Whether a file is an input whose name is written out.
    pub fn names(&self, path: &RelPath) -> bool {
        self.inputs.literals().any(|literal| literal == path)
    }

    /// Whether inputs that are named, or begin, below a folder: what happens to it happens to them.
    pub fn begins_below(&self, folder: &RelPath) -> bool {
        self.inputs.begins_below(folder)
    }

    /// Whether a path lies on the way to inputs, as its name goes: if it is a folder, what is below it may be one.
    pub fn may_look_into(&self, folder: &RelPath) -> bool {
        self.inputs.covers(folder) || self.inputs.walks(folder) || self.inputs.begins_below(folder)
    }

    /// Whether a file, as its name goes, is an output or a depfile.
    pub fn may_write(&self, path: &RelPath) -> bool {
        self.outputs.covers(path) || self.depfiles.contains(path)
    }
}
