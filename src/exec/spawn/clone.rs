//! Starts a process by `clone`, as the C library does, with the mark put on in between.

use std::ffi::{c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Pid;

use super::{Start, Started};

/// Enough for the few calls the child makes, on the stack of the thread that waits for it.
const STACK: usize = 32 * 1024;

#[repr(align(16))]
struct Stack(#[expect(dead_code, reason = "memory that only the child touches")] MaybeUninit<[u8; STACK]>);

/// What the child reads, and what it says if it fails.
struct Child<'a> {
    start: &'a Start<'a>,
    argv: *const *const c_char,
    env: *const *const c_char,
    error: AtomicI32,
}

#[expect(unsafe_code, reason = "clone")]
pub(super) fn spawn(start: &Start<'_>, argv: &[*const c_char], env: &[*const c_char]) -> io::Result<Started> {
    let child = Child { start, argv: argv.as_ptr(), env: env.as_ptr(), error: AtomicI32::new(0) };
    let mut stack = Stack(MaybeUninit::uninit());
    let mut pidfd: c_int = -1;
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let mut clone = |with| {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | with;
        // SAFETY: the child runs `become_program` on a stack of its own while this thread, which owns everything the
        // child reads, is suspended until the child has become a program or ended (CLONE_VFORK). The stack grows down
        // from its aligned end. The last argument is where CLONE_PIDFD writes to.
        let pid = unsafe {
            let stack = (&raw mut stack).add(1).cast();
            libc::clone(become_program, stack, flags, (&raw const child).cast_mut().cast(), &raw mut pidfd)
        };
        (pid, io::Error::last_os_error())
    };
    // SAFETY: the sets are written before they are read. Signals are blocked around the clone, so that no handler of
    // envrun runs in the child; the child sets its own mask.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let (mut pid, mut error) = clone(libc::CLONE_PIDFD);
    if pid < 0 && error.raw_os_error() == Some(libc::EINVAL) {
        // A system that looks like Linux, and does not know what is new in it.
        (pid, error) = clone(0);
    }
    // SAFETY: the mask was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else { return Err(error) };
    // SAFETY: a descriptor that was just made, if one was.
    let ending = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    match child.error.load(Ordering::SeqCst) {
        0 => Ok(Started { pid, ending }),
        error => {
            while let Err(rustix::io::Errno::INTR) =
                rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
            {}
            Err(io::Error::from_raw_os_error(error))
        }
    }
}

/// The child, until it is the program. It shares all memory with envrun: it must not allocate, take a lock, or panic.
#[expect(unsafe_code, reason = "what a child does before it is a program")]
extern "C" fn become_program(argument: *mut libc::c_void) -> c_int {
    // SAFETY: `argument` is the `Child` that `spawn` holds while this runs. Every call below is safe after a fork of a
    // process with threads; pointers lead to what `Child` borrows.
    unsafe {
        let child = &*argument.cast::<Child<'_>>();
        if !prepare(child.start)
            || !watched(child.start)
            || libc::execve(child.start.program.as_ptr(), child.argv, child.env) != 0
        {
            child.error.store(*libc::__errno_location(), Ordering::SeqCst);
        }
        libc::_exit(127)
    }
}

/// Puts on the filter, if there is one; whether that went well. Last of all: from here on calls wait for an answer.
///
/// # Safety
/// In the child.
#[expect(unsafe_code, reason = "what a child does before it is a program")]
unsafe fn watched(start: &Start<'_>) -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if let Some(filter) = start.filter {
        // SAFETY: this is the child.
        return unsafe { filter.put_on_myself() };
    }
    start.filter.is_none()
}

/// Everything but becoming the program; whether all went well.
///
/// # Safety
/// In the child, with all signals blocked.
#[expect(unsafe_code, reason = "what a child does before it is a program")]
unsafe fn prepare(start: &Start<'_>) -> bool {
    // SAFETY: as the caller promises; each structure is written before it is read.
    unsafe {
        // A handler of envrun's must not run here once signals are let through.
        for signal in 1..=64 {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            if libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) != 0 {
                continue;
            }
            let mut action = action.assume_init();
            let handled = action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN;
            if handled || signal == libc::SIGPIPE {
                action.sa_sigaction = libc::SIG_DFL;
                action.sa_flags = 0;
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            }
        }
        if let Some(streams) = &start.streams {
            if libc::setpgid(0, 0) != 0 {
                return false;
            }
            for (at, stream) in streams.iter().enumerate() {
                #[expect(clippy::cast_possible_truncation, reason = "there are three")]
                if libc::dup2(stream.as_raw_fd(), at as c_int) < 0 {
                    return false;
                }
            }
        }
        if libc::chdir(start.dir.as_ptr()) != 0 {
            return false;
        }
        start.mark.put_on_myself();
        if let Some(files) = &start.files {
            crate::exec::files::put_on_myself(files);
        }
        // A Ctrl-Z that came before it left envrun's group would stop it here, and envrun, which waits for it, would
        // never stop. To ignore a signal for a moment drops it.
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        if libc::sigaction(libc::SIGTSTP, ptr::null(), action.as_mut_ptr()) == 0 {
            let before = action.assume_init();
            let mut ignores = before;
            ignores.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(libc::SIGTSTP, &raw const ignores, ptr::null_mut());
            libc::sigaction(libc::SIGTSTP, &raw const before, ptr::null_mut());
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) == 0
    }
}
