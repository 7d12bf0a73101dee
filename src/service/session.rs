//! A session with the supervisor of an environment: what a command that needs services holds on to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::fs::FsError;
use crate::exec::{Identity, detach};

use super::Gate;
use super::place::{FORMAT, Place};
use super::spec::Spec;
use super::state::{Failure, Status};
use super::supervisor::{Begun, Listener, Subscription, Told, subscription};
use super::wire::{Asked, Reply, Request, Said, line};

/// How long a supervisor may take to begin.
const PATIENCE: Duration = Duration::from_secs(15);

/// What can go wrong with a session; the services themselves may be well.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A file or the socket.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// It could not be started.
    #[error("the supervisor of the services could not be started: {reason}")]
    NotStarted {
        /// Why.
        reason: String,
    },
    /// It ended, or was killed: its services ended with it.
    #[error("the supervisor of the services has ended")]
    Gone,
    /// It is of another version.
    #[error("the services are held by another version of envrun (pid {pid})")]
    Version {
        /// The supervisor.
        pid: u32,
    },
}

impl SessionError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Version { pid } => {
                Some(format!("end them with that version's `envrun down`, or with `kill {pid}`"))
            }
            Self::Gone => Some("`envrun up` starts the services again".into()),
            Self::Fs(_) | Self::NotStarted { .. } => None,
        }
    }
}

/// A session. Dropped, the services it asked for are stopped, unless they are to stay or others need them.
#[derive(Debug)]
pub struct Session {
    write: Mutex<UnixStream>,
    pending: Arc<Pending>,
    told: Mutex<Option<Subscription>>,
    next: AtomicU64,
    /// The supervisor.
    pub supervisor: Identity,
    /// Services of an earlier supervisor whose processes this one found and ended.
    pub ended: Vec<String>,
}

/// Who waits for which answer; `None` once there will be none.
type Pending = Mutex<Option<HashMap<u64, Sender<Reply>>>>;

