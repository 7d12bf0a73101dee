//! A small process that ends every child when envrun itself is killed.
//!
//! The guardian is forked, not executed: it costs a tenth of a millisecond and a page or two. It sits in a session of
//! its own, so that the keys of the terminal do not reach it, keeps nothing open but the reading end of a pipe, and
//! waits there for the end of envrun, the only holder of the other end. It then ends the process groups in the
//! [`Ledger`], a piece of memory that both share, and (on Linux) whatever bears a mark of the run, until there is none
//! left. What a successful command left behind on purpose is in the ledger too, and is spared. Last it removes the folders
//! whose contents must not outlive the run.
//!
//! An orderly end of envrun ends the guardian first.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::process::{Pid, Signal, WaitOptions};

use super::fleeting::Place;
use super::mark::{Number, RunId};
use super::pipe::pipe;
use super::tree;

/// How many groups the ledger can hold. More commands than that at once are known by their marks alone.
const PLACES: usize = 4096;
/// How many folders can be noted at once.
const FOLDERS: usize = 64;
const WORDS: usize = (1 << 24) / 32;

/// What envrun and its guardian both know. Zeroes are valid: nothing is noted.
#[repr(C)]
struct Pages {
    /// The process group of each running command, or 0.
    groups: [AtomicI32; PLACES],
    /// A bit for each command that ended well.
    well: [AtomicU32; WORDS],
    /// Folders that must not outlive the run.
    folders: [Place; FOLDERS],
}

/// A piece of memory shared with the guardian: what runs, and which commands ended well. Pages that nobody wrote to take
/// no memory.
#[derive(Debug)]
pub(super) struct Ledger {
    pages: NonNull<Pages>,
}

#[expect(unsafe_code, reason = "the ledger is shared memory")]
// SAFETY: the pages hold atomics only.
unsafe impl Send for Ledger {}
#[expect(unsafe_code, reason = "the ledger is shared memory")]
// SAFETY: as above.
unsafe impl Sync for Ledger {}

impl Ledger {
    #[expect(unsafe_code, reason = "the ledger is shared memory")]
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a new mapping overlaps nothing.
        let pages = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Pages>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if pages == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { pages: NonNull::new(pages.cast()).expect("no mapping lies at address 0") })
    }

    #[expect(unsafe_code, reason = "the ledger is shared memory")]
    fn pages(&self) -> &Pages {
        // SAFETY: the mapping has the size of `Pages`, is aligned to a page, begins as zeroes, which are valid atomics,
        // and lives until this ledger is dropped.
        unsafe { self.pages.as_ref() }
    }

    /// Notes a running command's group; the answer is what to give to [`Self::remove`].
    pub(super) fn add(&self, group: Pid) -> Option<usize> {
        let group = group.as_raw_nonzero().get();
        let free =
            |place: &AtomicI32| place.compare_exchange(0, group, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        self.pages().groups.iter().position(free)
    }

    /// The command is over.
    pub(super) fn remove(&self, place: usize) {
        self.pages().groups[place].store(0, Ordering::SeqCst);
    }

    /// The places for folders that must not outlive the run.
    pub(super) fn folders(&self) -> &[Place] {
        &self.pages().folders
    }

    /// Notes that a command ended well: what it left behind may stay.
    pub(super) fn ended_well(&self, number: Number) {
        let (word, bit) = (number as usize / 32 % WORDS, number % 32);
        self.pages().well[word].fetch_or(1 << bit, Ordering::SeqCst);
    }

    /// Whether it did.
    pub(super) fn has_ended_well(&self, number: Number) -> bool {
        let (word, bit) = (number as usize / 32 % WORDS, number % 32);
        self.pages().well[word].load(Ordering::SeqCst) & (1 << bit) != 0
    }
}

impl Drop for Ledger {
    #[expect(unsafe_code, reason = "the ledger is shared memory")]
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size; nothing borrows from it any longer.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), size_of::<Pages>()) };
    }
}

/// The hold on the guardian. Dropped, the guardian has ended; envrun gone without that, it goes to work.
#[derive(Debug)]
pub(super) struct Guard {
    pid: Pid,
    /// Held open, never written to.
    _pipe: OwnedFd,
}

impl Guard {
    /// Forks the guardian of this run. May be called by any thread at any time.
    #[expect(unsafe_code, reason = "fork")]
    pub(super) fn start(run: RunId, ledger: &Ledger) -> io::Result<Self> {
        let (read, write) = pipe()?;
        // SAFETY: `guard` makes system calls only.
        let pid = unsafe { fork(|| guard(run, ledger, &read)) }?;
        Ok(Self { pid, _pipe: write })
    }

