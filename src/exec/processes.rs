//! Every command that is running, and how all of them are ended.

use std::sync::Arc;
use std::time::Duration;

use super::{Guard, Programs};

/// How urgently a run is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interrupt {
    /// Children are told what envrun was told (`signal`, such as SIGINT); nothing new is started but cleanup.
    Told {
        /// The number of the signal.
        signal: i32,
    },
    /// SIGTERM to all, and to all that descend from them; nothing new is started at all.
    Terminate,
    /// SIGKILL to all, and to all that descend from them, again and again until none is left.
    Kill,
}

/// Every command of a run that is running. One for a whole run; shared by all threads.
#[derive(Debug)]
pub struct Processes {
    programs: Programs,
    #[expect(dead_code, reason = "the guard is not there yet")]
    guard: Option<Guard>,
}

impl Processes {
    /// None is running yet. `patience` is how long children have after each step of an interrupt before the next one
    /// follows by itself.
    pub fn new(guard: Option<Guard>, _patience: Duration) -> Arc<Self> {
        Arc::new(Self { programs: Programs::default(), guard })
    }

    /// Programs already found.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Stops the run: returns at once, and goes on to the next step by itself when the children do not end.
    pub fn interrupt(self: &Arc<Self>, _how: Interrupt) {}

    /// How the run was interrupted, if it was.
    pub fn interrupted(&self) -> Option<Interrupt> {
        None
    }

    /// Waits until no command is running.
    pub fn wait(&self) {}
}
