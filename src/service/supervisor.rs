//! Keeps a set of services: starts them, waits for them, restarts them, stops them in order.
//!
//! Each service has a keeper, a thread that carries out what its [`Life`](super::life::Life) says. What everybody may
//! see stands on the board: who waits for a service waits there, and who subscribed is told of every change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::Clock;
use crate::exec::{Interrupt, Stream};
use crate::model::Gate;

use super::keeper::{Keeper, Message};
use super::life::Fact;
use super::load::Loads;
use super::log::LogWriter;
use super::spec::{How, Spec};
use super::state::{Exit, Failure, State, Status};

/// What was done to have a service up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begun {
    /// Nothing: it is up, or on its way.
    Already,
    /// It was started.
    Started,
    /// It ran with other values, and is started again.
    Changed,
    /// What it depends on is not what it was when it was started, and it is started again.
    Outdated,
    /// It was to be started again, whatever it runs with.
    Again,
    /// Nothing: somebody else's daemon was up before anybody asked for it.
    Found,
}

/// What subscribers are told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Something about a service has changed.
    Changed(Box<Status>),
    /// A service printed something.
    Output {
        /// Which.
        label: Arc<str>,
        /// On which stream.
        stream: Stream,
        /// What, as it came.
        bytes: Vec<u8>,
    },
}

/// Why a service is not up that somebody waits for, and that has not failed.
const STOPPED: &str = "somebody else stopped it before it was ready";

/// How many bytes of output may wait for a subscriber that does not listen before more is dropped for him; the log has all
/// of it.
const BACKLOG: usize = 4 << 20;

/// What a subscriber is told, in order.
#[derive(Debug)]
pub struct Subscription {
    receive: mpsc::Receiver<Told>,
    waiting: Arc<AtomicUsize>,
}

impl Subscription {
    /// The next; `None` when there will be none, or none came within that time.
    pub fn next(&self, within: Option<Duration>) -> Option<Told> {
        let told = match within {
            Some(within) => self.receive.recv_timeout(within).ok(),
            None => self.receive.recv().ok(),
        };
        if let Some(Told::Output { bytes, .. }) = &told {
            self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
        told
    }
}

/// The other end of a [`Subscription`].
#[derive(Debug)]
pub(super) struct Listener {
    send: Sender<Told>,
    waiting: Arc<AtomicUsize>,
}

impl Listener {
    /// Tells it, but for output of which too much waits already. Whether anybody listens.
    pub(super) fn tell(&self, told: Told) -> bool {
        if let Told::Output { bytes, .. } = &told {
            if self.waiting.load(Ordering::Relaxed) > BACKLOG {
                return true;
            }
            self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        self.send.send(told).is_ok()
    }
}

/// Both ends of a subscription.
pub(super) fn subscription() -> (Listener, Subscription) {
    let (send, receive) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Listener { send, waiting: Arc::clone(&waiting) }, Subscription { receive, waiting })
}

/// What is known of every service, for everybody to see.
#[derive(Debug, Default)]
pub(super) struct Board {
    entries: Mutex<BTreeMap<String, Entry>>,
    pub(super) changed: Condvar,
    listeners: Mutex<Vec<Listener>>,
}

/// What is known of one.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) status: Status,
    /// The probes that did not pass, and what each was answered last: a line for each.
    pub(super) probe: Option<String>,
    /// How often it was asked for something, and how many of these its keeper has taken in.
    pub(super) asked: u64,
    pub(super) handled: u64,
}

impl Board {
    /// Changes what is known of a service, and tells everybody.
    pub(super) fn change(&self, label: &str, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(label) else { return };
        let before = entry.status.clone();
        change(entry);
        let status = (entry.status != before).then(|| entry.status.clone());
        drop(entries);
        self.changed.notify_all();
        if let Some(status) = status {
            self.tell(&Told::Changed(Box::new(status)));
        }
    }

    /// Changes what is known of a service; nobody needs to hear of it.
    pub(super) fn note(&self, label: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries().get_mut(label) {
            change(entry);
        }
    }

    /// How its process ended last.
    pub(super) fn last_exit(&self, label: &str) -> Option<Exit> {
        self.entries().get(label).and_then(|entry| entry.status.last_exit.clone())
    }

    /// Its keeper has taken in what it was asked for.
    pub(super) fn handled(&self, label: &str) {
        self.note(label, |entry| entry.handled += 1);
        self.changed.notify_all();
    }

