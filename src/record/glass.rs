//! Broken glass: guards that somebody passed by hand, kept for ever.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
use crate::base::fs::{FsError, create_folder};
use crate::event::GlassBroken;

use super::STATE_DIR;

/// One line of `.envrun/break-glass.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlassEntry {
    /// When.
    pub time: Timestamp,
    /// In which run.
    pub run: String,
    /// What was asked for.
    pub targets: Vec<String>,
    /// Who, why, and what was passed.
    #[serde(flatten)]
    pub broken: GlassBroken,
}

/// Adds a line, and has it on the disk before it returns. No line is ever taken away.
pub fn note_glass(root: &Path, entry: &GlassEntry) -> Result<(), FsError> {
    let folder = root.join(STATE_DIR);
    create_folder(&folder)?;
    let path = folder.join("break-glass.jsonl");
    let line = || -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = File::options().append(true).create(true).open(&path)?;
        file.write_all(&line)?;
        file.sync_all()
    };
    line().map_err(|error| FsError::new("write", &path, error))
}
