//! The flags of saved data.

use clap::{Args, Subcommand};

use super::{HowArgs, TextOrJson};

/// `envrun snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

/// What to do with saved data.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// List the copies, newest first
    List(SnapshotListArgs),
    /// Read every byte of the copies; status 1 if one is not what was saved
    Verify(SnapshotPlace),
    /// Remove the copies that `keep` does not keep and no kept release points to
    Prune(SnapshotPlace),
}

/// Which snapshots are meant.
#[derive(Debug, Args)]
pub struct SnapshotPlace {
    /// Snapshots (`prod.db`) or environments [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// The environment of snapshots that name none
    #[arg(short, long, value_name = "ENV")]
    pub env: Option<String>,
}

/// `envrun snapshot list`.
#[derive(Debug, Args)]
pub struct SnapshotListArgs {
    /// Which.
    #[command(flatten)]
    pub place: SnapshotPlace,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: TextOrJson,
}

/// `envrun restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The snapshot: `prod.db`
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Which copy: its number, or a moment (`2026-11-20`, `2026-11-20T21:30`, UTC with a `Z`), which is the newest one until then
    #[arg(long, value_name = "COPY", default_value = "latest")]
    pub at: String,
    /// The environment, if the snapshot names none
    #[arg(short, long, value_name = "ENV")]
    pub env: Option<String>,
    /// Do not save first what is replaced, because it is too damaged for that: it is lost, and nothing goes back
    #[arg(long)]
    pub unsaved: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// How it is carried out and told.
    #[command(flatten)]
    pub how: HowArgs,
}
