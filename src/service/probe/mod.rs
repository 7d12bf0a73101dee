//! Whether a service can be used: its probes, all at once, again and again.
//!
//! `ask` asks one probe once; [`Round`] asks all of them at the same time until each has passed once since the service
//! was started. The last answer of one that did not pass is what a person is told.
//!
//! Invariant: a probe that hangs delays no other one.

mod http;
mod notify;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::bytes::Regex;

use crate::exec::{self, CommandSpec, Environ, Invocation, Io, Processes, Shell};
use crate::model::Command;
use crate::preflight;

use super::spec::{Asks, Probe, Spec};

pub use notify::NotifySocket;

/// How long one try of a probe may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a service that nothing can be asked of must be there to count as ready.
const SETTLE: Duration = Duration::from_millis(250);
/// The first pause between two tries; it doubles up to what is asked for, so that a quick service does not wait for a slow
/// question.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// What a service says of itself while it runs: its output, and what it tells through its notify socket.
#[derive(Debug, Default)]
pub struct Voice {
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    /// Patterns of `log` probes that wait for their line, and those that have it.
    patterns: Vec<(Regex, bool)>,
    /// The beginning of a line that has not ended yet.
    partial: Vec<u8>,
    /// It said that it is ready.
    ready: bool,
}

/// A line longer than this is held against patterns in pieces.
const LONGEST_LINE: usize = 64 * 1024;

impl Voice {
    /// Listens for the lines that these probes wait for.
    pub fn new(spec: &Spec) -> Arc<Self> {
        let patterns = spec.ready.probes.iter().filter_map(|probe| match &probe.asks {
            Asks::Log(pattern) => Some((Regex::new(pattern).ok()?, false)),
            _ => None,
        });
        let heard = Heard { patterns: patterns.collect(), ..Heard::default() };
        Arc::new(Self { heard: Mutex::new(heard), more: Condvar::new() })
    }

    /// It printed something.
    pub fn printed(&self, bytes: &[u8]) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.patterns.iter().all(|(_, matched)| *matched) {
            return;
        }
        let mut text = std::mem::take(&mut heard.partial);
        text.extend_from_slice(bytes);
        let mut any = false;
        let mut lines = text.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            // The last piece is a line already for whoever waits for it (a prompt), and the beginning of one.
            for (pattern, matched) in &mut heard.patterns {
                if !*matched && pattern.is_match(line) {
                    *matched = true;
                    any = true;
                }
            }
            if lines.peek().is_none() && line.len() < LONGEST_LINE {
                heard.partial = line.to_vec();
            }
        }
        drop(heard);
        if any {
            self.more.notify_all();
        }
    }

    /// It said that it is ready.
    pub fn is_ready(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).ready = true;
        self.more.notify_all();
    }

    /// Waits until `holds`, at the most that long.
    fn wait(&self, time: Duration, mut holds: impl FnMut(&Heard) -> bool) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.more.wait_timeout_while(heard, time, |heard| !holds(heard));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// What one probe was answered.
pub type Answer = Result<(), String>;

/// What probes need to be asked.
pub struct Questioner {
    spec: Spec,
    environ: Environ,
    voice: Arc<Voice>,
    processes: Arc<Processes>,
}

impl Questioner {
    /// Asks the probes of `spec`; `exec` probes are run among `processes`.
    pub fn new(spec: &Spec, voice: &Arc<Voice>, processes: &Arc<Processes>) -> Self {
        Self {
            spec: spec.clone(),
            environ: spec.environ.environ(),
            voice: Arc::clone(voice),
            processes: Arc::clone(processes),
        }
    }

    /// Asks all probes once, and no longer than that: whether there are any, and every one passes.
    pub fn is_up(&self) -> bool {
        let probes = &self.spec.ready.probes;
        !probes.is_empty() && probes.iter().all(|probe| self.ask(probe, Duration::ZERO).is_ok())
    }

    /// Asks one probe once. One that waits for something to be said waits for up to `pause`.
    pub fn ask(&self, probe: &Probe, pause: Duration) -> Answer {
        match &probe.asks {
            Asks::Http { url, status } => http::ask(url, *status, PATIENCE),
            Asks::Tcp(address) => preflight::connect(address),
            Asks::Exec(command) => self.exec(command),
            Asks::Log(pattern) => {
                let matched = |heard: &Heard| {
                    heard.patterns.iter().any(|(known, matched)| *matched && known.as_str() == pattern)
                };
                let said = self.voice.wait(pause, matched);
                said.then_some(()).ok_or_else(|| probe.asks.unanswered())
            }
            Asks::Notify => {
                let said = self.voice.wait(pause, |heard| heard.ready);
                said.then_some(()).ok_or_else(|| probe.asks.unanswered())
            }
        }
    }

