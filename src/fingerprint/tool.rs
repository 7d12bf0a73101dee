//! `tools "cc"`: the program that the search path leads to, by its content.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::PoisonError;

use crate::base::{Digest, RelPath};

use super::table::PathId;
use super::{FingerprintError, Workspace};

/// Which file each tool is, found since the last command ended: a task may install what the next one uses.
#[derive(Debug, Default)]
pub(super) struct Tools {
    epoch: u32,
    found: HashMap<(String, OsString, RelPath), PathId>,
}

impl Tools {
    /// Every tool that was found since the last command ended: name, search path, folder, and the file it is.
    pub(super) fn known(&self, epoch: u32) -> impl Iterator<Item = (&(String, OsString, RelPath), PathId)> {
        self.found.iter().filter(move |_| self.epoch == epoch).map(|(key, id)| (key, *id))
    }
}

impl Workspace {
    /// The content of each tool, sorted by name. A name with a `/` is relative to `dir`.
    pub(super) fn tool_digests(
        &self,
        names: &[String],
        search_path: &OsStr,
        dir: &RelPath,
    ) -> Result<Vec<(String, Digest)>, FingerprintError> {
        let mut digests = Vec::with_capacity(names.len());
        for name in names {
            let id = self.tool(name, search_path, dir)?;
            digests.push((name.clone(), self.row(id)?.digest));
        }
        digests.sort_unstable();
        digests.dedup();
        Ok(digests)
    }

    fn tool(&self, name: &str, search_path: &OsStr, dir: &RelPath) -> Result<PathId, FingerprintError> {
        let epoch = self.epoch();
        let key = (name.to_owned(), search_path.to_owned(), dir.clone());
        {
            let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
            if tools.epoch != epoch {
                *tools = Tools { epoch, ..Tools::default() };
            }
            if let Some(id) = tools.found.get(&key) {
                return Ok(*id);
            }
        }
        let missing = || FingerprintError::Tool {
            name: name.to_owned(),
            path: search_path.to_string_lossy().into_owned(),
        };
        let program =
            which::which_in(name, Some(search_path), dir.below(self.root.path())).map_err(|_| missing())?;
        // The file itself: /usr/bin/cc is a link to a link, and another compiler behind it is another compiler.
        let real = std::fs::canonicalize(&program).map_err(|_| missing())?;
        let id = self.intern(real.as_os_str().as_bytes());
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if tools.epoch == epoch {
            tools.found.insert(key, id);
        }
        Ok(id)
    }
}
