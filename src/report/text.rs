//! Text for people.

use std::io;

use super::{Options, Reporter};
use crate::event::{RunState, Sequenced};

/// Tells a run in words.
pub(super) struct Text {
    options: Options,
}

impl Text {
    pub(super) fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Reporter for Text {
    fn on(&mut self, _event: &Sequenced, _state: &RunState) -> io::Result<()> {
        self.options.err.to.flush()
    }
}
