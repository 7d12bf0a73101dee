//! Starts a process from pieces of memory that are already in the system's form.
//!
//! The standard library copies every variable for every command, and forks, ten times slower with a large parent, as
//! soon as it is asked for something that it did not think of. On Linux this is `clone(CLONE_VM | CLONE_VFORK)`, as in
//! the C library's `posix_spawn`: the child borrows envrun's memory, and the thread that starts it waits, until it has
//! become the program. What makes it worth having an own one is the [`Mark`]: the child puts it on itself before it is
//! the program, so that nothing it starts can be without. Elsewhere it is `posix_spawn` itself.

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::process::Pid;

use super::environ::CTexts;
use super::mark::Mark;

/// What to start, and how.
pub(super) struct Start<'a> {
    /// An absolute path.
    pub(super) program: &'a CStr,
    /// Its words, the first of which is the name it was called by.
    pub(super) argv: &'a CTexts,
    /// Its variables, without `PWD`.
    pub(super) env: &'a CTexts,
    /// `PWD=` and the folder: a shell would set it, and what the caller has there is the caller's folder.
    pub(super) pwd: &'a CStr,
    /// Where it runs.
    pub(super) dir: &'a CStr,
    /// Its standard streams, and a process group of its own; `None`: envrun's.
    pub(super) streams: Option<[BorrowedFd<'a>; 3]>,
    /// What it, and all that descends from it, is known by.
    pub(super) mark: Mark,
}

/// A process that was started.
pub(super) struct Started {
    pub(super) pid: Pid,
    /// What becomes readable when it ends, where there is such a thing.
    pub(super) ending: Option<OwnedFd>,
}

