//! The supervisor as a process of its own: serves sessions at the socket of its place until nobody needs it.
//!
//! Whoever wants a service up has a lease on it, which ends with his connection, however he ends. A service without a
//! lease that was not told to stay is stopped; when nothing runs and nobody is connected, the supervisor ends.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::Clock;
use crate::base::fs::FsError;
use crate::exec::{Identity, Interrupt, Processes, Signals};

use super::again::Marked;
use super::place::{FORMAT, Place, Saved};
use super::state::Status;
use super::supervisor::{Subscription, Supervisor, Told};
use super::wire::{Asked, Reply, Request, Said, line};

/// How long the one before may take to leave.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody may come after the start.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// How long processes of an earlier supervisor have between SIGTERM and SIGKILL.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(2);

/// How a supervisor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Nobody needed it any longer, or it was told to end.
    Done,
    /// There is one already.
    Taken,
}

/// Serves the services of `place` until nobody needs them. `ready` is called when sessions may come.
pub fn serve(place: &Place, clock: &Clock, ready: impl FnOnce()) -> Result<Served, FsError> {
    place.make()?;
    let Some(_lock) = place.lock(LOCK_PATIENCE)? else { return Ok(Served::Taken) };
    let (leftovers, ended) = sweep(place)?;
    let owned = leftovers.keys().cloned().collect();
    let server = Arc::new(Server {
        place: place.clone(),
        supervisor: Supervisor::new(clock.clone(), owned),
        ended,
        state: Mutex::new(Leases { leftovers, ..Leases::default() }),
        changed: Condvar::new(),
        next: AtomicU64::new(0),
        saving: Mutex::new(()),
    });
    let listener = place.listen()?;
    let _signals = server.hear_signals();
    server.save_changes();
    server.save();
    let accepting = Arc::clone(&server);
    let accept = move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // No more files, or the like: that will not be over at once.
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            let server = Arc::clone(&accepting);
            server.state().connections += 1;
            let serving = Arc::clone(&server);
            let thread = std::thread::Builder::new().name("session".to_owned());
            if thread.spawn(move || serving.session(&stream)).is_err() {
                server.left(u64::MAX);
            }
        }
    };
    std::thread::Builder::new()
        .name("accept".to_owned())
        .spawn(accept)
        .map_err(|error| FsError::new("serve", place.folder(), error))?;
    ready();
    server.wait_for_the_end();
    // Whoever finds nobody at the socket any more reads what is written down.
    server.save();
    place.close();
    server.supervisor.leave();
    server.save();
    Ok(Served::Done)
}

/// Ends what an earlier supervisor left behind: processes by number and moment of birth. Of its daemons only the names
/// are known; whoever wants them up, or down, brings the rest.
fn sweep(place: &Place) -> Result<(BTreeMap<String, Status>, Vec<String>), FsError> {
    let mut leftovers = BTreeMap::new();
    let mut ended = Vec::new();
    for status in place.saved()?.map(|saved| saved.services).unwrap_or_default() {
        if !status.state.may_be_up() {
            continue;
        }
        if status.process.is_some_and(|process| process.end(LEFTOVER_PATIENCE)) {
            ended.push(status.label.clone());
        }
        if status.daemon {
            leftovers.insert(status.label.clone(), status);
        }
    }
    Ok((leftovers, ended))
}

struct Server {
    place: Place,
    supervisor: Arc<Supervisor>,
    /// Services of an earlier supervisor whose processes were found and ended.
    ended: Vec<String>,
    state: Mutex<Leases>,
    changed: Condvar,
    next: AtomicU64,
    saving: Mutex<()>,
}

#[derive(Default)]
struct Leases {
    connections: usize,
    /// Somebody was there.
    visited: bool,
    /// It was told to end.
    over: bool,
    /// By service, the sessions that need it.
    leases: BTreeMap<String, BTreeSet<u64>>,
    kept: BTreeSet<String>,
    /// By service that somebody else stopped, the sessions that needed it.
    lost: BTreeMap<String, BTreeSet<u64>>,
    /// Daemons that an earlier supervisor started, and nobody asked for since.
    leftovers: BTreeMap<String, Status>,
}

