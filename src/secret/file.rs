//! The store `file`: dotenv lines in a file that nobody but its owner reads.
//!
//! It is written as a whole and renamed into place, under a lock, so that two who write at once lose nothing; comments and
//! the order of lines stay.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::base::Digest;
use crate::base::fs::{FsError, remove_file, sweep_beside, write_atomic_with};
use crate::diag::FileId;
use crate::vars::dotenv;
use crate::vars::write::{dotenv_line, shell_word};

/// A file of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStore {
    path: PathBuf,
    /// The folder is envrun's own, and for its owner alone too.
    own_folder: bool,
    /// Who changes the file holds this one.
    lock: PathBuf,
}

/// Why a file of secrets was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Others may read or change it.
    #[error("others can {what} `{}` (its permissions are {mode:o})", path.display())]
    Exposed {
        /// `read`, or `change`.
        what: &'static str,
        /// The file or the folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// It belongs to somebody else.
    #[error("`{}` belongs to another user", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A line of it is no `NAME=value`. The line itself may be a secret, and is not shown.
    #[error("line {line} of `{}` cannot be read: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system refuses.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Why a line cannot be read that no text editor wrote.
const NOT_TEXT: &str = "it is not UTF-8";

/// A path as a shell takes it.
fn word(path: &Path) -> String {
    shell_word(&path.to_string_lossy())
}

impl StoreError {
    /// The commands that put it right.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exposed { path, wanted, .. } => Some(format!("`chmod {wanted:o} {}`", word(path))),
            Self::Foreign { path } => Some(format!("`chown $(id -un) {}`", word(path))),
            Self::Line { reason: NOT_TEXT, .. } => {
                Some("save it as UTF-8; what is no text goes into base64".into())
            }
            Self::Line { .. } => {
                Some("write `NAME=value`, with quotes around a value of several lines".into())
            }
            Self::Fs(_) => None,
        }
    }
}

impl FileStore {
    /// A file in a folder of envrun's own.
    pub fn own(path: PathBuf) -> Self {
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        Self { path, own_folder: true, lock: lock.into() }
    }

    /// A file somewhere else. What locks it lies in `own`, a folder of envrun's own: nobody wants a lock among his files.
    pub fn elsewhere(path: PathBuf, own: &Path) -> Self {
        let name = Digest::of(path.as_os_str().as_encoded_bytes()).short();
        Self { lock: own.join(format!("{name}.lock")), path, own_folder: false }
    }

    /// Removes it, and what locks it.
    pub fn remove(&self) -> Result<(), FsError> {
        remove_file(&self.path)?;
        remove_file(&self.lock)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the file; empty if it is not there.
    ///
    /// # Errors
    /// A file that others can read is not.
    pub fn text(&self) -> Result<String, StoreError> {
        let error = |error| FsError::new("read", &self.path, error);
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(missing) if FsError::new("read", &self.path, missing.kind()).is_missing() => {
                return Ok(String::new());
            }
            Err(other) => return Err(error(other).into()),
        };
        let metadata = file.metadata().map_err(error)?;
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me && me != 0 {
            return Err(StoreError::Foreign { path: self.path.clone() });
        }
        private(&self.path, metadata.mode(), 0o600)?;
        if self.own_folder
            && let Some(folder) = self.path.parent()
        {
            private(folder, folder.metadata().map_err(error)?.mode(), 0o700)?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(error)?;
        String::from_utf8(bytes).map_err(|wrong| {
            let before = &wrong.as_bytes()[..wrong.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            StoreError::Line { path: self.path.clone(), line, reason: NOT_TEXT }
        })
    }

    /// Every secret in it, the last of a name.
    pub fn read(&self) -> Result<IndexMap<String, String>, StoreError> {
        self.parse(&self.text()?)
            .map(|entries| entries.into_iter().map(|entry| (entry.name, entry.value)).collect())
    }

    /// Reads a text as if it stood in the file.
    pub fn parse(&self, text: &str) -> Result<Vec<dotenv::Entry>, StoreError> {
        let (entries, wrong) = dotenv::parse(FileId(0), text);
        let Some(wrong) = wrong.first() else { return Ok(entries) };
        let at = wrong.labels.first().map_or(0, |label| label.span.start as usize);
        let line = text[..at.min(text.len())].matches('\n').count() + 1;
        Err(StoreError::Line { path: self.path.clone(), line, reason: "it is no `NAME=value`" })
    }

    /// Changes the file under its lock: `change` is given its text and gives the new one, or `None` to leave it.
    pub fn update<E: From<StoreError>>(
        &self,
        change: impl FnOnce(&str) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let error = |path: &Path| {
            let path = path.to_path_buf();
            move |error: io::Error| StoreError::from(FsError::new("write", path, error))
        };
        for folder in [folder, self.lock.parent().unwrap_or(folder)] {
            if !folder.exists() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(error(folder))?;
            }
        }
        // Whoever reads it would be refused, so nothing is written there that nobody could read again.
        if self.own_folder {
            let metadata = folder.metadata().map_err(error(folder))?;
            private(folder, metadata.mode(), 0o700)?;
        }
        let lock = &self.lock;
        let held = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock)
            .map_err(error(lock))?;
        // On a file system without locks the replacement is still whole.
        let _ = held.lock();
        sweep_beside(&self.path);
        let text = self.text()?;
        if let Some(new) = change(&text)? {
            write_atomic_with(&self.path, 0o600, |file| {
                file.write_all(new.as_bytes())?;
                // A password that only the database knows would be lost with the power.
                file.sync_all()
            })
            .map_err(StoreError::from)?;
        }
        Ok(())
    }

