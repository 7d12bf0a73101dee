//! The commands of one node, in order: its own and those of the tasks it calls, with retries and a time limit.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::base::{Digest, RelPath};
use crate::diag::Span;
use crate::event::{Failure, Notice, Stream};
use crate::exec::{self, CommandSpec, Environ, Exit, Invocation, Io, Shell, StartError, Watch};
use crate::graph::{Called, ConfiguredTask, NodeIx, Step};
use crate::model::{Command, Load, Retry, RetryOn, Task};
use crate::preflight::Verdict;
use crate::vars::Form;

use super::action::export_file;
use super::dispatcher::{Message, OutputRoom};
use super::snapshot::{Source, Unsaved};
use super::surroundings::{Scene, Surroundings};

/// How the commands of a node ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Attempt {
    /// All succeeded.
    Good,
    /// One of them failed.
    Failed(Failure),
    /// The run was stopped.
    Cancelled,
}

/// Carries out the commands of one node.
pub struct Carry<'a> {
    pub(super) around: &'a Surroundings<'a>,
    pub(super) node: &'a ConfiguredTask,
    pub(super) scene: &'a Scene,
    ix: NodeIx,
    listener: Option<(Sender<Message>, Arc<OutputRoom>)>,
    watch: Option<&'a Watch>,
    /// Files that it renders are overwritten, whoever changed them.
    pub(super) force: bool,
    /// What it has rendered, with the digest of each file.
    pub(super) rendered: Vec<(RelPath, Digest)>,
    /// Variables that are known only now: what failed, for who is called because of it.
    pub(super) told: Vec<(&'static str, String)>,
    log: Vec<u8>,
    took: Duration,
}

/// What Ctrl-C sends.
const SIGINT: i32 = 2;

/// How something is left running on purpose.
const LEFT_BEHIND: &str = "a server that is to stay begins a session of its own (`setsid`, or a daemon that does so itself), and the \
                           command that starts it waits until it answers";

/// How long a command has between SIGTERM and SIGKILL after its timeout.
const GRACE: Duration = Duration::from_secs(5);

