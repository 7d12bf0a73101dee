//! How many files may be open at once: all that the system allows for who keeps services, as before for its commands.
//!
//! Most systems let a program have 1,024 files open, and as many as it likes if it asks: whoever waits with `select` cannot
//! deal with more. A service takes six or seven, so that 170 services would be too many. Commands are not to notice that envrun asked.

use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit};

/// What was allowed before [`open_many`]; as the limit itself, one for the whole process.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// As many as this stay free, whatever commands take: to be asked, to write down, to bring something to its end.
const RESERVE: u64 = 24;

/// From now on envrun may have open as many files as the system lets it. Its commands may have as many as before.
///
/// Linux alone: elsewhere the limit of a command cannot be told apart from envrun's.
#[cfg(target_os = "linux")]
pub fn open_many() {
    let before = getrlimit(Resource::Nofile);
    // What is refused stays as it was.
    if rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit { current: before.maximum, maximum: before.maximum },
    )
    .is_ok()
    {
        let _ = BEFORE.set(before);
    }
}

/// There the limit stays as it is.
#[cfg(not(target_os = "linux"))]
pub fn open_many() {}

/// The limit of a command; `None`: envrun's own.
pub(super) fn of_commands() -> Option<Rlimit> {
    BEFORE.get().cloned()
}

/// Gives the calling process this limit. Never allocates.
#[cfg(target_os = "linux")]
pub(super) fn put_on_myself(limit: &Rlimit) {
    // It was allowed before, and the system remembers no less than that.
    let _ = rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit { current: limit.current, maximum: limit.maximum },
    );
}

/// Refuses a file that was opened for a command if hardly any are left.
pub(super) fn leave_some(opened: &impl AsRawFd) -> Result<(), Errno> {
    let Some(most) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let number = u64::try_from(opened.as_raw_fd()).expect("an open file has a number");
    if is_reserved(number, most) { Err(Errno::MFILE) } else { Ok(()) }
}

/// Whether a number, which are handed out from the lowest, is one of the last.
fn is_reserved(number: u64, most: u64) -> bool {
    number >= most - RESERVE.min(most / 8)
}

/// What to do when no more files can be opened.
pub(super) fn hint() -> String {
    match getrlimit(Resource::Nofile).current {
        Some(most) => format!("raise `ulimit -n`: no more than {most} files may be open at once"),
        None => "the whole system has as many files open as it can".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_left() {
        assert!(!is_reserved(999, 1024));
        assert!(is_reserved(1000, 1024));
        assert!(!is_reserved(13, 16));
        assert!(is_reserved(14, 16));
    }
}
