//! The user's cache folder: where it lies, the key in it, and what keeps it small.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::base::fs::{self, FsError};
use crate::cache::{self, LocalStore};
use crate::engine::surroundings::state_label;
use crate::event::{NodeState, OutcomeKind, RunState};
use crate::fingerprint::SecretKey;
use crate::ops::seal::HOLDS;
use crate::ops::{Context, Project};
use crate::plan::Plan;
use crate::record::STATE_DIR;

use super::Ready;

/// The local store, where the Envfile or the context puts it.
pub fn local_store(context: &Context, project: Option<&Project>) -> LocalStore {
    let settings = project.map(|project| project.envfile().cache.clone()).unwrap_or_default();
    let limits = cache::Limits::default();
    let limits = cache::Limits {
        max_size: settings.max_size.unwrap_or(limits.max_size),
        max_age: settings.max_age.unwrap_or(limits.max_age),
    };
    LocalStore::open(&cache_folder(context, project), limits)
}

/// Where the local store lies.
pub fn cache_folder(context: &Context, project: Option<&Project>) -> PathBuf {
    let dir = project.and_then(|project| Some(project.root().join(&**project.envfile().cache.dir.as_ref()?)));
    dir.unwrap_or_else(|| context.cache_dir.clone())
}

/// Keeps the cache within its limits, now and then, after a run that may have added to it. Whoever cannot collect leaves it
/// to the next.
pub(in crate::ops) fn collect(store: &LocalStore, changed: usize) {
    if changed > 0 && store.is_collection_due() {
        let _ = store.collect();
    }
}

/// Notes, once a day, that the results of what is up to date here are still of use: nothing reads them, and they would
/// otherwise be collected one day as if nobody wanted them.
pub(super) fn note_uses(plan: &Plan, state: &RunState, ready: &Ready) {
    let stamp = ready.root.join(STATE_DIR).join("state/used");
    let noted = std::fs::metadata(&stamp).and_then(|meta| meta.modified());
    if noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|age| age < HOLDS)) {
        return;
    }
    sweep_state(&ready.root.join(STATE_DIR));
    ready.workspace.sweep_aside();
    let is_up_to_date = |ix| state.state(ix) == Some(NodeState::Over(OutcomeKind::UpToDate));
    let nodes = plan.graph.iter().filter(|(ix, _)| is_up_to_date(*ix));
    let labels: Vec<String> = nodes.map(|(_, node)| state_label(node)).collect();
    ready.store.note_uses(ready.workspace.keys(labels.iter().map(String::as_str)));
    // Without the stamp the next run notes it again.
    let _ = std::fs::write(stamp, b"");
}

/// Removes what killed runs left in the project's own folder.
fn sweep_state(state: &Path) {
    for room in ["state", "state/seals", "runs", "runs/graphs"] {
        fs::sweep(&state.join(room));
    }
    let is_old = |entry: &std::fs::DirEntry| {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        modified.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > HOLDS))
    };
    for entry in std::fs::read_dir(state.join("tmp")).into_iter().flatten().flatten().filter(is_old) {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Where it lies what hashes secrets.
fn key_file(cache_dir: &Path) -> PathBuf {
    cache_dir.join("secret.key")
}

/// What hashes secrets, if it was drawn already.
pub(in crate::ops) fn kept_key(cache_dir: &Path) -> Option<SecretKey> {
    std::fs::read(key_file(cache_dir)).ok()?.try_into().ok().map(SecretKey)
}

/// What hashes secrets: drawn once for the user, and kept where only the user reads.
pub(in crate::ops) fn secret_key(cache_dir: &Path) -> Result<SecretKey, FsError> {
    let path = key_file(cache_dir);
    for _ in 0..2 {
        if let Some(bytes) = fs::read_if_there(&path)?
            && let Ok(key) = <[u8; 32]>::try_from(bytes)
        {
            return Ok(SecretKey(key));
        }
        let SecretKey(key) = drawn_key()?;
        fs::create_folder(cache_dir)?;
        fs::write_atomic_with(&path, 0o600, |file| file.write_all(&key))?;
    }
    // Two that are drawn at the same moment: the one that lies there now is the one.
    Err(FsError::new("read back", path, std::io::Error::other("it is not 32 bytes long")))
}

pub(super) fn drawn_key() -> Result<SecretKey, FsError> {
    let mut key = [0; 32];
    let mut random =
        File::open("/dev/urandom").map_err(|error| FsError::new("open", "/dev/urandom", error))?;
    random.read_exact(&mut key).map_err(|error| FsError::new("read", "/dev/urandom", error))?;
    Ok(SecretKey(key))
}
