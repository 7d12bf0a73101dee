//! GNU make's jobserver: the places of `-j`, shared with every make, ninja and cargo further down or further up.
//!
//! A jobserver is a pipe that holds a byte for every place but one: whoever is allowed to run something has one place
//! already, reads a byte before it runs a second thing beside the first, and writes the byte back when that is over.
//! envrun serves one to its commands, or joins the one it runs under; each running command holds a [`Token`].
//!
//! The pipe is told in `MAKEFLAGS`, in one of two forms. `fifo:PATH` is what make 4.4, ninja 1.13 and cargo open by
//! themselves, and what an older make dies of ("internal error"); so the numbers of two inherited descriptors are told
//! instead where the `make` on the PATH is an older one. The PATH of the first form leads through envrun's own
//! descriptors in `/proc`: there is no file that could be left behind.
//!
//! Invariant: a byte that was read is written back, whatever becomes of the command.

mod makeflags;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use self::makeflags::Auth;
use super::pipe::pipe;

/// The places of `-j`. Every running command holds a [`Token`].
#[derive(Debug)]
pub struct Jobserver {
    role: Role,
    state: Mutex<State>,
    /// By which those who wait are called: a place that is not in the pipe is free, or nobody needs to wait any longer.
    calls: OnceLock<Option<(OwnedFd, OwnedFd)>>,
}

#[derive(Debug)]
enum Role {
    /// The pipe is made for the first command: a run that executes nothing makes none.
    Server {
        jobs: usize,
        path: OsString,
        pool: OnceLock<Option<Pool>>,
    },
    Client {
        jobs: Option<usize>,
        pool: Pool,
    },
}

/// The pipe.
#[derive(Debug)]
struct Pool {
    /// Never waits, but where the system cannot open a pipe twice.
    read: OwnedFd,
    write: OwnedFd,
    auth: Auth,
    /// What children inherit.
    _inherited: Option<(OwnedFd, OwnedFd)>,
}

#[derive(Debug)]
struct State {
    /// Free places that are not in the pipe: the one that whoever runs envrun gave it; all, if there is no pipe.
    own: usize,
    waiting: usize,
    stopped: bool,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Token<'a> {
    of: &'a Jobserver,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// One of `State::own`.
    Own,
    /// This byte of the pipe.
    Byte(u8),
    /// None: somebody could not wait.
    Beyond,
}

impl Jobserver {
    /// Serves `jobs` places. `path` is the PATH of the commands: whether the `make` on it is new enough decides the form
    /// in which children are told.
    pub fn serve(jobs: usize, path: Option<&OsStr>) -> Self {
        let jobs = jobs.max(1);
        let path = path.unwrap_or_default().to_owned();
        Self::with(Role::Server { jobs, path, pool: OnceLock::new() })
    }

    /// Joins the jobserver that envrun itself runs under; `None` if `makeflags` (the caller's `MAKEFLAGS`) names none, or
    /// one that cannot be reached: make closes its pipe to commands that are not marked with `+`.
    pub fn join(makeflags: &OsStr) -> Option<Self> {
        let auth = makeflags::auth(makeflags)?;
        let pool = Pool::open(auth)?;
        Some(Self::with(Role::Client { jobs: makeflags::jobs(makeflags), pool }))
    }

    fn with(role: Role) -> Self {
        let state = State { own: 1, waiting: 0, stopped: false };
        Self { role, state: Mutex::new(state), calls: OnceLock::new() }
    }

    /// What children get as `MAKEFLAGS`; `inherited` is the caller's, whose other flags are kept.
    pub fn makeflags(&self, inherited: Option<&OsStr>) -> OsString {
        match self.pool() {
            Some(pool) => makeflags::with(inherited.unwrap_or_default(), self.jobs(), &pool.auth),
            None => inherited.unwrap_or_default().to_owned(),
        }
    }

    /// How many places there are, as far as that is known.
    pub fn jobs(&self) -> Option<usize> {
        match &self.role {
            Role::Server { jobs, .. } => Some(*jobs),
            Role::Client { jobs, .. } => *jobs,
        }
    }

