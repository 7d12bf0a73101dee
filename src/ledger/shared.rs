//! A ledger that several checkouts share through a git ref, which is their lock too.
//!
//! `refs/envrun/deploys` of the remote holds the ledger of every environment. A line is pushed before it is written here, on the
//! condition that the remote has nothing that is not here: of two checkouts that begin at once, one finds the line of the
//! other. What the remote has more is taken over when the environment is locked.

use std::path::Path;

use crate::base::fs;
use crate::gitref::{RefError, RefStore, Write};

use super::file::{self, LedgerError};
use super::folder;

/// The part of the ref's name behind `refs/envrun/`.
const NAME: &str = "deploys";

/// The remote's copy of one environment's ledger.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    store: RefStore,
    path: String,
}

impl Shared {
    pub(super) fn new(root: &Path, remote: &str, env: &str) -> Self {
        Self { store: RefStore::new(root, remote, NAME), path: format!("{env}.jsonl") }
    }

    /// Takes over what the remote has more. The caller holds the lock.
    pub(super) fn pull(&self, path: &Path) -> Result<(), LedgerError> {
        let tip = self.store.fetch()?;
        let there = self.store.read(&tip, [self.path.as_str()])?;
        adopt(path, there.first().map_or(&[], |(_, bytes)| bytes))
    }

    /// Makes `whole` what the remote has; refused if the remote has anything that is not in it.
    pub(super) fn push(&self, env: &str, whole: &[u8]) -> Result<(), LedgerError> {
        self.store.update(&format!("ledger of {env}"), |tip| {
            let there = self.store.read(tip, [self.path.as_str()])?;
            let there = there.first().map_or(&[][..], |(_, bytes)| bytes);
            if !whole.starts_with(there) {
                return Err(LedgerError::Overtaken { env: env.to_owned() });
            }
            Ok(if whole == there { Vec::new() } else { vec![Write::put(self.path.clone(), whole)] })
        })?;
        Ok(())
    }
}

/// Takes over what the remote has more of any environment that nobody changes from here at this moment.
pub fn refresh(root: &Path, remote: &str) -> Result<(), LedgerError> {
    let store = RefStore::new(root, remote, NAME);
    let tip = store.fetch()?;
    let paths: Vec<&str> = tip.paths().filter(|path| path.ends_with(".jsonl")).collect();
    for (name, bytes) in store.read(&tip, paths)? {
        let Some(env) = name.strip_suffix(".jsonl").filter(|env| !env.contains(['/', '\\'])) else {
            continue;
        };
        let folder = folder(root, env);
        fs::create_folder(&folder)?;
        let path = folder.join("lock");
        let lock = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(|error| fs::FsError::new("lock", &path, error))?;
        // Whoever holds it reads what the remote has by himself.
        if lock.try_lock().is_ok() {
            adopt(&folder.join(file::NAME), &bytes)?;
        }
    }
    Ok(())
}

/// Puts the remote's lines here, if they are those that are here and more.
fn adopt(path: &Path, there: &[u8]) -> Result<(), LedgerError> {
    let (_, tail) = file::read(path)?;
    let mut here = fs::read_if_there(path)?.unwrap_or_default();
    here.truncate(usize::try_from(tail.len).unwrap_or(usize::MAX));
    if here.starts_with(there) {
        return Ok(());
    }
    if !there.starts_with(&here) {
        return Err(LedgerError::Diverged { path: path.to_path_buf() });
    }
    fs::write_atomic_with(path, 0o666, |file| {
        std::io::Write::write_all(file, there)?;
        file.sync_all()
    })?;
    Ok(())
}

impl std::convert::From<RefError> for LedgerError {
    fn from(error: RefError) -> Self {
        Self::Ref(error)
    }
}
