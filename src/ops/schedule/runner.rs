//! The runner: a loop that starts what is due.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::base::Timestamp;
use crate::base::fs::{self, FileLock};
use crate::exec::{Interrupt, Processes, Signals};
use crate::load::Texts;
use crate::model::Schedule;
use crate::ops::project::root_file;
use crate::ops::{Context, Problem, Project};
use crate::record::STATE_DIR;
use crate::schedule::{Agenda, Book, Last, Step, Went};

use super::child::{self, Around};
use super::files::Files;
use super::{lock_file, none};

/// How often the clock and the Envfile are looked at: a clock that is set, or a machine that slept, tells nobody.
const TICK: Duration = Duration::from_secs(1);

/// How long runs have after each step of an interrupt before the next one follows by itself: longer than envrun itself gives
/// to what it runs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The status of a runner that was stopped in the middle of a run.
const INTERRUPTED: u8 = 130;

/// What a runner has to say.
#[derive(Debug)]
pub enum Told {
    /// It has begun, or the Envfile is another one now.
    Takes {
        /// The Envfile is another one.
        again: bool,
        /// How many schedules there are.
        count: usize,
        /// What comes first, and when.
        next: Option<(String, Timestamp)>,
    },
    /// The Envfile is another one and cannot be read; what was known of it goes on.
    Unreadable(Problem),
    /// A run is over.
    Ran(Ran),
    /// A time was left out, because an earlier run goes on. Told once for each run: how many they were is told at its end.
    Skipped {
        /// The node.
        label: String,
        /// The time that it was due.
        due: Timestamp,
    },
    /// A time waits for an earlier run to be over.
    Waits {
        /// The node.
        label: String,
        /// The time that it was due.
        due: Timestamp,
    },
    /// More is due than may run at once.
    Full {
        /// How many runs wait for a place.
        waiting: usize,
        /// How many there are at once.
        jobs: usize,
    },
    /// Times passed while nobody looked.
    Missed {
        /// The node.
        label: String,
        /// The first of them.
        first: Timestamp,
        /// How many.
        count: u32,
    },
    /// The clock was put back, and times come again.
    Again {
        /// The node.
        label: String,
        /// Up to when it was seen to.
        until: Timestamp,
    },
    /// It was told to stop, and waits for these.
    Stopping {
        /// The nodes that are running.
        running: Vec<String>,
    },
    /// Something that is worth knowing.
    Notice(String),
}

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The node.
    pub label: String,
    /// The time that it was due.
    pub due: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// How it came out.
    pub went: Went,
    /// The run's id.
    pub run: Option<String>,
    /// Why it did not come out well.
    pub why: Option<String>,
    /// How many times before were missed, and are seen to with it.
    pub missed: u32,
    /// It was run late, to catch up.
    pub late: bool,
    /// How many times were left out while it went on.
    pub left_out: u32,
    /// What ran because it failed, how that came out, and why not well.
    pub on_fail: Option<(String, Went, Option<String>)>,
}

/// How many runs may go on at once on the smallest machine: most of them wait for something else.
const LEAST: usize = 8;

/// A run that is to begin: which, for which time, how many were missed before, whether it is late.
type Begin = (Arc<Schedule>, Timestamp, (u32, bool));

/// What the loop hears.
enum Heard {
    /// A signal, and how many came before it.
    Signal(i32, u32),
    /// A run is over.
    Over(Box<(Arc<Schedule>, Ran, Timestamp)>),
}

/// Runs what is due until it is told to stop, at most `jobs` at once; gives the exit status.
pub fn run(
    context: &Context,
    file: Option<&Path>,
    jobs: Option<usize>,
    tell: &mut dyn FnMut(Told),
) -> Result<u8, Problem> {
    let project = Project::open(context, file)?;
    if project.envfile().schedules.is_empty() {
        return Err(none(&project));
    }
    let root = project.root().to_path_buf();
    let root_file = root_file(context, file, &Texts::Watched(Arc::default()))?;
    let _lock = hold(context, &root)?;
    let (book, is_damaged) = Book::read(&root)?;
    if is_damaged {
        tell(Told::Notice("what was known of earlier runs cannot be read; every schedule begins now".into()));
    }
    let processes = Processes::new(PATIENCE);
    let (send, receive) = mpsc::channel();
    let signals = {
        let send = send.clone();
        Signals::listen(Arc::clone(&processes), move |signal, before| {
            // The loop may be over already; then there is nothing left to stop.
            let _ = send.send(Heard::Signal(signal, before));
        })
        .map_err(|source| Problem::System { doing: "listen for signals", source })?
    };
    let mut runner = Runner {
        context,
        file,
        files: Files::of(&project),
        around: Arc::new(Around::new(context, &root, &root_file, Arc::clone(&processes))),
        agenda: Agenda::default(),
        book,
        jobs: jobs.unwrap_or_else(|| (2 * (context.cores)()).max(LEAST)),
        waiting: VecDeque::new(),
        running: Vec::new(),
        left_out: BTreeMap::new(),
        is_stopping: false,
        was_cut: false,
        is_book_lost: false,
        tell,
    };
    runner.take(&project.envfile().schedules, false);
    drop(project);
    runner.go(&send, &receive);
    processes.wait();
    processes.finish();
    drop(signals);
    Ok(if runner.was_cut { INTERRUPTED } else { 0 })
}

