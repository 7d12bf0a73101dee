//! Starts a process from pieces of memory that are already in the system's form.
//!
//! The standard library copies every variable for every command, and forks, ten times slower with a large parent, as
//! soon as it is asked for something that it did not think of. On Linux this is `clone(CLONE_VM | CLONE_VFORK)`, as in
//! the C library's `posix_spawn`: the child borrows envrun's memory, and the thread that starts it waits, until it has
//! become the program. What makes it worth having an own one is the [`Mark`]: the child puts it on itself before it is
//! the program, so that nothing it starts can be without. Elsewhere it is `posix_spawn` itself.

#[cfg(target_os = "linux")]
mod clone;
#[cfg(not(target_os = "linux"))]
mod posix;

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;

use rustix::process::{Pid, Rlimit};

#[cfg(target_os = "linux")]
use self::clone as system;
#[cfg(not(target_os = "linux"))]
use self::posix as system;
use super::environ::CTexts;
use super::mark::Mark;
use super::watch::notify::Filter;

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
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there are no marks here"))]
    pub(super) mark: Mark,
    /// How many files it may have open, if not as many as envrun.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the limit is envrun's there"))]
    pub(super) files: Option<Rlimit>,
    /// Stops its system calls until they were looked at.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there are no filters here"))]
    pub(super) filter: Option<&'a Filter>,
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
