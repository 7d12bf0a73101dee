//! Between the checkout and the cache: find a result, put it in place, keep one, remember the last good run.

use std::collections::HashSet;

use crate::base::fs::Kind;
use crate::base::{Digest, RelPath};
use crate::cache::{
    ActionResult, CacheKey, Hit, LocalStore, Lookup, Output, OutputKind, RestoreError, StoreError,
};

use super::aside::names_all;
use super::freshness::{Fingerprint, Prepared, Seen, manifest_of};
use super::look::entry;
use super::record::{ANY, List, NewRecord, Row};
use super::table::{Entry, FileKind, PathId};
use super::unchanged::asked;
use super::{Manifest, Workspace};

impl Workspace {
    /// Looks for a result: by the declared inputs first, then by those that depfiles of earlier runs named.
    pub fn lookup(&self, store: &LocalStore, task: &Prepared, fingerprint: &Fingerprint) -> Lookup {
        if task.depfiles.is_empty() {
            return store.lookup(&fingerprint.key());
        }
        let mut warning = None;
        for set in store.path_sets(&CacheKey(fingerprint.declared)) {
            let ids = self.intern_all(set.iter().map(Vec::as_slice));
            if !self.look_all(&ids).is_empty() {
                continue;
            }
            let mut full = fingerprint.clone();
            full.set_discovered(&self.state().table, &ids);
            match store.lookup(&full.key()) {
                Lookup::Miss { warning: None } => {}
                Lookup::Miss { warning: said } => warning = said,
                hit @ Lookup::Hit(_) => return hit,
            }
        }
        Lookup::Miss { warning }
    }

    /// Puts a result in place, file by file; removes what the task's last good run made and this result does not have;
    /// records it as the task's last good run.
    ///
    /// Files that are already right are not written. Gives the digest for those who need the task.
    pub fn restore(
        &self,
        store: &LocalStore,
        task: &Prepared,
        fingerprint: &Fingerprint,
        hit: &Hit,
    ) -> Result<Digest, RestoreError> {
        let mut fingerprint = fingerprint.clone();
        if !task.depfiles.is_empty() {
            let paths = hit.result.discovered.iter().map(|one| one.path.as_os_str().as_encoded_bytes());
            let ids = self.intern_all(paths);
            self.look(&ids)?;
            fingerprint.set_discovered(&self.state().table, &ids);
        }
        if fingerprint.key() != hit.key {
            return Err(RestoreError::Damaged("an input changed after the result was found".to_owned()));
        }
        self.put_in_place(store, task, &fingerprint, hit)
    }

    /// Puts a result in place and records it as the task's last good run, under the key of `fingerprint`.
    pub(super) fn put_in_place(
        &self,
        store: &LocalStore,
        task: &Prepared,
        fingerprint: &Fingerprint,
        hit: &Hit,
    ) -> Result<Digest, RestoreError> {
        self.sweep_beside(&hit.result.outputs);
        self.remove_garbage(task, &hit.result);
        let mut others = self.begin_restore(task, &hit.result);
        let outputs = &hit.result.outputs;
        let ids = self.intern_all(outputs.iter().map(|output| output.path.as_bytes()));
        let skip: Vec<bool> = {
            let unreadable = self.look_all(&ids);
            let state = self.state();
            let right = |(id, output): (&PathId, &Output)| {
                let entry = state.table.entry(*id);
                let row = row_of(*id, &output.kind);
                entry.kind == row.kind
                    && (row.digest == ANY || entry.digest == row.digest)
                    && !unreadable.iter().any(|(bad, _)| bad == id)
            };
            ids.iter().zip(outputs).map(right).collect()
        };
        if !others.is_empty() {
            let now: HashSet<&[u8]> = outputs.iter().map(|output| output.path.as_bytes()).collect();
            others.retain(|path| !now.contains(path.as_bytes()));
            self.remove(task, &others);
        }
        if skip.iter().all(|skip| *skip) {
            self.commit(task, fingerprint, &hit.result);
            return Ok(hit.result.outputs_digest());
        }
        // What the last run made and this one does not have may stand where something of this one belongs.
        let leftovers = self.leftovers(task, &hit.result);
        let in_the_way = |path: &&RelPath| {
            outputs.iter().any(|output| path.starts_with(&output.path) || output.path.starts_with(path))
        };
        let first: Vec<RelPath> = leftovers.iter().filter(in_the_way).cloned().collect();
        self.remove(task, &first);
        let clock = self.clock();
        let began = clock.now_ns();
        let placed = store.restore(hit, &self.root, &skip, &|path| task.outputs.covers(path));
        self.touched();
        for ((id, output), stat) in ids.iter().zip(outputs).zip(placed?) {
            let Some(stat) = stat else { continue };
            let row = row_of(*id, &output.kind);
            let kind = FileKind::of(&stat);
            if row.digest != ANY && kind == row.kind {
                let old = *self.state().table.entry(*id);
                self.know(*id, entry(stat, kind, row.digest, clock, began, &old));
            }
        }
        self.commit(task, fingerprint, &hit.result);
        Ok(hit.result.outputs_digest())
    }

