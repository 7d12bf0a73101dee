//! The bytes that a release ships: kept under their own digests, and put in place again.

use crate::base::Digest;
use crate::base::fs::{FsError, Root};
use crate::cache::{ActionResult, LocalStore, Lookup, OutputKind};
use crate::fingerprint::place_of;
use crate::graph::NodeIx;
use crate::ledger::Artefact;

use super::super::action::Actions;
use super::super::lock::{NodeLock, Taken};
use super::super::surroundings::Surroundings;

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
    /// there. The error is `None` if it was interrupted.
    pub(super) fn place_bytes(
        &self,
        around: &Surroundings<'_>,
        artefacts: &[Artefact],
        store: &LocalStore,
        tell: &dyn Fn(String),
    ) -> Result<Vec<NodeLock>, Option<String>> {
        let place =
            |artefact: &Artefact| (place_of(artefact.declared.iter().cloned()), artefact.task.clone());
        let mut places: Vec<(Digest, String)> = artefacts.iter().map(place).collect();
        // In one order, so that two never wait for each other; none twice, nobody waits for himself.
        places.sort_unstable();
        places.dedup_by_key(|(place, _)| *place);
        let now = std::time::SystemTime::now();
        let mut locks = Vec::new();
        for (place, task) in places {
            match around.lock_of_place(&place, &task, now, tell, &|| false) {
                Taken::Ours(lock) => locks.push(lock),
                // Whoever has it runs this.
                Taken::Without | Taken::WithinItself => {}
                Taken::GivenUp => return Err(None),
            }
        }
        locks.iter().for_each(NodeLock::stamp);
        for artefact in artefacts {
            let Lookup::Hit(hit) = store.lookup(&artefact.key()) else {
                return Err(Some(format!("the bytes of `{}` are not kept any more", artefact.task)));
            };
            if hit.result.outputs_digest() != artefact.digest {
                return Err(Some(format!("what is kept of `{}` is not what it made", artefact.task)));
            }
            self.around.workspace.place(store, &artefact.declared, &hit).map_err(|error| {
                Some(format!("what `{}` made cannot be put in place: {error}", artefact.task))
            })?;
        }
        locks.iter().for_each(NodeLock::stamp);
        Ok(locks)
    }
}
