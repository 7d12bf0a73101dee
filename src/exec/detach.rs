//! A process that outlives us.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts a program that goes on when we end: without our variables, with nothing to read, what it says goes to `errors`.
/// Its standard output is ours to read. It is to leave our session itself, with [`leave_session`], as the first thing.
pub fn detach(program: &Path, args: &[&std::ffi::OsStr], errors: File) -> io::Result<Child> {
    Command::new(program)
        .args(args)
        .current_dir("/")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
}

/// The calling process has no terminal any longer: neither its keys nor its end reach it.
pub fn leave_session() -> io::Result<()> {
    rustix::process::setsid().map(drop).map_err(io::Error::from)
}
