//! What a task's last good run left in its output folders, out of the way while it runs again.
//!
//! A task that makes `out/a` and `out/b`, and the next time only `out/a`, must not be credited with the old `out/b`: in a
//! fresh checkout it would not be there. So what the last good run made below a folder or a pattern of the declared
//! outputs is moved away before the first command, and put back if the task fails. Files that are declared by name stay:
//! a task that does not write one again (because it is the same) still has it. So does what anybody else put there.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Pid;

use crate::base::RelPath;
use crate::base::fs::{Kind, create_folder};
use crate::base::glob::Pattern;

use super::Workspace;
use super::freshness::Prepared;
use super::table::FileKind;

/// Files that were moved away. Dropped, they are gone for good; [put back](Aside::put_back), they are where they were.
#[derive(Debug)]
#[must_use = "dropped at once, it deletes what was moved away"]
pub struct Aside<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    /// What was moved, in this order; its number is its name in `folder`.
    moved: Vec<RelPath>,
    /// Folders that were removed because they were empty, inner ones first.
    emptied: Vec<RelPath>,
}

impl Workspace {
    /// Moves away what the task's last good run made below folders and patterns of its declared outputs.
    pub fn set_aside(&self, task: &Prepared) -> Aside<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = self.folder.join("aside").join(name);
        let mut aside = Aside { workspace: self, folder, moved: Vec::new(), emptied: Vec::new() };
        let wanted = self.below_folders(task);
        if wanted.is_empty() {
            return aside;
        }
        self.sweep_aside();
        if create_folder(&aside.folder).is_err() {
            // Then it stays where it is, as it would with any other tool.
            return aside;
        }
        for (path, kind) in wanted {
            let whole = path.below(self.root.path());
            if kind == Kind::Dir {
                if std::fs::remove_dir(&whole).is_ok() {
                    aside.emptied.push(path);
                }
                continue;
            }
            if std::fs::rename(&whole, aside.place(aside.moved.len())).is_err() {
                continue;
            }
            aside.moved.push(path.clone());
            let mut up = path.parent();
            while let Some(folder) = up.filter(|folder| task.outputs.covers(folder))
                && std::fs::remove_dir(folder.below(self.root.path())).is_ok()
            {
                up = folder.parent();
                aside.emptied.push(folder);
            }
        }
        self.touched();
        aside
    }

    /// What there is to move: outermost last.
    fn below_folders(&self, task: &Prepared) -> Vec<(RelPath, Kind)> {
        let names: HashSet<&[u8]> = task
            .outputs
            .includes
            .iter()
            .filter_map(|pattern| match pattern {
                Pattern::Literal(path) => Some(path.as_bytes()),
                Pattern::Glob(_) => None,
            })
            .collect();
        let ours = self.still_ours(task, |path, kind| kind == FileKind::Dir || !names.contains(path));
        let kind = |path: &RelPath| self.root.stat(path.as_bytes()).ok().flatten().map(|stat| stat.kind());
        ours.into_iter()
            .filter(|path| task.outputs.covers(path) && self.is_inside(path))
            .filter_map(|path| Some((kind(&path)?, path)))
            .map(|(kind, path)| (path, kind))
            .collect()
    }

    /// Removes what processes that are no more had moved away.
    fn sweep_aside(&self) {
        for entry in std::fs::read_dir(self.folder.join("aside")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid =
                name.to_str().and_then(|name| name.split('-').next()?.parse().ok()).and_then(Pid::from_raw);
            let gone =
                pid.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
            if gone {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Aside<'_> {
    fn place(&self, at: usize) -> PathBuf {
        self.folder.join(at.to_string())
    }

    /// Puts everything back that has not been made again. For a task that failed: what it had made before still counts.
    pub fn put_back(mut self) {
        for folder in self.emptied.drain(..).rev().collect::<Vec<_>>() {
            let _ = create_folder(&folder.below(self.workspace.root.path()));
        }
        for (at, path) in std::mem::take(&mut self.moved).into_iter().enumerate() {
            let there = self.workspace.root.stat(path.as_bytes()).ok().flatten();
            if there.is_none() {
                let _ = std::fs::rename(self.place(at), path.below(self.workspace.root.path()));
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
