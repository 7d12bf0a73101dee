//! Starts a process by `posix_spawn`.

use std::ffi::{c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use rustix::process::Pid;

use super::{Start, Started};

#[expect(unsafe_code, reason = "posix_spawn takes pointers")]
pub(super) fn spawn(start: &Start<'_>, argv: &[*const c_char], env: &[*const c_char]) -> io::Result<Started> {
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
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(&raw mut actions.0, start.dir.as_ptr()) })?;
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