/// Starts it. SIGPIPE does in the child what it does by default, and no signal is blocked.
pub(super) fn spawn(start: &Start<'_>) -> io::Result<Started> {
    let argv: Vec<*const c_char> = start.argv.pointers().chain([ptr::null()]).collect();
    let env = start.env.iter().filter(|text| !text.to_bytes().starts_with(b"PWD=")).map(CStr::as_ptr);
    let env: Vec<*const c_char> = env.chain([start.pwd.as_ptr(), ptr::null()]).collect();
    system::spawn(start, &argv, &env)
}

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::FromRawFd;
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::*;

    /// Enough for the few calls the child makes, on the stack of the thread that waits for it.
    const STACK: usize = 32 * 1024;

    #[repr(align(16))]
    struct Stack(
        #[expect(dead_code, reason = "memory that only the child touches")] MaybeUninit<[u8; STACK]>,
    );

    /// What the child reads, and what it says if it fails.
    struct Child<'a> {
        start: &'a Start<'a>,
        argv: *const *const c_char,
        env: *const *const c_char,
        error: AtomicI32,
    }

    #[expect(unsafe_code, reason = "clone")]
    pub(super) fn spawn(
        start: &Start<'_>,
        argv: &[*const c_char],
        env: &[*const c_char],
    ) -> io::Result<Started> {
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
                libc::clone(
                    become_program,
                    stack,
                    flags,
                    (&raw const child).cast_mut().cast(),
                    &raw mut pidfd,
                )
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
        let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Err(error) };
        // SAFETY: a descriptor that was just made, if one was.
        let ending = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
        match child.error.load(Ordering::SeqCst) {
            0 => Ok(Started { pid, ending }),
            error => {
                while let Err(rustix::io::Errno::INTR) =
                    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
                {
                }
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
            if !prepare(child.start) || libc::execve(child.start.program.as_ptr(), child.argv, child.env) != 0
            {
                child.error.store(*libc::__errno_location(), Ordering::SeqCst);
            }
            libc::_exit(127)
        }
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
            let mut none = MaybeUninit::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) == 0
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::*;

    #[expect(unsafe_code, reason = "posix_spawn takes pointers")]
    pub(super) fn spawn(
        start: &Start<'_>,
        argv: &[*const c_char],
        env: &[*const c_char],
    ) -> io::Result<Started> {
        let attributes = Attributes::new(start.streams.is_some())?;
        let actions = Actions::new(start)?;
        let mut pid = 0;
        // SAFETY: `argv` and `env` end in a null pointer, all pointers before it lead to texts that end in NUL and live in
        // `start`; `attributes` and `actions` were initialised by their constructors. posix_spawn writes through none of the
        // pointers but `pid`.
        let error = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                start.program.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                argv.as_ptr().cast::<*mut c_char>(),
                env.as_ptr().cast::<*mut c_char>(),
            )
        };
        check(error)?;
        let pid = Pid::from_raw(pid).expect("a process that was started has a number");
        Ok(Started { pid, ending: None })
    }

    fn check(error: c_int) -> io::Result<()> {
        if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    /// What a child does before it becomes the program.
    struct Actions(libc::posix_spawn_file_actions_t);

    impl Actions {
        #[expect(unsafe_code, reason = "posix_spawn takes pointers")]
        fn new(start: &Start<'_>) -> io::Result<Self> {
            let mut actions = MaybeUninit::uninit();
            // SAFETY: init writes a valid value through the pointer, or fails.
            check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
            // SAFETY: init has succeeded.
            let mut actions = Self(unsafe { actions.assume_init() });
            for (at, stream) in (0..).zip(start.streams.iter().flatten()) {
                // SAFETY: `actions` is initialised.
                check(unsafe {
                    libc::posix_spawn_file_actions_adddup2(&raw mut actions.0, stream.as_raw_fd(), at)
                })?;
            }
            // SAFETY: `actions` is initialised; `dir` ends in NUL, and is copied.
            check(unsafe {
                libc::posix_spawn_file_actions_addchdir_np(&raw mut actions.0, start.dir.as_ptr())
            })?;
            Ok(actions)
        }
    }

    impl Drop for Actions {
        #[expect(unsafe_code, reason = "posix_spawn takes pointers")]
        fn drop(&mut self) {
            // SAFETY: initialised by `new`, destroyed once.
            unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
        }
    }

    /// What a child is.
    struct Attributes(libc::posix_spawnattr_t);

    impl Attributes {
        #[expect(unsafe_code, reason = "posix_spawn takes pointers")]
        fn new(own_group: bool) -> io::Result<Self> {
            let mut attributes = MaybeUninit::uninit();
            // SAFETY: init writes a valid value through the pointer, or fails.
            check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
            // SAFETY: init has succeeded.
            let mut attributes = Self(unsafe { attributes.assume_init() });
            let raw = &raw mut attributes.0;
            let (mut nothing, mut pipe) = (MaybeUninit::uninit(), MaybeUninit::uninit());
            let mut flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
            if own_group {
                flags |= libc::POSIX_SPAWN_SETPGROUP;
            }
            // SAFETY: `raw` is initialised; the signal sets are written by sigemptyset before they are read; group 0 asks for
            // one with the child's own number. Flags are a short by POSIX.
            unsafe {
                libc::sigemptyset(nothing.as_mut_ptr());
                libc::sigemptyset(pipe.as_mut_ptr());
                libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
                check(libc::posix_spawnattr_setsigmask(raw, nothing.as_ptr()))?;
                check(libc::posix_spawnattr_setsigdefault(raw, pipe.as_ptr()))?;
                check(libc::posix_spawnattr_setpgroup(raw, 0))?;
                check(libc::posix_spawnattr_setflags(raw, flags.try_into().expect("flags fit a short")))?;
            }
            Ok(attributes)
        }
    }

    impl Drop for Attributes {
        #[expect(unsafe_code, reason = "posix_spawn takes pointers")]
        fn drop(&mut self) {
            // SAFETY: initialised by `new`, destroyed once.
            unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
        }
    }
}

/// Whether envrun was started with this signal ignored, as `nohup` does.
#[expect(unsafe_code, reason = "there is no safe way to ask for a signal's action")]
pub(super) fn ignores(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction only writes the present one through the pointer; all zeroes is a valid
    // value of that type, should it fail.
    let action = unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}