/// Takes the lock of the project's runner, and writes down who has it.
fn hold(context: &Context, root: &Path) -> Result<FileLock, Problem> {
    fs::create_folder(&Book::folder(root))?;
    let ignore = root.join(STATE_DIR).join(".gitignore");
    if !ignore.exists() {
        fs::write_atomic(&ignore, b"*\n")?;
    }
    let (path, who) = (lock_file(root), Book::folder(root).join("runner"));
    let Some(lock) = FileLock::take(&path)? else {
        let who = fs::read_text(&who).unwrap_or_default();
        let who = if who.is_empty() { String::new() } else { format!(": {}", who.trim()) };
        return Err(Problem::Busy {
            message: format!("a runner of this project is there already{who}"),
            hint: "one is enough for all schedules; `envrun schedule list` shows what comes next".into(),
        });
    };
    let since = super::super::deploy::words::moment(context.clock.now());
    fs::write_atomic(
        &who,
        format!("process {} on {}, since {since}\n", std::process::id(), context.host).as_bytes(),
    )?;
    Ok(lock)
}

struct Runner<'a> {
    context: &'a Context,
    file: Option<&'a Path>,
    files: Files,
    around: Arc<Around>,
    agenda: Agenda,
    book: Book,
    /// How many may run at once.
    jobs: usize,
    /// What is due, and waits for a place.
    waiting: VecDeque<Begin>,
    /// The nodes that are running.
    running: Vec<String>,
    /// How many times of each were left out since its last run was over.
    left_out: BTreeMap<String, u32>,
    is_stopping: bool,
    /// A run was stopped before its end.
    was_cut: bool,
    /// The book could not be written, and that was told.
    is_book_lost: bool,
    tell: &'a mut dyn FnMut(Told),
}

