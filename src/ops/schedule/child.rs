//! One run of a schedule: a process of its own, and what came of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Timestamp};
use crate::exec::{self, CommandSpec, Environ, Exit, Invocation, Io, Processes, Stream};
use crate::record::{Recorded, RunId};
use crate::report::failure_words;
use crate::schedule::Went;
use crate::secret::Redactor;

use crate::ops::Context;

/// How long a run has to end when the runner is told to stop harder.
const GRACE: Duration = Duration::from_secs(10);

/// The most that is kept of what a run says on its standard error.
const HEARD: usize = 16 * 1024;

/// What every run needs.
#[derive(Debug)]
pub(super) struct Around {
    program: String,
    root: PathBuf,
    file: PathBuf,
    env: Environ,
    clock: Clock,
    redactor: Redactor,
    pub(super) processes: Arc<Processes>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub(super) struct Result {
    pub(super) went: Went,
    pub(super) took: Duration,
    pub(super) run: Option<String>,
    pub(super) why: Option<String>,
}

impl Around {
    pub(super) fn new(context: &Context, root: &Path, file: &Path, processes: Arc<Processes>) -> Self {
        Self {
            program: context.program.to_string_lossy().into_owned(),
            root: root.to_path_buf(),
            file: file.to_path_buf(),
            env: Environ::new(&context.caller),
            clock: context.clock.clone(),
            redactor: context.redactor.clone(),
            processes,
        }
    }

    /// Runs `label`, and says what came of it.
    pub(super) fn run(&self, label: &str) -> Result {
        let began = self.clock.now();
        let words: Vec<String> =
            [&self.program, "-f", &self.file.to_string_lossy(), "run", "-o", "json", label]
                .map(str::to_owned)
                .into();
        let spec = CommandSpec {
            invocation: Invocation::Argv(&words),
            dir: &self.root,
            env: &self.env,
            io: Io::Captured,
            timeout: None,
            grace: GRACE,
            cleanup: false,
            owner: None,
            watch: None,
        };
        let (mut first, mut errors) = (FirstLine::default(), Vec::new());
        let ended = exec::run(&spec, &self.processes, &mut |stream, bytes| match stream {
            Stream::Stdout => first.hear(bytes),
            Stream::Stderr => {
                let room = HEARD.saturating_sub(errors.len());
                errors.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        });
        let took = self.clock.now().since(began);
        let run = first.run();
        let (went, why) = match ended {
            Ok(ended) => match ended.exit {
                Exit::Status(status) => {
                    let went = Went::of(status);
                    (went, (went != Went::Succeeded).then(|| self.why(&run, &errors, status)))
                }
                Exit::Cancelled => (Went::Interrupted, None),
                Exit::Signal(signal) => (Went::Failed, Some(format!("envrun was ended by signal {signal}"))),
                Exit::TimedOut => (Went::Failed, None),
            },
            Err(error) => (Went::Failed, Some(format!("envrun could not be started: {error}"))),
        };
        let why = why.map(|why| self.redactor.text(&why).into_owned());
        Result { went, took, run, why }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Why it did not come out well: what failed in its record, or else the first thing that it said.
    fn why(&self, run: &Option<String>, errors: &[u8], status: i32) -> String {
        let recorded = run.as_ref().and_then(|run| Recorded::open(&self.root, run).ok()?.state().ok());
        let failed = recorded.as_ref().and_then(|state| {
            let failed = state.failures().first()?;
            let more = state.failures().len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            Some(format!("`{}`: {}{more}", state.label(failed.node), failure_words(&failed.failure)))
        });
        let said = || {
            let text = String::from_utf8_lossy(errors);
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let said = lines.clone().find_map(|line| line.strip_prefix("error: "));
            said.or_else(|| lines.next()).map(str::to_owned)
        };
        failed.or_else(said).unwrap_or_else(|| format!("exit status {status}"))
    }
}

/// The first line of what a run tells, which names its record; the rest is in there.
#[derive(Debug, Default)]
struct FirstLine {
    bytes: Vec<u8>,
    is_whole: bool,
}

impl FirstLine {
    fn hear(&mut self, bytes: &[u8]) {
        if self.is_whole {
            return;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.is_whole = end.is_some();
        self.bytes.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
    }

    fn run(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Started {
            run: String,
        }
        let started: Started = serde_json::from_slice(&self.bytes).ok()?;
        RunId::parse(&started.run).map(|id| id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::FirstLine;

    #[test]
    fn the_first_line_names_the_run_however_it_comes() {
        let mut first = FirstLine::default();
        for bytes in [
            &b"{\"event\":\"run-started\",\"run\":\"20261121-"[..],
            b"095022-1b15\"}\n{\"run\":",
            b"\"x\"}\n",
        ] {
            first.hear(bytes);
        }
        assert_eq!(first.run().as_deref(), Some("20261121-095022-1b15"));
        let mut other = FirstLine::default();
        other.hear(b"warning: something\n");
        assert_eq!(other.run(), None);
    }
}
