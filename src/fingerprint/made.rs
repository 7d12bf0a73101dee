//! What needed tasks made is an input too: whether it was left alone while a command read it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{MutexGuard, PoisonError};

use crate::base::Digest;
use crate::cache::ActionResult;

use super::freshness::{Fingerprint, Prepared, holds};
use super::keep::row_of;
use super::record::{List, Row};
use super::table::{FileKind, PathId};
use super::{Moved, Workspace};

/// By label: the digest of the outputs, and what they were.
pub(super) type Unrecorded = HashMap<String, (Digest, Vec<Row>)>;

impl Workspace {
    fn unrecorded(&self) -> MutexGuard<'_, Unrecorded> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was noted of a task whose result is not recorded.
    pub(super) fn unrecorded_rows(&self, label: &str, outputs: Digest) -> Option<Vec<Row>> {
        self.unrecorded().get(label).filter(|(of, _)| *of == outputs).map(|(_, rows)| rows.clone())
    }

    /// Remembers for this run what a task made whose result is not recorded: others read it all the same.
    pub fn note_outputs(&self, task: &Prepared, result: &ActionResult) {
        let ids = self.intern_all(result.outputs.iter().map(|output| output.path.as_bytes()));
        let rows = ids.iter().zip(&result.outputs).map(|(id, output)| row_of(*id, &output.kind)).collect();
        self.unrecorded().insert(task.label.clone(), (result.outputs_digest(), rows));
    }

    /// The outputs of needed tasks that are not what they were when the key was made, or were something else meanwhile.
    /// A task is given by the label that its state is kept under and the digest of its outputs.
    pub fn moved_outputs<'a>(
        &self,
        fingerprint: &Fingerprint,
        made: impl IntoIterator<Item = (&'a str, Digest)>,
    ) -> Vec<Moved> {
        let mut rows: Vec<Row> = Vec::new();
        for (label, digest) in made {
            let state = self.state();
            if let Some(record) = state.record(label).filter(|record| record.outputs_digest() == digest) {
                rows.extend(record.rows(List::Outputs));
            } else if let Some((_, noted)) = self.unrecorded().get(label).filter(|(of, _)| *of == digest) {
                rows.extend(noted);
            }
        }
        let ids: Vec<PathId> = rows.iter().map(|row| row.id).collect();
        let unreadable: BTreeSet<PathId> = self.look_all(&ids).into_iter().map(|(id, _)| id).collect();
        let state = self.state();
        let moved = rows.iter().filter(|row| {
            // What is in a folder has rows of its own, and its stamp moves with every file that comes and goes.
            let seen_since =
                row.kind != FileKind::Dir && state.table.entry(row.id).observed > fingerprint.began;
            unreadable.contains(&row.id) || seen_since || !holds(&state.table, row)
        });
        let path = |row: &Row| String::from_utf8_lossy(state.table.path(row.id)).into_owned();
        moved.map(|row| Moved { path: path(row), own: false }).collect()
    }
}
