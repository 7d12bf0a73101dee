//! One command, from its start to the end of the last process in its group.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Environ, Processes, ProgramError, Shell};

/// A stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What to start.
#[derive(Debug, Clone, Copy)]
pub enum Invocation<'a> {
    /// Words, the first of which is a program: no shell.
    Argv(&'a [String]),
    /// Text for a shell; executed directly, with the same result, where it has no shell syntax.
    Shell {
        /// The text.
        text: &'a str,
        /// Which shell.
        shell: &'a Shell,
    },
}

/// Where the three standard streams of a command lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Io {
    /// Nothing to read; what it prints goes to the callback of [`run`].
    #[default]
    Captured,
    /// envrun's own three streams, in envrun's own process group, so that the keys of the terminal reach it. The
    /// callback hears nothing.
    Inherited,
}

/// A command, ready to be started.
#[derive(Debug, Clone, Copy)]
pub struct CommandSpec<'a> {
    /// What to start.
    pub invocation: Invocation<'a>,
    /// Where: an absolute path.
    pub dir: &'a Path,
    /// Every variable that it sees; its `PATH` is where programs are looked up.
    pub env: &'a Environ,
    /// Its standard streams.
    pub io: Io,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How long it has between SIGTERM and SIGKILL after its timeout.
    pub grace: Duration,
    /// It runs although the run was interrupted (once): `on-fail`, `stop`.
    pub cleanup: bool,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status; 0 is success.
    Status(i32),
    /// By this signal, which was not sent by envrun.
    Signal(i32),
    /// By envrun, because it took longer than its timeout.
    TimedOut,
    /// By envrun, or after it was told of an interrupt, whatever its status; or it was never started because of one.
    Cancelled,
}

impl Exit {
    /// Whether it did what it was there for.
    pub fn is_success(self) -> bool {
        self == Self::Status(0)
    }
}

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// It left processes behind in its process group, and these were ended.
    pub left_behind: bool,
}

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its program is not there, or cannot be executed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The folder it should run in is not there.
    #[error("the folder {} it should run in: {source}", dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A word or a variable holds a NUL, which no process can be given.
    #[error("{0} holds a NUL character")]
    Nul(String),
    /// Its words and variables are longer than the system takes.
    #[error("its words and variables are longer than the system takes ({bytes} bytes)")]
    TooLong {
        /// How long all are together.
        bytes: usize,
    },
    /// No more processes, files or memory.
    #[error("could not start {}: {source}", program.display())]
    Spawn {
        /// What should have been executed.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Program(error) => error.hint(),
            Self::Dir { .. } | Self::Nul(_) | Self::TooLong { .. } | Self::Spawn { .. } => None,
        }
    }
}

/// Runs a command and returns when it is over.
///
/// What it prints is handed to `output` as it comes, in order on each stream, cut where the pipe cut it. It is over when
/// its first process has ended: what that wrote is never lost, even when a background process keeps the pipe open; such
/// processes have a tenth of a second to end by themselves (`cmd > >(tee log)`) and are then killed.
pub fn run(
    spec: &CommandSpec<'_>,
    processes: &Processes,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, StartError> {
    super::first::run(spec, processes, output)
}
