//! One session, several terminals: whoever asks for what a session does already joins it instead of starting a twin.
//!
//! A session has a folder of its own under `.envrun/dev`, called by what it was asked for, with a lock and a socket. Who
//! finds the lock taken is told what the session tells, as the lines of `-o json`, beginning with the run that was told
//! last; it may ask for the targets to be executed again, and leave. The session goes on until the terminal that it was
//! started in ends it.
//!
//! Invariant: a terminal that does not read misses output; it never makes the session wait.

use std::collections::{HashSet, VecDeque};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::base::fs::FileLock;
use crate::event::{Event, RunState, Sequenced};
use crate::graph::NodeIx;
use crate::plan::Plan;
use crate::record::STATE_DIR;
use crate::report::Reporter;
use crate::service::Place;

use super::desk::{Desk, Wake};
use crate::engine::surroundings::state_label;

/// The version of what is said at the socket.
const FORMAT: u32 = 1;
/// How long a session may take from its lock to its socket, or from its last word to the end of its lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a session waits for a terminal that joined and does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// So many events of the last run are told to whoever joins, behind the first.
const REMEMBERED: usize = 2000;
/// So much of what its nodes printed, with them.
const PRINTED: usize = 256 << 10;
/// How many bytes of output may wait for a terminal that does not read.
const BACKLOG: usize = 4 << 20;
/// What a terminal that joined asks for.
const RERUN: &str = "rerun";

/// What a session says first.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    format: u32,
    pid: u32,
}

/// How a session begins.
pub(super) enum Begun {
    /// It is the first of its kind, and others may join.
    First(Seat),
    /// Another one does the same already.
    There(Joined),
    /// Nobody can join, for no folder or no lock is to be had.
    Alone,
}

/// The place of a session, as long as it is there.
pub(super) struct Seat {
    place: Place,
    listener: Option<UnixListener>,
    told: Told,
    _lock: FileLock,
}

/// A session of somebody else's that was joined.
pub(super) struct Joined {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    /// Its process.
    pub pid: u32,
}

/// Begins a session of what this plan is for, or joins the one that is there.
pub(super) fn begin(root: &Path, plan: &Plan, set: &[(String, String)]) -> Begun {
    let mut targets: Vec<String> =
        plan.graph.targets().map(|target| state_label(&plan.graph[target])).collect();
    targets.sort();
    let asked = serde_json::to_vec(&(targets, set)).expect("texts can be written");
    let folder = root.join(STATE_DIR).join("dev").join(Digest::of(&asked).short());
    let place = Place::at(folder);
    if place.make().is_err() {
        return Begun::Alone;
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match place.lock(Duration::ZERO) {
            Ok(Some(lock)) => {
                return match place.listen() {
                    Ok(listener) => Begun::First(Seat {
                        place,
                        listener: Some(listener),
                        told: Told::default(),
                        _lock: lock,
                    }),
                    Err(_) => Begun::Alone,
                };
            }
            Ok(None) => {}
            Err(_) => return Begun::Alone,
        }
        if let Ok(Some(stream)) = place.connect()
            && let Some(joined) = Joined::greeted(stream)
        {
            return Begun::There(joined);
        }
        // It begins at this moment, or ends: there is nothing to wait for that would tell.
        std::thread::sleep(Duration::from_millis(10));
    }
    Begun::Alone
}

impl Seat {
    /// Lets others join from now on. What the listener that this gives hears is told to them.
    pub(super) fn open(&mut self, desk: &Arc<Desk>) -> Told {
        let Some(listener) = self.listener.take() else { return self.told.clone() };
        let (told, desk) = (self.told.clone(), Arc::clone(desk));
        let accept = move || {
            for stream in listener.incoming().flatten() {
                told.admit(stream, &desk);
            }
        };
        // Without a thread nobody can join.
        let _ = std::thread::Builder::new().name("join".to_owned()).spawn(accept);
        self.told.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.place.close();
        self.told.close();
    }
}

/// Remembers what was told last, and tells it to whoever joins.
#[derive(Debug, Clone, Default)]
pub(super) struct Told(Arc<Mutex<Room>>);

#[derive(Debug, Default)]
struct Room {
    first: Option<Sequenced>,
    rest: VecDeque<Sequenced>,
    /// How much of these is output, and how many are something else.
    printed: usize,
    others: usize,
    guests: Vec<Guest>,
    /// The other end closes when all has been written.
    writers: Option<(Sender<()>, Receiver<()>)>,
}

impl Room {
    /// Keeps what was told for whoever joins later. Of what nodes printed the newest is kept, and of each at least a sign that
    /// it printed something: nobody is to read that it did not.
    fn remember(&mut self, told: Sequenced) {
        const CUT: &[u8] = b"...\n";
        // Of a node that prints a byte at a time each one costs more than that.
        let size = |told: &Sequenced| match &told.event {
            Event::Output { bytes, .. } => bytes.len() + 64,
            _ => 0,
        };
        self.printed += size(&told);
        self.others += usize::from(size(&told) == 0);
        self.rest.push_back(told);
        if self.printed > PRINTED {
            let mut cut: HashSet<NodeIx> = HashSet::new();
            let mut printed = self.printed;
            self.rest.retain_mut(|told| {
                if size(told) == 0 || printed <= PRINTED / 2 {
                    return true;
                }
                printed -= size(told);
                let Event::Output { node, bytes, .. } = &mut told.event else { return true };
                let first = cut.insert(*node);
                if first {
                    *bytes = CUT.to_vec();
                    printed += size(told);
                }
                first
            });
            self.printed = printed;
        }
        while self.others > REMEMBERED {
            let Some(told) = self.rest.pop_front() else { return };
            self.printed -= size(&told);
            self.others -= usize::from(size(&told) == 0);
        }
    }
}

