//! A small process that gives the terminal back when envrun is killed while it has it.
//!
//! Whoever is killed with SIGKILL can put nothing in order himself: keys would stay invisible, and panes stay where the
//! shell's own text was. So while single keys steer, a process waits for envrun's end, as the guardian of a run does, and
//! then sets the modes as they were, if they still are as envrun set them: another one may have set his own meanwhile.
//! An orderly end of envrun ends it first.

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, WaitOptions};
use rustix::termios::{OptionalActions, Termios};

use super::guard::{close_between, fork};
use super::pipe::pipe;

/// The hold on that process. Dropped, it has ended and the terminal is as it is.
#[derive(Debug)]
pub struct TerminalGuard {
    pid: Pid,
    /// Whether the terminal is envrun's at this moment: memory that both share.
    is_ours: NonNull<AtomicBool>,
    /// Held open, never written to.
    _pipe: OwnedFd,
}

#[expect(unsafe_code, reason = "a flag in shared memory")]
// SAFETY: what is shared is an atomic.
unsafe impl Send for TerminalGuard {}
#[expect(unsafe_code, reason = "a flag in shared memory")]
// SAFETY: as above.
unsafe impl Sync for TerminalGuard {}

impl TerminalGuard {
    /// Guards the terminal at standard input, whose modes are to be `before`, and are `ours` while it is envrun's. `words`
    /// are then written to standard error.
    #[expect(unsafe_code, reason = "a flag in shared memory; fork")]
    pub fn start(before: &Termios, ours: &Termios, words: &'static [u8]) -> io::Result<Self> {
        let (read, write) = pipe()?;
        // SAFETY: a new mapping overlaps nothing.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<AtomicBool>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let is_ours = NonNull::new(page.cast::<AtomicBool>()).expect("no mapping lies at address 0");
        // SAFETY: the mapping holds a zero, which is a valid atomic, and is never unmapped in the child.
        let shared = unsafe { is_ours.as_ref() };
        // SAFETY: `guard` makes system calls only.
        let pid = unsafe { fork(|| guard(&read, shared, (before, ours), words)) };
        match pid {
            Ok(pid) => Ok(Self { pid, is_ours, _pipe: write }),
            Err(error) => {
                // SAFETY: mapped above with this size; nothing borrows from it any longer.
                unsafe { libc::munmap(page, size_of::<AtomicBool>()) };
                Err(error)
            }
        }
    }

    /// From now on the terminal is envrun's, or is not.
    #[expect(unsafe_code, reason = "a flag in shared memory")]
    pub fn set(&self, is_ours: bool) {
        // SAFETY: the mapping lives until this is dropped, and holds an atomic.
        unsafe { self.is_ours.as_ref() }.store(is_ours, Ordering::SeqCst);
    }
}

impl Drop for TerminalGuard {
    #[expect(unsafe_code, reason = "a flag in shared memory")]
    fn drop(&mut self) {
        // It blocks every other signal. As long as it is our child, its number is its own.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        while let Err(rustix::io::Errno::INTR) =
            rustix::process::waitpid(Some(self.pid), WaitOptions::empty())
        {}
        // SAFETY: mapped by `start` with this size; nothing borrows from it any longer.
        unsafe { libc::munmap(self.is_ours.as_ptr().cast(), size_of::<AtomicBool>()) };
    }
}

/// Its life, in the forked child.
fn guard(pipe: &OwnedFd, is_ours: &AtomicBool, (before, ours): (&Termios, &Termios), words: &[u8]) {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir(c"/");
    // Standard output may be a pipe that somebody waits for the end of.
    let _ = rustix::stdio::dup2_stdout(pipe);
    close_between(3, std::ffi::c_int::MAX);
    // Not `envrun`, or `killall -9 envrun` would take it along.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(c"tty-guardian");
    let (stdin, end) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    // Nothing is ever written there: what ends the wait is envrun's end.
    while rustix::io::read(end, &mut [0; 1]) == Err(rustix::io::Errno::INTR) {}
    if is_ours.load(Ordering::SeqCst) {
        let as_set = |now: Termios| now.local_modes == ours.local_modes;
        if rustix::termios::tcgetattr(stdin).is_ok_and(as_set) {
            let _ = rustix::termios::tcsetattr(stdin, OptionalActions::Now, before);
        }
        let _ = rustix::io::write(rustix::stdio::stderr(), words);
    }
}