    fn exec(&self, command: &Command) -> Answer {
        let shell = self.spec.shell.as_deref().map_or_else(Shell::default, Shell::new);
        let spec = CommandSpec {
            invocation: invocation(command, &shell),
            dir: &self.spec.dir,
            env: &self.environ,
            io: Io::Captured,
            timeout: Some(PATIENCE),
            grace: Duration::from_millis(100),
            cleanup: false,
            watch: None,
            owner: None,
        };
        let mut said = Vec::new();
        let ended = exec::run(&spec, &self.processes, &mut |_, bytes| {
            if said.len() < LONGEST_LINE {
                said.extend_from_slice(bytes);
            }
        });
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        match ended.map(|ended| ended.exit) {
            Ok(exec::Exit::Status(0)) => Ok(()),
            Ok(exec::Exit::Status(status)) => Err(format!("exit status {status}{last}")),
            Ok(exec::Exit::Signal(signal)) => Err(format!("ended by signal {signal}{last}")),
            Ok(exec::Exit::TimedOut) => Err(format!("no answer within {} seconds{last}", PATIENCE.as_secs())),
            Ok(exec::Exit::Cancelled) => Err("it was stopped".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Asks {
    /// What is known of it before there is an answer.
    fn unanswered(&self) -> String {
        match self {
            Self::Log(pattern) => format!("no line of its output matches `{pattern}`"),
            Self::Notify => "it did not say READY=1 to $NOTIFY_SOCKET".into(),
            Self::Http { .. } | Self::Tcp(_) | Self::Exec(_) => "was not asked yet".into(),
        }
    }
}

/// Whether the probes of a service pass at this moment: it is up already.
pub fn would_pass(spec: &Spec, processes: &Arc<Processes>) -> bool {
    Questioner::new(spec, &Voice::new(spec), processes).is_up()
}

/// How a command is given to [`exec`].
pub(super) fn invocation<'a>(command: &'a Command, shell: &'a Shell) -> Invocation<'a> {
    match command {
        Command::Shell(text) => Invocation::Shell { text, shell },
        Command::Argv(words) => Invocation::Argv(words),
    }
}

/// All probes of a service, asked at the same time until all have passed.
pub struct Round {
    ends: Arc<Ending>,
    /// By probe, what it was answered last; those that passed are not in it.
    answers: Arc<Mutex<BTreeMap<usize, String>>>,
    names: Vec<String>,
}

impl Round {
    /// Begins to ask; `passed` is called once, when every probe has passed.
    pub fn begin(questioner: Questioner, passed: impl FnOnce() + Send + 'static) -> Self {
        let questioner = Arc::new(questioner);
        let probes = questioner.spec.ready.probes.clone();
        let names = probes.iter().map(|probe| probe.name.clone()).collect();
        let answers: BTreeMap<usize, String> =
            probes.iter().map(|probe| probe.asks.unanswered()).enumerate().collect();
        let answers = Arc::new(Mutex::new(answers));
        let ends = Arc::new(Ending::default());
        let passed: Arc<Mutex<Option<Passed>>> = Arc::new(Mutex::new(Some(Box::new(passed))));
        if probes.is_empty() {
            // Nothing can be asked: whoever is still there after a moment has begun well.
            let (ends, passed) = (Arc::clone(&ends), Arc::clone(&passed));
            let settle = move || {
                if !ends.wait(SETTLE) {
                    call(&passed);
                }
            };
            let _ = std::thread::Builder::new().name("settle".to_owned()).spawn(settle);
        }
        for (at, probe) in probes.into_iter().enumerate() {
            let (questioner, answers, ends, passed) =
                (Arc::clone(&questioner), Arc::clone(&answers), Arc::clone(&ends), Arc::clone(&passed));
            let every = questioner.spec.ready.every;
            let ask = move || {
                let mut pause = FIRST_PAUSE.min(every);
                loop {
                    let begun = Instant::now();
                    let answer = questioner.ask(&probe, pause);
                    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Ok(()) => {
                            answers.remove(&at);
                            // Whoever passes last tells; nobody does when the round is over.
                            let last = answers.is_empty();
                            drop(answers);
                            if last && !ends.wait(Duration::ZERO) {
                                call(&passed);
                            }
                            return;
                        }
                        Err(reason) => answers.insert(at, reason),
                    };
                    drop(answers);
                    if ends.wait(pause.saturating_sub(begun.elapsed())) {
                        return;
                    }
                    pause = (pause * 2).min(every);
                }
            };
            // No thread to be had: the probe never passes, and the service is not ready in time.
            let _ = std::thread::Builder::new().name("probe".to_owned()).spawn(ask);
        }
        Self { ends, answers, names }
    }

    /// The probes that have not passed, and what each was answered last: a line for each.
    pub fn failing(&self) -> Option<String> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |(at, answer): (&usize, &String)| {
            let mut lines = self.names[*at].trim().lines();
            let name = lines.next().unwrap_or_default();
            let more = if lines.next().is_some() { " ..." } else { "" };
            format!("{name}{more}: {}", answer.replace('\n', " "))
        };
        let lines: Vec<String> = answers.iter().map(one).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.ends.end();
    }
}

type Passed = Box<dyn FnOnce() + Send>;

fn call(passed: &Mutex<Option<Passed>>) {
    if let Some(passed) = passed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        passed();
    }
}

/// Something that ends once, and can be waited for.
#[derive(Debug, Default)]
struct Ending {
    over: Mutex<bool>,
    changed: Condvar,
}

impl Ending {
    fn end(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for the end, at the most that long; whether it is over.
    fn wait(&self, time: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        *self.changed.wait_timeout_while(over, time, |over| !*over).unwrap_or_else(PoisonError::into_inner).0
    }
}
