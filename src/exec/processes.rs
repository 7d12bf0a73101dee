//! Every command that is running, and how all of them are ended.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::guard::{Guard, Ledger};
use super::mark::{Mark, Number, RunId};
use super::running::{Running, end, end_group};
use super::tenant::Lent;
use super::{CommandSpec, Io, Programs, Tenant, signal, tree};

/// How urgently a run is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interrupt {
    /// Children are told what envrun was told (`signal`, such as SIGINT); nothing new is started but cleanup.
    Told {
        /// The number of the signal.
        signal: i32,
    },
    /// SIGTERM to all, and to all that descend from them; nothing new is started at all.
    Terminate,
    /// SIGKILL to all, and to all that descend from them, again and again until none is left.
    Kill,
}

/// Every command of a run that is running. One for a whole run; shared by all threads.
///
/// Nothing happens to the system before the first command: a run that finds everything up to date costs nothing here.
/// With the first one, envrun takes on the orphans of its children (Linux) and starts its guardian.
#[derive(Debug)]
pub struct Processes {
    run: RunId,
    patience: Duration,
    /// What a command that ended well left behind may stay.
    spares: bool,
    programs: Programs,
    /// How many commands were started.
    started: AtomicU64,
    ground: OnceLock<Result<Ground, rustix::io::Errno>>,
    state: Mutex<State>,
    /// Something in `state` has changed.
    changed: Condvar,
    pause: Mutex<Pause>,
    /// Who uses the terminal.
    tenant: OnceLock<Tenant>,
    /// A SIGINT came that was not told yet.
    raised: Arc<AtomicBool>,
}

/// How long the run stood still, so that no command's time runs out meanwhile.
#[derive(Debug, Default)]
struct Pause {
    before: Duration,
    since: Option<Instant>,
}

impl Pause {
    /// The time, on a clock that stands still with the run.
    fn now(&self, now: Instant) -> Instant {
        let now = self.since.unwrap_or(now);
        now.checked_sub(self.before).unwrap_or(now)
    }

    fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    fn end(&mut self, now: Instant) {
        self.before += self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    }
}

/// What is there from the first command on.
#[derive(Debug)]
pub(super) struct Ground {
    /// What every captured command reads.
    null: OwnedFd,
    ledger: Option<Ledger>,
    /// The guardian, or why there is none.
    guard: Result<Guard, String>,
}

#[derive(Debug, Default)]
struct State {
    live: HashMap<Number, Live>,
    interrupted: Option<Interrupt>,
    /// Whose commands are not wanted any longer: none of theirs is started.
    unwanted: HashSet<u32>,
    /// A thread is there that goes on to the next step when children do not end.
    escalating: bool,
    /// How many commands have the terminal, or are about to.
    lent: u32,
    /// When one of them ended last, other than well.
    left: Option<Instant>,
}

/// A Ctrl-C that ended the command which had the terminal reaches envrun too. When that command's end is seen it has been
/// sent; between its being taken and its being heard there is still a moment that nobody can look into.
const LATE: Duration = Duration::from_secs(1);
/// For so long at the most a signal is waited for that was sent: it may come from somebody who stops us at the same time.
const COMING: Duration = Duration::from_secs(10);
/// How often it is looked whether it was taken.
const LOOK: Duration = Duration::from_millis(2);

/// A command has the terminal, or is about to.
pub(super) struct HandedOver<'a>(&'a Processes);

impl HandedOver<'_> {
    /// The command ended.
    pub(super) fn end(self, ended_well: bool) {
        self.0.note_left(ended_well);
    }
}

impl Drop for HandedOver<'_> {
    fn drop(&mut self) {
        self.0.lock().lent -= 1;
    }
}

#[derive(Debug, Clone, Copy)]
struct Live {
    pid: Pid,
    io: Io,
    /// It may run although the run was interrupted once.
    cleanup: bool,
    owner: Option<u32>,
    /// It was told to end.
    cancelled: bool,
    /// Its first process has been asked how it ended: the number may soon be somebody else's.
    reaped: bool,
    /// Its place in the ledger.
    place: Option<usize>,
}

impl Processes {
    /// None is running yet. `patience` is how long children have after each step of an interrupt before the next one
    /// follows by itself.
    pub fn new(patience: Duration) -> Arc<Self> {
        Self::with(patience, true)
    }

    /// The same, of which nothing stays, however a command ended: what a server left behind when it ended well is not its
    /// result.
    pub fn sparing_none(patience: Duration) -> Arc<Self> {
        Self::with(patience, false)
    }

    fn with(patience: Duration, spares: bool) -> Arc<Self> {
        Arc::new(Self {
            run: RunId::random(),
            patience,
            spares,
            programs: Programs::default(),
            started: AtomicU64::new(0),
            ground: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
            pause: Mutex::default(),
            tenant: OnceLock::new(),
            raised: Arc::default(),
        })
    }