    /// Keeps a result in the cache. Never fails a run: gives a warning if it could not be kept.
    pub fn store(
        &self,
        store: &LocalStore,
        fingerprint: &Fingerprint,
        result: &ActionResult,
    ) -> Result<(), StoreError> {
        store.store(&fingerprint.key(), result, &self.root).and_then(|()| {
            let Some(files) = &fingerprint.discovered else { return Ok(()) };
            let state = self.state();
            let set = files.iter().map(|file| state.table.path(file.row.id).to_vec()).collect();
            drop(state);
            Ok(store.add_path_set(&CacheKey(fingerprint.declared), set)?)
        })
    }

    /// What the results of these tasks' last good runs are found by in the cache: their keys, and before those of tasks
    /// with a depfile the keys of their declared inputs.
    pub fn keys<'a>(&self, labels: impl IntoIterator<Item = &'a str>) -> Vec<CacheKey> {
        let state = self.state();
        let mut keys = Vec::new();
        for record in labels.into_iter().filter_map(|label| state.record(label)) {
            keys.push(CacheKey(record.key()));
            if record.has_discovered() {
                let manifest = manifest_of(&state.table, &record);
                keys.extend(manifest.map(|manifest| Manifest { discovered: None, ..manifest }.key()));
            }
        }
        keys
    }

    /// Records the last good run of a task, and removes files that the one before made and this one did not.
    pub fn commit(&self, task: &Prepared, fingerprint: &Fingerprint, result: &ActionResult) {
        let leftovers = self.leftovers(task, result);
        self.remove(task, &leftovers);
        self.sweep_beside(&result.outputs);
        let ids = self.intern_all(result.outputs.iter().map(|output| output.path.as_bytes()));
        if !names_all(task, &result.outputs) {
            self.overtake_makers(task, &ids);
        }
        let prior = self.prior(task, &ids);
        let outputs: Vec<Row> = ids
            .iter()
            .zip(&result.outputs)
            .map(|(id, output)| Row { prior: prior.contains(id), ..row_of(*id, &output.kind) })
            .collect();
        let rows = |files: &[Seen]| files.iter().map(|file| file.row).collect::<Vec<_>>();
        let discovered = fingerprint.discovered.as_deref().map(rows);
        let record = NewRecord {
            key: fingerprint.key,
            asked: asked(&task.text, fingerprint.needs.iter().map(|need| need.outputs)),
            patterns: fingerprint.patterns,
            outputs_digest: result.outputs_digest(),
            made: result.made,
            run: &result.run,
            files: &rows(&fingerprint.files),
            discovered: discovered.as_deref(),
            walked: &fingerprint.walked,
            outputs: &outputs,
            parts: &task.parts,
            tools: &fingerprint.tools,
            needs: &fingerprint.needs,
        };
        self.keep(&task.label, record.encode());
    }

    /// What the task's last good run made and this result does not have. Where the task no longer declares it, only as far
    /// as it still is what that run made: a file that somebody else put in its place is not the task's.
    fn leftovers(&self, task: &Prepared, result: &ActionResult) -> Vec<RelPath> {
        let now: HashSet<&[u8]> = result.outputs.iter().map(|output| output.path.as_bytes()).collect();
        let declared = |path: &[u8]| RelPath::from_bytes(path).is_some_and(|path| task.outputs.covers(&path));
        self.made_before(task, |path, row, entry| {
            !now.contains(path) && (is_as_made(row, entry) || declared(path))
        })
    }

    /// What the task's runs made where nothing was before, no other task has claimed since, and is `wanted`, deepest first.
    pub(super) fn made_before(
        &self,
        task: &Prepared,
        wanted: impl Fn(&[u8], &Row, &Entry) -> bool,
    ) -> Vec<RelPath> {
        let ids: Vec<PathId> = {
            let state = self.state();
            let Some(record) = state.record(&task.label) else { return Vec::new() };
            record.rows(List::Outputs).map(|row| row.id).collect()
        };
        let unreadable: HashSet<PathId> = self.look_all(&ids).into_iter().map(|(id, _)| id).collect();
        let state = self.state();
        let Some(record) = state.record(&task.label) else { return Vec::new() };
        let candidates: Vec<Row> = record
            .rows(List::Outputs)
            .filter(|row| {
                let entry = state.table.entry(row.id);
                !row.prior
                    && entry.kind != FileKind::Missing
                    && !unreadable.contains(&row.id)
                    && wanted(state.table.path(row.id), row, entry)
            })
            .collect();
        if candidates.is_empty() {
            return Vec::new();
        }
        let ids: Vec<PathId> = candidates.iter().map(|row| row.id).collect();
        let claims = self.claimed_by(&state, &ids);
        let claimed = |row: &Row| {
            let label = claims.get(&row.id).filter(|label| ***label != task.label);
            let record = label.and_then(|label| state.record(label));
            record.is_some_and(|record| record.rows(List::Outputs).any(|one| one.id == row.id))
        };
        let mut paths: Vec<RelPath> = candidates
            .iter()
            .filter(|row| !claimed(row))
            .filter_map(|row| RelPath::from_bytes(state.table.path(row.id)))
            .collect();
        paths.sort_unstable_by(|a, b| b.cmp(a));
        paths
    }

    /// Removes files, links and empty folders, and the folders that become empty by it as far as they were the task's.
    pub(super) fn remove(&self, task: &Prepared, paths: &[RelPath]) {
        if paths.is_empty() {
            return;
        }
        let folders: Vec<RelPath> = {
            let state = self.state();
            let rows = state.record(&task.label).into_iter().flat_map(|record| record.rows(List::Outputs));
            rows.filter(|row| row.kind == FileKind::Dir)
                .filter_map(|row| RelPath::from_bytes(state.table.path(row.id)))
                .collect()
        };
        let was_ours = |folder: &RelPath| {
            folders.iter().any(|ours| folder.starts_with(ours)) || task.outputs.covers(folder)
        };
        for path in paths {
            // One that cannot be removed stays: the next run looks again.
            let whole = path.below(self.root.path());
            match self.root.stat(path.as_bytes()).ok().flatten().map(|stat| stat.kind()) {
                Some(Kind::Dir) => {
                    let _ = std::fs::remove_dir(&whole);
                }
                Some(Kind::File | Kind::Link) if self.is_inside(path) => {
                    let _ = std::fs::remove_file(&whole);
                }
                _ => continue,
            }
            let mut folder = path.parent();
            while let Some(empty) = folder.filter(|folder| was_ours(folder))
                && std::fs::remove_dir(empty.below(self.root.path())).is_ok()
            {
                folder = empty.parent();
            }
        }
        self.touched();
    }

    /// Whether no link lies on the way to a path.
    pub(super) fn is_inside(&self, path: &RelPath) -> bool {
        let mut folder = path.parent();
        while let Some(at) = folder.filter(|folder| !folder.is_root()) {
            if !matches!(self.root.stat(at.as_bytes()), Ok(Some(stat)) if stat.kind() == Kind::Dir) {
                return false;
            }
            folder = at.parent();
        }
        true
    }
}

/// Whether an output still is what the record says. Of a folder only the kind is known; a record that knows no more of a
/// file is none of ours.
pub(super) fn is_as_made(row: &Row, entry: &Entry) -> bool {
    let any = row.digest == ANY && row.kind == FileKind::Dir;
    entry.known && entry.kind == row.kind && (any || entry.digest == row.digest)
}

pub(super) fn row_of(id: PathId, kind: &OutputKind) -> Row {
    let (kind, digest) = match kind {
        OutputKind::File { digest, mode, .. } if mode & 0o100 != 0 => (FileKind::Executable, *digest),
        OutputKind::File { digest, .. } => (FileKind::File, *digest),
        OutputKind::Link(target) => (FileKind::Link, Digest::of(target)),
        OutputKind::Dir => (FileKind::Dir, ANY),
    };
    Row { id, kind, digest, prior: false }
}
