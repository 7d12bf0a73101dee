//! One `git` command at a time, with a limit, and nothing of the caller's that could lead it astray.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::RefError;

/// Variables by which a caller (a git hook, mostly) points git to another repository or index than the one at hand.
const ASTRAY: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// What a record's commit is signed with: who did it stands in the record, and a CI machine has no name of its own.
const WHO: &[(&str, &str)] = &[
    ("GIT_AUTHOR_NAME", "envrun"),
    ("GIT_AUTHOR_EMAIL", "envrun@localhost"),
    ("GIT_COMMITTER_NAME", "envrun"),
    ("GIT_COMMITTER_EMAIL", "envrun@localhost"),
];

/// The `git` command in one repository.
#[derive(Debug, Clone)]
pub(super) struct Git {
    root: PathBuf,
    limit: Duration,
}

/// What a command that ended said.
pub(super) struct Said {
    /// Whether its status was 0.
    pub good: bool,
    /// Its standard output.
    pub out: Vec<u8>,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// The output as one trimmed text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim().to_owned()
    }

    /// The line of standard error that says why: the first one that git itself calls fatal, an error or a rejection,
    /// else the first.
    pub(super) fn reason(&self) -> String {
        let lines = || self.err.lines().map(str::trim).filter(|line| !line.is_empty());
        let telling = lines().find(|line| {
            line.starts_with("fatal:") || line.starts_with("error:") || line.contains("rejected]")
        });
        let line = telling.or_else(|| lines().next()).unwrap_or("it said nothing");
        line.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned()
    }
}

impl Git {
    pub(super) fn new(root: &Path, limit: Duration) -> Self {
        Self { root: root.to_path_buf(), limit }
    }

    /// Runs a command that has to succeed, and gives its output, trimmed.
    pub(super) fn ask(&self, args: &[&str]) -> Result<String, RefError> {
        self.feed(args, &[], &[]).map(|said| said.text())
    }

    /// Runs a command that has to succeed, with standard input and variables of its own.
    pub(super) fn feed(
        &self,
        args: &[&str],
        input: &[u8],
        variables: &[(&str, &OsStr)],
    ) -> Result<Said, RefError> {
        let said = self.run(args, input, variables)?;
        if said.good {
            return Ok(said);
        }
        if said.err.contains("not a git repository") {
            return Err(RefError::NoRepository);
        }
        Err(RefError::Git { command: args.join(" "), reason: said.reason() })
    }

    /// Runs a command to its end, however it ends.
    pub(super) fn run(
        &self,
        args: &[&str],
        input: &[u8],
        variables: &[(&str, &OsStr)],
    ) -> Result<Said, RefError> {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.root);
        ASTRAY.iter().for_each(|name| _ = command.env_remove(name));
        command.envs(WHO.iter().copied());
        // Nobody sits there to answer, and a question that nobody sees would hang for ever.
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
        command.envs(variables.iter().map(|(name, value)| (OsString::from(name), value.to_os_string())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: std::io::Error| RefError::Git {
            command: args.join(" "),
            reason: format!("it could not be started: {error}"),
        };
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let input = input.to_vec();
        let id = child.id();
        let (send, receive) = mpsc::channel();
        // Threads of their own, because a command may fill its output before it has read its input, and may never end.
        std::thread::spawn(move || {
            if let Some(mut stdin) = stdin {
                // A command that does not want all of its input says why by itself.
                let _ = stdin.write_all(&input);
            }
        });
        std::thread::spawn(move || {
            let _ = send.send(child.wait_with_output());
        });
        match receive.recv_timeout(self.limit) {
            Ok(Ok(Output { status, stdout, stderr })) => Ok(Said {
                good: status.success(),
                out: stdout,
                err: String::from_utf8_lossy(&stderr).into_owned(),
            }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => {
                // It was not waited for yet, so the id is still its own. What it started ends with its pipes.
                if let Some(pid) = rustix::process::Pid::from_raw(id.cast_signed()) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
                Err(RefError::Timeout { command: args.join(" "), limit: self.limit })
            }
        }
    }
}