    /// Tells everybody who listens.
    pub(super) fn tell(&self, told: &Told) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.tell(told.clone()));
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One service among the others.
pub(super) struct Kept {
    pub(super) spec: Spec,
    send: Sender<Message>,
    log: Arc<LogWriter>,
    thread: Option<JoinHandle<()>>,
    /// It is part of this turn of starting services again, and waits for its end, or for its beginning.
    pub(super) turn: Option<u64>,
}

/// A set of services. Dropped, all of them are stopped.
pub struct Supervisor {
    board: Arc<Board>,
    clock: Clock,
    kept: Mutex<BTreeMap<String, Kept>>,
    loads: Loads,
    /// Counts the turns of starting services again.
    pub(super) turns: AtomicU64,
    /// Daemons that an earlier supervisor of ours started and did not stop.
    owned: BTreeSet<String>,
}

impl Supervisor {
    /// None yet. `owned` are daemons that are ours although we did not start them: an earlier supervisor did, and was
    /// killed.
    pub fn new(clock: Clock, owned: BTreeSet<String>) -> Arc<Self> {
        let (board, kept, loads) = (Arc::default(), Mutex::default(), Loads::default());
        Arc::new(Self { board, clock, kept, loads, turns: AtomicU64::new(0), owned })
    }

    /// Sees to it that a service is up, with these values: starts it, or starts it again if it runs with others.
    /// Returns at once; [`Self::wait`] waits.
    pub fn up(&self, spec: Spec) -> Begun {
        let mut kept = self.kept();
        let label = spec.label.clone();
        let (begun, fact) = match kept.get_mut(&label) {
            None => {
                let service = self.take_in(spec);
                kept.insert(label.clone(), service);
                (Begun::Started, Fact::Start)
            }
            Some(service) => {
                let (over, ends) = {
                    let entries = self.board.entries();
                    entries.get(&label).map_or((true, false), |entry| {
                        let is_stopping = matches!(entry.status.state, State::Stopping { .. });
                        (entry.status.state.is_over(), is_stopping || !entry.is_settled())
                    })
                };
                // One that is about to be stopped, because nobody needed it any longer, comes up again when it is down.
                let ends = ends && service.turn.is_none();
                let begun = match &service.spec {
                    _ if over => Begun::Started,
                    before if before.identity != spec.identity => Begun::Changed,
                    before if before.is_outdated_by(&spec) => Begun::Outdated,
                    _ if ends => Begun::Started,
                    _ => return Begun::Already,
                };
                let over = over || begun == Begun::Started;
                if service.spec != spec {
                    let _ = service.send.send(Message::Is(Box::new(spec.clone())));
                    service.spec = spec;
                }
                service.turn = None;
                (begun, if over { Fact::Start } else { Fact::Restart })
            }
        };
        self.ask(&kept, &label, fact);
        begun
    }

    /// What a service would have otherwise than it has, in words that stand after "because"; nothing for one that is not
    /// known.
    pub fn differences(&self, spec: &Spec) -> Vec<String> {
        self.kept().get(&spec.label).map_or_else(Vec::new, |service| service.spec.differences(spec))
    }

    /// Waits until a service has come as far as `gate`, or is over, or `given_up` says that nobody waits any longer
    /// (asked now and then).
    pub fn wait(&self, label: &str, gate: Gate, given_up: &dyn Fn() -> bool) -> Result<Status, Failure> {
        loop {
            // Asked with nothing locked: whoever answers may look at the board himself.
            let nobody_waits = given_up();
            let entries = self.board.entries();
            let Some(entry) = entries.get(label) else {
                return Err(Failure::plain(format!("`{label}` is not a service that is kept here")));
            };
            match entry.come(gate) {
                Some(true) => return Ok(entry.status.clone()),
                Some(false) => {
                    let entry = entry.clone();
                    drop(entries);
                    return Err(self.failure(&entry));
                }
                None => {}
            }
            if nobody_waits {
                // Somebody took it away from whoever waits here.
                return Err(Failure::plain(STOPPED.into()));
            }
            drop(self.board.changed.wait_timeout(entries, Duration::from_millis(100)));
        }
    }

