//! What a task's earlier runs left in its output folders, out of the way while it runs again.
//!
//! A task that makes `out/a` and `out/b`, and the next time only `out/a`, must not be credited with the old `out/b`: in a
//! fresh checkout it would not be there. So what the task's runs made below a folder or a pattern of the declared outputs
//! is moved away before the first command, and put back if the task fails.
//!
//! | stays where it is | because |
//! |---|---|
//! | a file that is declared by name | a task may bring it up to date in place: a lock file, a database |
//! | what was there before the task first ran | it is somebody's source, or came with the checkout |
//!
//! What another task made there goes the same way, as long as it is what that task made. Two tasks of one run never share
//! a place; it is the same task in another environment or with other arguments, or one that is called otherwise now.
//! `dev.build` and `prod.build` both make `dist`: nothing of the one is credited to the other.
//!
//! A run that is killed, or whose inputs changed, is not recorded, and yet it may have left files there. So before the
//! first command the state file is told what lies there already; whatever is more the next time is of that run, and goes.
//! Until a run ends well, the task is not up to date, whatever its inputs say.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::fs::{Kind, create_folder, is_left, move_file};
use crate::base::glob::Pattern;
use crate::base::{Identity, RelPath};
use crate::cache::{ActionResult, Output};

use super::Workspace;
use super::freshness::Prepared;
use super::keep::is_as_made;
use super::record::List;
use super::state::Attempt;
use super::table::{FileKind, PathId};

/// Files that were moved away. Dropped, they are gone for good; [put back](Aside::put_back), they are where they were.
#[derive(Debug)]
#[must_use = "dropped at once, it deletes what was moved away"]
pub struct Aside<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    /// What was moved, in this order; its number is its name in `folder`. `None` for what nobody wants back.
    moved: Vec<Option<RelPath>>,
    /// Folders that were removed because they were empty, inner ones first.
    emptied: Vec<RelPath>,
}

