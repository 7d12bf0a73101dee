//! One service, kept by a thread of its own: carries the steps of its [`Life`] out and tells what comes of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::Clock;
use crate::exec::{self, CommandSpec, Environ, Identity, Interrupt, Io, Processes, Shell};
use crate::model::Command;
use crate::preflight::Ports;
use crate::secret::{Redacted, Redactor};

use super::life::{Fact, Life, Step};
use super::log::LogWriter;
use super::probe::{NotifySocket, Questioner, Round, Voice, invocation};
use super::spec::{Asks, How, STOP_COMMAND_TIMEOUT, STOP_TIMEOUT, Spec};
use super::state::{Exit, Failure, State, Status, Trouble};
use super::supervisor::{Board, Told};

/// How long a port may stay taken after the end of the service that had it.
const PORT_PATIENCE: Duration = Duration::from_secs(5);

/// How long somebody else may have a port when a service that needs it is started: who is ending has it a moment longer.
const TAKEN_PATIENCE: Duration = Duration::from_millis(300);

/// What is said of a daemon that was started and is not there.
const DAEMON: &str = "what `start` leaves behind must have left its process group, as daemons do: `setsid …`, \
                      or `run` instead of `start`";

/// What a keeper is told.
pub(super) enum Message {
    /// Somebody asked for something.
    Asked(Fact),
    /// It is to be this one from now on: takes effect with its next start.
    Is(Box<Spec>),
    /// Something happened in a launch.
    Happened(u64, Fact),
    /// A launch has this first process.
    Process(u64, Identity),
    /// How its process ended.
    Exit(u64, Exit),
    /// It was up before this launch, which leaves it as it is.
    Found(u64),
    /// Do not wait as long for its end.
    Hurry(Interrupt),
    /// The end of the supervisor.
    Leave,
}

/// One start of the service, until everything of it is over.
struct Launch {
    number: u64,
    /// Its own process, or those of the commands that start and follow a daemon.
    processes: Arc<Processes>,
    /// Those of `exec` probes.
    asking: Arc<Processes>,
    voice: Arc<Voice>,
    runner: Option<JoinHandle<()>>,
    round: Option<Round>,
    /// It is closed with the launch.
    _notify: Option<NotifySocket>,
}

/// The keeper of one service.
pub(super) struct Keeper {
    spec: Spec,
    life: Life,
    board: Arc<Board>,
    log: Arc<LogWriter>,
    clock: Clock,
    send: Sender<Message>,
    launches: u64,
    launch: Option<Launch>,
    /// What takes part in ending the launch before: to be hurried.
    ending: Arc<Mutex<Vec<Arc<Processes>>>>,
    /// Of a daemon: it is up because we started it. One that was up before is left as it was found.
    owned: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn new(
        spec: Spec,
        (board, log, clock): (&Arc<Board>, &Arc<LogWriter>, &Clock),
        send: Sender<Message>,
        owned: bool,
    ) -> Self {
        Self {
            life: Life::new(&spec),
            spec,
            board: Arc::clone(board),
            log: Arc::clone(log),
            clock: clock.clone(),
            send,
            launches: 0,
            launch: None,
            ending: Arc::default(),
            owned: Arc::new(AtomicBool::new(owned)),
        }
    }

