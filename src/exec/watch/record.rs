//! What was touched, file by file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::base::RelPath;

use super::{Access, Kind, Seen, Uses};

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    files: BTreeMap<RelPath, File>,
    outside: BTreeSet<PathBuf>,
    gaps: BTreeSet<String>,
    /// Why the filter could not be put on a command.
    pub(super) refused: Option<io::Error>,
}

#[derive(Debug)]
struct File {
    before: Option<Kind>,
    /// Whatever is in it now was put there by the commands.
    own: bool,
    uses: Uses,
    /// Who did it, and how telling that was.
    by: (u8, String),
}

#[cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    expect(dead_code, reason = "nothing is watched here")
)]
impl Record {
    /// Whether all that is in a file or folder was put there by the commands.
    pub(super) fn is_own(&self, path: &RelPath) -> bool {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            if self.files.get(&path).is_some_and(|file| file.own) {
                return true;
            }
            at = path.parent();
        }
        false
    }

    /// Takes down that something was done to a file that is `kind` now. `by` is asked only if it is news.
    pub(super) fn add(
        &mut self,
        path: &RelPath,
        kind: Option<Kind>,
        uses: Uses,
        own: bool,
        by: impl FnOnce() -> String,
    ) {
        let weight = weight(uses);
        let file = self.files.entry(path.clone()).or_insert_with(|| File {
            before: kind,
            own: false,
            uses: Uses::default(),
            by: (0, String::new()),
        });
        file.own |= own;
        let old = &mut file.uses;
        *old = Uses {
            read: old.read || uses.read,
            run: old.run || uses.run,
            asked: old.asked || uses.asked,
            absent: old.absent || uses.absent,
            listed: old.listed || uses.listed,
            written: old.written || uses.written,
            removed: old.removed || uses.removed,
            denied: old.denied || uses.denied,
        };
        if weight > file.by.0 {
            file.by = (weight, by());
        }
    }

    /// Takes down something outside of the project.
    pub(super) fn add_outside(&mut self, path: &Path) {
        const SYSTEM: &[&str] =
            &["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/dev", "/sys", "/nix", "/var"];
        let system = SYSTEM.iter().find(|folder| path.starts_with(folder));
        let path = system.map_or(path, Path::new);
        if !self.outside.contains(path) {
            self.outside.insert(path.to_path_buf());
        }
    }

    /// Takes down that something cannot have been seen.
    pub(super) fn add_gap(&mut self, gap: &str) {
        if !self.gaps.contains(gap) {
            self.gaps.insert(gap.to_owned());
        }
    }

    pub(super) fn seen(&self) -> Seen {
        let access = |(path, file): (&RelPath, &File)| Access {
            path: path.clone(),
            before: file.before,
            uses: file.uses,
            replaced: file.own,
            by: file.by.1.clone(),
        };
        Seen {
            accesses: self.files.iter().map(access).collect(),
            outside: self.outside.iter().cloned().collect(),
            gaps: self.gaps.iter().cloned().collect(),
        }
    }
}

/// Who wrote a file matters more than who read it, and who read it more than who asked for it.
fn weight(uses: Uses) -> u8 {
    match uses {
        Uses { denied: true, .. } => 5,
        Uses { written: true, .. } => 4,
        Uses { removed: true, .. } => 3,
        Uses { read: true, .. } | Uses { run: true, .. } => 2,
        _ => 1,
    }
}
