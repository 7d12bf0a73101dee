//! The flags of the pipeline: stages, and what CI systems make of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Glass, Shown};

/// `envrun stage`.
#[derive(Debug, Args)]
#[command(
    override_usage = "envrun stage [OPTIONS]\n       envrun stage [OPTIONS] NAME\n       envrun stage [OPTIONS] --all",
    after_help = "A stage begins only if every stage before it is green for this revision and these inputs; it uses the very bytes \
                  that they made. Status 0 if it is green or skipped, 1 if a task failed, 3 if it is refused."
)]
pub struct StageArgs {
    /// Which stage to run; the pipeline is shown without one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Run every stage that is not green yet, one after the other
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// The form of what is shown
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub format: StageFormat,
    /// How many commands may run at once [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub jobs: Option<u32>,
    /// Go on with what does not depend on a failure
    #[arg(short, long)]
    pub keep_going: bool,
    /// Execute nothing, record nothing; say what would be executed, and why
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Execute what the stage names even if it is up to date; with --all, green stages too
    #[arg(short = 'B', long)]
    pub force: bool,
    /// Give a declared variable a value: a result with it is one only of that value
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// What it takes to pass guards.
    #[command(flatten)]
    pub glass: Glass,
    /// How it is shown.
    #[command(flatten)]
    pub shown: Shown,
}

/// A form of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum StageFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// `envrun ci`.
#[derive(Debug, Args)]
pub struct CiArgs {
    /// What to do
    #[command(subcommand)]
    pub command: CiCommand,
}

/// What to do for a CI system.
#[derive(Debug, Subcommand)]
pub enum CiCommand {
    /// Print a workflow with one job per stage, each of which calls `envrun stage NAME`
    Export(CiExportArgs),
}

/// `envrun ci export`.
#[derive(Debug, Args)]
#[command(
    after_help = "A workflow is made of the stages, what they come after, and the branches and tags of their `when`. Make it anew \
                  when the Envfile's stages change; a file that is there already is replaced only with --force."
)]
pub struct CiExportArgs {
    /// Which CI system
    #[arg(value_enum)]
    pub system: CiSystem,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file if it is there and differs
    #[arg(long, requires = "out")]
    pub force: bool,
    /// The command that puts envrun on a runner [default: cargo install of this version]
    #[arg(long, value_name = "COMMAND")]
    pub install: Option<String>,
}

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiSystem {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
}
