//! What a stage's result speaks of: a commit, and whatever differs from it.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::base::codec::Put;
use crate::base::{Digest, RelPath, Timestamp};
use crate::preflight::{Changed, Git};
use crate::record::{STATE_DIR, StageRecord};

/// A work tree as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkTree {
    /// The commit that is checked out.
    pub revision: String,
    /// The digest of what differs from it, untracked files included; nothing if nothing does. Two checkouts with the same
    /// changes have the same digest.
    pub changes: Option<String>,
    /// The paths that differ.
    pub changed: Vec<String>,
}

impl WorkTree {
    /// Looks at the work tree around `root`. Untracked files that `makes` is true for are made by tasks: they follow from
    /// the rest, and do not count. Neither does what envrun keeps.
    pub fn look(root: &Path, makes: &dyn Fn(&RelPath) -> bool, now: Timestamp) -> Result<Self, String> {
        let git = Git::new(root);
        let revision = git.revision().map_err(|error| {
            if error.contains("unknown revision") || error.contains("ambiguous argument") {
                "there is no commit yet".to_owned()
            } else {
                error
            }
        })?;
        let changed = git.changed()?;
        if changed.is_empty() {
            return Ok(Self { revision, changes: None, changed: Vec::new() });
        }
        let top = git.top()?;
        let top = top.canonicalize().unwrap_or(top);
        let within = root.strip_prefix(&top).map_err(|_| {
            format!("the work tree is {}, and {} is not in it", top.display(), root.display())
        })?;
        let counts = |one: &Changed| {
            if Path::new(&one.path).components().any(|part| part.as_os_str() == STATE_DIR) {
                return false;
            }
            let inside = Path::new(&one.path).strip_prefix(within).ok();
            let made = inside.and_then(|path| RelPath::from_bytes(path.as_os_str().as_bytes()));
            !(one.untracked && made.is_some_and(|path| makes(&path)))
        };
        let changed: Vec<Changed> = changed.into_iter().filter(counts).collect();
        if changed.is_empty() {
            return Ok(Self { revision, changes: None, changed: Vec::new() });
        }
        let mut text = Vec::new();
        for one in &changed {
            text.put_bytes(one.path.as_bytes());
            content(&top.join(&one.path), one, now, &mut text);
        }
        let changes = Some(Digest::of(&text).short());
        Ok(Self { revision, changes, changed: changed.into_iter().map(|one| one.path).collect() })
    }

    /// Whether a record speaks of this work tree.
    pub fn is_of(&self, record: &StageRecord) -> bool {
        record.revision == self.revision && record.changes == self.changes
    }

    /// As a person would call it: the commit, and that there are changes.
    pub fn name(&self) -> String {
        let short = &self.revision[..self.revision.len().min(12)];
        match &self.changes {
            None => short.to_owned(),
            Some(_) => format!("{short} with uncommitted changes"),
        }
    }
}

/// What lies at a path. What cannot be read whole is like nothing else, itself at another time included.
fn content(path: &Path, changed: &Changed, now: Timestamp, text: &mut Vec<u8>) {
    let unlike = |text: &mut Vec<u8>| {
        text.put(b"?");
        text.put_u64(now.0);
    };
    let Ok(meta) = path.symlink_metadata() else { return text.put(b"-") };
    if meta.is_symlink() {
        match std::fs::read_link(path) {
            Ok(target) => {
                text.put(b"l");
                text.put_bytes(target.as_os_str().as_bytes());
            }
            Err(_) => unlike(text),
        }
    } else if meta.is_dir() {
        // A submodule, or a repository inside this one.
        match Git::new(path).revision() {
            Ok(revision) if !changed.dirty_submodule && !changed.untracked => {
                text.put(b"s");
                text.put_bytes(revision.as_bytes());
            }
            _ => unlike(text),
        }
    } else {
        match File::open(path).and_then(|mut file| Digest::read(&mut file)) {
            Ok(digest) => {
                text.put(if meta.permissions().mode() & 0o100 != 0 { b"x" } else { b"f" });
                text.put_digest(&digest);
            }
            Err(_) => unlike(text),
        }
    }
}