    /// From now on this one is told when somebody else has the terminal. Once.
    pub fn set_tenant(&self, tenant: Tenant) {
        let _ = self.tenant.set(tenant);
    }

    /// Somebody else has the terminal until what this gives is dropped.
    pub(super) fn lend(&self) -> Option<Lent> {
        self.tenant.get().map(Tenant::lend)
    }

    /// Programs already found.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Why nothing would end the children if envrun were killed at this moment, where that is so.
    pub fn unguarded(&self) -> Option<&str> {
        self.ground.get()?.as_ref().ok()?.guard.as_ref().err().map(String::as_str)
    }

    /// Stops the run, or stops it harder: returns at once, and goes on to the next step by itself when the children do
    /// not end. What is weaker than what was said before does nothing.
    pub fn interrupt(self: &Arc<Self>, how: Interrupt) {
        let mut state = self.lock();
        if state.interrupted.is_some_and(|before| before.step() >= how.step()) {
            return;
        }
        state.interrupted = Some(how);
        for live in state.live.values_mut().filter(|live| !live.outlasts(how)) {
            live.cancel(how);
        }
        let escalate = !state.escalating;
        state.escalating = true;
        drop(state);
        self.changed.notify_all();
        if escalate {
            let processes = Arc::clone(self);
            let thread = std::thread::Builder::new().name("interrupt".to_owned());
            if thread.spawn(move || processes.escalate()).is_err() {
                // No thread to be had: the signals that were just sent are all there is.
                self.lock().escalating = false;
            }
        }
    }

    /// How the run was interrupted, if it was.
    pub fn interrupted(&self) -> Option<Interrupt> {
        self.lock().interrupted
    }

    /// Ends the commands of one owner, and starts none of his until he is [admitted](Self::admit) again: SIGTERM, and
    /// SIGKILL when they do not end in time. Returns at once; what anybody else runs goes on.
    pub fn cancel(self: &Arc<Self>, owner: u32) {
        let mut state = self.lock();
        state.unwanted.insert(owner);
        let mut told = Vec::new();
        for (number, live) in state.live.iter_mut().filter(|(_, live)| live.owner == Some(owner)) {
            live.cancel(Interrupt::Terminate);
            told.push(*number);
        }
        drop(state);
        self.changed.notify_all();
        if told.is_empty() {
            return;
        }
        let processes = Arc::clone(self);
        let thread = std::thread::Builder::new().name("cancel".to_owned());
        // No thread to be had: the signals that were just sent are all there is.
        let _ = thread.spawn(move || processes.see_to_the_end_of(&told));
    }

    /// The commands of an owner may start again.
    pub fn admit(&self, owner: u32) {
        self.lock().unwanted.remove(&owner);
    }

    /// Waits for that long, or until no command of the owner may be started any longer (`cleanup`: none that cleans up);
    /// `false` if that is so.
    pub fn pause(&self, time: Duration, cleanup: bool, owner: Option<u32>) -> bool {
        let state = self.lock();
        let wait = self.changed.wait_timeout_while(state, time, |state| admits(state, cleanup, owner));
        admits(&wait.unwrap_or_else(PoisonError::into_inner).0, cleanup, owner)
    }

    /// Stops every command and then envrun itself (Ctrl-Z); returns when envrun is continued, and continues them. The time
    /// in between counts against no timeout.
    pub fn suspend(&self) {
        let pause = || self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = self.lend();
        pause().begin(Instant::now());
        self.signal_groups(Signal::TSTP);
        // Everything stands still within this call: a signal to this very thread is there before the call returns.
        let _ = signal_hook::low_level::raise(Signal::STOP.as_raw());
        drop(lent);
        self.signal_groups(Signal::CONT);
        pause().end(Instant::now());
    }

    /// To every command that does not share envrun's own group: that one the terminal has signalled.
    fn signal_groups(&self, signal: Signal) {
        for live in self.lock().live.values().filter(|live| live.io == Io::Captured) {
            let _ = rustix::process::kill_process_group(live.pid, signal);
        }
    }

    /// Waits until no command is running.
    pub fn wait(&self) {
        let state = self.lock();
        drop(self.changed.wait_while(state, |state| !state.live.is_empty()));
    }

    /// Whether a command has envrun's own streams. The terminal's Ctrl-C reaches it directly, and what it makes of that is
    /// its own affair: a database shell ends a query, not itself. So it is for a moment after one that was ended by it.
    pub(super) fn terminal_is_lent(&self) -> bool {
        let state = self.lock();
        let is_late = state.left.is_some_and(|left| left.elapsed() < LATE);
        is_late || state.lent > 0
    }

