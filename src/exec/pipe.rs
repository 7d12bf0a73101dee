//! Pipes that no child inherits.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// A pipe: the end to read from, and the end to write to.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
}

/// A pipe: the end to read from, and the end to write to. A child that is started between two of these steps inherits
/// it; this system has no way around that.
#[cfg(target_vendor = "apple")]
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read, write) = rustix::pipe::pipe()?;
    rustix::io::fcntl_setfd(&read, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::fcntl_setfd(&write, rustix::io::FdFlags::CLOEXEC)?;
    Ok((read, write))
}