    /// Waits for a place; `None` after [`Self::stop`]. What is `urgent` (cleaning up after an interrupt) takes a place if
    /// one is free, and goes without one otherwise.
    pub fn acquire(&self, urgent: bool) -> Option<Token<'_>> {
        let pool = self.pool();
        let token = |place| Some(Token { of: self, place });
        loop {
            let mut state = self.lock();
            if state.stopped && !urgent {
                return None;
            }
            if state.own > 0 {
                state.own -= 1;
                return token(Place::Own);
            }
            drop(state);
            if let Some(byte) = pool.and_then(Pool::take) {
                return token(Place::Byte(byte));
            }
            if urgent {
                return token(Place::Beyond);
            }
            self.wait(pool);
        }
    }

    /// Nobody waits any longer: all who wait, or will, get `None`.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        self.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> Option<&Pool> {
        match &self.role {
            Role::Client { pool, .. } => Some(pool),
            Role::Server { jobs, path, pool } => {
                let make = || {
                    let made = Pool::new(jobs - 1, path).ok();
                    // Without a pipe envrun keeps to its own number, and tells nobody.
                    self.lock().own += jobs - 1 - made.as_ref().map_or(0, |(_, held)| *held);
                    made.map(|(pool, _)| pool)
                };
                pool.get_or_init(make).as_ref()
            }
        }
    }

    /// Waits until it is worth looking again.
    fn wait(&self, pool: Option<&Pool>) {
        let calls = self.calls();
        let mut state = self.lock();
        if state.own > 0 || state.stopped {
            return;
        }
        // Said before the lock is let go: whoever frees a place from now on knows that somebody waits for it.
        state.waiting += 1;
        drop(state);
        let watched = [pool.map(|pool| &pool.read), calls.map(|(read, _)| read)];
        let mut fds: Vec<_> =
            watched.iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
        let often = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let _ = poll(&mut fds, calls.is_none().then_some(&often));
        let mut state = self.lock();
        state.waiting -= 1;
        if let (false, Some((read, _))) = (state.stopped, calls) {
            // One call for one place. The call of `stop` is for everybody, and stays.
            let _ = rustix::io::read(read, &mut [0; 1]);
        }
    }

    /// The pipe by which those who wait are called.
    fn calls(&self) -> Option<&(OwnedFd, OwnedFd)> {
        let make = || {
            let (read, write) = pipe().ok()?;
            rustix::io::ioctl_fionbio(&read, true).ok()?;
            rustix::io::ioctl_fionbio(&write, true).ok()?;
            Some((read, write))
        };
        self.calls.get_or_init(make).as_ref()
    }

    /// Calls one of those who wait. While the lock is held.
    fn wake(&self) {
        if let Some((_, write)) = self.calls() {
            // If it is full, there are calls enough.
            let _ = rustix::io::write(write, b"!");
        }
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        match self.place {
            Place::Own => {
                let mut state = self.of.lock();
                state.own += 1;
                if state.waiting > 0 {
                    self.of.wake();
                }
            }
            Place::Byte(byte) => {
                if let Some(pool) = self.of.pool() {
                    pool.give_back(byte);
                }
            }
            Place::Beyond => {}
        }
    }
}

impl Pool {
    /// A pipe with `places` bytes, and how many it holds.
    fn new(places: usize, path: &OsStr) -> Result<(Self, usize), Errno> {
        let (read, write) = pipe()?;
        rustix::io::ioctl_fionbio(&write, true)?;
        let held = if places == 0 { 0 } else { rustix::io::write(&write, &vec![b'+'; places])? };
        rustix::io::ioctl_fionbio(&write, false)?;
        if cfg!(target_os = "linux") && !has_old_make(path) {
            // Who opens it by its path gets an end of his own; this one is envrun's alone.
            rustix::io::ioctl_fionbio(&read, true)?;
            let path = format!("/proc/{}/fd/{}", std::process::id(), read.as_raw_fd());
            return Ok((Self { read, write, auth: Auth::Fifo(path.into()), _inherited: None }, held));
        }
        let inherited = (rustix::io::dup(&read)?, rustix::io::dup(&write)?);
        let auth = Auth::Pipe(inherited.0.as_raw_fd(), inherited.1.as_raw_fd());
        let read = open_again(inherited.0.as_raw_fd(), OFlags::RDONLY)?;
        Ok((Self { read, write, auth, _inherited: Some(inherited) }, held))
    }

    /// Somebody else's.
    fn open(auth: Auth) -> Option<Self> {
        let (read, write) = match &auth {
            Auth::Fifo(path) => {
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let both = rustix::fs::open(Path::new(path), flags, Mode::empty()).ok()?;
                let write = rustix::io::fcntl_dupfd_cloexec(&both, 3).ok()?;
                (both, write)
            }
            Auth::Pipe(read, write) => {
                (open_again(*read, OFlags::RDONLY).ok()?, open_again(*write, OFlags::WRONLY).ok()?)
            }
        };
        let is_fifo = |fd| {
            rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
        };
        (is_fifo(&read) && is_fifo(&write)).then_some(Self { read, write, auth, _inherited: None })
    }

    /// A byte, if there is one.
    fn take(&self) -> Option<u8> {
        if cfg!(target_vendor = "apple") {
            // What is opened again there is the same end, whose reader waits.
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let mut fds = [PollFd::from_borrowed_fd(self.read.as_fd(), PollFlags::IN)];
            if poll(&mut fds, Some(&now)) != Ok(1) {
                return None;
            }
        }
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.read, &mut byte) {
                Ok(1) => return Some(byte[0]),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    fn give_back(&self, byte: u8) {
        // It has room for what came out of it.
        while let Err(Errno::INTR | Errno::AGAIN) = rustix::io::write(&self.write, &[byte]) {}
    }
}

/// Opens a descriptor that others hold too a second time, so that not waiting on it is envrun's affair alone.
fn open_again(fd: i32, access: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/dev/fd/{fd}");
    rustix::fs::open(path.as_str(), access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

/// Whether a `make` on this PATH does not know `fifo:`. What knows the word has it in its text; asking each for its version
/// would cost a process.
fn has_old_make(path: &OsStr) -> bool {
    let old = |name| {
        let make = which::which_in(name, Some(path), "/").ok()?;
        let program = std::fs::read(make).ok()?;
        Some(memchr::memmem::find(&program, b"fifo:").is_none())
    };
    ["make", "gmake"].into_iter().any(|name| old(name).unwrap_or(false))
}

#[cfg(test)]
mod tests;
