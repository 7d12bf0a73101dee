//! Results that are not collected as long as somebody needs them: what a release shipped, as long as one can go back to it.
//!
//! Whoever needs results writes their keys into a file of his own in `pins/`, as a whole. The file names its owner's
//! folder: where that is gone, nobody needs them any longer.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::fs::{self, FsError};

use super::entry::{Entry, MAX_ENTRY};
use super::store::read_limited;
use super::{CacheKey, LocalStore};

impl LocalStore {
    /// Says which results the owner of a folder needs from now on.
    pub fn pin(&self, owner: &Path, keys: impl Iterator<Item = CacheKey>) -> Result<(), FsError> {
        let owner = owner.canonicalize().unwrap_or_else(|_| owner.to_path_buf());
        let bytes = owner.as_os_str().as_bytes();
        let mut text = bytes.to_vec();
        for key in keys {
            text.push(b'\n');
            text.extend_from_slice(key.0.to_hex().as_bytes());
        }
        let pins = self.dir.join("pins");
        self.make_folder(&pins)?;
        fs::write_atomic(&pins.join(Digest::of(bytes).short()), &text)
    }

    /// The files that pinned results lie in.
    pub(super) fn pinned(&self) -> HashSet<PathBuf> {
        let mut pinned = HashSet::new();
        for file in std::fs::read_dir(self.dir.join("pins")).into_iter().flatten().flatten() {
            let path = file.path();
            let Ok(text) = std::fs::read(&path) else { continue };
            let mut lines = text.split(|byte| *byte == b'\n');
            let owner = Path::new(OsStr::from_bytes(lines.next().unwrap_or_default()));
            if !owner.exists() {
                let _ = std::fs::remove_file(&path);
                continue;
            }
            let keys = lines.filter_map(|line| Digest::from_hex(std::str::from_utf8(line).ok()?));
            for key in keys {
                let place = self.place("results", &key);
                let entry = read_limited(&place, MAX_ENTRY).ok().flatten();
                if let Some(entry) = entry.and_then(|bytes| Entry::decode(&CacheKey(key), bytes)) {
                    pinned.extend(entry.blobs().map(|(digest, _)| self.blob(&digest)));
                }
                pinned.insert(place);
            }
        }
        pinned
    }
}
