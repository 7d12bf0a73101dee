//! What a release left in the folders that its values name, so that it is noticed when somebody else changes it.
//!
//! envrun does not know what the commands of a deploy do. What it can see without asking anybody: the links that lie in
//! the folders which the deploy's `(path)` values name, and the files that these lead to, which is how releases in folders
//! are made. Data and logs beside them change all the time and are nobody's drift; so is what came to them later.
//!
//! Invariant: it is looked at, never needed: without it nothing is known, and nothing is wrong.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::base::fs::{FsError, create_folder, read_if_there, write_atomic};

use super::{Release, folder};

/// No more files than these are looked at.
const MOST: usize = 5_000;
/// And no more bytes are read than these; of the rest size and time have to do.
const BYTES: u64 = 64 << 20;

/// What one release of one deploy left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// The release that is live.
    release: u64,
    /// The run that it began in: its number may become that of another one when two ledgers are brought together.
    #[serde(default)]
    run: String,
    /// By path, relative to the root where they lie below it.
    found: BTreeMap<String, Left>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Left {
    Link { to: String },
    File { size: u64, modified: u128, digest: Option<String> },
}

impl Footprint {
    /// Looks at what lies in these folders now.
    pub fn take(root: &Path, release: &Release, folders: &[PathBuf]) -> Self {
        let mut walk = Walk { root, found: BTreeMap::new(), bytes: 0 };
        for folder in folders {
            walk.folder(folder);
        }
        Self { release: release.id(), run: release.began.run.clone(), found: walk.found }
    }

    /// Whether it is what this very release left.
    pub fn is_of(&self, release: &Release) -> bool {
        // One that was kept before runs were does not say more than the number.
        if self.run.is_empty() { self.release == release.id() } else { self.run == release.began.run }
    }

    /// Keeps it.
    pub fn keep(&self, root: &Path, env: &str, node: &str) -> Result<(), FsError> {
        let path = place(root, env, node);
        create_folder(path.parent().unwrap_or(root))?;
        write_atomic(&path, &serde_json::to_vec(self).expect("only text for keys"))
    }

    /// What is known of a deploy.
    pub fn of(root: &Path, env: &str, node: &str) -> Option<Self> {
        serde_json::from_slice(&read_if_there(&place(root, env, node)).ok()??).ok()
    }

    /// What is not as the release left it, in words; links first.
    pub fn drift(&self, root: &Path) -> Vec<String> {
        let (mut links, mut files) = (Vec::new(), Vec::new());
        for (path, left) in &self.found {
            let whole = root.join(path);
            let now = fs::symlink_metadata(&whole);
            match (left, now) {
                (_, Err(_)) => files.push(format!("{path} is gone")),
                (Left::Link { to }, Ok(_)) => match fs::read_link(&whole) {
                    Ok(now) if now.to_string_lossy() == *to => {}
                    Ok(now) => links.push(format!("{path} leads to {}, not to {to}", now.display())),
                    Err(_) => links.push(format!("{path} is no link to {to} any more")),
                },
                (Left::File { size, modified, digest }, Ok(now)) => {
                    let is_same = now.is_file()
                        && now.len() == *size
                        && (time(&now) == *modified || digest.is_some() && *digest == digest_of(&whole));
                    if !is_same {
                        files.push(format!("{path} was changed"));
                    }
                }
            }
        }
        links.extend(files);
        links
    }
}

struct Walk<'a> {
    root: &'a Path,
    found: BTreeMap<String, Left>,
    bytes: u64,
}

impl Walk<'_> {
    /// The links in a folder that a value names, or the link that it is.
    fn folder(&mut self, folder: &Path) {
        let Ok(meta) = fs::symlink_metadata(folder) else { return };
        if meta.is_symlink() {
            return self.link(folder);
        }
        // What is in the project's own folder is under version control.
        if self.is_above_root(folder) {
            return;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                self.link(&entry.path());
            }
        }
    }

    /// A link, and everything that it leads to.
    fn link(&mut self, path: &Path) {
        let Ok(to) = fs::read_link(path) else { return };
        self.left(path, Left::Link { to: to.to_string_lossy().into_owned() });
        let Ok(real) = path.canonicalize() else { return };
        if !self.is_above_root(&real) {
            self.below(&real);
        }
    }

    fn below(&mut self, path: &Path) {
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        if meta.is_symlink() {
            if let Ok(to) = fs::read_link(path) {
                self.left(path, Left::Link { to: to.to_string_lossy().into_owned() });
            }
        } else if meta.is_dir() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                if self.found.len() < MOST && entry.file_name() != ".git" {
                    self.below(&entry.path());
                }
            }
        } else if meta.is_file() {
            self.bytes += meta.len();
            let digest = if self.bytes <= BYTES { digest_of(path) } else { None };
            self.left(path, Left::File { size: meta.len(), modified: time(&meta), digest });
        }
    }

    fn left(&mut self, path: &Path, left: Left) {
        let known = path.strip_prefix(self.root).unwrap_or(path);
        // A name that is no text cannot be told.
        if let Some(name) = known.to_str() {
            self.found.insert(name.to_owned(), left);
        }
    }

    fn is_above_root(&self, folder: &Path) -> bool {
        folder.canonicalize().is_ok_and(|folder| self.root.starts_with(folder))
    }
}

fn time(meta: &Metadata) -> u128 {
    let since = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos())
}

fn digest_of(path: &Path) -> Option<String> {
    Digest::read(&mut fs::File::open(path).ok()?).ok().map(|digest| digest.to_hex())
}

/// Its file; a deploy of an included project has a colon in its name.
fn place(root: &Path, env: &str, node: &str) -> PathBuf {
    folder(root, env).join("live").join(format!("{}.json", node.replace([':', '/'], "-")))
}