impl Server {
    /// One session, from its first word to its end.
    fn session(self: &Arc<Self>, stream: &UnixStream) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if let Ok(write) = stream.try_clone() {
            let write = Arc::new(Mutex::new(write));
            for text in BufReader::new(stream).split(b'\n') {
                let Ok(text) = text else { break };
                match serde_json::from_slice::<Asked>(&text) {
                    Ok(asked) => self.take(id, asked, &write),
                    Err(error) => say(&write, 0, Reply::Wrong(error.to_string())),
                }
            }
        }
        self.left(id);
    }

    fn take(self: &Arc<Self>, session: u64, asked: Asked, write: &Arc<Mutex<UnixStream>>) {
        let id = asked.id;
        if self.state().over {
            // Too late: whoever comes now finds the next one.
            let _ = lock(write).shutdown(std::net::Shutdown::Both);
            return;
        }
        // What takes its time has a thread of its own: whoever waits for a service may also want to stop it.
        let apart = |work: Box<dyn FnOnce(&Self) -> Reply + Send>| {
            let (server, write) = (Arc::clone(self), Arc::clone(write));
            let work = move || say(&write, id, work(&server));
            let _ = std::thread::Builder::new().name("request".to_owned()).spawn(work);
        };
        match asked.request {
            Request::Hello { .. } => {
                self.state().visited = true;
                let ended = self.ended.clone();
                say(write, id, Reply::Hello { format: FORMAT, supervisor: Identity::own(), ended });
            }
            Request::Up { spec } => {
                let mut state = self.state();
                state.leases.entry(spec.label.clone()).or_default().insert(session);
                let differences = self.supervisor.differences(&spec);
                let begun = self.supervisor.up(*spec.clone());
                state.leftovers.remove(&spec.label);
                drop(state);
                say(write, id, Reply::Begun { begun, differences });
            }
            Request::Compare { spec } => {
                say(write, id, Reply::Differences(self.supervisor.differences(&spec)));
            }
            Request::Wait { label, gate } => apart(Box::new(move |server| {
                let watches = gate.is_none();
                let gate = gate.unwrap_or_else(|| server.supervisor.aim(&label));
                let gone = || if watches { server.state().over } else { !server.is_there(session, &label) };
                match server.supervisor.wait(&label, gate, &gone) {
                    Ok(status) => Reply::Come(Box::new(status)),
                    Err(failure) => Reply::Failed(Box::new(failure)),
                }
            })),
            Request::Keep { labels } => {
                for label in labels {
                    self.state().kept.insert(label.clone());
                    self.supervisor.keep(&label, true);
                }
                say(write, id, Reply::Done);
            }
            Request::Release { labels } => apart(Box::new(move |server| {
                server.release(session, Some(&labels));
                Reply::Done
            })),
            Request::Stop { labels, specs } => apart(Box::new(move |server| {
                server.stop(labels, specs);
                Reply::Done
            })),
            Request::Restart { labels, named } => apart(Box::new(move |server| {
                let marked = server.wanted(labels, named);
                Reply::Again(server.supervisor.take_turn(marked))
            })),
            Request::Status { usage: true } => apart(Box::new(|server| {
                let statuses = server.supervisor.statuses_with_usage();
                Reply::Statuses(server.with_leftovers(statuses))
            })),
            Request::Status { usage: false } => {
                let statuses = self.supervisor.statuses();
                say(write, id, Reply::Statuses(self.with_leftovers(statuses)));
            }
            Request::Subscribe => {
                let told = self.supervisor.subscribe();
                let forward = {
                    let write = Arc::clone(write);
                    move || forward(&told, &write)
                };
                let _ = std::thread::Builder::new().name("told".to_owned()).spawn(forward);
                say(write, id, Reply::Done);
            }
            Request::Hurry { level } => {
                let how = if level > 2 { Interrupt::Kill } else { Interrupt::Terminate };
                self.supervisor.hurry(how, &self.needed_but_for(session));
                say(write, id, Reply::Done);
            }
        }
    }

    /// Whether a session still needs a service.
    fn is_there(&self, session: u64, label: &str) -> bool {
        let state = self.state();
        !state.over && state.leases.get(label).is_some_and(|sessions| sessions.contains(&session))
    }

    /// The services that stay up when this session leaves: others need them, or they are to stay.
    fn needed_but_for(&self, session: u64) -> BTreeSet<String> {
        let state = self.state();
        let others = state.leases.iter().filter(|(_, sessions)| sessions.iter().any(|id| *id != session));
        others.map(|(label, _)| label).chain(&state.kept).cloned().collect()
    }

    /// A session is over.
    fn left(&self, session: u64) {
        self.release(session, None);
        self.state().connections -= 1;
        self.changed.notify_all();
    }

    /// A session does not need these any longer, or nothing at all: stops what nobody else needs.
    fn release(&self, session: u64, labels: Option<&[String]>) {
        let mut free = Vec::new();
        let mut state = self.state();
        let Leases { leases, kept, lost, .. } = &mut *state;
        for (label, sessions) in &mut *lost {
            if labels.is_none_or(|labels| labels.contains(label)) {
                sessions.remove(&session);
            }
        }
        leases.retain(|label, sessions| {
            let meant = labels.is_none_or(|labels| labels.contains(label));
            if meant && sessions.remove(&session) && sessions.is_empty() && !kept.contains(label) {
                free.push(label.clone());
            }
            !sessions.is_empty()
        });
        drop(state);
        if !free.is_empty() {
            self.stop_unwanted(&free);
        }
        self.changed.notify_all();
    }

    /// Stops what nobody wants. Whoever comes meanwhile, and wants one of them, has it up, or up again.
    fn stop_unwanted(&self, labels: &[String]) {
        self.supervisor.stop_unless(labels, || {
            let state = self.state();
            move |label: &str| state.leases.contains_key(label) || state.kept.contains(label)
        });
    }

    /// Marks those of these services that somebody wants to be started again. Whoever lost one because somebody else
    /// stopped it has it again.
    fn wanted(&self, mut labels: Vec<String>, named: bool) -> Marked {
        let mut state = self.state();
        labels.retain(|label| !state.over && (named || !self.supervisor.is_done(label)));
        for label in &labels {
            if let Some(sessions) = state.lost.remove(label).filter(|sessions| !sessions.is_empty()) {
                state.leases.entry(label.clone()).or_default().extend(sessions);
            }
        }
        labels.retain(|label| state.kept.contains(label) || state.leases.contains_key(label));
        // Marked with the leases locked: whoever lets one go from now on takes the mark away, too.
        self.supervisor.begin_turn(&labels)
    }

    /// Somebody wants these down, whoever needs them.
    fn stop(&self, labels: Option<Vec<String>>, specs: Vec<super::Spec>) {
        let mut state = self.state();
        let all = || self.supervisor.statuses().into_iter().map(|status| status.label).collect::<Vec<_>>();
        let mut stopped = labels.clone().unwrap_or_else(all);
        for spec in specs {
            let meant = labels.as_ref().is_none_or(|labels| labels.contains(&spec.label));
            if meant && state.leftovers.remove(&spec.label).is_some() {
                stopped.push(spec.label.clone());
                self.supervisor.adopt(spec);
            }
        }
        for label in &stopped {
            state.kept.remove(label);
            if let Some(sessions) = state.leases.remove(label) {
                state.lost.entry(label.clone()).or_default().extend(sessions);
            }
            self.supervisor.keep(label, false);
        }
        drop(state);
        self.stop_unwanted(&stopped);
        self.changed.notify_all();
    }

    fn with_leftovers(&self, mut statuses: Vec<Status>) -> Vec<Status> {
        statuses.extend(self.state().leftovers.values().cloned());
        statuses
    }

    /// SIGTERM and its like: stop everything in order; again: hurry.
    fn hear_signals(self: &Arc<Self>) -> Option<Signals> {
        let server = Arc::clone(self);
        Signals::listen(Processes::new(Duration::ZERO), move |_, before| {
            server.state().over = true;
            server.changed.notify_all();
            match before {
                0 => {}
                1 => server.supervisor.hurry(Interrupt::Terminate, &BTreeSet::new()),
                _ => server.supervisor.hurry(Interrupt::Kill, &BTreeSet::new()),
            }
        })
        .ok()
    }

    /// Waits until nothing runs and nobody is there, or it was told to end.
    fn wait_for_the_end(&self) {
        let begun = Instant::now();
        let mut state = self.state();
        // How many sessions there had been when everything was written down for the last time.
        let mut written = None;
        loop {
            let awaited = !state.visited && begun.elapsed() < FIRST_PATIENCE;
            if state.over {
                return;
            }
            if state.connections == 0 && !awaited && self.supervisor.is_idle() {
                let sessions = Some(self.next.load(Ordering::Relaxed));
                if written == sessions {
                    state.over = true;
                    return;
                }
                // Before it is over: whoever is turned away reads what is written down.
                drop(state);
                self.save();
                written = sessions;
                state = self.state();
                continue;
            }
            // A service that ends by itself is told on another way: it is looked at now and then.
            let wait = self.changed.wait_timeout(state, Duration::from_millis(500));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes every change down, as it comes.
    fn save_changes(self: &Arc<Self>) {
        let told = self.supervisor.subscribe();
        let server = Arc::downgrade(self);
        let save = move || {
            while let Some(told) = told.next(None) {
                let Some(server) = server.upgrade() else { return };
                if let Told::Changed(_) = told {
                    server.save();
                    server.changed.notify_all();
                }
            }
        };
        let _ = std::thread::Builder::new().name("save".to_owned()).spawn(save);
    }

    /// Whoever cannot write it down goes on: the state is what a later command knows, not what makes this one right.
    fn save(&self) {
        // Whoever looked first also writes first: what is older never replaces what is newer.
        let _turn = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let services = self.with_leftovers(self.supervisor.statuses());
        let _ = self.place.save(&Saved { format: FORMAT, supervisor: Identity::own(), services });
    }

    fn state(&self) -> MutexGuard<'_, Leases> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(write: &Mutex<UnixStream>) -> MutexGuard<'_, UnixStream> {
    write.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that is gone is noticed where it is read from.
fn say(write: &Mutex<UnixStream>, id: u64, reply: Reply) {
    let said = Said::Reply { id, reply: Box::new(reply) };
    let _ = lock(write).write_all(&line(&said));
}

fn forward(told: &Subscription, write: &Mutex<UnixStream>) {
    while let Some(told) = told.next(None) {
        let line = line(&Said::from(told));
        let written: io::Result<()> = lock(write).write_all(&line);
        if written.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::State;

    #[test]
    fn what_is_left_is_ended_and_a_process_of_another_container_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), None);
        place.make().unwrap();
        let left = |process: Identity| {
            let text = serde_json::json!({
                "label": "api", "name": "api", "state": "ready", "process": process, "restarts": 0, "urls": [],
                "ports": [], "identity": crate::base::Digest::of(b""), "kept": false, "daemon": false,
            });
            let status: Status = serde_json::from_value(text).unwrap();
            assert_eq!(status.state, State::Ready);
            place.save(&Saved { format: FORMAT, supervisor: process, services: vec![status] }).unwrap();
        };
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let process = Identity::of(child.id()).unwrap();
        // The same number, in a namespace of its own: the folder is shared, the processes are not.
        left(Identity { space: process.space + 1, ..process });
        assert_eq!(sweep(&place).unwrap().1, [""; 0]);
        assert!(process.is_alive());
        left(process);
        let waits = std::thread::spawn(move || child.wait().unwrap());
        assert_eq!(sweep(&place).unwrap().1, ["api"]);
        assert!(!waits.join().unwrap().success());
    }
}
