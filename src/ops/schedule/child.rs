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

    /// Runs `label`, and says what came of it. It is told what failed if it is called because of that.
    pub(super) fn run(&self, label: &str, because: Option<(&str, &Result)>) -> Result {
        let mut env = self.env.clone();
        if let Some((failed, Result { run, why, .. })) = because {
            env.set("ENVRUN_FAILED", failed);
            env.set("ENVRUN_REASON", why.as_deref().unwrap_or_default());
            env.set("ENVRUN_FAILED_RUN", run.as_deref().unwrap_or_default());
        }
        let began = self.clock.now();
        let words: Vec<String> =
            [&self.program, "-f", &self.file.to_string_lossy(), "run", "-o", "json", label]
                .map(str::to_owned)
                .into();
        let spec = CommandSpec {
            invocation: Invocation::Argv(&words),
            dir: &self.root,
            env: &env,
            io: Io::Captured,
            timeout: None,
            grace: GRACE,
            cleanup: false,
            owner: None,
            watch: None,
        };
        let (mut heard, mut errors) = (Heard::default(), Vec::new());
        let ended = exec::run(&spec, &self.processes, &mut |stream, bytes| match stream {
            Stream::Stdout => heard.hear(bytes),
            Stream::Stderr => {
                let room = HEARD.saturating_sub(errors.len());
                errors.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        });
        let took = self.clock.now().since(began);
        let run = heard.run.take();
        let (went, why) = match ended {
            Ok(ended) => match ended.exit {
                Exit::Status(0) if heard.is_skipped() => (Went::Skipped, None),
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

/// What is taken of the events that a run tells: the name of its record, and whether it did anything. All else is in there.
#[derive(Debug, Default)]
struct Heard {
    line: Vec<u8>,
    run: Option<String>,
    /// Nodes that were skipped.
    skipped: usize,
    /// Nodes that ended in any other way, but for those that others stand for.
    others: usize,
}

/// Lines that say how a node ended and are longer than this carry what it printed: it was not skipped.
const LONGEST: usize = 64 * 1024;

impl Heard {
    fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // The first line lists all nodes, and is read whatever it takes.
            if self.run.is_none() || self.line.len() < LONGEST {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                self.take_line();
                self.line.clear();
            }
        }
    }

    fn take_line(&mut self) {
        #[derive(serde::Deserialize)]
        struct Line {
            event: String,
            run: Option<String>,
            outcome: Option<Outcome>,
        }
        #[derive(serde::Deserialize)]
        struct Outcome {
            kind: String,
        }
        let is_wanted = |line: &[u8]| {
            let beginning = &line[..line.len().min(128)];
            ["run-started", "node-finished"]
                .iter()
                .any(|event| beginning.windows(event.len()).any(|window| window == event.as_bytes()))
        };
        if !is_wanted(&self.line) {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(&self.line) else {
            self.others += 1;
            return;
        };
        match (line.event.as_str(), line.outcome) {
            ("run-started", _) => {
                self.run = line.run.and_then(|run| RunId::parse(&run)).map(|id| id.to_string());
            }
            ("node-finished", Some(outcome)) => match outcome.kind.as_str() {
                "skipped" => self.skipped += 1,
                "grouped" => {}
                _ => self.others += 1,
            },
            _ => {}
        }
    }

    /// Whether all that the run did was to find that nothing was to be done.
    fn is_skipped(&self) -> bool {
        self.skipped > 0 && self.others == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Heard;

    const STARTED: &[u8] =
        b"{\"seq\":0,\"event\":\"run-started\",\"run\":\"20261121-095022-1b15\",\"nodes\":[]}\n";

    fn finished(kind: &str) -> String {
        format!("{{\"seq\":1,\"event\":\"node-finished\",\"node\":0,\"outcome\":{{\"kind\":\"{kind}\"}}}}\n")
    }

    #[test]
    fn the_record_is_named_however_the_bytes_come() {
        for size in [1, 7, 1000] {
            let mut heard = Heard::default();
            STARTED.chunks(size).for_each(|piece| heard.hear(piece));
            assert_eq!(heard.run.as_deref(), Some("20261121-095022-1b15"));
        }
        let mut other = Heard::default();
        other.hear(b"warning: something\n");
        assert_eq!(other.run, None);
    }

    #[test]
    fn what_was_only_skipped_did_nothing() {
        let heard = |kinds: &[&str]| {
            let mut heard = Heard::default();
            heard.hear(STARTED);
            heard.hear(format!("{{\"event\":\"output\",\"data\":\"{}\"}}\n", "x".repeat(1 << 20)).as_bytes());
            kinds.iter().for_each(|kind| heard.hear(finished(kind).as_bytes()));
            heard.is_skipped()
        };
        assert!(heard(&["skipped"]) && heard(&["skipped", "grouped"]));
        assert!(!heard(&[]) && !heard(&["succeeded"]) && !heard(&["skipped", "up-to-date"]));
    }
}
