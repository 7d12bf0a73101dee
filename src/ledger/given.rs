//! The values that a release was given by hand (`-s`), for whoever goes on with it.
//!
//! They are kept in the checkout that began it, for its owner alone, and not in the ledger, which others read.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::fs::{FsError, create_folder, read_if_there, remove_file, write_atomic_with};

use super::{Release, folder};

#[derive(Debug, Serialize, Deserialize)]
struct Given {
    /// The run that the release began in.
    run: String,
    set: Vec<(String, String)>,
}

/// Keeps what a run gives to the release that it is about to begin; what the one before was given is forgotten.
pub fn keep_given(root: &Path, env: &str, run: &str, set: &[(String, String)]) -> Result<(), FsError> {
    let path = place(root, env);
    if set.is_empty() {
        return if path.exists() { remove_file(&path) } else { Ok(()) };
    }
    create_folder(path.parent().unwrap_or(root))?;
    let given = Given { run: run.to_owned(), set: set.to_vec() };
    let json = serde_json::to_vec(&given).expect("only text for keys");
    write_atomic_with(&path, 0o600, |file| file.write_all(&json).and_then(|()| file.sync_all()))
}

/// What a release was given when it began, if that was in this checkout.
pub fn given(root: &Path, env: &str, release: &Release) -> Vec<(String, String)> {
    let kept = read_if_there(&place(root, env)).ok().flatten();
    let kept = kept.and_then(|bytes| serde_json::from_slice::<Given>(&bytes).ok());
    kept.filter(|given| given.run == release.began.run).map_or_else(Vec::new, |given| given.set)
}

fn place(root: &Path, env: &str) -> PathBuf {
    folder(root, env).join("given.json")
}