    /// Keeps the service until it is told to leave.
    pub(super) fn keep(mut self, receive: &Receiver<Message>) {
        loop {
            let message = match self.life.wakes() {
                None => match receive.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                },
                Some(at) => match receive.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        self.take(Fact::Time);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                },
            };
            match message {
                Message::Asked(fact) => {
                    self.take(fact);
                    self.board.handled(&self.spec.label);
                }
                Message::Is(spec) => self.is(*spec),
                Message::Happened(number, fact) => {
                    if self.launches == number {
                        self.take(fact);
                    }
                }
                Message::Process(number, process) => {
                    if self.launch.as_ref().is_some_and(|launch| launch.number == number) {
                        self.board.change(&self.spec.label, |entry| entry.status.process = Some(process));
                    }
                }
                Message::Exit(number, exit) => {
                    if self.launch.as_ref().is_some_and(|launch| launch.number == number) {
                        self.board.change(&self.spec.label, |entry| {
                            entry.status.last_exit = Some(exit);
                            entry.status.process = None;
                        });
                    }
                }
                Message::Found(number) => {
                    if self.launch.as_ref().is_some_and(|launch| launch.number == number) {
                        self.board.note(&self.spec.label, |entry| entry.status.found = true);
                    }
                }
                Message::Hurry(how) => self.hurry(how),
                Message::Leave => break,
            }
        }
    }

    /// Another definition: what the life was told so far is forgotten when it begins anew.
    fn is(&mut self, spec: Spec) {
        self.life.becomes(&spec);
        self.board.change(&spec.label, |entry| {
            entry.status.urls.clone_from(&spec.urls);
            entry.status.ports.clone_from(&spec.ports);
            entry.status.identity = spec.identity;
            entry.status.content = spec.content;
        });
        self.spec = spec;
    }

    fn take(&mut self, fact: Fact) {
        let by_itself = fact == Fact::Time;
        for step in self.life.on(fact, Instant::now()) {
            match step {
                Step::Tell => self.tell(),
                Step::Launch => self.launch(by_itself),
                Step::Probe => self.probe(),
                Step::End => self.end(),
            }
        }
    }

    /// Puts the new state on the board.
    fn tell(&mut self) {
        let state = self.life.state().clone();
        let now = self.clock.now();
        let restarts = self.life.restarts();
        if state.is_over() || matches!(state, State::Pausing { .. } | State::Waiting) {
            self.note_failing();
            lock(&self.ending).clear();
            if let Some(launch) = self.launch.take() {
                launch.asking.interrupt(Interrupt::Kill);
                launch.asking.wait();
            }
            if !state.may_be_up() {
                self.log.end();
            }
        }
        let is_daemon = matches!(self.spec.how, How::Daemon { .. });
        self.board.change(&self.spec.label, |entry| {
            let status: &mut Status = &mut entry.status;
            match &state {
                State::Starting => {
                    status.started = Some(now);
                    status.ready = None;
                    status.failure = None;
                    status.found = false;
                    entry.probe = None;
                }
                State::Ready => status.ready = Some(now),
                State::Stopping { .. } => status.ready = None,
                State::Waiting => (status.started, status.ready, status.process) = (Some(now), None, None),
                State::Pausing { exit, .. } => {
                    status.ready = None;
                    status.last_exit = Some(exit.clone());
                    status.failure =
                        Some(Box::new(self.failure(exit.to_string(), entry.probe.clone(), exit)));
                }
                State::Stopped | State::Completed | State::Failed(_) => {
                    status.ready = None;
                    status.process = None;
                    if let State::Failed(Trouble::Ended { exit } | Trouble::Loop { exit, .. }) = &state {
                        status.last_exit = Some(exit.clone());
                    }
                    status.failure = match &state {
                        // It printed nothing: it was not there.
                        State::Failed(trouble @ Trouble::Blocked { .. }) => {
                            Some(Failure::plain(trouble.to_string()))
                        }
                        State::Failed(trouble) => {
                            let exit = status.last_exit.clone().unwrap_or(Exit::Told);
                            let mut failure = self.failure(trouble.to_string(), entry.probe.clone(), &exit);
                            if is_daemon && matches!(trouble, Trouble::NotReady { .. }) {
                                failure.hint.get_or_insert_with(|| DAEMON.into());
                            }
                            Some(failure)
                        }
                        _ => None,
                    }
                    .map(Box::new);
                }
                State::Started => {}
            }
            status.restarts = restarts;
            status.state = state;
        });
    }

    fn failure(&self, reason: String, probe: Option<String>, exit: &Exit) -> Failure {
        let start_hint = match exit {
            Exit::NotStarted { hint, .. } => hint.clone(),
            _ => None,
        };
        Failure {
            reason,
            lines: self.log.last_lines(),
            probe,
            hint: self.spec.hint.clone().or(start_hint),
            log: self.log.path(),
        }
    }

    /// Keeps what the failing probes were answered last.
    fn note_failing(&self) {
        let failing = self.launch.as_ref().and_then(|launch| launch.round.as_ref()?.failing());
        let failing = failing.map(|failing| self.redactor().text(&failing).into_owned());
        if failing.is_some() {
            self.board.note(&self.spec.label, |entry| entry.probe = failing);
        }
    }

    fn launch(&mut self, by_itself: bool) {
        self.launches += 1;
        let number = self.launches;
        let now = self.clock.now();
        if by_itself {
            let before = self.board.last_exit(&self.spec.label);
            let before = before.map_or_else(String::new, |exit| format!("it {exit}; "));
            self.log.again(&format!("{before}restart {}", self.life.restarts()), now);
        } else if let Err(error) = self.log.begin(now) {
            self.log.write(format!("envrun: this log is not kept: {error}\n").as_bytes(), now);
        }
        let voice = Voice::new(&self.spec);
        let notifies = self.spec.ready.probes.iter().any(|probe| probe.asks == Asks::Notify);
        let notify = notifies.then(|| NotifySocket::open(&voice));
        let mut environ = self.spec.environ.environ();
        let notify = match notify.transpose() {
            Ok(notify) => notify,
            Err(error) => {
                let reason = format!("a socket for NOTIFY_SOCKET: {error}");
                let exit = Exit::NotStarted { reason, hint: None };
                let _ = self.send.send(Message::Happened(number, Fact::Ended(exit)));
                None
            }
        };
        if let Some(notify) = &notify {
            environ.set("NOTIFY_SOCKET", &notify.name);
        }
        let is_daemon = matches!(self.spec.how, How::Daemon { .. });
        let patience = self.spec.timeout.unwrap_or(STOP_TIMEOUT);
        let processes = if is_daemon { Processes::new(patience) } else { Processes::sparing_none(patience) };
        let asking = Processes::sparing_none(Duration::from_millis(500));
        let runner = Runner {
            number,
            spec: self.spec.clone(),
            environ,
            processes: Arc::clone(&processes),
            send: self.send.clone(),
            ear: self.ear(&voice),
            questioner: Questioner::new(&self.spec, &voice, &asking),
            owned: Arc::clone(&self.owned),
        };
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(move || runner.run());
        if let Err(error) = &thread {
            let exit = Exit::NotStarted { reason: format!("no thread for it: {error}"), hint: None };
            let _ = self.send.send(Message::Happened(number, Fact::Ended(exit)));
        }
        self.launch = Some(Launch {
            number,
            processes,
            asking,
            voice,
            runner: thread.ok(),
            round: None,
            _notify: notify,
        });
    }

    /// What hides the service's secrets.
    fn redactor(&self) -> Redactor {
        let redactor = Redactor::default();
        redactor.learn(self.spec.secrets.iter().map(String::as_str));
        redactor
    }

    /// What hears everything that the service prints.
    fn ear(&self, voice: &Arc<Voice>) -> Ear {
        let redactor = self.redactor();
        Ear {
            label: self.spec.label.as_str().into(),
            voice: Arc::clone(voice),
            filters: Arc::new([(); 2].map(|()| Mutex::new(redactor.stream()))),
            log: Arc::clone(&self.log),
            board: Arc::clone(&self.board),
            clock: self.clock.clone(),
        }
    }

    fn probe(&mut self) {
        let Some(launch) = &mut self.launch else { return };
        let (send, number) = (self.send.clone(), launch.number);
        let questioner = Questioner::new(&self.spec, &launch.voice, &launch.asking);
        launch.round = Some(Round::begin(questioner, move || {
            // The keeper may be gone already.
            let _ = send.send(Message::Happened(number, Fact::Passed));
        }));
    }

    fn end(&mut self) {
        self.note_failing();
        let stopping = Processes::sparing_none(Duration::from_secs(1));
        let mut ending = vec![Arc::clone(&stopping)];
        let mut end = End {
            spec: self.spec.clone(),
            number: self.launches,
            processes: None,
            runner: None,
            stopping,
            ear: self.ear(&Voice::new(&self.spec)),
            send: self.send.clone(),
            owned: Arc::clone(&self.owned),
        };
        if let Some(launch) = &mut self.launch {
            launch.round = None;
            launch.asking.interrupt(Interrupt::Kill);
            ending.push(Arc::clone(&launch.processes));
            end.processes = Some(Arc::clone(&launch.processes));
            end.runner = launch.runner.take();
        }
        *lock(&self.ending) = ending;
        if std::thread::Builder::new().name("stop".to_owned()).spawn(move || end.run()).is_err() {
            // No thread to be had: the child is killed without ceremony.
            self.hurry(Interrupt::Kill);
            let _ = self.send.send(Message::Happened(self.launches, Fact::Gone));
        }
    }

    fn hurry(&self, how: Interrupt) {
        for processes in &*lock(&self.ending) {
            processes.interrupt(how);
        }
        if let Some(launch) = &self.launch {
            launch.processes.interrupt(how);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears everything that a service prints, and hands it on.
#[derive(Clone)]
struct Ear {
    label: Arc<str>,
    voice: Arc<Voice>,
    /// By stream: what may be the beginning of a secret is held back until more comes.
    filters: Arc<[Mutex<Redacted>; 2]>,
    log: Arc<LogWriter>,
    board: Arc<Board>,
    clock: Clock,
}

impl Ear {
    fn hear(&self, stream: exec::Stream, bytes: &[u8]) {
        self.voice.printed(bytes);
        let filter = &self.filters[usize::from(stream == exec::Stream::Stderr)];
        lock(filter).push(bytes, &mut |shown| self.show(stream, shown));
    }

    /// Nothing more comes: what was held back goes out.
    fn finish(&self) {
        for (filter, stream) in self.filters.iter().zip([exec::Stream::Stdout, exec::Stream::Stderr]) {
            lock(filter).finish(&mut |shown| self.show(stream, shown));
        }
    }

    fn show(&self, stream: exec::Stream, bytes: &[u8]) {
        self.log.write(bytes, self.clock.now());
        self.board.tell(&Told::Output { label: Arc::clone(&self.label), stream, bytes: bytes.to_vec() });
    }
}

/// Runs a service's command to its end.
struct Runner {
    number: u64,
    spec: Spec,
    environ: Environ,
    processes: Arc<Processes>,
    send: Sender<Message>,
    ear: Ear,
    questioner: Questioner,
    owned: Arc<AtomicBool>,
}

impl Runner {
    fn run(self) {
        match &self.spec.how {
            How::Child { run, .. } => {
                let exit = self.taken().unwrap_or_else(|| {
                    self.command(run, None, &self.processes, &mut |pid| {
                        if let Some(process) = Identity::of(pid) {
                            let _ = self.send.send(Message::Process(self.number, process));
                        }
                        self.happened(Fact::Up);
                    })
                });
                let _ = self.send.send(Message::Exit(self.number, exit.clone()));
                self.happened(Fact::Ended(exit));
            }
            How::Daemon { start, log, .. } => {
                if self.owned.load(Ordering::SeqCst) || !self.questioner.is_up() {
                    let limit = Some(self.spec.ready.timeout);
                    let exit = self.command(start, limit, &self.processes, &mut |_| {});
                    if !exit.is_success() {
                        return self.happened(Fact::Ended(exit));
                    }
                    self.owned.store(true, Ordering::SeqCst);
                } else {
                    let _ = self.send.send(Message::Found(self.number));
                    let line = b"envrun: its probes passed before it was started: it is left as it is, and not stopped\n";
                    self.ear.hear(exec::Stream::Stderr, line);
                    self.ear.finish();
                }
                self.happened(Fact::Up);
                // The log of a daemon ends when its command is stopped, or the daemon with it.
                let mut pause = Duration::from_millis(200);
                while let Some(log) = log {
                    let exit = self.command(log, None, &self.processes, &mut |_| {});
                    if exit == Exit::Told || !self.processes.pause(pause, false, None) {
                        break;
                    }
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    /// Whether somebody who is no service of ours listens on one of its ports, and goes on to: he would be taken for it.
    fn taken(&self) -> Option<Exit> {
        let ports: Vec<u16> = {
            let entries = self.ear.board.entries();
            let others = entries.values().map(|entry| &entry.status);
            let up: Vec<&Status> =
                others.filter(|it| it.label != self.spec.label && it.state.may_be_up()).collect();
            let ours = |port: &u16| up.iter().any(|status| status.ports.contains(port));
            self.spec.ports.iter().filter(|port| !ours(port)).copied().collect()
        };
        let until = Instant::now() + TAKEN_PATIENCE;
        loop {
            let looked = Ports::look();
            let (port, owner) = ports.iter().find_map(|port| Some((port, looked.owner(*port)?)))?;
            if Instant::now() > until {
                let reason = format!("port {port} is taken by {owner}");
                let hint =
                    owner.pid.map(|pid| format!("end it (`kill {pid}`), or give the service another port"));
                return Some(Exit::NotStarted { reason, hint });
            }
            if !self.processes.pause(Duration::from_millis(10), false, None) {
                return Some(Exit::Told);
            }
        }
    }

    fn happened(&self, fact: Fact) {
        // The keeper may be gone already.
        let _ = self.send.send(Message::Happened(self.number, fact));
    }

    fn command(
        &self,
        command: &Command,
        timeout: Option<Duration>,
        processes: &Processes,
        started: &mut dyn FnMut(u32),
    ) -> Exit {
        run_command(command, timeout, (&self.spec, &self.environ), processes, started, &self.ear)
    }
}

fn run_command(
    command: &Command,
    timeout: Option<Duration>,
    (spec, environ): (&Spec, &Environ),
    processes: &Processes,
    started: &mut dyn FnMut(u32),
    ear: &Ear,
) -> Exit {
    let shell = spec.shell.as_deref().map_or_else(Shell::default, Shell::new);
    let command = CommandSpec {
        invocation: invocation(command, &shell),
        dir: &spec.dir,
        env: environ,
        io: Io::Captured,
        timeout,
        grace: spec.timeout.unwrap_or(STOP_TIMEOUT),
        cleanup: false,
        watch: None,
        owner: None,
    };
    let ended = exec::keep(&command, processes, started, &mut |stream, bytes| ear.hear(stream, bytes));
    ear.finish();
    match ended {
        Ok(ended) => match ended.exit {
            exec::Exit::Status(status) => Exit::Status { status },
            exec::Exit::Signal(signal) => Exit::Signal { signal },
            exec::Exit::Cancelled => Exit::Told,
            exec::Exit::TimedOut => Exit::TimedOut { limit: timeout.unwrap_or_default() },
        },
        Err(error) => Exit::NotStarted { reason: error.to_string(), hint: error.hint() },
    }
}

/// Brings a launch to its end.
struct End {
    spec: Spec,
    number: u64,
    processes: Option<Arc<Processes>>,
    runner: Option<JoinHandle<()>>,
    /// Those of its `stop` command.
    stopping: Arc<Processes>,
    ear: Ear,
    send: Sender<Message>,
    owned: Arc<AtomicBool>,
}

impl End {
    fn run(self) {
        let (stop, is_child) = match &self.spec.how {
            How::Child { stop, .. } => (stop, true),
            // What was up before we came stays up when we go.
            How::Daemon { stop, .. } if self.owned.swap(false, Ordering::SeqCst) => (stop, false),
            How::Daemon { .. } => (&None, false),
        };
        let mut fact = Fact::Gone;
        if let Some(stop) = stop {
            let limit = self.spec.timeout.unwrap_or(STOP_COMMAND_TIMEOUT);
            let environ = self.spec.environ.environ();
            let exit = run_command(
                stop,
                Some(limit),
                (&self.spec, &environ),
                &self.stopping,
                &mut |_| {},
                &self.ear,
            );
            if !exit.is_success() && !is_child {
                // It is ours to stop, whoever tries next.
                self.owned.store(true, Ordering::SeqCst);
                fact = Fact::Stuck(exit.clone());
            }
            if !exit.is_success() {
                let line = format!("envrun: its stop command `{}` {exit}\n", stop.display());
                self.ear.hear(exec::Stream::Stderr, line.as_bytes());
            }
            if is_child && exit.is_success() {
                // It has been asked: SIGTERM follows only if it takes too long.
                self.wait_for_runner(limit);
            }
        }
        if let Some(processes) = &self.processes {
            processes.interrupt(Interrupt::Terminate);
        }
        if let Some(runner) = self.runner {
            // A panic in it has been told already.
            let _ = runner.join();
        }
        if is_child || stop.is_some() {
            free(&self.spec.ports);
        }
        // Their guardians end before it is told that all is over, and the supervisor may end.
        drop((self.processes, self.stopping));
        let _ = self.send.send(Message::Happened(self.number, fact));
    }

    fn wait_for_runner(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.runner.as_ref().is_some_and(|runner| !runner.is_finished())
            && Instant::now() < until
            && self.processes.as_ref().is_none_or(|processes| processes.interrupted().is_none())
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until nobody listens on these ports any longer: whoever starts next shall find them free.
fn free(ports: &[u16]) {
    let until = Instant::now() + PORT_PATIENCE;
    while !ports.is_empty() && Instant::now() < until {
        let taken = Ports::look();
        if ports.iter().all(|port| !taken.is_taken(*port)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
