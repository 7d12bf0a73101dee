//! Everything ambient, gathered once by the program's edge and handed in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::base::Clock;
use crate::preflight::person;
use crate::secret::Redactor;

/// What surrounds the program: folders, the caller's variables, the clock, the machine.
#[derive(Debug, Clone)]
pub struct Context {
    /// The folder it was started in.
    pub cwd: PathBuf,
    /// envrun itself: what keeps the services of an environment is started from it.
    pub program: PathBuf,
    /// The variables of the caller.
    pub caller: BTreeMap<OsString, OsString>,
    /// Where results are kept: `$ENVRUN_CACHE_DIR`, `$XDG_CACHE_HOME/envrun` or `~/.cache/envrun`.
    pub cache_dir: PathBuf,
    /// What hides secrets in everything that is said.
    pub redactor: Redactor,
    /// The time of day.
    pub clock: Clock,
    /// The host's name.
    pub host: String,
    /// Tells how many commands may run at once unless told otherwise. Asked only by who runs some: to find out takes a dozen
    /// system calls.
    pub cores: fn() -> usize,
}

impl Context {
    /// Who is at work in the project at `root`.
    pub fn person(&self, root: &Path) -> String {
        person(root, &|name| self.caller_text(name))
    }

    /// The caller's value of a variable, if it is UTF-8.
    pub fn caller_text(&self, name: &str) -> Option<String> {
        self.caller.get(OsStr::new(name))?.to_str().map(str::to_owned)
    }
}