impl Runner<'_> {
    fn go(&mut self, send: &Sender<Heard>, receive: &Receiver<Heard>) {
        loop {
            if !self.is_stopping {
                self.look_at_the_envfile();
                let now = self.context.clock.now();
                let steps = self.agenda.at(now);
                self.note_seen();
                let waited = self.waiting.len();
                for step in steps {
                    self.carry_out(step, send);
                }
                if waited == 0 && !self.waiting.is_empty() {
                    (self.tell)(Told::Full { waiting: self.waiting.len(), jobs: self.jobs });
                }
            } else if self.running.is_empty() {
                return;
            }
            match receive.recv_timeout(self.pause()) {
                Ok(Heard::Signal(signal, before)) => self.stop(signal, before),
                Ok(Heard::Over(over)) => {
                    let (schedule, ran, began) = *over;
                    self.over(&schedule, ran, began, send);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Until something is due, but not for long: nobody tells of a clock that is set, or of another Envfile.
    fn pause(&self) -> Duration {
        if self.is_stopping {
            return TICK;
        }
        let next = self.agenda.next().map(|(_, begins)| begins.since(self.context.clock.now()));
        // Never for no time at all, whatever the clock does.
        next.map_or(TICK, |next| next.clamp(Duration::from_millis(1), TICK))
    }

    fn take(&mut self, schedules: &[Schedule], again: bool) {
        self.agenda.take(schedules, &self.book, self.context.clock.now());
        self.note_seen();
        let next = self.agenda.next().map(|(schedule, begins)| (schedule.label(), begins));
        (self.tell)(Told::Takes { again, count: self.agenda.len(), next });
    }

    fn look_at_the_envfile(&mut self) {
        if !self.files.have_changed() {
            return;
        }
        match Project::open(self.context, self.file) {
            Ok(project) => {
                self.files = Files::of(&project);
                self.take(&project.envfile().schedules, true);
            }
            Err(problem) => (self.tell)(Told::Unreadable(problem)),
        }
    }

    fn carry_out(&mut self, step: Step, send: &Sender<Heard>) {
        match step {
            Step::Run { schedule, due, missed, late } if self.running.len() < self.jobs => {
                self.start((schedule, due, (missed, late)), send);
            }
            Step::Run { schedule, due, missed, late } => {
                self.waiting.push_back((schedule, due, (missed, late)));
            }
            Step::Skip { schedule, due } => {
                let label = schedule.label();
                let count = self.left_out.entry(label.clone()).or_default();
                *count += 1;
                // A run that hangs is told of once, not every second.
                if *count == 1 {
                    (self.tell)(Told::Skipped { label, due });
                }
            }
            Step::Wait { schedule, due } => (self.tell)(Told::Waits { label: schedule.label(), due }),
            Step::Missed { schedule, first, count } => {
                (self.tell)(Told::Missed { label: schedule.label(), first, count });
            }
            Step::Again { schedule, until } => (self.tell)(Told::Again { label: schedule.label(), until }),
        }
    }

    fn start(&mut self, (schedule, due, how): Begin, send: &Sender<Heard>) {
        let began = self.context.clock.now();
        let label = schedule.label();
        self.book
            .set_last(&schedule.key(), Last { due, began, went: None, took_ms: 0, run: None, why: None });
        self.save();
        self.running.push(label.clone());
        let (around, to, told) = (Arc::clone(&self.around), send.clone(), Arc::clone(&schedule));
        let thread = std::thread::Builder::new().name(format!("run {label}"));
        let spawned = thread.spawn(move || {
            let ran = one(&around, &told, due, how);
            // The loop waits for every run.
            let _ = to.send(Heard::Over(Box::new((told, ran, began))));
        });
        if let Err(error) = spawned {
            let ran = Ran {
                label,
                due,
                ended: began,
                took: Duration::ZERO,
                went: Went::Failed,
                run: None,
                why: Some(format!("it could not be started: {error}")),
                missed: how.0,
                late: how.1,
                left_out: 0,
                on_fail: None,
            };
            let _ = send.send(Heard::Over(Box::new((schedule, ran, began))));
        }
    }

    fn over(&mut self, schedule: &Schedule, mut ran: Ran, began: Timestamp, send: &Sender<Heard>) {
        if let Some(at) = self.running.iter().position(|label| *label == ran.label) {
            self.running.swap_remove(at);
        }
        self.was_cut |= self.is_stopping && ran.went == Went::Interrupted;
        let took_ms = u64::try_from(ran.took.as_millis()).unwrap_or(u64::MAX);
        self.book.set_last(
            &schedule.key(),
            Last {
                due: ran.due,
                began,
                went: Some(ran.went),
                took_ms,
                run: ran.run.clone(),
                why: ran.why.clone(),
            },
        );
        self.save();
        let label = ran.label.clone();
        ran.left_out = self.left_out.remove(&label).unwrap_or_default();
        (self.tell)(Told::Ran(ran));
        let next = self.agenda.over(&label);
        if self.is_stopping {
            return;
        }
        if let Some(step) = next {
            self.carry_out(step, send);
        }
        while self.running.len() < self.jobs
            && let Some(begin) = self.waiting.pop_front()
        {
            self.start(begin, send);
        }
    }

    fn stop(&mut self, signal: i32, before: u32) {
        self.is_stopping = true;
        if before == 0 {
            (self.tell)(Told::Stopping { running: self.running.clone() });
        }
        self.around.processes.interrupt(match before {
            0 => Interrupt::Told { signal },
            1 => Interrupt::Terminate,
            _ => Interrupt::Kill,
        });
    }

    fn note_seen(&mut self) {
        if self.book.note(self.agenda.seen()) {
            self.save();
        }
    }

    fn save(&mut self) {
        match self.book.save() {
            Ok(()) => self.is_book_lost = false,
            Err(error) if !self.is_book_lost => {
                self.is_book_lost = true;
                (self.tell)(Told::Notice(format!("what runs is not written down: {error}")));
            }
            Err(_) => {}
        }
    }
}

/// One run, and what runs if it fails.
fn one(around: &Around, schedule: &Schedule, due: Timestamp, (missed, late): (u32, bool)) -> Ran {
    let label = schedule.label();
    let result = around.run(&label, None);
    let is_failed = matches!(result.went, Went::Failed | Went::Refused);
    let on_fail = schedule.on_fail_label().filter(|_| is_failed).map(|on_fail| {
        let called = around.run(&on_fail, Some((&label, &result)));
        (on_fail, called.went, called.why)
    });
    let child::Result { went, took, run, why } = result;
    Ran { label, due, ended: around.now(), took, went, run, why, missed, late, left_out: 0, on_fail }
}
