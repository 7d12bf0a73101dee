//! Finds programs, as `which` does, once per run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Programs already found. One for a whole run; shared by all threads.
#[derive(Debug, Default)]
pub struct Programs {}

/// Why a program cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// Nothing of that name on the PATH.
    #[error("`{program}` was not found; PATH is {path}")]
    NotFound {
        /// What was looked for.
        program: String,
        /// Where.
        path: String,
        /// The program on that PATH with the nearest name.
        nearest: Option<String>,
    },
    /// A path that leads nowhere.
    #[error("there is no {}", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// There is such a file, and it may not be executed.
    #[error("{} is not executable", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It is a folder.
    #[error("{} is a folder", path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
    },
    /// It is a script whose `#!` line names a program that is not there.
    #[error("{} begins with `#!{interpreter}`, and that is not there", path.display())]
    Interpreter {
        /// The script.
        path: PathBuf,
        /// What its first line names.
        interpreter: String,
    },
    /// It is a program for another system.
    #[error("{} is not a program for this system", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
}

impl ProgramError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::NotExecutable { path } => Some(format!("`chmod +x {}`", path.display())),
            _ => None,
        }
    }
}

impl Programs {
    /// The absolute path of `program` for a command that runs in `dir` with this `PATH`.
    pub fn find(&self, program: &OsStr, path: Option<&OsStr>, dir: &Path) -> Result<Arc<Path>, ProgramError> {
        which::which_in(program, path, dir).map(Arc::from).map_err(|_| ProgramError::NotFound {
            program: program.to_string_lossy().into_owned(),
            path: path.unwrap_or_default().to_string_lossy().into_owned(),
            nearest: None,
        })
    }
}
