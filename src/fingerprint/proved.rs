//! Results that are put in place because somebody proved just these bytes, whatever today's key would lead to.
//!
//! A result is found by its key; a proof speaks of bytes. So what was proved is kept in the cache once more, under the
//! digest of its outputs: there it stays the same even if the same key later comes to other bytes, and it is found on a
//! machine where the key would be another one, because a tool is not installed there.

use crate::base::codec::Put;
use crate::base::{Digest, RelPath};
use crate::cache::{CacheKey, Hit, LocalStore, Lookup, RestoreError};

use super::Workspace;
use super::freshness::{Fingerprint, FingerprintError, Prepared, holds};
use super::record::List;
use super::table::{FileKind, PathId};

/// What a result is found by whose outputs have this digest.
fn key_of(outputs: Digest) -> CacheKey {
    CacheKey::of_outputs(outputs)
}

impl Workspace {
    /// The digest of the outputs of a task's last good run here, if all of them still lie there as it left them.
    pub fn in_place(&self, label: &str) -> Option<Digest> {
        let ids: Vec<PathId> = {
            let state = self.state();
            if state.attempts.contains_key(label) {
                return None;
            }
            state.record(label)?.rows(List::Outputs).map(|row| row.id).collect()
        };
        if !self.look_all(&ids).is_empty() {
            return None;
        }
        let state = self.state();
        let record = state.record(label)?;
        record.rows(List::Outputs).all(|row| holds(&state.table, &row)).then(|| record.outputs_digest())
    }

    /// Keeps the outputs of a task's last good run here under their own digest, and gives it. Without a store, or if it
    /// has them no more, the digest alone is given: whoever makes the task again can still be held to it.
    pub fn keep_proved(&self, store: Option<&LocalStore>, label: &str) -> Option<Digest> {
        let outputs = self.in_place(label)?;
        let key = CacheKey(self.state().record(label)?.key());
        if let Some(store) = store
            && key != key_of(outputs)
            && let Lookup::Hit(hit) = store.lookup(&key)
            && hit.result.outputs_digest() == outputs
        {
            // What cannot be kept has to be made again: slower, and held to the digest all the same.
            let _ = store.store(&key_of(outputs), &hit.result, &self.root);
        }
        Some(outputs)
    }

    /// The digest of the paths and contents of the files that a task declares as inputs, those left out for which `made` is
    /// true. Unlike a key it is the same on every machine that has the same files.
    pub fn digest_of_inputs(
        &self,
        task: &Prepared,
        made: impl Fn(&RelPath) -> bool,
    ) -> Result<Digest, FingerprintError> {
        let task = Prepared { tools: Vec::new(), ..task.clone() };
        let fingerprint = self.fingerprint(&task, &[])?;
        let state = self.state();
        let mut text = Vec::new();
        for seen in &fingerprint.files {
            let path = state.table.path(seen.row.id);
            // What is in a folder has rows of its own, and not all that lies there need be an input.
            if seen.row.kind == FileKind::Dir || RelPath::from_bytes(path).is_some_and(|path| made(&path)) {
                continue;
            }
            text.put_bytes(path);
            text.put(&[seen.row.kind as u8]);
            text.put_digest(&seen.row.digest);
        }
        Ok(Digest::of(&text))
    }

    /// The result whose outputs have this digest, if the store has it.
    pub fn find_proved(&self, store: &LocalStore, outputs: Digest) -> Option<Box<Hit>> {
        match store.lookup(&key_of(outputs)) {
            Lookup::Hit(hit) if hit.result.outputs_digest() == outputs => Some(hit),
            Lookup::Hit(_) | Lookup::Miss { .. } => None,
        }
    }

    /// Puts a proved result in place, as [`Workspace::restore`] does one of today's key. To the next run without a proof
    /// it is no last good run: that run asks for its own key.
    pub fn place_proved(
        &self,
        store: &LocalStore,
        task: &Prepared,
        hit: &Hit,
    ) -> Result<Digest, RestoreError> {
        let nothing = Fingerprint {
            key: hit.key.0,
            declared: hit.key.0,
            tools: Vec::new(),
            needs: Vec::new(),
            files: Vec::new(),
            discovered: None,
            walked: Vec::new(),
            patterns: hit.key.0,
            moment: None,
            began: 0,
        };
        // The definition is not what led here, so it must not be what says "unchanged" next time.
        let task = Prepared { text: hit.key.0, ..task.clone() };
        self.put_in_place(store, &task, &nothing, hit)
    }
}

impl Prepared {
    /// Whether its outputs, as declared, cover a path.
    pub fn makes(&self, path: &RelPath) -> bool {
        self.outputs.covers(path)
    }
}
