//! One command, from its start to the end of the last process in its group.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios};
use serde::{Deserialize, Serialize};

use super::environ::CTexts;
use super::follow::{Pipes, follow};
use super::mark::{MOST_RUNS, Mark};
use super::pipe::pipe;
use super::spawn::{Start, Started, spawn};
use super::watch::notify::{Filter, Session};
use super::{Environ, Processes, ProgramError, Shell, Watch, files, program, simple};

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
    /// Whose command it is, for [`Processes::cancel`]; `None`: nobody's that can be cancelled by itself.
    pub owner: Option<u32>,
    /// What takes down every file it touches; `None`: nobody looks.
    pub watch: Option<&'a Watch>,
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
    /// A command of envrun runs envrun, and so on.
    #[error("envrun is run by a command of envrun, {MOST_RUNS} times over: a task runs itself")]
    Endless,
    /// Its words and variables are longer than the system takes.
    #[error("its words and variables are longer than the system takes ({bytes} bytes)")]
    TooLong {
        /// How long all are together.
        bytes: usize,
        /// The longest variable, where one is much of that.
        longest: Option<(String, usize)>,
    },
    /// It should be watched, and cannot be.
    #[error("its file accesses cannot be watched: {source}")]
    Watch {
        /// What the system said.
        source: io::Error,
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
            Self::Watch { source } if source.raw_os_error() == Some(libc::EBUSY) => Some(
                "somebody watches envrun itself already, and there can only be one: run it by itself".into(),
            ),
            Self::TooLong { longest: Some((name, bytes)), .. } => {
                Some(format!("`{name}` alone has {bytes} bytes: hand it over in a file"))
            }
            Self::Spawn { source, .. } if source.raw_os_error() == Some(libc::EMFILE) => Some(files::hint()),
            Self::Dir { .. }
            | Self::Nul(_)
            | Self::Endless
            | Self::TooLong { .. }
            | Self::Watch { .. }
            | Self::Spawn { .. } => None,
        }
    }
}

/// Runs a command and returns when it is over.
///
/// What it prints is handed to `output` as it comes, in order on each stream, cut where the pipe cut it. It is over when
/// its first process has ended: what that wrote is never lost, even when a background process keeps the pipe open; such
/// processes have a tenth of a second to end by themselves (`cmd > >(tee log)`) and are then killed.
///
/// What left its process group is let be if it ended well (a deploy may start a server), and ended too if it did not.
pub fn run(
    spec: &CommandSpec<'_>,
    processes: &Processes,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, StartError> {
    keep(spec, processes, &mut |_| {}, output)
}

/// As [`run`]; the number of its first process is told to `started` as soon as there is one.
pub fn keep(
    spec: &CommandSpec<'_>,
    processes: &Processes,
    started: &mut dyn FnMut(u32),
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, StartError> {
    run_from(spec, None, processes, started, output)
}

/// As [`run`], with `input` to read from its standard input. What it does not read is lost.
pub fn run_fed(
    spec: &CommandSpec<'_>,
    input: &[u8],
    processes: &Processes,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, StartError> {
    let fail = |error: rustix::io::Errno| StartError::Spawn {
        program: "its standard input".into(),
        source: error.into(),
    };
    let (read, write) = pipe().map_err(fail)?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that does not want to hear it all has closed its end.
            let _ = io::Write::write_all(&mut std::fs::File::from(write), input);
        });
        run_from(spec, Some(read), processes, &mut |_| {}, output)
    })
}

