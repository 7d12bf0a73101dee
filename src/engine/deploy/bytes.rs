//! The bytes that a release ships: kept under their own digests, and put in place again.

use crate::base::fs::{FsError, Root};
use crate::cache::{ActionResult, LocalStore, Lookup, OutputKind};
use crate::graph::NodeIx;
use crate::ledger::Artefact;

use super::super::action::Actions;
use super::super::lock::NodeLock;

impl Actions<'_> {
    /// Keeps what the needs of a deploy made, and says what that is.
    pub(super) fn keep_bytes(&self, node: NodeIx, store: &LocalStore) -> Result<Vec<Artefact>, String> {
        let root = Root::open(self.around.root).map_err(|error: FsError| error.to_string())?;
        let mut artefacts = Vec::new();
        for (task, digest, declared) in self.shipped(node) {
            let Some(outputs) = self.around.workspace.made(&task, digest) else {
                return Err(format!("what `{task}` made is not there any more"));
            };
            let size = outputs.iter().map(|output| match output.kind {
                OutputKind::File { size, .. } => size,
                OutputKind::Link(_) | OutputKind::Dir => 0,
            });
            let artefact = Artefact { task, digest, declared, size: size.sum() };
            let key = artefact.key();
            if !matches!(store.lookup(&key), Lookup::Hit(hit) if hit.is_whole(store)) {
                let result = ActionResult {
                    outputs,
                    log: Vec::new(),
                    took: std::time::Duration::ZERO,
                    made: self.around.clock.now(),
                    run: self.around.run.to_string(),
                    discovered: Vec::new(),
                };
                store
                    .store(&key, &result, &root)
                    .map_err(|error| format!("what `{}` made cannot be kept: {error}", artefact.task))?;
            }
            artefacts.push(artefact);
        }
        Ok(artefacts)
    }

    /// Puts what an earlier release shipped where it lay then. As long as the locks are held, nobody makes anything else
    /// there.
    pub(super) fn place_bytes(
        &self,
        artefacts: &[Artefact],
        store: &LocalStore,
    ) -> Result<Vec<NodeLock>, String> {
        let mut tasks: Vec<&str> = artefacts.iter().map(|artefact| artefact.task.as_str()).collect();
        // In one order, so that two never wait for each other.
        tasks.sort_unstable();
        let now = std::time::SystemTime::now();
        let locks =
            tasks.iter().filter_map(|task| NodeLock::take(self.around.root, task, now)).collect::<Vec<_>>();
        for artefact in artefacts {
            let Lookup::Hit(hit) = store.lookup(&artefact.key()) else {
                return Err(format!("the bytes of `{}` are not kept any more", artefact.task));
            };
            if hit.result.outputs_digest() != artefact.digest {
                return Err(format!("what is kept of `{}` is not what it made", artefact.task));
            }
            self.around
                .workspace
                .place(store, &artefact.declared, &hit)
                .map_err(|error| format!("what `{}` made cannot be put in place: {error}", artefact.task))?;
        }
        locks.iter().for_each(NodeLock::stamp);
        Ok(locks)
    }
}