    /// Why a service that is over is not up.
    fn failure(&self, entry: &Entry) -> Failure {
        if let Some(failure) = &entry.status.failure {
            return Failure::clone(failure);
        }
        let kept = self.kept();
        let service = kept.get(&entry.status.label);
        let reason = match &entry.status.state {
            // Of which nothing is written down: it never began.
            State::Failed(trouble) => trouble.to_string(),
            State::Completed => "it ended, with exit status 0, before it was ready".into(),
            State::Stopped => STOPPED.into(),
            state => format!("it is {}", state.word()),
        };
        let start_hint = match &entry.status.last_exit {
            Some(Exit::NotStarted { hint, .. }) => hint.clone(),
            _ => None,
        };
        Failure {
            reason,
            lines: service.map(|service| service.log.last_lines()).unwrap_or_default(),
            probe: entry.probe.clone(),
            hint: service.and_then(|service| service.spec.hint.clone()).or(start_hint),
            log: service.and_then(|service| service.log.path()),
        }
    }

    /// Stops these services, and whatever needs them first; returns when all of it is over.
    pub fn stop(&self, labels: &[String]) {
        self.stop_unless(labels, || |_: &str| false);
    }

    /// Stops these services, and whatever needs them first; returns when all of it is over. Those of them that are
    /// `wanted` again meanwhile are left alone from then on; who wants one cannot do so while that is asked.
    pub(super) fn stop_unless<W: Fn(&str) -> bool>(&self, labels: &[String], wanted: impl Fn() -> W) {
        let mut left = self.with_dependants(labels);
        for (_, service) in self.kept().iter_mut().filter(|(label, _)| left.contains(*label)) {
            service.turn = None;
        }
        let mut asked = BTreeSet::new();
        while !left.is_empty() {
            let is_wanted = wanted();
            left.retain(|label| !labels.contains(label) || !is_wanted(label));
            // Each goes as soon as nobody is left who needs it, however long others take.
            let kept = self.kept();
            let needed: BTreeSet<&String> = left
                .iter()
                .filter_map(|label| kept.get(label))
                .flat_map(|service| service.spec.needs.keys())
                .collect();
            let mut free: Vec<&String> = left.iter().filter(|label| !needed.contains(label)).collect();
            if free.is_empty() && asked.is_disjoint(&left) {
                // A ring of needs cannot be, but must not keep us here.
                free = left.iter().collect();
            }
            for label in free {
                if asked.insert(label.clone()) {
                    self.ask(&kept, label, Fact::Stop);
                }
            }
            drop(kept);
            drop(is_wanted);
            let entries = self.board.entries();
            let is_over = |label: &String| {
                entries.get(label).is_none_or(|entry| entry.is_settled() && entry.status.state.is_over())
            };
            let before = left.len();
            left.retain(|label| !asked.contains(label) || !is_over(label));
            if left.len() == before && before > 0 {
                drop(self.board.changed.wait(entries));
            }
        }
    }

    /// Stops everything, in reverse order.
    pub fn stop_all(&self) {
        let labels: Vec<String> = self.kept().keys().cloned().collect();
        self.stop(&labels);
    }

    /// Whoever is being stopped is given less time: SIGTERM now, or SIGKILL. So is whoever waits for his turn; but for
    /// those that are `spared`.
    pub fn hurry(&self, how: Interrupt, spared: &BTreeSet<String>) {
        for (_, service) in self.kept().iter().filter(|(label, _)| !spared.contains(*label)) {
            let _ = service.send.send(Message::Hurry(how));
        }
    }

    /// What is known of every service, by name.
    pub fn statuses(&self) -> Vec<Status> {
        self.board.entries().values().map(|entry| entry.status.clone()).collect()
    }

    /// What is known of one.
    pub fn status(&self, label: &str) -> Option<Status> {
        self.board.entries().get(label).map(|entry| entry.status.clone())
    }

    /// What is known of every service, and what their processes take.
    pub fn statuses_with_usage(&self) -> Vec<Status> {
        let running = |status: Status| Some((status.label, status.process?));
        let mut took = self.loads.look(&self.statuses().into_iter().filter_map(running).collect());
        let mut statuses = self.statuses();
        for status in &mut statuses {
            (status.usage, status.load) = took.remove(&status.label).unzip();
        }
        statuses
    }

    /// From now on every change and all output is told. A subscriber that does not listen misses output.
    pub fn subscribe(&self) -> Subscription {
        let (listener, subscription) = subscription();
        self.board.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        subscription
    }