impl Workspace {
    /// Moves away what the task's last good run made below folders and patterns of its declared outputs.
    pub fn set_aside(&self, task: &Prepared) -> Aside<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", Identity::own().word(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = self.folder.join("aside").join(name);
        let mut aside = Aside { workspace: self, folder, moved: Vec::new(), emptied: Vec::new() };
        let there = self.area(task);
        let good = self.to_move(task, &there);
        let garbage = self.garbage(task, &there, &good.iter().map(|(path, _)| path).collect());
        // If nothing can be moved, it stays where it is, as it would with any other tool.
        if !(good.is_empty() && garbage.is_empty()) && create_folder(&aside.folder).is_ok() {
            self.sweep_aside();
            good.iter().for_each(|(path, kind)| aside.take(task, path, *kind, true));
            garbage.iter().for_each(|path| aside.take(task, path, Kind::File, false));
            self.touched();
        }
        if self.names_its_files(task) {
            self.begin(task, &self.area(task), &[], false);
        } else {
            self.overtake_makers(task, &self.ids(&there));
            self.begin(task, &self.area(task), &[], true);
        }
        aside
    }

    fn ids(&self, paths: &[RelPath]) -> Vec<PathId> {
        self.intern_all(paths.iter().map(RelPath::as_bytes))
    }

    /// Notes what lies where the outputs go, but for what `others` made, before anything is written there; on the disk too,
    /// if a run that is cut short could leave more than its files.
    fn begin(&self, task: &Prepared, there: &[RelPath], others: &[RelPath], tell: bool) {
        let mut before: HashSet<PathId> = self.ids(there).into_iter().collect();
        for id in self.ids(others) {
            before.remove(&id);
        }
        // What a run that did not end well left, and the next one may use after all, was not there before either.
        if let Some(earlier) = self.earlier(task) {
            before.retain(|id| earlier.contains(id));
        }
        if tell {
            let before = before.iter().copied().collect();
            self.attempt(&task.label, Attempt { place: task.place(), overtaken: false, before });
        }
        self.befores().insert(task.label.as_str().into(), before);
    }

    /// What lay in the task's output folders before runs that did not end well: its own, and those of tasks that make the
    /// same there, as it does in another environment. `None` if there was no such run.
    fn earlier(&self, task: &Prepared) -> Option<HashSet<PathId>> {
        let state = self.state();
        if state.attempts.is_empty() {
            return None;
        }
        let place = task.place();
        let attempts = state.attempts.iter();
        attempts
            .filter(|(_, attempt)| !attempt.overtaken)
            .filter(|(label, attempt)| ***label == *task.label || attempt.place == place)
            .map(|(_, attempt)| attempt.before.iter().copied().collect())
            .reduce(|one: HashSet<PathId>, other| &one & &other)
    }

    /// Notes that a result is about to be put in place: cut short, it leaves what a run that is cut short leaves.
    /// Gives what other tasks made there.
    pub(super) fn begin_restore(&self, task: &Prepared, result: &ActionResult) -> Vec<RelPath> {
        let there = self.area(task);
        if names_all(task, &result.outputs) {
            self.begin(task, &there, &[], false);
            return Vec::new();
        }
        let others = self.made_by_others(task, &there);
        self.overtake_makers(task, &self.ids(&there));
        self.begin(task, &there, &others, true);
        others
    }

    /// Which outputs were there before the task first ran; all, if nobody looked.
    pub(super) fn prior(&self, task: &Prepared, ids: &[PathId]) -> HashSet<PathId> {
        let before = self.befores().remove(task.label.as_str());
        let state = self.state();
        let known: HashMap<PathId, bool> = state
            .record(&task.label)
            .into_iter()
            .flat_map(|record| record.rows(List::Outputs))
            .map(|row| (row.id, row.prior))
            .collect();
        let is_prior = |id: &PathId| match known.get(id) {
            Some(prior) => *prior,
            None => before.as_ref().is_none_or(|before| before.contains(id)),
        };
        ids.iter().copied().filter(is_prior).collect()
    }

    /// Tells the tasks that these are outputs of that they are another one's from now on: before it begins, for it may
    /// leave anything beside them, and before it is recorded as the one who made them.
    pub(super) fn overtake_makers(&self, task: &Prepared, ids: &[PathId]) {
        let makers: HashSet<Box<str>> = self
            .claimed_by(&self.state(), ids)
            .into_values()
            .filter(|label| **label != *task.label)
            .collect();
        if !makers.is_empty() {
            self.overtake(makers.into_iter().collect(), task.place());
        }
    }

    /// Whether every output is a file that is declared by name and was there before, and no run was cut short since: there
    /// is nothing else that the task could be credited with.
    fn names_its_files(&self, task: &Prepared) -> bool {
        if self.earlier(task).is_some() {
            return false;
        }
        task.outputs.includes.iter().all(|pattern| {
            let Pattern::Literal(path) = pattern else { return false };
            let kind = match self.root.stat(path.as_bytes()) {
                Ok(Some(stat)) => FileKind::of(&stat),
                Ok(None) | Err(_) => {
                    let state = self.state();
                    let id = state.table.find(path.as_bytes());
                    let mut rows =
                        state.record(&task.label).into_iter().flat_map(|record| record.rows(List::Outputs));
                    rows.find(|row| Some(row.id) == id).map_or(FileKind::Missing, |row| row.kind)
                }
            };
            matches!(kind, FileKind::File | FileKind::Executable | FileKind::Link)
        })
    }

    /// Removes what runs that did not end well left in the task's output folders, but for what a result has.
    pub(super) fn remove_garbage(&self, task: &Prepared, result: &ActionResult) {
        if self.earlier(task).is_none() {
            return;
        }
        let kept: HashSet<&RelPath> = result.outputs.iter().map(|output| &output.path).collect();
        let mut garbage = self.garbage(task, &self.area(task), &kept);
        garbage.sort_unstable_by(|a, b| b.cmp(a));
        self.remove(task, &garbage);
    }

    /// What lies in the task's output folders, did not before a run that did not end well, and is not `kept`.
    fn garbage(&self, task: &Prepared, there: &[RelPath], kept: &HashSet<&RelPath>) -> Vec<RelPath> {
        let Some(before) = self.earlier(task) else { return Vec::new() };
        let before: HashSet<RelPath> = {
            let state = self.state();
            before.iter().filter_map(|id| RelPath::from_bytes(state.table.path(*id))).collect()
        };
        let names = literals(task);
        let is_garbage = |path: &RelPath| {
            !before.contains(path)
                && !kept.contains(path)
                && !names.contains(path.as_bytes())
                && self.is_inside(path)
        };
        there.iter().filter(|path| is_garbage(path)).cloned().collect()
    }

    /// Every file, link and empty folder that the declared outputs name now.
    pub(super) fn area(&self, task: &Prepared) -> Vec<RelPath> {
        self.found(task).unwrap_or_default()
    }

    /// What there is to move, outermost last.
    fn to_move(&self, task: &Prepared, there: &[RelPath]) -> Vec<(RelPath, Kind)> {
        let names = literals(task);
        let wanted =
            self.made_before(task, |path, row, _| row.kind == FileKind::Dir || !names.contains(path));
        let kind = |path: &RelPath| self.root.stat(path.as_bytes()).ok().flatten().map(|stat| stat.kind());
        let others = self.made_by_others(task, there);
        let all: BTreeSet<RelPath> = wanted.into_iter().chain(others).collect();
        // Inner ones first: a folder goes when nothing is left in it.
        all.into_iter()
            .rev()
            .filter(|path| task.outputs.covers(path) && self.is_inside(path))
            .filter_map(|path| Some((kind(&path)?, path)))
            .map(|(kind, path)| (path, kind))
            .collect()
    }

    /// What is `there` in the task's output folders, and is what another task's last good run made there, deepest first.
    fn made_by_others(&self, task: &Prepared, there: &[RelPath]) -> Vec<RelPath> {
        let names = literals(task);
        let may_go = |path: &&RelPath| !names.contains(path.as_bytes()) && self.is_inside(path);
        let paths: Vec<RelPath> = there.iter().filter(may_go).cloned().collect();
        if paths.is_empty() {
            return Vec::new();
        }
        let ids = self.ids(&paths);
        let unreadable: HashSet<PathId> = self.look_all(&ids).into_iter().map(|(id, _)| id).collect();
        let state = self.state();
        let claims = self.claimed_by(&state, &ids);
        let makers: HashSet<&str> =
            claims.values().map(|label| &**label).filter(|label| *label != task.label).collect();
        let as_made: HashSet<(PathId, &str)> = makers
            .into_iter()
            .filter_map(|label| Some((label, state.record(label)?)))
            .flat_map(|(label, record)| record.rows(List::Outputs).map(move |row| (label, row)))
            .filter(|(_, row)| !row.prior && is_as_made(row, state.table.entry(row.id)))
            .map(|(label, row)| (row.id, label))
            .collect();
        let is_others = |id: &PathId| claims.get(id).is_some_and(|label| as_made.contains(&(*id, &**label)));
        let mut others: Vec<RelPath> = paths
            .into_iter()
            .zip(&ids)
            .filter(|(_, id)| !unreadable.contains(id) && is_others(id))
            .map(|(path, _)| path)
            .collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        others
    }

    /// Removes what restores that were killed left beside the places of outputs. Looks into each folder once: ten thousand
    /// results may lie in one.
    pub(super) fn sweep_beside(&self, outputs: &[Output]) {
        let mut folders: Vec<RelPath> = outputs.iter().filter_map(|output| output.path.parent()).collect();
        folders.dedup();
        for folder in folders {
            let first = || {
                let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
                swept.insert(folder.clone())
            };
            if first() && self.is_inside(&folder) {
                crate::base::fs::sweep(&folder.below(self.root.path()));
            }
        }
    }

    /// Removes what processes that are no more had moved away.
    pub fn sweep_aside(&self) {
        for entry in std::fs::read_dir(self.folder.join("aside")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| Identity::from_word(name.rsplit_once('-')?.0));
            if process.is_none_or(|process| is_left(&process, &entry.path())) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Whether all of these are declared by name.
pub(super) fn names_all(task: &Prepared, outputs: &[Output]) -> bool {
    let names = literals(task);
    outputs.iter().all(|output| names.contains(output.path.as_bytes()))
}

/// What is declared by name.
fn literals(task: &Prepared) -> HashSet<&[u8]> {
    let includes = task.outputs.includes.iter();
    includes
        .filter_map(|pattern| match pattern {
            Pattern::Literal(path) => Some(path.as_bytes()),
            Pattern::Glob(_) => None,
        })
        .collect()
}

impl Aside<'_> {
    fn place(&self, at: usize) -> PathBuf {
        self.folder.join(at.to_string())
    }

    /// Moves one thing away.
    fn take(&mut self, task: &Prepared, path: &RelPath, kind: Kind, wanted_back: bool) {
        let root = self.workspace.root.path();
        if kind == Kind::Dir {
            if std::fs::remove_dir(path.below(root)).is_ok() {
                self.emptied.push(path.clone());
            }
            return;
        }
        if move_file(&path.below(root), &self.place(self.moved.len())).is_err() {
            return;
        }
        self.moved.push(wanted_back.then(|| path.clone()));
        let mut up = path.parent();
        while let Some(folder) = up.filter(|folder| task.outputs.covers(folder))
            && std::fs::remove_dir(folder.below(root)).is_ok()
        {
            up = folder.parent();
            self.emptied.push(folder);
        }
    }

    /// Puts everything back that has not been made again. For a task that failed: what it had made before still counts.
    pub fn put_back(mut self) {
        for folder in self.emptied.drain(..).rev().collect::<Vec<_>>() {
            let _ = create_folder(&folder.below(self.workspace.root.path()));
        }
        for (at, path) in std::mem::take(&mut self.moved).into_iter().enumerate() {
            let Some(path) = path else { continue };
            let there = self.workspace.root.stat(path.as_bytes()).ok().flatten();
            if there.is_none() {
                let _ = move_file(&self.place(at), &path.below(self.workspace.root.path()));
            }
        }
        self.workspace.touched();
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
