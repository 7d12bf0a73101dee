//! Where Envfiles are read from: the disk, or a test's hand.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A source of texts.
#[derive(Debug, Clone, Default)]
pub enum Texts {
    /// The file system.
    #[default]
    Disk,
    /// The file system, and a note of every path that was asked for, there or not.
    Watched(Arc<Mutex<BTreeSet<PathBuf>>>),
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
    pub(super) fn note(&self, path: &Path) {
        if let Self::Watched(paths) = self {
            paths.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf());
        }
    }

    /// What a file says.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        self.note(path);
        match self {
            Self::Disk | Self::Watched(_) => {
                let bytes = std::fs::read(path).map_err(|error| match std::fs::read_link(path) {
                    Ok(target) if error.kind() == io::ErrorKind::NotFound => io::Error::new(
                        error.kind(),
                        format!("it is a link to {}, which is not there", target.display()),
                    ),
                    _ => error,
                })?;
                String::from_utf8(bytes).map_err(|error| not_text(&error))
            }
            Self::Memory(files) => {
                files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            }
        }
    }

    /// Whether there is a link that leads to nothing.
    pub fn is_dangling(&self, path: &Path) -> bool {
        match self {
            Self::Disk | Self::Watched(_) => path.is_symlink() && !path.exists(),
            Self::Memory(_) => false,
        }
    }

    /// Whether there is a file.
    pub fn is_file(&self, path: &Path) -> bool {
        self.note(path);
        match self {
            Self::Disk | Self::Watched(_) => path.is_file(),
            Self::Memory(files) => files.contains_key(path),
        }
    }

    /// Whether there is a folder.
    pub fn is_dir(&self, path: &Path) -> bool {
        self.note(path);
        match self {
            Self::Disk | Self::Watched(_) => path.is_dir(),
            Self::Memory(files) => files.keys().any(|file| file != path && file.starts_with(path)),
        }
    }

    /// What lies in a folder, sorted by name; names that are not UTF-8 cannot be written in an Envfile and are left out.
    pub fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.note(dir);
        let mut found: Vec<Listed> = match self {
            Self::Disk | Self::Watched(_) => std::fs::read_dir(dir)?
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
            Self::Disk | Self::Watched(_) => {
                std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
            }
            Self::Memory(_) => path.to_path_buf(),
        }
    }
}

/// What is wrong with bytes that are no text, with their place.
fn not_text(error: &std::string::FromUtf8Error) -> io::Error {
    let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
    let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    let begin = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let column = 1 + String::from_utf8_lossy(&bytes[begin..at]).chars().count();
    let byte = bytes.get(at).copied().unwrap_or_default();
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("line {line}, column {column}: the byte 0x{byte:02x} is no UTF-8; save the file as UTF-8"),
    )
}
