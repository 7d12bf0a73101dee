//! The person in front of a session: keys that steer it, and what no event says.

use crate::engine::dispatcher::Ending;
use crate::ops::Problem;
use crate::ops::dev::{self, Steer};

use super::Invocation;
use super::args::RunOptions;

/// A terminal with a session on it.
pub struct Console<'a> {
    invocation: &'a Invocation<'a>,
}

impl<'a> Console<'a> {
    pub fn new(invocation: &'a Invocation<'a>, _options: &RunOptions) -> Self {
        Self { invocation }
    }
}

impl dev::Console for Console<'_> {
    fn begin(&mut self, _steer: Steer) {}

    fn problem(&mut self, problem: &Problem) {
        self.invocation.terminal.problem(problem);
    }

    fn over(&mut self, _ending: &Ending) {}
}