impl Session {
    /// A session with the supervisor that is there; `None` if there is none.
    pub fn attach(place: &Place) -> Result<Option<Self>, SessionError> {
        let Some(stream) = place.connect()? else { return Ok(None) };
        match Self::greet(stream) {
            Ok(session) => Ok(Some(session)),
            // It was about to end.
            Err(SessionError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A session with the supervisor of `place`; one is started if there is none: `program`, with the hidden command that
    /// serves.
    pub fn open(place: &Place, program: &Path) -> Result<Self, SessionError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(session) = Self::attach(place)? {
                return Ok(session);
            }
            place.make()?;
            start(place, program)?;
            if let Some(session) = Self::attach(place)? {
                return Ok(session);
            }
            if Instant::now() > until {
                return Err(SessionError::NotStarted { reason: last_words(place) });
            }
            // Another one has the lock and is about to end, or to begin.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn greet(stream: UnixStream) -> Result<Self, SessionError> {
        let read = stream.try_clone().map_err(|_| SessionError::Gone)?;
        let (tell, told) = subscription();
        let pending: Arc<Pending> = Arc::new(Mutex::new(Some(HashMap::new())));
        let heard = Arc::clone(&pending);
        let listen = move || listen(&read, &heard, &tell);
        std::thread::Builder::new()
            .name("services".to_owned())
            .spawn(listen)
            .map_err(|error| SessionError::NotStarted { reason: error.to_string() })?;
        let mut session = Self {
            write: Mutex::new(stream),
            pending,
            told: Mutex::new(Some(told)),
            next: AtomicU64::new(1),
            supervisor: Identity::own(),
            ended: Vec::new(),
        };
        match session.ask(Request::Hello { format: FORMAT })? {
            Reply::Hello { format: FORMAT, supervisor, ended } => {
                session.supervisor = supervisor;
                session.ended = ended;
                Ok(session)
            }
            Reply::Hello { supervisor, .. } => Err(SessionError::Version { pid: supervisor.pid }),
            _ => Err(SessionError::Gone),
        }
    }

    /// Whether the supervisor has ended, or does not answer any more.
    pub fn is_gone(&self) -> bool {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Has a service up, with these values, as long as this session is there. What was done for that, and what it had
    /// otherwise before, in words that stand after "because".
    pub fn up(&self, spec: Spec) -> Result<(Begun, Vec<String>), SessionError> {
        match self.ask(Request::Up { spec: Box::new(spec) })? {
            Reply::Begun { begun, differences } => Ok((begun, differences)),
            _ => Err(SessionError::Gone),
        }
    }

    /// What a service would have otherwise than it has; nothing is done.
    pub fn differences(&self, spec: Spec) -> Result<Vec<String>, SessionError> {
        match self.ask(Request::Compare { spec: Box::new(spec) })? {
            Reply::Differences(differences) => Ok(differences),
            _ => Err(SessionError::Gone),
        }
    }

    /// Waits until a service has come as far as `gate`, or will not; `None` if `given_up` says so, asked now and then.
    pub fn wait(
        &self,
        label: &str,
        gate: Gate,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Option<Result<Status, Failure>>, SessionError> {
        self.wait_or_watch(label, Some(gate), given_up)
    }

    /// Waits until a service that somebody else wants has come as far as it is to: ready, or completed if that is what
    /// others need of it.
    pub fn watch(
        &self,
        label: &str,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Option<Result<Status, Failure>>, SessionError> {
        self.wait_or_watch(label, None, given_up)
    }

    fn wait_or_watch(
        &self,
        label: &str,
        gate: Option<Gate>,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Option<Result<Status, Failure>>, SessionError> {
        const LOOK: Duration = Duration::from_millis(20);
        let answer = self.begin(Request::Wait { label: label.to_owned(), gate })?;
        loop {
            return match answer.recv_timeout(LOOK) {
                Ok(Reply::Come(status)) => Ok(Some(Ok(*status))),
                Ok(Reply::Failed(failure)) => Ok(Some(Err(*failure))),
                Err(RecvTimeoutError::Timeout) if given_up() => Ok(None),
                Err(RecvTimeoutError::Timeout) => continue,
                Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(SessionError::Gone),
            };
        }
    }

    /// These stay up when the session ends.
    pub fn keep(&self, labels: Vec<String>) -> Result<(), SessionError> {
        self.ask(Request::Keep { labels }).map(drop)
    }

    /// This session does not need these any longer. Returns when they are down, unless they stay.
    pub fn release(&self, labels: Vec<String>) -> Result<(), SessionError> {
        self.ask(Request::Release { labels }).map(drop)
    }

    /// Stops these, whoever needs them; all without a list. Returns when they are down. `specs` are of daemons that an
    /// earlier supervisor may have left.
    pub fn stop(&self, labels: Option<Vec<String>>, specs: Vec<Spec>) -> Result<(), SessionError> {
        self.ask(Request::Stop { labels, specs }).map(drop)
    }

    /// Starts services again, those of them that somebody wants: down in reverse order, then up, each when what it needs
    /// has come far enough. Returns when each has been started; their labels, in that order. Of those that were not
    /// `named` one by one, what has done what it is there for is left alone.
    pub fn restart(&self, labels: Vec<String>, named: bool) -> Result<Vec<String>, SessionError> {
        match self.ask(Request::Restart { labels, named })? {
            Reply::Again(order) => Ok(order),
            _ => Err(SessionError::Gone),
        }
    }

    /// What is known of all services; with what their processes take.
    pub fn statuses(&self, usage: bool) -> Result<Vec<Status>, SessionError> {
        match self.ask(Request::Status { usage })? {
            Reply::Statuses(statuses) => Ok(statuses),
            _ => Err(SessionError::Gone),
        }
    }

    /// From now on every change is told, and output as far as it is listened to; it ends with the supervisor. Once for a
    /// session.
    pub fn subscribe(&self) -> Result<Subscription, SessionError> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.ask(Request::Subscribe)?;
        told.ok_or(SessionError::Gone)
    }

    /// Whoever is being stopped is given less time: from level 2 SIGTERM at once, from level 3 SIGKILL.
    pub fn hurry(&self, level: u32) -> Result<(), SessionError> {
        self.ask(Request::Hurry { level }).map(drop)
    }

    fn ask(&self, request: Request) -> Result<Reply, SessionError> {
        self.begin(request)?.recv().map_err(|_| SessionError::Gone)
    }

    /// Asks; the answer comes, or the channel closes.
    fn begin(&self, request: Request) -> Result<Receiver<Reply>, SessionError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (send, receive) = mpsc::channel();
        match &mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(pending) => pending.insert(id, send),
            None => return Err(SessionError::Gone),
        };
        let text = line(&Asked { id, request });
        let mut write = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        write.write_all(&text).map_err(|_| SessionError::Gone)?;
        drop(write);
        Ok(receive)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The thread that reads holds the other half: it is told that all has been said.
        let stream = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Sorts what the supervisor says, until it says nothing any longer.
fn listen(stream: &UnixStream, pending: &Pending, tell: &Listener) {
    for text in BufReader::new(stream).split(b'\n') {
        let Some(said) = text.ok().and_then(|text| serde_json::from_slice::<Said>(&text).ok()) else { break };
        let told = match said {
            Said::Reply { id, reply } => {
                let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(asker) = pending.as_mut().and_then(|pending| pending.remove(&id)) {
                    let _ = asker.send(*reply);
                }
                continue;
            }
            Said::Changed(status) => Told::Changed(status),
            Said::Output { label, stream, bytes } => Told::Output { label: label.into(), stream, bytes },
        };
        // Who did not subscribe is not told; who did may have stopped to listen.
        let _ = tell.tell(told);
    }
    *pending.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The hidden command that [`super::serve`]s.
pub const SERVE: &str = "__services";

/// Starts a supervisor, and waits until it says that it is there, or ends.
fn start(place: &Place, program: &Path) -> Result<(), SessionError> {
    let errors = place.errors();
    let file = File::create(&errors).map_err(|error| FsError::new("write", &errors, error))?;
    let mut child = detach(program, &[SERVE.as_ref(), place.folder().as_os_str()], file)
        .map_err(|error| SessionError::NotStarted { reason: format!("{}: {error}", program.display()) })?;
    let mut said = [0; 1];
    if let Some(mut out) = child.stdout.take() {
        // Nothing to read: it has ended, because there is one already, or with a reason.
        let _ = out.read(&mut said);
    }
    // Somebody has to ask how it ended, or a dead one would stay in the table of processes as long as we live.
    let reap = move || drop(child.wait());
    let _ = std::thread::Builder::new().name("reap".to_owned()).spawn(reap);
    Ok(())
}

fn last_words(place: &Place) -> String {
    let errors: PathBuf = place.errors();
    let text = std::fs::read_to_string(&errors).unwrap_or_default();
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => line.to_owned(),
        None => format!("it does not answer within {} seconds", PATIENCE.as_secs()),
    }
}
