//! What git ignores: `.gitignore` files from the repository's top down, and `.git/info/exclude`.
//!
//! They are read whether or not there is a repository, so that an exported tree has the same inputs. Ignore files above
//! the project count only inside a repository, and not at all if they ignore the project itself. A user's global ignore
//! file does not count: it would make keys differ between users.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::base::Digest;
use crate::base::codec::Put;
use crate::base::fs::{self, Root};

/// The rules of one ignore file.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    matcher: Arc<Gitignore>,
    /// How many bytes of a path, its `/` included, lie above the file's folder.
    skip: usize,
    /// What has to stand before a path, if the file lies above the project.
    before: Arc<[u8]>,
}

impl Rules {
    /// The rules in `text`, from an ignore file in `folder`.
    pub(super) fn new(folder: &[u8], text: &[u8]) -> Self {
        let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
        Self { matcher: Arc::new(parse(text)), skip, before: [].into() }
    }

    /// Whether they ignore the path (`Some(true)`), want it in spite of other rules (`Some(false)`), or say nothing.
    fn verdict(&self, path: &[u8], is_dir: bool) -> Option<bool> {
        let below = path.get(self.skip..)?;
        let whole;
        let below = if self.before.is_empty() {
            below
        } else {
            whole = [&self.before, below].concat();
            &whole[..]
        };
        match self.matcher.matched(Path::new(OsStr::from_bytes(below)), is_dir) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        }
    }
}

/// Whether the rules, outermost first, ignore a path whose folder they do not ignore.
pub(super) fn is_ignored(rules: &[Rules], path: &[u8], is_dir: bool) -> bool {
    rules.iter().rev().find_map(|rules| rules.verdict(path, is_dir)).unwrap_or(false)
}

fn parse(text: &[u8]) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in String::from_utf8_lossy(text).lines() {
        // A line that is no pattern is one that git passes over too.
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// The ignore files that lie outside the walks: above the project, and the repository's own.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// In order of precedence, weakest first: a path in the table's form, and what its rules are relative to.
    pub(super) files: Vec<OutsideFile>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct OutsideFile {
    /// Where it lies: absolute.
    pub(super) path: Vec<u8>,
    /// The project's folder as seen from where its rules apply, with a `/` at the end; empty for the project's own.
    before: Arc<[u8]>,
    /// How many bytes of a path from the repository's top lie above where its rules apply.
    skip: usize,
}

impl OutsideFile {
    pub(super) fn rules(&self, text: &[u8]) -> Rules {
        Rules { matcher: Arc::new(parse(text)), skip: 0, before: self.before.clone() }
    }
}

impl Outside {
    /// Looks for the repository that `root` is in.
    pub(super) fn find(root: &Root) -> Self {
        let Ok(absolute) = std::path::absolute(root.path()) else { return Self::default() };
        let Some(top) = absolute.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok())
        else {
            return Self::default();
        };
        let between = |from: &Path, to: &Path| -> Vec<u8> {
            let mut bytes = to.strip_prefix(from).unwrap_or(Path::new("")).as_os_str().as_bytes().to_vec();
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes
        };
        let file = |path: PathBuf, folder: &Path| OutsideFile {
            path: path.into_os_string().into_vec(),
            before: between(folder, &absolute).into(),
            skip: between(top, folder).len(),
        };
        let mut files = Vec::new();
        if let Some(exclude) = exclude_file(&top.join(".git")) {
            files.push(file(exclude, top));
        }
        let mut above: Vec<&Path> =
            absolute.ancestors().skip(1).take_while(|folder| folder.starts_with(top)).collect();
        above.reverse();
        files.extend(above.iter().map(|folder| file(folder.join(".gitignore"), folder)));
        let found = Self { files };
        let rest = absolute.strip_prefix(top).expect("an ancestor");
        if found.ignores_project(rest) { Self::default() } else { found }
    }

    /// Whether the repository around the project, whose path from the repository's top is `rest`, ignores it: such a
    /// project (a checkout in a build folder) has only its own rules.
    fn ignores_project(&self, rest: &Path) -> bool {
        let rules: Vec<Rules> = self
            .files
            .iter()
            .filter_map(|file| {
                let text = std::fs::read(Path::new(OsStr::from_bytes(&file.path))).ok()?;
                Some(Rules { matcher: Arc::new(parse(&text)), skip: file.skip, before: [].into() })
            })
            .collect();
        let mut path = Vec::new();
        rest.components().any(|part| {
            path = fs::join(&path, part.as_os_str().as_bytes());
            is_ignored(&rules, &path, true)
        })
    }

    /// Which files these are: with other ones, what was found in a walk may be wrong.
    pub(super) fn digest(&self) -> Digest {
        let mut buffer = Vec::new();
        for file in &self.files {
            buffer.put_bytes(&file.path);
        }
        Digest::of(&buffer)
    }
}

/// Where `.git/info/exclude` lies: in the common folder, if `.git` is a worktree's pointer.
fn exclude_file(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.join("info/exclude"));
    }
    let text = std::fs::read_to_string(git).ok()?;
    let folder = git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    let common = match std::fs::read_to_string(folder.join("commondir")) {
        Ok(common) => folder.join(common.trim()),
        Err(_) => folder,
    };
    Some(common.join("info/exclude"))
}