    /// The guardian ends, some time soon.
    pub(super) fn dismiss(&self) {
        // It blocks every other signal. As long as it is our child, its number is its own.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }

    #[cfg(test)]
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dismiss();
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(self.pid), WaitOptions::empty())
        {}
    }
}

/// The guardian's life, in the forked child.
#[expect(unsafe_code, reason = "the end of a forked child")]
fn guard(run: RunId, ledger: &Ledger, pipe: &OwnedFd) -> ! {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir(c"/");
    close_all_but(pipe.as_raw_fd());
    run.guardian().put_on_myself();
    // Not `envrun`, or `killall -9 envrun` would take it along.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"run-guardian");
    // Nothing is ever written there: what ends the wait is envrun's end.
    while rustix::io::read(pipe, &mut [0; 1]) == Err(rustix::io::Errno::INTR) {}
    end_all(run, ledger);
    // Nobody writes into them any longer.
    ledger.folders().iter().for_each(Place::remove);
    // SAFETY: ends the process at once, without running anything of envrun's.
    unsafe { libc::_exit(0) }
}

/// Ends everything that belongs to the run, until nothing is left.
fn end_all(run: RunId, ledger: &Ledger) {
    for place in &ledger.pages().groups {
        if let Some(group) = Pid::from_raw(place.load(Ordering::SeqCst)) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
    // A process that forks while we look may slip through one look, not through two in a row. What is stuck in the
    // kernel cannot be ended: after half a minute of looking it is left to itself.
    let (mut clean, mut looks) = (0, 0);
    while clean < 2 && looks < 1000 {
        let mut found = false;
        tree::each(&mut |seen| {
            let number = seen.mark.and_then(|mark| mark.of(run));
            if !seen.zombie && number.is_some_and(|number| !ledger.has_ended_well(number)) {
                // What became somebody else's (`sudo`) is his affair.
                found |= rustix::process::kill_process(seen.pid, Signal::KILL).is_ok();
            }
        });
        clean = if found { 0 } else { clean + 1 };
        looks += 1;
        if found {
            pause(if looks < 20 { 1 } else { 30 });
        }
    }
}

/// Sleeps some milliseconds.
fn pause(milliseconds: i64) {
    let time = rustix::event::Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
    let _ = rustix::event::poll(&mut [], Some(&time));
}

/// Closes everything but `kept`: what envrun's caller waits for the end of must not stay open here.
fn close_all_but(kept: std::ffi::c_int) {
    if kept > 0 {
        close_between(0, kept - 1);
    }
    close_between(kept + 1, std::ffi::c_int::MAX);
}

/// Closes everything from one number to another.
#[expect(unsafe_code, reason = "closes what is owned elsewhere in the memory that was forked")]
pub(super) fn close_between(first: std::ffi::c_int, last: std::ffi::c_int) {
    #[cfg(target_os = "linux")]
    {
        let (first, last) = (first.cast_unsigned(), last.cast_unsigned());
        // SAFETY: closes descriptors of this process alone; nothing in it uses them.
        if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
            return;
        }
    }
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = std::ffi::c_int::try_from(most.unwrap_or(65_536).min(65_536)).unwrap_or(65_536);
    for fd in first..=last.min(most) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// Forks a process that carries out `life`, with every signal blocked, and ends. May be called by any thread at any time.
///
/// # Safety
/// `life` makes system calls only: it allocates nothing and takes no lock.
#[expect(unsafe_code, reason = "fork")]
pub(super) unsafe fn fork(life: impl FnOnce()) -> io::Result<Pid> {
    let mut all = std::mem::MaybeUninit::uninit();
    let mut before = std::mem::MaybeUninit::uninit();
    // SAFETY: sigfillset and pthread_sigmask write through valid pointers. In the child, which may have been a thread among
    // others, only `life` runs, of which the caller promises that it may, and then it ends at once. Signals are blocked
    // across the fork: a handler of envrun that ran in the child would write to pipes that envrun listens to.
    let pid = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let pid = libc::fork();
        if pid == 0 {
            life();
            libc::_exit(0);
        }
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        if pid < 0 {
            return Err(error);
        }
        pid
    };
    Ok(Pid::from_raw(pid).expect("a forked child has a number"))
}