/// Runs a command that reads from `input`, or nothing.
fn run_from(
    spec: &CommandSpec<'_>,
    input: Option<OwnedFd>,
    processes: &Processes,
    started: &mut dyn FnMut(u32),
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, StartError> {
    if !processes.admits(spec.cleanup, spec.owner) {
        return Ok(Ended { exit: Exit::Cancelled, left_behind: false });
    }
    if processes.run().is_too_deep() {
        return Err(StartError::Endless);
    }
    if let Some(name) = spec.env.nul() {
        return Err(StartError::Nul(format!("the variable `{name}`")));
    }
    match spec.watch {
        None => run_with(spec, None, input, processes, started, output),
        Some(watch) => {
            let (session, filter) = Session::begin(watch).map_err(|source| StartError::Watch { source })?;
            let ended = std::thread::scope(|scope| {
                scope.spawn(|| session.serve(watch));
                run_with(spec, Some(filter), input, processes, started, output)
            });
            match watch.refused() {
                Some(source) => Err(StartError::Watch { source }),
                None => ended,
            }
        }
    }
}

/// Runs a command; with a filter, one that is watched.
fn run_with(
    spec: &CommandSpec<'_>,
    filter: Option<Filter>,
    input: Option<OwnedFd>,
    processes: &Processes,
    tell: &mut dyn FnMut(u32),
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, StartError> {
    let _lent = (spec.io == Io::Inherited).then(|| processes.lend()).flatten();
    let terminal = (spec.io == Io::Inherited).then(Terminal::save).flatten();
    let handed_over = (spec.io == Io::Inherited).then(|| processes.hand_over());
    let (number, mark) = processes.number();
    let (started, pipes, _script) = Launch::new(spec, processes)?.start(mark, filter.as_ref(), input)?;
    // The thread that watches waits for this end of its pipe too.
    let is_watched = filter.map(drop).is_some();
    let running = processes.enter(number, started.pid, spec);
    tell(started.pid.as_raw_nonzero().get().unsigned_abs());
    let ended = follow(&running, started.ending.as_ref(), pipes, (spec.timeout, spec.grace), output);
    if let Some(handed_over) = handed_over {
        handed_over.end(ended.exit.is_success());
    }
    if is_watched {
        // Nobody answers for them any longer.
        running.end_strays(Duration::ZERO);
    }
    if let (Some(terminal), false) = (terminal, matches!(ended.exit, Exit::Status(_))) {
        terminal.restore();
    }
    Ok(ended)
}

/// How the terminal was before a command had it: one that is killed (an editor, a password prompt) leaves it as it was
/// in the middle of its work, where keys are not shown.
struct Terminal(Termios);

impl Terminal {
    fn save() -> Option<Self> {
        rustix::termios::tcgetattr(rustix::stdio::stdin()).ok().map(Self)
    }

    fn restore(&self) {
        let stdin = rustix::stdio::stdin();
        // Who is not in the foreground is stopped for trying.
        if rustix::termios::tcgetpgrp(stdin).is_ok_and(|group| group == rustix::process::getpgrp()) {
            let _ = rustix::termios::tcsetattr(stdin, OptionalActions::Now, &self.0);
        }
    }
}

/// The longest word that the system takes (Linux: 32 pages).
const LONGEST: usize = 128 * 1024 - 1;

/// A command on its way to being a process.
struct Launch<'a> {
    spec: &'a CommandSpec<'a>,
    processes: &'a Processes,
    program: Arc<Path>,
    argv: CTexts,
    /// Shell text that is too long for a word. Held open until the command is over: the shell reads it by a path that
    /// leads through envrun.
    script: Option<OwnedFd>,
}

impl<'a> Launch<'a> {
    fn new(spec: &'a CommandSpec<'a>, processes: &'a Processes) -> Result<Self, StartError> {
        let mut launch =
            Self { spec, processes, program: Path::new("").into(), argv: CTexts::default(), script: None };
        match spec.invocation {
            Invocation::Argv(words) => launch.words(words.iter().map(String::as_str))?,
            Invocation::Shell { text, shell } => {
                match shell.is_direct(spec.env).then(|| simple(text)).flatten() {
                    Some(words) => launch.words(words.iter().map(String::as_str))?,
                    None if text.len() > LONGEST => {
                        let path = launch.script(text)?;
                        launch.words(shell.words().chain([path.as_str()]))?;
                    }
                    None => launch.words(shell.words().chain(["-c", text]))?,
                }
            }
        }
        Ok(launch)
    }

    fn words<'w>(&mut self, words: impl Iterator<Item = &'w str>) -> Result<(), StartError> {
        let mut words = words.peekable();
        let program = words.peek().copied().unwrap_or_default();
        self.program =
            self.processes.programs().find(program.as_ref(), self.spec.env.get("PATH"), self.spec.dir)?;
        for word in words {
            if !self.argv.push(&[word.as_bytes()]) {
                return Err(StartError::Nul(format!("`{}`", word.replace('\0', "\u{2400}"))));
            }
        }
        Ok(())
    }

    /// Puts shell text into a file that is nowhere, and says by which path it can be read.
    #[cfg(target_os = "linux")]
    fn script(&mut self, text: &str) -> Result<String, StartError> {
        use rustix::fs::MemfdFlags;
        let fail = |source| StartError::Spawn { program: "a file for its text".into(), source };
        let fd =
            rustix::fs::memfd_create("script", MemfdFlags::CLOEXEC).map_err(|error| fail(error.into()))?;
        let mut file = std::fs::File::from(fd);
        io::Write::write_all(&mut file, text.as_bytes()).map_err(fail)?;
        let fd = OwnedFd::from(file);
        let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&fd));
        self.script = Some(fd);
        Ok(path)
    }

    #[cfg(not(target_os = "linux"))]
    fn script(&mut self, text: &str) -> Result<String, StartError> {
        Err(StartError::TooLong { bytes: text.len(), longest: None })
    }

    /// Starts it: the process, what it prints, and its script.
    fn start(
        mut self,
        mark: Mark,
        filter: Option<&Filter>,
        input: Option<OwnedFd>,
    ) -> Result<(Started, Option<Pipes>, Option<OwnedFd>), StartError> {
        let program = Arc::clone(&self.program);
        let fail = |source| StartError::Spawn { program: program.to_path_buf(), source };
        let null = self.processes.null().map_err(fail)?;
        let pipes = match self.spec.io {
            Io::Captured => Some(Pipes::new().map_err(fail)?),
            Io::Inherited => None,
        };
        let (pipes, ends) = pipes.unzip();
        let stdin = input.as_ref().map_or(null, OwnedFd::as_fd);
        let streams = ends.as_ref().map(|[out, err]| [stdin, out.as_fd(), err.as_fd()]);
        let dir = self.spec.dir.as_os_str().as_bytes();
        let (mut pwd, mut tries) = (CTexts::default(), 0);
        if !pwd.push(&[b"PWD=", dir]) {
            return Err(StartError::Nul(format!("the folder {}", self.spec.dir.display())));
        }
        let pwd = pwd.iter().next().expect("one was pushed");
        loop {
            let program = CString::new(self.program.as_os_str().as_bytes())
                .map_err(|_| StartError::Nul(format!("`{}`", self.program.display())))?;
            let start = Start {
                program: &program,
                argv: &self.argv,
                env: self.spec.env.texts(),
                pwd,
                dir: CStr::from_bytes_with_nul(&pwd.to_bytes_with_nul()[4..])
                    .expect("the end of a text is one"),
                streams,
                mark,
                files: files::of_commands(),
                filter,
            };
            let error = match spawn(&start) {
                Ok(started) => return Ok((started, pipes, self.script)),
                Err(error) => error,
            };
            match error.raw_os_error() {
                // Another thread is between making a file and closing it, in a child that is not yet a program.
                Some(libc::ETXTBSY) if tries < 10 => {
                    std::thread::sleep(Duration::from_millis(1 << tries));
                    tries += 1;
                }
                // A script without a `#!` line is a script of the shell, as every shell has it.
                Some(libc::ENOEXEC) if tries < 10 && program::is_text(&self.program) => {
                    tries = 10;
                    self.through_shell();
                }
                // It was there when an earlier command was looked up.
                Some(libc::ENOENT) if self.is_gone() => tries += 1,
                _ => return Err(self.why(error)),
            }
        }
    }

    /// Whether the program was found before, is not there any longer, and is found elsewhere.
    fn is_gone(&mut self) -> bool {
        let Some(name) = self.argv.iter().next().map(|name| OsStr::from_bytes(name.to_bytes())) else {
            return false;
        };
        if self.program.exists() || !self.processes.programs().forget(name) {
            return false;
        }
        let found = self.processes.programs().find(name, self.spec.env.get("PATH"), self.spec.dir);
        found.map(|found| self.program = found).is_ok()
    }

    /// Gives the program, which is a script, to the shell.
    fn through_shell(&mut self) {
        let words = std::mem::take(&mut self.argv);
        self.argv.push(&[b"sh"]);
        self.argv.push(&[self.program.as_os_str().as_bytes()]);
        for word in words.iter().skip(1) {
            self.argv.push(&[word.to_bytes()]);
        }
        self.program = Path::new("/bin/sh").into();
    }

    /// What is wrong, now that the system has refused.
    fn why(&self, source: io::Error) -> StartError {
        // With the dot: it must be a folder, and one that may be entered.
        if let Err(source) = std::fs::metadata(self.spec.dir.join(".")) {
            return StartError::Dir { dir: self.spec.dir.to_path_buf(), source };
        }
        if source.raw_os_error() == Some(libc::E2BIG) {
            let bytes = self.argv.size() + self.spec.env.texts().size();
            let longest = self.spec.env.iter().max_by_key(|(_, value)| value.len());
            let longest = longest.map(|(name, value)| (name.to_string_lossy().into_owned(), value.len()));
            let longest = longest.filter(|(_, length)| *length > bytes / 4);
            return StartError::TooLong { bytes, longest };
        }
        match program::diagnose(&self.program, &source) {
            Some(error) => error.into(),
            None => StartError::Spawn { program: self.program.to_path_buf(), source },
        }
    }
}
