//! The flags of what looks at releases and goes back to them.

use clap::{Args, Subcommand, ValueEnum};

use super::Shown;

/// `envrun deploy`.
#[derive(Debug, Args)]
#[command(after_help = "`envrun ENV.NAME` deploys; `envrun deploy` runs the node of that name.")]
pub struct DeployArgs {
    /// What to do with a deploy that was cut short
    #[command(subcommand)]
    pub command: DeployCommand,
}

/// What to do with a deploy that was cut short.
#[derive(Debug, Subcommand)]
pub enum DeployCommand {
    /// Go on from the phase it is in
    Resume(ResumeArgs),
    /// Put what was live before live again
    Back(FinishArgs),
    /// Put a ledger in order that is damaged, or that differs from the shared one
    Mend(MendArgs),
}

/// `envrun deploy mend`.
#[derive(Debug, Args)]
pub struct MendArgs {
    /// Of which environment
    #[arg(value_name = "ENV")]
    pub env: String,
}

/// `envrun deploy resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Which, and how.
    #[command(flatten)]
    pub finish: FinishArgs,
    /// Type the word that a guard wants to be typed (`confirm`), where nothing was changed yet and it is begun anew
    #[arg(long, value_name = "WORD")]
    pub confirm: Vec<String>,
}

/// `envrun deploy resume|back`.
#[derive(Debug, Args)]
pub struct FinishArgs {
    /// In which environment
    #[arg(value_name = "ENV")]
    pub env: String,
    /// How it runs.
    #[command(flatten)]
    pub how: HowArgs,
}

/// How a command that runs something shows it.
#[derive(Debug, Clone, Default, Args)]
pub struct HowArgs {
    /// How it is shown.
    #[command(flatten)]
    pub shown: Shown,
    /// Give a declared variable a value for this run
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// `envrun rollback`.
#[derive(Debug, Args)]
#[command(
    after_help = "The release that was good before the present one goes live again, by the same actions, and is proved.\n\
                  The work tree is not touched. Status 0 if it is live, 6 if it failed, 7 if the environment is locked."
)]
pub struct RollbackArgs {
    /// An environment, or one deploy of it: `prod`, `prod.api:deploy`
    #[arg(value_name = "ENV")]
    pub what: String,
    /// List what can be gone back to
    #[arg(long, conflicts_with_all = ["to", "emergency", "with_data"])]
    pub list: bool,
    /// Which release: its number, a revision or a tag [default: the last good one before the present]
    #[arg(long, value_name = "RELEASE")]
    pub to: Option<String>,
    /// At once: nothing is asked and nothing is proved; it is recorded as break-glass
    #[arg(long)]
    pub emergency: bool,
    /// Put back the data that was saved, too
    #[arg(long)]
    pub with_data: bool,
    /// The form of --list
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub format: ReleaseFormat,
    /// How it runs.
    #[command(flatten)]
    pub how: HowArgs,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReleaseFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// `envrun status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Status 0 if all is well; 1 if something is broken, was cut short, was changed by hand (drift), or fails its\n\
                  proof (--check)."
)]
pub struct StatusArgs {
    /// Which environment; without one all that have a deploy, or a service that is up
    #[arg(value_name = "ENV")]
    pub env: Option<String>,
    /// Carry out the proofs of what is live, once
    #[arg(long)]
    pub check: bool,
    /// The form
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub format: ReleaseFormat,
    /// As JSON
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// How proofs run.
    #[command(flatten)]
    pub how: HowArgs,
}

/// `envrun history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Which environment; all of them without one
    #[arg(value_name = "ENV")]
    pub env: Option<String>,
    /// Only the newest so many
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
    /// As JSON, one release per line
    #[arg(long)]
    pub json: bool,
}

/// `envrun report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Which environment; all of them without one
    #[arg(value_name = "ENV")]
    pub env: Option<String>,
    /// Only releases of the last so long, such as `30d`
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// The form
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub format: ReportFormat,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For Prometheus.
    Prometheus,
}