    /// A command is about to have the terminal, and has it until what this gives is dropped.
    pub(super) fn hand_over(&self) -> HandedOver<'_> {
        self.lock().lent += 1;
        HandedOver(self)
    }

    /// A command that has the terminal ended, perhaps by a key. Waits until a Ctrl-C that was sent to both of them was heard.
    fn note_left(&self, ended_well: bool) {
        let until = Instant::now() + COMING;
        let is_coming = || signal::is_coming() || self.raised.load(Ordering::SeqCst);
        let mut state = self.lock();
        while is_coming() && Instant::now() < until {
            let wait = self.changed.wait_timeout(state, LOOK);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        if !ended_well {
            state.left = Some(Instant::now());
        }
    }

    /// Set by each SIGINT.
    pub(super) fn raised(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.raised)
    }

    /// A SIGINT was told, or was not ours.
    pub(super) fn was_heard(&self) {
        self.raised.store(false, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// The orderly end, when no command is running any longer: the guardian is told to end. What is done between this and
    /// the moment that this is dropped, when the guardian has ended, costs no waiting.
    pub fn finish(&self) {
        if let Some(Ok(Ground { guard: Ok(guard), .. })) = self.ground.get() {
            guard.dismiss();
        }
    }

    #[cfg(test)]
    pub(super) fn guardian(&self) -> Option<Pid> {
        self.ground.get()?.as_ref().ok()?.guard.as_ref().ok().map(Guard::pid)
    }

    /// Whether a command may start now.
    pub(super) fn admits(&self, cleanup: bool, owner: Option<u32>) -> bool {
        admits(&self.lock(), cleanup, owner)
    }

    /// What every captured command reads.
    pub(super) fn null(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.ground()?.null.as_fd())
    }

    /// The number of the next command, and the mark that it bears.
    pub(super) fn number(&self) -> (Number, Mark) {
        let number = RunId::number(self.started.fetch_add(1, Ordering::Relaxed));
        (number, self.run.mark(number))
    }

    /// A process was started for a command: takes note of it. If the run was interrupted meanwhile, it is told at once.
    pub(super) fn enter(&self, number: Number, pid: Pid, spec: &CommandSpec<'_>) -> Running<'_> {
        let CommandSpec { io, cleanup, owner, .. } = *spec;
        let ledger = self.ledger();
        // An inherited command shares envrun's group, which must not be ended as a whole.
        let place = ledger.filter(|_| io == Io::Captured).and_then(|ledger| ledger.add(pid));
        let mut live = Live { pid, io, cleanup, owner, cancelled: false, reaped: false, place };
        let mut state = self.lock();
        if state.interrupted.is_some_and(|how| !live.outlasts(how)) {
            // Nobody may be there any longer who goes on to the next step: what has only just begun is ended at once.
            live.cancel(Interrupt::Kill);
        }
        if owner.is_some_and(|owner| state.unwanted.contains(&owner)) {
            live.cancel(Interrupt::Terminate);
        }
        state.live.insert(number, live);
        drop(state);
        Running { processes: self, number, pid, io }
    }

    /// Asks by `ask` how the first process of a command has ended; once it has, its number may soon be somebody else's.
    pub(super) fn reap<T>(&self, number: Number, ask: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        let ended = ask()?;
        if let Some(live) = state.live.get_mut(&number) {
            live.reaped = true;
        }
        Some(ended)
    }

    /// Whether a command was told to end.
    pub(super) fn is_cancelled(&self, number: Number) -> bool {
        self.lock().live.get(&number).is_some_and(|live| live.cancelled)
    }

    /// Whether what a command that ended well left behind may stay.
    pub(super) fn spares(&self) -> bool {
        self.spares
    }

    /// A command ended well: what left its group may stay.
    pub(super) fn release(&self, number: Number) {
        if let Some(ledger) = self.ledger() {
            ledger.ended_well(number);
        }
    }

    /// A command is over.
    pub(super) fn leave(&self, number: Number) {
        let mut state = self.lock();
        let live = state.live.remove(&number);
        let heard = state.interrupted.is_some() || state.live.is_empty() || !state.unwanted.is_empty();
        drop(state);
        if let (Some(place), Some(ledger)) = (live.and_then(|live| live.place), self.ledger()) {
            ledger.remove(place);
        }
        if heard {
            self.changed.notify_all();
        }
    }

    /// What the marks of this run tell.
    pub(super) fn run(&self) -> RunId {
        self.run
    }

    /// The time, on a clock that stands still while the run does.
    pub(super) fn now(&self) -> Instant {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).now(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ground(&self) -> Result<&Ground, rustix::io::Errno> {
        self.ground.get_or_init(|| Ground::lay(self.run)).as_ref().map_err(|error| *error)
    }

    fn ledger(&self) -> Option<&Ledger> {
        self.ground.get()?.as_ref().ok()?.ledger.as_ref()
    }

    /// Waits until these commands, which were told to end, have ended; kills those that do not.
    fn see_to_the_end_of(&self, numbers: &[Number]) {
        let mut state = self.lock();
        let since = Instant::now();
        loop {
            let left = |state: &State| numbers.iter().any(|number| state.live.contains_key(number));
            let waits = self.patience.saturating_sub(since.elapsed()).max(Duration::from_millis(5));
            let wait = self.changed.wait_timeout_while(state, waits, |state| left(state));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
            let commands: Vec<_> =
                numbers.iter().filter_map(|number| Some((*number, state.live.get(number)?.root()))).collect();
            if commands.is_empty() {
                return;
            }
            drop(state);
            for seen in tree::belonging_to(self.run, &commands) {
                end(seen.pid, Signal::KILL);
            }
            state = self.lock();
        }
    }

    /// Goes from step to step until everything that was told to end has ended. Time alone hardens only what those are
    /// told: how the run was interrupted stays what it was, and cleaning up goes on beside a command that does not want
    /// to end.
    fn escalate(&self) {
        let mut state = self.lock();
        let Some(mut step) = state.interrupted else { return };
        while let Some(asked) = state.interrupted {
            let ended = |state: &State| !state.live.values().any(|live| live.cancelled);
            let waits = if step == Interrupt::Kill { Duration::from_millis(5) } else { self.patience };
            let since = Instant::now();
            while !ended(&state) && state.interrupted == Some(asked) && since.elapsed() < waits {
                let left = waits.saturating_sub(since.elapsed());
                let wait = self.changed.wait_timeout(state, left);
                state = wait.unwrap_or_else(PoisonError::into_inner).0;
            }
            if ended(&state) {
                break;
            }
            match state.interrupted.filter(|now| *now != asked) {
                Some(now) if now.step() > step.step() => step = now,
                Some(_) => continue,
                None => {
                    step = if step.step() >= 2 { Interrupt::Kill } else { Interrupt::Terminate };
                    state.live.values_mut().filter(|live| live.cancelled).for_each(|live| live.cancel(step));
                }
            }
            let signal = if step == Interrupt::Kill { Signal::KILL } else { Signal::TERM };
            let told = state.live.iter().filter(|(_, live)| live.cancelled);
            let commands: Vec<_> = told.map(|(number, live)| (*number, live.root())).collect();
            drop(state);
            for seen in tree::belonging_to(self.run, &commands) {
                end(seen.pid, signal);
            }
            state = self.lock();
        }
        state.escalating = false;
    }
}

impl Ground {
    /// What the guardian knows, if there is one.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref().filter(|_| self.guard.is_ok())
    }

    fn lay(run: RunId) -> Result<Self, rustix::io::Errno> {
        use rustix::fs::{Mode, OFlags};
        let null = rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        super::files::leave_some(&null)?;
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let ledger = Ledger::new();
        let guard = ledger.as_ref().map_err(ToString::to_string);
        let guard = guard.and_then(|ledger| Guard::start(run, ledger).map_err(|error| error.to_string()));
        Ok(Self { null, ledger: ledger.ok(), guard })
    }
}

impl Interrupt {
    fn step(self) -> u8 {
        match self {
            Self::Told { .. } => 1,
            Self::Terminate => 2,
            Self::Kill => 3,
        }
    }
}

fn admits(state: &State, cleanup: bool, owner: Option<u32>) -> bool {
    if owner.is_some_and(|owner| state.unwanted.contains(&owner)) {
        return false;
    }
    match state.interrupted {
        None => true,
        Some(Interrupt::Told { .. }) => cleanup,
        Some(_) => false,
    }
}

impl Live {
    /// Whether it goes on in spite of the interrupt.
    fn outlasts(&self, how: Interrupt) -> bool {
        self.cleanup && matches!(how, Interrupt::Told { .. })
    }

    fn cancel(&mut self, how: Interrupt) {
        self.cancelled = true;
        let signal = match how {
            Interrupt::Told { signal } => Signal::from_named_raw(signal).unwrap_or(Signal::INT),
            Interrupt::Terminate => Signal::TERM,
            Interrupt::Kill => Signal::KILL,
        };
        match self.io {
            // The keys of the terminal have reached it already.
            Io::Inherited if signal == Signal::INT || self.reaped => {}
            Io::Inherited => {
                end(self.pid, signal);
            }
            Io::Captured => end_group(self.pid, signal),
        }
    }

    fn root(&self) -> Option<Pid> {
        (!self.reaped).then_some(self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_a_run_stands_still_with_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pause = Pause::default();
        assert_eq!(pause.now(at(1)), at(1));
        pause.begin(at(2));
        assert_eq!(pause.now(at(5)), at(2));
        pause.end(at(10));
        assert_eq!(pause.now(at(11)), at(3));
        pause.end(at(12));
        assert_eq!(pause.now(at(13)), at(5));
    }
}
