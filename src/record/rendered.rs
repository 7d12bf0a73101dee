//! Which files were rendered, and what they held then: so that a change by hand is noticed before it is lost.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::fs::{self, FsError};
use crate::base::{Digest, RelPath};

use super::STATE_DIR;

/// A file that was rendered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedFile {
    /// Where, relative to the root.
    pub path: String,
    /// By which node.
    pub node: String,
    /// The digest of what was written, in hexadecimal digits.
    pub digest: String,
    /// A secret is in it.
    pub secret: bool,
}

impl RenderedFile {
    /// Whether these bytes are what was written.
    pub fn is(&self, bytes: &[u8]) -> bool {
        Digest::of(bytes).to_hex() == self.digest
    }

    /// What is known of the file at `path`.
    pub fn of(root: &Path, path: &RelPath) -> Option<Self> {
        let bytes = std::fs::read(place(root, path)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Every file that was rendered, by path.
    pub fn all(root: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(folder(root)).into_iter().flatten().flatten();
        let mut all: Vec<Self> = entries
            .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok())
            .collect();
        all.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// Notes what was written.
    pub fn note(&self, root: &Path, path: &RelPath) -> Result<(), FsError> {
        let bytes = serde_json::to_vec(self).expect("a struct of texts can be written");
        // A digest of a file with a weak secret in it is a way to guess the secret.
        fs::write_atomic_with(&place(root, path), 0o600, |file| file.write_all(&bytes))
    }

    /// Knows nothing of the file any more.
    pub fn forget(root: &Path, path: &RelPath) -> Result<(), FsError> {
        fs::remove_file(&place(root, path))
    }
}

fn folder(root: &Path) -> PathBuf {
    root.join(STATE_DIR).join("rendered")
}

fn place(root: &Path, path: &RelPath) -> PathBuf {
    folder(root).join(Digest::of(path.as_bytes()).short())
}
