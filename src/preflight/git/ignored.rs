//! Which files git leaves out, asked for many at once, and remembered as long as nothing changed that decides it.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Git;

/// What git said of files, for one project. A `git check-ignore` costs as much as all that envrun does itself to write a
/// file; so those that will be asked for are told beforehand, and go along with the first question.
#[derive(Debug)]
pub struct Ignored {
    git: Git,
    root: PathBuf,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    expected: HashSet<PathBuf>,
    known: HashMap<PathBuf, Answer>,
}

/// An answer, and what it rests on.
#[derive(Debug)]
struct Answer {
    ignored: bool,
    rests_on: Vec<(PathBuf, Stamp)>,
}

/// As much of a file as changes with its content; `None` where there is no file.
type Stamp = Option<(i64, i64, u64, u64)>;

impl Ignored {
    /// Nothing is asked yet. `root` is the project's folder.
    pub fn new(root: &Path) -> Self {
        Self { git: Git::new(root), root: root.to_path_buf(), asked: Mutex::default() }
    }

    /// These will be asked for.
    pub fn expect(&self, paths: impl IntoIterator<Item = PathBuf>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        // Git answers nothing at all if one of the files is in another repository.
        asked.expected.extend(paths.into_iter().filter(|path| path.starts_with(&self.root)));
    }

    /// Whether git would leave a file out; `None` where there is no repository, or no git to ask.
    pub fn ignores(&self, path: &Path) -> Option<bool> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = asked.known.get(path)
            && answer.rests_on.iter().all(|(file, then)| *then == stamp(file))
        {
            return Some(answer.ignored);
        }
        let mut paths: Vec<PathBuf> = asked.expected.drain().filter(|other| other != path).collect();
        paths.push(path.to_path_buf());
        // Looked at before git does, so that a change in between is noticed the next time.
        let alone = || Some(!self.git.ignored(&[path])?.is_empty());
        let Some(rests_on) = paths.iter().map(|path| self.rests_on(path)).collect::<Option<Vec<_>>>() else {
            return alone();
        };
        let files: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        // One of the others may lie where git answers nothing.
        let Some(found) = self.git.ignored(&files) else { return alone() };
        let found: HashSet<PathBuf> = found.into_iter().map(Path::to_path_buf).collect();
        let answers = paths.into_iter().zip(rests_on).map(|(path, rests_on)| {
            let ignored = found.contains(&path);
            (path, Answer { ignored, rests_on })
        });
        asked.known.extend(answers);
        Some(found.contains(path))
    }

    /// The files that decide whether git leaves a path out; `None` where they are not known: outside of a repository, or
    /// in a work tree whose repository lies elsewhere.
    fn rests_on(&self, path: &Path) -> Option<Vec<(PathBuf, Stamp)>> {
        let mut files = Vec::new();
        for folder in path.ancestors().skip(1) {
            files.push(folder.join(".gitignore"));
            let git = folder.join(".git");
            if git.is_dir() {
                files.extend(["index", "info/exclude", "config"].map(|name| git.join(name)));
                let stamped = files.into_iter().map(|file| {
                    let stamp = stamp(&file);
                    (file, stamp)
                });
                return Some(stamped.collect());
            }
            if git.exists() {
                return None;
            }
        }
        None
    }
}

fn stamp(file: &Path) -> Stamp {
    let meta = file.symlink_metadata().ok()?;
    Some((meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_as_long_as_what_decides_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let file = |name: &str| root.join(name);
        let git = |args: &[&str]| {
            let done = std::process::Command::new("git").args(args).current_dir(root).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let ignored = Ignored::new(root);
        assert_eq!(ignored.ignores(&file("a.env")), None, "there is no repository");
        git(&["init", "-q"]);
        assert_eq!(ignored.ignores(&file("a.env")), Some(false));
        std::fs::write(file(".gitignore"), "*.env\n").unwrap();
        ignored.expect([file("b.env"), file("plain"), PathBuf::from("/somewhere/else")]);
        assert_eq!(ignored.ignores(&file("a.env")), Some(true));
        // Both were asked for along with it.
        assert_eq!(ignored.asked.lock().unwrap().known.len(), 3);
        assert_eq!(ignored.ignores(&file("b.env")), Some(true));
        assert_eq!(ignored.ignores(&file("plain")), Some(false));
        // What git has is not ignored.
        std::fs::write(file("a.env"), "A=1").unwrap();
        git(&["add", "--force", "a.env"]);
        assert_eq!(ignored.ignores(&file("a.env")), Some(false));
        assert_eq!(ignored.ignores(&file("b.env")), Some(true));
        // A folder's own file comes in between.
        ignored.expect([file("sub/c.env")]);
        assert_eq!(ignored.ignores(&file("sub/d.env")), Some(true));
        std::fs::create_dir(file("sub")).unwrap();
        std::fs::write(file("sub/.gitignore"), "!*.env\n").unwrap();
        assert_eq!(ignored.ignores(&file("sub/d.env")), Some(false));
        assert_eq!(ignored.ignores(&file("sub/c.env")), Some(false));
    }
}
