//! After the commands succeeded: were the inputs left alone, what did the depfiles name, are the outputs there?

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::RelPath;
use crate::base::fs::{self, FsError, Kind, Stat};
use crate::base::glob::{Alternative, Pattern, Position};
use crate::cache::{Discovered, Output, OutputKind};

use super::freshness::{Fingerprint, Prepared};
use super::table::{FileKind, PathId};
use super::{Workspace, depfile};

/// What a command left behind, once it succeeded.
#[derive(Debug)]
pub struct Finished {
    /// The key with what the depfiles named.
    pub fingerprint: Fingerprint,
    /// Every declared output.
    pub outputs: Vec<Output>,
    /// What the depfiles named.
    pub discovered: Vec<Discovered>,
    /// Inputs that moved while it ran. If there are any, the result must be neither stored nor recorded.
    pub moved: Vec<Moved>,
}

/// An input that is not what it was when the task began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which, as shown to people.
    pub path: String,
    /// It is one of the task's own outputs: the task modifies its own input.
    pub own: bool,
}

/// Why a task that ended well is not good all the same.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// A declared output is not there.
    #[error("its output `{0}` is missing")]
    Missing(String),
    /// A pattern of outputs matches nothing.
    #[error("its outputs `{0}` match nothing")]
    NoMatch(String),
    /// A declared output is neither file nor link nor folder.
    #[error("its output `{0}` is neither a file, a link nor a folder")]
    Special(String),
    /// A depfile is not there.
    #[error("its depfile `{0}` is missing")]
    NoDepfile(String),
    /// A depfile is not in make's format.
    #[error("its depfile `{path}` cannot be read: {reason}")]
    BadDepfile {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file could not be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl Workspace {
    /// After the last command succeeded: reads the depfiles, looks at the inputs again and collects the outputs.
    pub fn finish(&self, task: &Prepared, mut fingerprint: Fingerprint) -> Result<Finished, FinishError> {
        self.touched();
        let outputs = self.collect(task)?;
        let mut moved = self.moved(task, &fingerprint)?;
        let mut discovered = Vec::new();
        if !task.depfiles.is_empty() {
            let ids = self.discovered(task, &fingerprint, &outputs)?;
            moved.extend(self.moved_since(task, &fingerprint, &ids));
            let state = self.state();
            fingerprint.set_discovered(&state.table, &ids);
            discovered.extend(fingerprint.discovered.iter().flatten().map(|seen| Discovered {
                path: path_of(state.table.path(seen.row.id)),
                digest: (seen.row.kind != FileKind::Missing).then_some(seen.row.digest),
            }));
        }
        moved.sort_by(|a, b| a.path.cmp(&b.path));
        moved.dedup();
        Ok(Finished { fingerprint, outputs, discovered, moved })
    }

    /// The inputs that are not what they were when the key was made. Stat first; an edit that was taken back moved the
    /// change time, and is found too.
    fn moved(&self, task: &Prepared, fingerprint: &Fingerprint) -> Result<Vec<Moved>, FsError> {
        let ids: Vec<PathId> = fingerprint.files.iter().map(|file| file.row.id).collect();
        self.look(&ids)?;
        let mut moved: Vec<Moved> = {
            let state = self.state();
            let changed = fingerprint.files.iter().filter(|file| {
                let entry = state.table.entry(file.row.id);
                entry.kind != file.row.kind || entry.digest != file.row.digest || entry.stat != file.stat
            });
            changed.map(|file| self.moved_path(task, state.table.path(file.row.id))).collect()
        };
        if !self.still_holds(&fingerprint.walked) {
            let now = self.expand(&task.inputs)?.files;
            let state = self.state();
            let before: std::collections::HashSet<PathId> = ids.iter().copied().collect();
            let added = now.iter().filter(|id| !before.contains(id));
            moved.extend(added.map(|id| self.moved_path(task, state.table.path(*id))));
        }
        Ok(moved)
    }

    fn moved_path(&self, task: &Prepared, path: &[u8]) -> Moved {
        let own = RelPath::from_bytes(path).is_some_and(|path| task.outputs.covers(&path));
        Moved { path: String::from_utf8_lossy(path).into_owned(), own }
    }

    /// What the depfiles named that may have changed since the task began: by its stat if it was looked at before, else
    /// by its change time.
    fn moved_since(&self, task: &Prepared, fingerprint: &Fingerprint, ids: &[PathId]) -> Vec<Moved> {
        let known: BTreeMap<PathId, Stat> =
            fingerprint.discovered.iter().flatten().map(|seen| (seen.row.id, seen.stat)).collect();
        let state = self.state();
        let changed = ids.iter().filter(|id| {
            let entry = state.table.entry(**id);
            match known.get(id) {
                Some(stat) => *stat != entry.stat,
                None => {
                    entry.kind != FileKind::Missing
                        && entry.observed > fingerprint.began
                        && fingerprint
                            .moment
                            .is_none_or(|moment| self.clock().changed_since(&entry.stat, moment))
                }
            }
        });
        changed.map(|id| self.moved_path(task, state.table.path(*id))).collect()
    }

    /// The files that the depfiles name, without the task's own outputs and declared inputs.
    fn discovered(
        &self,
        task: &Prepared,
        fingerprint: &Fingerprint,
        outputs: &[Output],
    ) -> Result<Vec<PathId>, FinishError> {
        let mut paths = Vec::new();
        for depfile in &task.depfiles {
            let mut text = Vec::new();
            match self.root.read(depfile.as_bytes(), &mut text) {
                Err(error) if error.is_missing() => {
                    return Err(FinishError::NoDepfile(depfile.display().into_owned()));
                }
                other => other?,
            }
            let named = depfile::parse(&text).map_err(|reason| FinishError::BadDepfile {
                path: depfile.display().into_owned(),
                reason: reason.to_owned(),
            })?;
            paths.extend(named.into_iter().map(|path| self.as_meant_in(task, &path)));
        }
        let mut ids = self.intern_all(paths.iter().map(Vec::as_slice));
        // Through a link another file is read; where a link leads nowhere, something may come to be.
        let mut behind = BTreeMap::new();
        self.follow(&mut ids, &mut behind)?;
        ids.extend(behind.into_keys());
        ids.sort_unstable();
        ids.dedup();
        {
            let state = self.state();
            let own: std::collections::HashSet<&[u8]> =
                outputs.iter().map(|output| output.path.as_bytes()).collect();
            let declared: std::collections::HashSet<PathId> =
                fingerprint.files.iter().map(|file| file.row.id).collect();
            ids.retain(|id| !declared.contains(id) && !own.contains(state.table.path(*id)));
        }
        self.look(&ids)?;
        let state = self.state();
        ids.retain(|id| !matches!(state.table.entry(*id).kind, FileKind::Dir | FileKind::Special));
        Ok(ids)
    }

    /// A path as a command in the task's folder means it, in the table's form: relative to the root where it lies in it,
    /// so that a checkout in another place has the same key.
    fn as_meant_in(&self, task: &Prepared, path: &[u8]) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;

        if path.starts_with(b"/") {
            let absolute = PathBuf::from(std::ffi::OsStr::from_bytes(path));
            return match RelPath::strip(self.root.path(), &absolute) {
                Some(relative) => relative.as_bytes().to_vec(),
                None => path.to_vec(),
            };
        }
        // Dots are folded only where no link can be meant by them: `.` always, `..` never.
        let mut whole = task.dir.as_bytes().to_vec();
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
            whole = fs::join(&whole, part);
        }
        whole
    }

    /// Every declared output that is there.
    fn collect(&self, task: &Prepared) -> Result<Vec<Output>, FinishError> {
        let mut found: BTreeMap<Vec<u8>, Kind> = BTreeMap::new();
        let texts = task.output_texts.iter().filter(|text| !text.starts_with('!'));
        for (pattern, text) in task.outputs.includes.iter().zip(texts) {
            if self.find(task, pattern, &mut found)? {
                continue;
            }
            return Err(match pattern {
                Pattern::Literal(path) => FinishError::Missing(path.display().into_owned()),
                Pattern::Glob(_) => FinishError::NoMatch(text.clone()),
            });
        }
        let ids = self.intern_all(found.keys().map(Vec::as_slice));
        self.look(&ids)?;
        let state = self.state();
        let mut outputs = Vec::with_capacity(found.len());
        for (id, (path, kind)) in ids.into_iter().zip(found) {
            let shown = || String::from_utf8_lossy(&path).into_owned();
            let entry = state.table.entry(id);
            let kind = match entry.kind {
                FileKind::File | FileKind::Executable => OutputKind::File {
                    digest: entry.digest,
                    size: entry.stat.size,
                    mode: entry.stat.mode & 0o777,
                },
                FileKind::Link => OutputKind::Link(self.root.read_link(&path)?),
                FileKind::Dir if kind == Kind::Dir => OutputKind::Dir,
                FileKind::Special => return Err(FinishError::Special(shown())),
                // It was there a moment ago: somebody is still at work on it.
                FileKind::Missing | FileKind::Dir => return Err(FinishError::Missing(shown())),
            };
            let path = RelPath::from_bytes(&path).expect("made of names in folders below the root");
            outputs.push(Output { path, kind });
        }
        Ok(outputs)
    }

    /// Adds what a pattern of the outputs names; whether it named anything.
    fn find(
        &self,
        task: &Prepared,
        pattern: &Pattern,
        found: &mut BTreeMap<Vec<u8>, Kind>,
    ) -> Result<bool, FsError> {
        let mut collection = Collection { workspace: self, task, found, any: false };
        match pattern {
            Pattern::Literal(path) => {
                if let Some(stat) = self.root.stat(path.as_bytes())? {
                    collection.add(path.as_bytes(), stat.kind(), true)?;
                    collection.any = true;
                }
            }
            Pattern::Glob(glob) => {
                for alternative in glob.alternatives() {
                    collection.matching(alternative.prefix.as_bytes(), alternative, alternative.start())?;
                }
            }
        }
        Ok(collection.any)
    }

    /// Every file, link and empty folder that patterns of the outputs name now.
    pub(super) fn found(&self, task: &Prepared) -> Result<Vec<RelPath>, FsError> {
        let mut found = BTreeMap::new();
        for pattern in &task.outputs.includes {
            self.find(task, pattern, &mut found)?;
        }
        Ok(found.keys().filter_map(|path| RelPath::from_bytes(path)).collect())
    }
}

