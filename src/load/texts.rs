//! Where Envfiles are read from: the disk, or a test's hand.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A source of texts.
#[derive(Debug, Clone, Default)]
pub enum Texts {
    /// The file system.
    #[default]
    Disk,
    /// Files by path, and the folders that these paths have; for tests.
    Memory(BTreeMap<PathBuf, String>),
}

/// What lies in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name there.
    pub name: String,
    /// It is a folder.
    pub is_dir: bool,
}

impl Texts {
    /// What a file says.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        match self {
            Self::Disk => std::fs::read_to_string(path),
            Self::Memory(files) => {
                files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            }
        }
    }

    /// Whether there is a file.
    pub fn is_file(&self, path: &Path) -> bool {
        match self {
            Self::Disk => path.is_file(),
            Self::Memory(files) => files.contains_key(path),
        }
    }

    /// Whether there is a folder.
    pub fn is_dir(&self, path: &Path) -> bool {
        match self {
            Self::Disk => path.is_dir(),
            Self::Memory(files) => files.keys().any(|file| file != path && file.starts_with(path)),
        }
    }

    /// What lies in a folder, sorted by name; names that are not UTF-8 cannot be written in an Envfile and are left out.
    pub fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut found: Vec<Listed> = match self {
            Self::Disk => std::fs::read_dir(dir)?
                .filter_map(|entry| {
                    let entry = entry.ok()?;
                    let name = entry.file_name().into_string().ok()?;
                    Some(Listed { name, is_dir: entry.path().is_dir() })
                })
                .collect(),
            Self::Memory(files) => files
                .keys()
                .filter_map(|file| {
                    let mut rest = file.strip_prefix(dir).ok()?.components();
                    let Component::Normal(name) = rest.next()? else { return None };
                    Some(Listed { name: name.to_str()?.to_owned(), is_dir: rest.next().is_some() })
                })
                .collect(),
        };
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The one path of a file or folder that can be reached by several.
    pub fn identity(&self, path: &Path) -> PathBuf {
        match self {
            Self::Disk => std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()),
            Self::Memory(_) => path.to_path_buf(),
        }
    }
}
