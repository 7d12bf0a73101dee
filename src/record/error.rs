//! What can be wrong with a record.

use std::io;
use std::path::{Path, PathBuf};

/// A run could not be recorded or read back.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file or folder could not be used.
    #[error("could not {action} `{}`: {source}", path.display())]
    Io {
        /// `read`, `create`, …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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
    #[error("`{}` was recorded in format {format}; this envrun reads format {}", path.display(), crate::event::FORMAT)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
}

/// Puts action and path into an error.
pub(super) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RecordError + 'a {
    move |source| RecordError::Io { action, path: path.to_path_buf(), source }
}
