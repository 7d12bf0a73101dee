//! The wire format on standard output: one JSON object per event and line.

use std::io::{self, Write};

use super::Reporter;
use crate::event::{RunState, Sequenced};

/// Writes every event as it is told.
pub(super) struct Json {
    out: Box<dyn Write + Send>,
    line: Vec<u8>,
}

impl Json {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, line: Vec::new() }
    }
}

impl Reporter for Json {
    fn on(&mut self, event: &Sequenced, _state: &RunState) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        self.line.push(b'\n');
        // Whole lines, at once: who reads along never sees half an event.
        self.out.write_all(&self.line)?;
        self.out.flush()
    }
}
