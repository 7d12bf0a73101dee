//! Every run written down under `.envrun/runs/`, read back, and thrown away in time.
//!
//! A run is a folder `.envrun/runs/<run id>/`:
//!
//! | file | what |
//! |---|---|
//! | `events.jsonl` | the wire format of [`crate::event`], with what is long left empty and kept beside it |
//! | `nodes.json` | `run-started`'s list of nodes: a hard link to `runs/graphs/<digest>.json`, made once for all runs of one graph |
//! | `logs/<node>.log` | all that a node printed, both streams, as it came; `output` events say which bytes |
//!
//! `runs/latest` is a link to the newest. [`Recorder`] writes a run as it happens, so that a crash leaves a readable
//! beginning; [`Recorded`] reads one back, event by event, as it was told; [`prune`] keeps all of it within [`Limits`];
//! [`Durations`] is what is remembered beyond: how long each node took last.
//!
//! A run in which nothing happens costs a dozen system calls, whatever the size of the graph.
//!
//! `break-glass.jsonl`, beside the runs, says for ever who passed which guards by hand, and why.
//!
//! Invariant: a run that is still going on (its `events.jsonl` is locked, a lock that dies with the process) is never
//! removed.
//! Invariant: recording never fails a run; whoever holds a [`Recorder`] may drop it at any time.

mod durations;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod glass;
mod id;
mod line;
mod manifests;
mod prune;
mod recorded;
mod recorder;
mod rendered;
mod stages;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use durations::Durations;
pub use error::RecordError;
pub use glass::{GlassEntry, note_glass};
pub use id::{RunId, log_name};
pub use manifests::{ManifestLog, manifest_at};
pub use prune::{Limits, prune};
pub use recorded::{Events, Recorded, RunSummary, latest, runs};
pub use recorder::Recorder;
pub use rendered::RenderedFile;
pub use stages::{StageBook, StageBookError, StageInputs, StageOutcome, StageRecord, StageRecords};

/// Where envrun keeps what belongs to a project, relative to its root.
pub const STATE_DIR: &str = ".envrun";

/// Where the runs of the project at `root` are.
pub fn runs_dir(root: &Path) -> PathBuf {
    root.join(STATE_DIR).join("runs")
}

/// Where the log of a node is, relative to the root: what [`crate::event::Outcome::Failed`] tells.
pub fn log_path(run: &RunId, label: &str) -> String {
    format!("{STATE_DIR}/runs/{run}/logs/{}", log_name(label))
}
