//! Finds programs, as `which` does, once per run; and says what is wrong with those that cannot be executed.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::vars::write::shell_word;

/// Programs already found. One for a whole run; shared by all threads.
///
/// Only what was found is kept: a task may build the tool that a later one calls.
#[derive(Debug, Default)]
pub struct Programs {
    found: Mutex<HashMap<OsString, Vec<Found>>>,
}

#[derive(Debug)]
struct Found {
    /// The PATH it was found on.
    on: OsString,
    /// For a PATH with relative folders, where these begin.
    from: Option<PathBuf>,
    path: Arc<Path>,
}

/// Why a program cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// Nothing of that name on the PATH.
    #[error("`{program}` was not found; looked in PATH={path}")]
    NotFound {
        /// What was looked for.
        program: String,
        /// Where.
        path: String,
        /// The program on that PATH with the nearest name.
        nearest: Option<String>,
    },
    /// A path that leads nowhere.
    #[error("there is no `{}`", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// There is such a file, and it may not be executed.
    #[error("`{}` is not executable", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It is a folder.
    #[error("`{}` is a folder", path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
    },
    /// It is a script whose `#!` line names a program that is not there.
    #[error("`{}` begins with `#!{interpreter}`, which is not there", path.display())]
    Interpreter {
        /// The script.
        path: PathBuf,
        /// What its first line names.
        interpreter: String,
    },
    /// It is a program whose loader is not there.
    #[error("`{}` needs a loader that is not there: it was made for another system", path.display())]
    Loader {
        /// The file.
        path: PathBuf,
    },
    /// It is a program for another system, or none.
    #[error("`{}` is not a program for this system", path.display())]
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
            Self::NotExecutable { path } => {
                Some(format!("`chmod +x {}`", shell_word(&path.to_string_lossy())))
            }
            Self::Interpreter { interpreter, .. } if interpreter.ends_with('\r') => {
                Some("its lines end in CR LF; save it with LF alone".to_owned())
            }
            _ => None,
        }
    }
}

impl Programs {
    /// The absolute path of `program` for a command that runs in `dir` with this `PATH`. What is a path already is only made
    /// absolute: whether it can be executed is told by executing it.
    pub fn find(&self, program: &OsStr, path: Option<&OsStr>, dir: &Path) -> Result<Arc<Path>, ProgramError> {
        if program.as_bytes().contains(&b'/') {
            // `./x` in /a is /a/x to those who read of it.
            let program = Path::new(program);
            return Ok(dir.join(program.strip_prefix(".").unwrap_or(program)).into());
        }
        let on = path.unwrap_or_default();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |found: &&Found| found.on == on && found.from.as_deref().is_none_or(|from| from == dir);
        if let Some(known) = found.get(program).and_then(|all| all.iter().find(same)) {
            return Ok(Arc::clone(&known.path));
        }
        match which::which_in(program, Some(on), dir) {
            Ok(file) if !program.is_empty() => {
                let path: Arc<Path> = file.into();
                let relative = std::env::split_paths(on).any(|folder| folder.is_relative());
                let from = relative.then(|| dir.to_path_buf());
                let known = Found { on: on.to_owned(), from, path: Arc::clone(&path) };
                found.entry(program.to_owned()).or_default().push(known);
                Ok(path)
            }
            _ => Err(not_found(program, on, dir)),
        }
    }

    /// Forgets where `program` was found: it is not there any longer.
    pub(super) fn forget(&self, program: &OsStr) -> bool {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(program).is_some()
    }
}

/// Says why nothing was found: a file of that name that cannot be executed, or the nearest name of one that can.
fn not_found(program: &OsStr, on: &OsStr, dir: &Path) -> ProgramError {
    let mut names = BTreeSet::new();
    for folder in std::env::split_paths(on) {
        let path = dir.join(folder).join(program);
        if !program.is_empty() && path.is_file() {
            return ProgramError::NotExecutable { path };
        }
        for entry in std::fs::read_dir(path.parent().unwrap_or(dir)).into_iter().flatten().flatten() {
            names.extend(entry.file_name().into_string());
        }
    }
    let program = program.to_string_lossy().into_owned();
    let distance = |name: &String| strsim::damerau_levenshtein(name, &program);
    // A third of the letters may be wrong: `nod` is `node`, `xyz` is not `xxd`.
    let near = |(distance, _): &(usize, &String)| *distance * 3 <= program.chars().count();
    let mut near: Vec<_> = names.iter().map(|name| (distance(name), name)).filter(near).collect();
    near.sort_unstable();
    let can_run = |name: &&String| which::which_in(name, Some(on), dir).is_ok();
    let nearest = near.into_iter().map(|(_, name)| name).find(can_run).cloned();
    ProgramError::NotFound { program, path: on.to_string_lossy().into_owned(), nearest }
}

/// What is wrong with a program that the system refused to execute; `None` if it is not the program.
pub(super) fn diagnose(path: &Path, refusal: &io::Error) -> Option<ProgramError> {
    let path = path.to_path_buf();
    let Ok(file) = std::fs::metadata(&path) else {
        return matches!(refusal.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
            .then_some(ProgramError::NoFile { path });
    };
    if file.is_dir() {
        return Some(ProgramError::Directory { path });
    }
    match refusal.raw_os_error() {
        Some(libc::ENOENT) => Some(match interpreter(&path) {
            Some(interpreter) => ProgramError::Interpreter { path, interpreter },
            None => ProgramError::Loader { path },
        }),
        Some(libc::EACCES) => Some(ProgramError::NotExecutable { path }),
        Some(libc::ENOEXEC) => Some(ProgramError::Format { path }),
        _ => None,
    }
}

/// The first bytes of a file.
fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    let _ = std::fs::File::open(path).and_then(|file| file.take(256).read_to_end(&mut head));
    head
}

/// The program that the first line of a script names.
fn interpreter(path: &Path) -> Option<String> {
    let head = head(path);
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    Some(line.trim_matches([' ', '\t']).split([' ', '\t']).next()?.to_owned())
}

/// Whether a file that is no program could be a script of the shell. Shells ask the same: no NUL in its first line.
pub(super) fn is_text(path: &Path) -> bool {
    let head = head(path);
    !head.split(|byte| *byte == b'\n').next().unwrap_or_default().contains(&0)
}
