//! What was made, as a release ships it: taken down with all its bytes, and put in place again without a key.

use std::collections::HashSet;
use std::ffi::OsString;

use crate::base::{Digest, RelPath};
use crate::cache::{Hit, LocalStore, Output, OutputKind, RestoreError};

use super::freshness::Prepared;
use super::keep::row_of;
use super::record::{ANY, List, Row};
use super::table::FileKind;
use super::{Definition, Workspace};

impl Workspace {
    /// What a task's last run made, if its outputs have that digest and still are what they were.
    pub fn made(&self, label: &str, outputs: Digest) -> Option<Vec<Output>> {
        let rows: Vec<Row> = {
            let state = self.state();
            match state.record(label).filter(|record| record.outputs_digest() == outputs) {
                Some(record) => record.rows(List::Outputs).collect(),
                None => self.unrecorded_rows(label, outputs)?,
            }
        };
        rows.iter().map(|row| self.output(row)).collect()
    }

    fn output(&self, row: &Row) -> Option<Output> {
        let path = RelPath::from_bytes(self.state().table.path(row.id))?;
        let kind = match row.kind {
            FileKind::File | FileKind::Executable => {
                let stat = self.root.stat(path.as_bytes()).ok()??;
                OutputKind::File { digest: row.digest, size: stat.size, mode: stat.mode & 0o777 }
            }
            FileKind::Link => OutputKind::Link(self.root.read_link(path.as_bytes()).ok()?),
            FileKind::Dir => OutputKind::Dir,
            FileKind::Missing | FileKind::Special => return None,
        };
        Some(Output { path, kind })
    }

    /// Puts what was kept where the patterns `declared` (relative to the root) name it, and takes away whatever else they
    /// name: afterwards there is exactly that, whoever made something there meanwhile. The tasks that make it find it
    /// changed, and bring back their own.
    pub fn place(&self, store: &LocalStore, declared: &[String], hit: &Hit) -> Result<(), RestoreError> {
        let task = self.declaring(declared)?;
        let outputs = &hit.result.outputs;
        let kept: HashSet<&RelPath> = outputs.iter().map(|output| &output.path).collect();
        let found = self.found(&task)?;
        let is_more = |path: &&RelPath| !kept.contains(path) && self.is_inside(path);
        let mut more: Vec<RelPath> = found.iter().filter(is_more).cloned().collect();
        more.sort_unstable_by(|a, b| b.cmp(a));
        self.remove(&task, &more);
        let ids = self.intern_all(outputs.iter().map(|output| output.path.as_bytes()));
        let unreadable = self.look_all(&ids);
        let skip: Vec<bool> = {
            let state = self.state();
            let right = |(id, output): (&u32, &Output)| {
                let (entry, row) = (state.table.entry(*id), row_of(*id, &output.kind));
                entry.kind == row.kind
                    && (row.digest == ANY || entry.digest == row.digest)
                    && !unreadable.iter().any(|(bad, _)| bad == id)
            };
            ids.iter().zip(outputs).map(right).collect()
        };
        let placed = store.restore(hit, &self.root, &skip, &|path| task.outputs.covers(path));
        self.touched();
        placed.map(drop)
    }

    /// A task that only has outputs.
    fn declaring(&self, declared: &[String]) -> Result<Prepared, RestoreError> {
        let definition = Definition {
            label: "a release".to_owned(),
            commands: Vec::new(),
            shell: None,
            dir: RelPath::root(),
            variables: Vec::new(),
            inputs: Vec::new(),
            outputs: declared.to_vec(),
            depfiles: Vec::new(),
            strict: false,
            tools: Vec::new(),
            search_path: OsString::new(),
        };
        self.prepare(&definition).map_err(|error| RestoreError::Damaged(error.to_string()))
    }
}
