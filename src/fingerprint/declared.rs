//! What a task may read and write, as far as its declaration goes.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::base::RelPath;
use crate::base::glob::Pattern;

use super::Workspace;
use super::expand::PatternSet;
use super::freshness::{Fingerprint, Prepared};
use super::look::never_counts;

/// The files that a task declares, as they are at the time of its key.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Every file among the inputs, by its own name and, where links lead there, by its real one.
    inputs: HashSet<RelPath>,
    /// The same files by the names of the patterns alone, sorted.
    named: Vec<RelPath>,
    /// Every folder, and every link to one, on the way to an input.
    ways: HashSet<RelPath>,
    patterns: PatternSet,
    outputs: PatternSet,
    depfiles: Vec<RelPath>,
    needs: Vec<PatternSet>,
}

impl Workspace {
    /// What a task declares. `needs` are the tasks whose outputs are inputs without being named.
    pub fn declared<'a>(
        &self,
        task: &Prepared,
        fingerprint: &Fingerprint,
        needs: impl IntoIterator<Item = &'a Prepared>,
    ) -> Declared {
        let named: Vec<RelPath> = {
            let state = self.state();
            let files = fingerprint.files.iter();
            // What is absolute lies outside of the project, where a link led.
            files.filter_map(|file| RelPath::from_bytes(state.table.path(file.row.id))).collect()
        };
        let mut declared = Declared {
            patterns: task.inputs.clone(),
            outputs: task.outputs.clone(),
            depfiles: task.depfiles.clone(),
            needs: needs.into_iter().map(|need| need.outputs.clone()).collect(),
            ..Declared::default()
        };
        let mut real_folders: HashMap<RelPath, Option<RelPath>> = HashMap::new();
        for path in &named {
            let folder = path.parent().unwrap_or_default();
            let real = real_folders.entry(folder.clone()).or_insert_with(|| {
                let real = folder.below(self.root.path()).canonicalize().ok()?;
                RelPath::strip(self.root.path(), &real).filter(|real| *real != folder)
            });
            if let (Some(real), Some(name)) = (real, path.components().next_back()) {
                use std::os::unix::ffi::OsStrExt;
                declared.inputs.insert(real.join(std::ffi::OsStr::from_bytes(name)));
            }
            declared.inputs.insert(path.clone());
            let mut way = Some(folder);
            while let Some(folder) = way.filter(|folder| declared.ways.insert(folder.clone())) {
                way = folder.parent();
            }
        }
        declared.named = named;
        declared
    }

    /// The task whose last good run in this checkout made each of these files.
    pub fn makers(&self, paths: &[RelPath]) -> HashMap<RelPath, String> {
        let ids = self.intern_all(paths.iter().map(RelPath::as_bytes));
        let state = self.state();
        let claims = self.claimed_by(&state, &ids);
        let made = paths.iter().zip(ids);
        made.filter_map(|(path, id)| Some((path.clone(), claims.get(&id)?.to_string()))).collect()
    }
}

impl Declared {
    /// Whether a file may be read: an input, a link on the way to one, an output of a needed task, or something of its own.
    pub fn may_read(&self, path: &RelPath) -> bool {
        self.inputs.contains(path)
            || self.ways.contains(path)
            || self.may_write(path)
            || self.needs.iter().any(|outputs| outputs.covers(path))
            || Self::is_beside(path)
    }

    /// Whether a file may be written: an output or a depfile.
    pub fn may_write(&self, path: &RelPath) -> bool {
        self.outputs.covers(path) || self.depfiles.contains(path)
    }

    /// Whether the names in a folder decide what the inputs or outputs are.
    pub fn may_list(&self, folder: &RelPath) -> bool {
        self.patterns.walks(folder)
            || self.outputs.covers(folder)
            || self.outputs.walks(folder)
            || self.needs.iter().any(|outputs| outputs.covers(folder) || outputs.walks(folder))
            || Self::is_beside(folder)
    }

    /// Whether a path belongs to envrun or git: never an input, never an output.
    pub fn is_beside(path: &RelPath) -> bool {
        path.components().any(never_counts)
    }

    /// Whether outputs lie below a folder.
    pub fn leads_to_output(&self, folder: &RelPath) -> bool {
        self.outputs.includes.iter().any(|pattern| match pattern {
            Pattern::Literal(path) => path.starts_with(folder),
            Pattern::Glob(glob) => {
                glob.alternatives().iter().any(|alternative| alternative.prefix.starts_with(folder))
            }
        })
    }

    /// The inputs that none of these files is: declared, and not read.
    pub fn unread<'a>(&self, root: &Path, read: impl Iterator<Item = &'a RelPath>) -> Vec<RelPath> {
        let read: HashSet<&RelPath> = read.collect();
        let was_read = |path: &RelPath| {
            read.contains(path)
                || path
                    .below(root)
                    .canonicalize()
                    .is_ok_and(|real| RelPath::strip(root, &real).is_some_and(|real| read.contains(&real)))
        };
        self.named.iter().filter(|path| !was_read(path)).cloned().collect()
    }
}