    /// Sets secrets, each in its place, new ones at the end.
    pub fn set(&self, values: &[(String, String)]) -> Result<(), StoreError> {
        self.update(|text| {
            let mut text = text.to_owned();
            for (name, value) in values {
                text = self.with(&text, name, Some(value))?;
            }
            Ok(Some(text))
        })
    }

    /// The text with one secret set, or taken out.
    pub fn with(&self, text: &str, name: &str, value: Option<&str>) -> Result<String, StoreError> {
        let entries = self.parse(text)?;
        let mut new = String::with_capacity(text.len() + 64);
        let mut at = 0;
        let mut line = value.map(|value| dotenv_line(name, value));
        for entry in entries.iter().filter(|entry| entry.name == name) {
            new.push_str(&text[at..entry.lines.start]);
            at = entry.lines.end;
            // The first takes its place; others of the name would win over it.
            new.extend(line.take());
        }
        new.push_str(&text[at..]);
        if let Some(line) = line {
            if !new.is_empty() && !new.ends_with('\n') {
                new.push('\n');
            }
            new.push_str(&line);
        }
        Ok(new)
    }
}

fn private(path: &Path, mode: u32, wanted: u32) -> Result<(), StoreError> {
    let mode = mode & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let what = if mode & 0o044 != 0 { "read" } else { "change" };
    Err(StoreError::Exposed { what, path: path.to_path_buf(), mode, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn store() -> (tempfile::TempDir, FileStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::own(dir.path().join("secrets/dev.env"));
        (dir, store)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_set_is_read_back_and_the_rest_stays() {
        let (_dir, store) = store();
        assert_eq!(store.read().unwrap().len(), 0);
        store.set(&pairs(&[("A", "1"), ("B", "it's `x` $y \"z\"\nand \\n more")])).unwrap();
        store
            .update::<StoreError>(|text| Ok(Some(format!("# ours\n{text}# end\nexport C='3'\nA=again"))))
            .unwrap();
        store.set(&pairs(&[("A", "two words"), ("D", "")])).unwrap();
        assert_eq!(
            store.text().unwrap(),
            "# ours\nA='two words'\nB=\"it's \\`x\\` \\$y \\\"z\\\"\nand \\\\n more\"\n# end\nexport C='3'\nD=\n"
        );
        let read = store.read().unwrap();
        assert_eq!(read["B"], "it's `x` $y \"z\"\nand \\n more");
        assert_eq!(read["A"], "two words");
        assert_eq!(store.path().metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(store.path().parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn others_must_not_read_it() {
        let (_dir, store) = store();
        store.set(&pairs(&[("A", "secret-1")])).unwrap();
        std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = store.read().unwrap_err();
        assert!(error.to_string().contains("others can read"), "{error}");
        assert!(error.hint().unwrap().starts_with("`chmod 600 "));
        assert!(store.set(&pairs(&[("A", "2")])).is_err());
        std::fs::set_permissions(store.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        let folder = store.path().parent().unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(store.read().unwrap_err().hint().unwrap().starts_with("`chmod 700 "));
        // One that was made before, by hand or by a copy, is not written to either: nobody could read it again.
        store.remove().unwrap();
        assert!(store.set(&pairs(&[("A", "3")])).unwrap_err().hint().unwrap().starts_with("`chmod 700 "));
        assert!(!store.path().exists());
        // What is to be typed can be, whatever the path.
        let spaced =
            StoreError::Exposed { what: "read", path: "/a b/it's".into(), mode: 0o644, wanted: 0o600 };
        assert_eq!(spaced.hint().unwrap(), r"`chmod 600 '/a b/it'\''s'`");
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        let (_dir, store) = store();
        store.update::<StoreError>(|_| Ok(Some("A=1\nhunter2hunter2\n".into()))).unwrap();
        let error = store.read().unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn two_who_write_at_once_lose_nothing() {
        let (_dir, store) = store();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for at in 0..8 {
                        store.set(&[(format!("S_{thread}_{at}"), format!("value-{thread}-{at}"))]).unwrap();
                    }
                });
            }
        });
        let read = store.read().unwrap();
        assert_eq!(read.len(), 64);
        assert_eq!(read["S_3_7"], "value-3-7");
    }
}