impl<'a> Carry<'a> {
    /// Nothing has begun, and nobody listens.
    pub fn new(around: &'a Surroundings<'a>, node: &'a ConfiguredTask, scene: &'a Scene, ix: NodeIx) -> Self {
        Self {
            around,
            node,
            scene,
            ix,
            listener: None,
            watch: None,
            force: false,
            rendered: Vec::new(),
            told: Vec::new(),
            log: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// From now on output and retries are told.
    pub fn tell(&mut self, send: &Sender<Message>, room: &Arc<OutputRoom>) {
        self.listener = Some((send.clone(), Arc::clone(room)));
    }

    /// Says something where its output goes.
    pub fn say(&self, text: &str) {
        if let Some((send, room)) = &self.listener {
            let bytes = text.as_bytes().to_vec();
            let credit = room.take(bytes.len());
            let _ = send.send(Message::Output { node: self.ix, stream: Stream::Stdout, bytes, credit });
        }
    }

    /// From now on the files that its commands touch are taken down.
    pub fn watch(&mut self, watch: Option<&'a Watch>) {
        self.watch = watch;
    }

    /// What was printed by the last try, and how long it took.
    pub fn log(self) -> (Vec<u8>, Duration) {
        (self.log, self.took)
    }

    /// Runs a command whose only answer is whether it succeeds, and whose output is nobody's.
    pub fn probe(&self, command: &Command) -> Result<bool, String> {
        let environ = self.around.environ(self.node, self.scene, &export_file(self.around, self.ix));
        let command = self
            .around
            .interpolated(command, &self.scene.values, &self.node.task)
            .map_err(|diagnostic| diagnostic.message.clone())?;
        let shell = self.shell(&self.node.task);
        let dir = self.scene.dir.below(self.around.root);
        let spec = CommandSpec {
            invocation: invocation(&command, &shell),
            dir: &dir,
            env: &environ,
            io: Io::Captured,
            timeout: self.node.task.timeout.as_ref().map(|timeout| timeout.value),
            grace: GRACE,
            cleanup: self.around.cleanup,
            owner: Some(self.ix.0),
            watch: None,
        };
        match exec::run(&spec, self.around.processes, &mut |_, _| {}) {
            Ok(ended) => Ok(ended.exit.is_success()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Runs everything, again as often as the task's `retry` says.
    pub fn run(&mut self) -> Attempt {
        let export = export_file(self.around, self.ix);
        let attempt = self.tries(self.node.task.retry.as_ref(), |carry| {
            let begun = Instant::now();
            let _ = std::fs::remove_file(&export);
            carry.log.clear();
            carry.rendered.clear();
            let mut environ = carry.around.environ(carry.node, carry.scene, &export);
            carry.told.iter().for_each(|(name, value)| environ.set(*name, value));
            let deadline = carry.node.task.timeout.as_ref().map(|timeout| begun + timeout.value);
            let steps: Vec<Step<'_>> = carry.node.steps().collect();
            let attempt = carry.steps(&steps, &carry.node.task, &mut environ, deadline);
            carry.took = begun.elapsed();
            attempt
        });
        let _ = std::fs::remove_file(&export);
        attempt
    }

    /// Runs a single command, once.
    pub fn one(&mut self, command: &Command) -> Attempt {
        let task = Arc::clone(&self.node.task);
        let begun = Instant::now();
        let environ = self.around.environ(self.node, self.scene, &export_file(self.around, self.ix));
        let deadline = task.timeout.as_ref().map(|timeout| begun + timeout.value);
        self.command(command, &task, &environ, deadline)
    }

    fn tries(&mut self, retry: Option<&Retry>, mut once: impl FnMut(&mut Self) -> Attempt) -> Attempt {
        let times = retry.map_or(0, |retry| retry.times);
        let mut pause = retry.map_or(Duration::ZERO, |retry| retry.every);
        for attempt in 1..=times + 1 {
            let failure = match once(self) {
                Attempt::Failed(failure) => failure,
                ended => return ended,
            };
            // Whoever ended it at the keyboard did not ask for another try.
            let left =
                self.node.task.interactive && matches!(failure, Failure::Signal { signal: SIGINT, .. });
            let again = attempt <= times && !left && retry.is_some_and(|retry| is_retried(retry, &failure));
            if !again {
                return Attempt::Failed(failure);
            }
            if let Some((send, _)) = &self.listener {
                let _ =
                    send.send(Message::Retrying { node: self.ix, attempt, of: times + 1, failure, pause });
            }
            if !self.pause(pause) {
                return Attempt::Cancelled;
            }
            pause = pause.mul_f64(retry.map_or(1.0, |retry| retry.backoff.max(0.0)));
        }
        unreachable!("the last try returns")
    }

    /// Waits between two tries; whether the run is still going on.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let cleanup = self.node.follow_up || self.around.cleanup;
        self.around.processes.pause(pause, cleanup, Some(self.ix.0))
    }

    fn steps(
        &mut self,
        steps: &[Step<'_>],
        task: &Task,
        environ: &mut Environ,
        deadline: Option<Instant>,
    ) -> Attempt {
        for step in steps {
            let attempt = match step {
                Step::Run(command, _) => self.command(command, task, environ, deadline),
                Step::Render(render, _) => self.render(render, task),
                Step::Called(called) => self.called(called, environ, deadline),
                Step::Load(load, span) => self.load(load, *span, task),
            };
            if attempt != Attempt::Good {
                return attempt;
            }
            self.take_exports(environ);
        }
        Attempt::Good
    }

    /// Another environment's data, put into this one.
    fn load(&mut self, load: &Load, span: Span, task: &Task) -> Attempt {
        let failed = |reason| Attempt::Failed(Failure::Io { reason });
        let Some(loaded) = self.node.loaded(span) else {
            return failed(format!(
                "`load \"{}\"` stands where it cannot be carried out",
                load.snapshot.path
            ));
        };
        let source = match &load.at {
            None => Source::Now,
            Some(at) => {
                let values = self.around.task_values(self.node, task);
                match values.interpolate(&at.value, Form::Text, at.span) {
                    Ok(at) => Source::Stored { at: at.trim().to_owned(), within: load.within },
                    Err(diagnostic) => return failed(diagnostic.message.clone()),
                }
            }
        };
        let listener = self.listener.clone();
        let said = std::cell::RefCell::new(Vec::new());
        let prepare = |carry: &mut Carry<'_>| carry.listener.clone_from(&listener);
        let say = |text: &str| {
            said.borrow_mut().extend_from_slice(text.as_bytes());
            self.say(text);
        };
        let ended = super::snapshot::load(self.around, (loaded, &source), self.ix, &prepare, &say);
        self.log.extend(said.into_inner());
        match ended {
            Ok(()) => Attempt::Good,
            Err(Unsaved::Failed(failure)) => Attempt::Failed(failure),
            Err(Unsaved::Cancelled) => Attempt::Cancelled,
        }
    }

    /// A called task: its own `when`, `done`, `vars` and `retry`, in the caller's folder with the caller's variables.
    fn called(&mut self, called: &Called, environ: &mut Environ, deadline: Option<Instant>) -> Attempt {
        let values = self.around.task_values(self.node, &called.task);
        for name in called.task.vars.keys() {
            if let Some(text) = values.lookup(name.as_str()).text() {
                environ.set(name.as_str(), &**text);
            }
        }
        for condition in &called.task.when {
            if let Verdict::Fails(_) | Verdict::NoRepository(_) =
                self.around.ask(condition, self.scene, &|command| self.probe(command))
            {
                return Attempt::Good;
            }
        }
        if let Some(done) = &called.task.done {
            // Its output is not the task's: whether it is there already is all that is asked.
            let listener = self.listener.take();
            let kept = self.log.len();
            let attempt = self.command(&done.value, &called.task, environ, deadline);
            self.log.truncate(kept);
            self.listener = listener;
            match attempt {
                Attempt::Good => return Attempt::Good,
                Attempt::Cancelled => return Attempt::Cancelled,
                Attempt::Failed(_) => {}
            }
        }
        let steps: Vec<Step<'_>> = called.steps().collect();
        self.tries(called.task.retry.as_ref(), |carry| carry.steps(&steps, &called.task, environ, deadline))
    }

    fn command(
        &mut self,
        command: &Command,
        task: &Task,
        environ: &Environ,
        deadline: Option<Instant>,
    ) -> Attempt {
        let command = match self.around.interpolated(command, &self.scene.values, task) {
            Ok(command) => command,
            Err(diagnostic) => return Attempt::Failed(Failure::Io { reason: diagnostic.message.clone() }),
        };
        let shell = self.shell(task);
        let dir = self.scene.dir.below(self.around.root);
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let spec = CommandSpec {
            invocation: invocation(&command, &shell),
            dir: &dir,
            env: environ,
            io: if self.node.task.interactive { Io::Inherited } else { Io::Captured },
            timeout: limit,
            grace: GRACE,
            cleanup: self.node.follow_up || self.around.cleanup,
            owner: Some(self.ix.0),
            watch: self.watch,
        };
        let (log, listener, node) = (&mut self.log, &self.listener, self.ix);
        let mut hear = |stream, bytes: &[u8]| {
            log.extend_from_slice(bytes);
            if let Some((send, room)) = listener {
                let credit = room.take(bytes.len());
                let _ = send.send(Message::Output { node, stream, bytes: bytes.to_vec(), credit });
            }
        };
        // On its way in: what is kept, told and logged has no secret in it from here on.
        let redactor = self.around.redactor;
        let mut streams = [(Stream::Stdout, redactor.stream()), (Stream::Stderr, redactor.stream())];
        let ended = exec::run(&spec, self.around.processes, &mut |stream, bytes| {
            let (_, filter) = &mut streams[usize::from(stream == Stream::Stderr)];
            filter.push(bytes, &mut |bytes| hear(stream, bytes));
        });
        for (stream, filter) in &mut streams {
            filter.finish(&mut |bytes| hear(*stream, bytes));
        }
        let command = redactor.text(&command.display()).into_owned();
        // Whoever starts a server with `&` would look for it in vain; compilers leave helpers of no interest.
        if let (Ok(ended), Some((send, _)), false) = (&ended, &self.listener, task.is_cacheable())
            && ended.left_behind
            && ended.exit == Exit::Status(0)
        {
            let message = format!(
                "what `{}` left running was ended with it",
                command.lines().next().unwrap_or_default()
            );
            let hint = Some(LEFT_BEHIND.to_owned());
            let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint }));
        }
        match ended {
            Ok(ended) => match ended.exit {
                Exit::Status(0) => Attempt::Good,
                Exit::Status(status) => Attempt::Failed(Failure::Exit { status, command }),
                // The keys of a lent terminal reach the command alone: Ctrl-C there is the user's word to stop the run. A
                // session goes on: there the command has failed as any other that a signal ends.
                Exit::Signal(SIGINT) if self.node.task.interactive && self.around.memory.is_none() => {
                    Attempt::Cancelled
                }
                Exit::Signal(signal) => Attempt::Failed(Failure::Signal { signal, command }),
                Exit::TimedOut => {
                    let limit =
                        self.node.task.timeout.as_ref().map_or(Duration::ZERO, |timeout| timeout.value);
                    Attempt::Failed(Failure::Timeout { limit, command })
                }
                Exit::Cancelled => Attempt::Cancelled,
            },
            Err(error) => Attempt::Failed(not_started(&error, command)),
        }
    }

    /// A line or more of the node itself.
    pub(super) fn print(&mut self, stream: Stream, text: &str) {
        let bytes = format!("{text}\n").into_bytes();
        self.log.extend_from_slice(&bytes);
        if let Some((send, room)) = &self.listener {
            let credit = room.take(bytes.len());
            let _ = send.send(Message::Output { node: self.ix, stream, bytes, credit });
        }
    }

    /// The shell of a task: its own, or the one of the task that calls it.
    fn shell(&self, task: &Task) -> Shell {
        let own = task.shell.as_ref().filter(|_| !std::ptr::eq(task, &*self.node.task));
        match own {
            Some(shell) => Shell::new(&shell.value),
            None => self.scene.shell.as_deref().map_or_else(Shell::default, Shell::new),
        }
    }

    /// Lines of `NAME=value` that an action wrote for the later ones.
    fn take_exports(&self, environ: &mut Environ) {
        let Ok(text) = std::fs::read_to_string(export_file(self.around, self.ix)) else { return };
        for line in text.lines() {
            if let Some((name, value)) = line.split_once('=') {
                environ.set(name.trim(), value);
            }
        }
    }
}

fn invocation<'a>(command: &'a Command, shell: &'a Shell) -> Invocation<'a> {
    match command {
        Command::Shell(text) => Invocation::Shell { text, shell },
        Command::Argv(words) => Invocation::Argv(words),
    }
}

fn is_retried(retry: &Retry, failure: &Failure) -> bool {
    let matches = |on: &RetryOn| match (on, failure) {
        (RetryOn::Exit(wanted), Failure::Exit { status, .. }) => wanted == status,
        (RetryOn::Timeout, Failure::Timeout { .. }) => true,
        _ => false,
    };
    retry.on.is_empty() || retry.on.iter().any(matches)
}

fn not_started(error: &StartError, command: String) -> Failure {
    Failure::Start { command, reason: error.to_string(), hint: error.hint() }
}
