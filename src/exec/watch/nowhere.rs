//! Where no filter is to be had.

use std::io;

use super::Watch;

/// A filter, of which there is none.
#[derive(Debug)]
pub(in crate::exec) enum Filter {}

/// A thread that watches, of which there is none.
#[derive(Debug)]
pub(in crate::exec) enum Session {}

impl Session {
    /// There is nothing to begin.
    pub(in crate::exec) fn begin(_watch: &Watch) -> io::Result<(Self, Filter)> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "file accesses can be watched on Linux alone, on x86-64 and aarch64",
        ))
    }

    /// Never called.
    pub(in crate::exec) fn serve(&self, _watch: &Watch) {
        match *self {}
    }
}
