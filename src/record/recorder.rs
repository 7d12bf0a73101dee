//! Writes a run down as it happens.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::at;
use super::{Limits, RecordError, RunId, runs_dir};
use crate::base::Timestamp;
use crate::event::{RunState, Sequenced};

/// A run being written down.
#[derive(Debug)]
pub struct Recorder {
    id: RunId,
    dir: PathBuf,
    events: File,
    limits: Limits,
}

impl Recorder {
    /// Opens a new record in the project at `root`, and locks it for as long as the recorder lives.
    pub fn create(root: &Path, now: Timestamp, limits: Limits) -> Result<Self, RecordError> {
        let id = RunId::draw(now);
        let dir = runs_dir(root).join(id.as_str());
        fs::create_dir_all(&dir).map_err(at("create", &dir))?;
        let path = dir.join("events.jsonl");
        let events = File::create_new(&path).map_err(at("create", &path))?;
        Ok(Self { id, dir, events, limits })
    }

    /// The run's id, to be told in `RunStarted`.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The limits applied at the end.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Writes an event down. `state` has taken it in already.
    pub fn on(&mut self, event: &Sequenced, _state: &RunState) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.events.write_all(&line)
    }
}
