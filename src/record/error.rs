//! What can be wrong with a record.

use std::path::PathBuf;

use crate::base::fs::FsError;
use crate::event::FORMAT;

/// A run could not be recorded or read back.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file or folder could not be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// There is no such run.
    #[error("there is no run `{0}` in this project")]
    Unknown(String),
    /// A short form that fits several.
    #[error("`{0}` may be any of {1} runs")]
    Ambiguous(String, usize),
    /// A line in the middle does not say an event.
    #[error("`{}` line {line} is not an event: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the reader met.
        reason: String,
    },
    /// It was written in a later form.
    #[error("`{}` was recorded in format {format}; this envrun reads up to {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
}