/// A terminal that joined.
#[derive(Debug)]
struct Guest {
    send: Sender<Arc<Vec<u8>>>,
    waiting: Arc<AtomicUsize>,
}

impl Told {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session is over: waits until everybody was told, but not long for one that does not read.
    fn close(&self) {
        let (writers, guests) = {
            let mut room = self.room();
            (room.writers.take(), std::mem::take(&mut room.guests))
        };
        drop(guests);
        if let Some((own, written)) = writers {
            drop(own);
            // Nobody sends anything: it ends when the last writer does.
            let _ = written.recv_timeout(LAST_WORDS);
        }
    }

    fn admit(&self, stream: UnixStream, desk: &Arc<Desk>) {
        let Ok(reading) = stream.try_clone() else { return };
        let (send, lines) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut room = self.room();
        let _ = send.send(Arc::new(line(&Hello { format: FORMAT, pid: std::process::id() })));
        for told in room.first.iter().chain(&room.rest) {
            let _ = send.send(Arc::new(line(told)));
        }
        room.guests.push(Guest { send, waiting: Arc::clone(&waiting) });
        let writer = room.writers.get_or_insert_with(channel).0.clone();
        drop(room);
        let write = move || {
            write(stream, &lines, &waiting);
            drop(writer);
        };
        let _ = std::thread::Builder::new().name("guest".to_owned()).spawn(write);
        let desk = Arc::clone(desk);
        let listen = move || {
            for asked in BufReader::new(reading).lines().map_while(Result::ok) {
                if asked == RERUN {
                    desk.wake(Wake::Rerun);
                }
            }
        };
        let _ = std::thread::Builder::new().name("guest".to_owned()).spawn(listen);
    }
}

impl Reporter for Told {
    fn on(&mut self, event: &Sequenced, _: &RunState) -> io::Result<()> {
        let mut room = self.room();
        let output = match &event.event {
            Event::RunStarted(_) => {
                room.first = Some(event.clone());
                room.rest.clear();
                (room.printed, room.others) = (0, 0);
                0
            }
            Event::Output { bytes, .. } => bytes.len(),
            _ => 0,
        };
        if !matches!(event.event, Event::RunStarted(_)) {
            room.remember(event.clone());
        }
        if room.guests.is_empty() {
            return Ok(());
        }
        let line = Arc::new(line(event));
        room.guests.retain(|guest| {
            if output > 0 && guest.waiting.load(Ordering::Relaxed) > BACKLOG {
                return true;
            }
            guest.waiting.fetch_add(line.len(), Ordering::Relaxed);
            guest.send.send(Arc::clone(&line)).is_ok()
        });
        Ok(())
    }
}

/// Writes to a terminal that joined, until it is gone or the session is.
fn write(mut stream: UnixStream, lines: &Receiver<Arc<Vec<u8>>>, waiting: &AtomicUsize) {
    for line in lines {
        if stream.write_all(&line).is_err() {
            return;
        }
        let _ = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            Some(waiting.saturating_sub(line.len()))
        });
    }
}

fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).expect("everything said has texts for keys");
    line.push(b'\n');
    line
}

impl Joined {
    /// Whoever does not greet in time, or speaks another format, is not joined.
    fn greeted(stream: UnixStream) -> Option<Self> {
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut lines = BufReader::new(stream.try_clone().ok()?);
        let mut text = String::new();
        lines.read_line(&mut text).ok()?;
        let hello: Hello = serde_json::from_str(&text).ok()?;
        stream.set_read_timeout(None).ok()?;
        (hello.format == FORMAT).then_some(Self { stream, lines, pid: hello.pid })
    }

    /// Hands on what the session tells, on a thread of its own, until it is over.
    pub(super) fn listen(self, desk: &Arc<Desk>) -> io::Result<Guesthood> {
        let Self { stream, lines, .. } = self;
        let desk = Arc::clone(desk);
        std::thread::Builder::new().name("joined".to_owned()).spawn(move || {
            for text in lines.split(b'\n').map_while(Result::ok) {
                let Ok(told) = serde_json::from_slice(&text) else { break };
                desk.wake(Wake::Told(Box::new(told)));
            }
            desk.wake(Wake::Left);
        })?;
        Ok(Guesthood(stream))
    }
}

/// The way back to the session that was joined.
pub(super) struct Guesthood(UnixStream);

impl Guesthood {
    /// Asks for the targets to be executed again.
    pub(super) fn rerun(&mut self) {
        // A session that is over says so itself.
        let _ = self.0.write_all(format!("{RERUN}\n").as_bytes());
    }
}