/// Outputs on their way into the list.
struct Collection<'a> {
    workspace: &'a Workspace,
    task: &'a Prepared,
    found: &'a mut BTreeMap<Vec<u8>, Kind>,
    /// Something matched, be it that another pattern had it already.
    any: bool,
}

impl Collection<'_> {
    /// Adds a file or link, or a folder with all that is in it. A folder counts by itself if it was declared or is empty.
    fn add(&mut self, path: &[u8], kind: Kind, declared: bool) -> Result<(), FsError> {
        let relative = RelPath::from_bytes(path).expect("made of names in folders below the root");
        if self.task.outputs.excludes(&relative) {
            return Ok(());
        }
        self.any = true;
        if kind != Kind::Dir {
            self.found.insert(path.to_vec(), kind);
            return Ok(());
        }
        let names = self.workspace.root.list(path)?.unwrap_or_default();
        if declared || names.is_empty() {
            self.found.insert(path.to_vec(), kind);
        }
        for entry in names.iter().filter(|entry| !entry.name.ends_with(b".envrun-tmp")) {
            self.add(&fs::join(path, &entry.name), entry.kind, false)?;
        }
        Ok(())
    }

    /// Adds what matches below a folder.
    fn matching(&mut self, path: &[u8], alternative: &Alternative, at: Position) -> Result<(), FsError> {
        for entry in self.workspace.root.list(path)?.unwrap_or_default() {
            if super::look::never_counts(&entry.name) {
                continue;
            }
            let next = alternative.step(at, &entry.name);
            let below = fs::join(path, &entry.name);
            if alternative.accepts(next) {
                self.add(&below, entry.kind, entry.kind == Kind::Dir)?;
            } else if entry.kind == Kind::Dir && !next.is_dead() {
                self.matching(&below, alternative, next)?;
            }
        }
        Ok(())
    }
}

/// A path of the table for those who need one: relative to the root, or absolute.
pub(super) fn path_of(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}