    /// Whether a service is to stay up when nobody needs it any longer.
    pub fn keep(&self, label: &str, kept: bool) {
        self.board.change(label, |entry| entry.status.kept = kept);
    }

    /// Whether nothing runs and nothing is going to.
    pub fn is_idle(&self) -> bool {
        let again = self.kept().values().any(|service| service.turn.is_some());
        !again
            && self.board.entries().values().all(|entry| entry.is_settled() && entry.status.state.is_over())
    }

    /// How far a service is to come: one that another needs completed is there to be done, any other to be ready.
    pub fn aim(&self, label: &str) -> Gate {
        let is_to_end = |service: &Kept| service.spec.needs.get(label) == Some(&Gate::Completed);
        if self.kept().values().any(is_to_end) { Gate::Completed } else { Gate::Ready }
    }

    /// Whether a service has completed, and was to.
    pub fn is_done(&self, label: &str) -> bool {
        self.aim(label) == Gate::Completed
            && self.status(label).is_some_and(|status| status.state == State::Completed)
    }

    /// These services and all that need them.
    fn with_dependants(&self, labels: &[String]) -> BTreeSet<String> {
        let kept = self.kept();
        let mut all: BTreeSet<String> =
            labels.iter().filter(|label| kept.contains_key(*label)).cloned().collect();
        loop {
            let more: Vec<String> = kept
                .iter()
                .filter(|(label, service)| {
                    !all.contains(*label) && service.spec.needs.keys().any(|need| all.contains(need))
                })
                .map(|(label, _)| label.clone())
                .collect();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// Takes a service in without starting it: a daemon that is up, and is only to be stopped.
    pub fn adopt(&self, spec: Spec) {
        let mut kept = self.kept();
        if !kept.contains_key(&spec.label) {
            let label = spec.label.clone();
            let service = self.take_in(spec);
            kept.insert(label.clone(), service);
            self.ask(&kept, &label, Fact::Adopt);
        }
    }

    fn take_in(&self, spec: Spec) -> Kept {
        let status = Status {
            label: spec.label.clone(),
            name: spec.name.clone(),
            state: State::Stopped,
            process: None,
            started: None,
            ready: None,
            restarts: 0,
            last_exit: None,
            urls: spec.urls.clone(),
            ports: spec.ports.clone(),
            identity: spec.identity,
            content: spec.content,
            kept: false,
            daemon: matches!(spec.how, How::Daemon { .. }),
            found: false,
            failure: None,
            usage: None,
            load: None,
        };
        let entry = Entry { status, probe: None, asked: 0, handled: 0 };
        self.board.entries().insert(spec.label.clone(), entry);
        let (send, receive) = mpsc::channel();
        let log = Arc::new(LogWriter::new(&spec.logs));
        let owned = self.owned.contains(&spec.label);
        let keeper = Keeper::new(spec.clone(), (&self.board, &log, &self.clock), send.clone(), owned);
        let thread = std::thread::Builder::new().name("keeper".to_owned());
        let thread = thread.spawn(move || keeper.keep(&receive)).ok();
        Kept { spec, send, log, thread, turn: None }
    }

    /// Asks a keeper for something; whoever looks at the board from now on sees that it was asked.
    pub(super) fn ask(&self, kept: &BTreeMap<String, Kept>, label: &str, fact: Fact) {
        let Some(service) = kept.get(label) else { return };
        self.board.note(label, |entry| entry.asked += 1);
        if service.send.send(Message::Asked(fact)).is_err() {
            // No keeper, because no thread was to be had: it is over before it begins.
            self.board.change(label, |entry| {
                entry.handled = entry.asked;
                let exit = Exit::NotStarted { reason: "no thread for it".into(), hint: None };
                entry.status.state = State::Failed(super::state::Trouble::Ended { exit });
            });
        }
    }

    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supervisor {
    /// Stops everything, and takes leave of every keeper: nothing of ours is left.
    pub fn leave(&self) {
        self.stop_all();
        for (_, mut service) in std::mem::take(&mut *self.kept()) {
            let _ = service.send.send(Message::Leave);
            if let Some(thread) = service.thread.take() {
                // A panic in it has been told already.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Failure {
    /// A failure of which nothing is known but the reason.
    pub fn plain(reason: String) -> Self {
        Self { reason, lines: Vec::new(), probe: None, hint: None, log: None }
    }
}
