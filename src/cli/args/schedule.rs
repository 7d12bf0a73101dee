//! The flags of `envrun schedule`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `envrun schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// What to do [default: list]
    #[command(subcommand)]
    pub command: Option<ScheduleCommand>,
}

/// What to do with the schedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Show what comes when, and what came of it last
    List(ScheduleListArgs),
    /// Run what is due, until Ctrl-C: one runner for this project, on one machine
    #[command(
        after_help = "One line for each run that is over; `envrun log` has the whole of it. An Envfile that is edited meanwhile is \
                            read again. Ctrl-C or SIGTERM stops the runner, and what it runs, as it stops any run. Status 0, or 130 \
                            if a run was stopped in the middle; 7 if a runner of this project is there already."
    )]
    Run(ScheduleRunArgs),
    /// Write the schedules for systemd, cron, GitHub Actions or Kubernetes
    #[command(
        after_help = "Where a platform cannot say what a schedule says, everything of that kind is named and nothing is written \
                            (status 2); `--partial` writes the rest, with a comment for each thing that is left out."
    )]
    Export(ScheduleExportArgs),
}

/// `envrun schedule list`.
#[derive(Debug, Default, Args)]
pub struct ScheduleListArgs {
    /// As JSON, on standard output
    #[arg(long)]
    pub json: bool,
}

/// `envrun schedule run`.
#[derive(Debug, Args)]
pub struct ScheduleRunArgs {
    /// How many runs may go on at once [default: twice the number of cores, at least 8]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub jobs: Option<u32>,
}

/// `envrun schedule export`.
#[derive(Debug, Args)]
pub struct ScheduleExportArgs {
    /// Who is to run them
    #[arg(value_enum)]
    pub platform: SchedulePlatform,
    /// Only the schedules of these nodes, as `envrun schedule list` names them
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Write to this file instead of standard output; for systemd, into this folder
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Replace what is there and differs
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Write what can be said, with a comment for each thing that is left out
    #[arg(long)]
    pub partial: bool,
    /// cron: write `CRON_TZ=`, which cronie knows and Debian's cron passes over
    #[arg(long)]
    pub cron_tz: bool,
    /// kubernetes: the image that has envrun, the project and its tools
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// github: the command that puts envrun on a runner [default: cargo install of this version]
    #[arg(long, value_name = "COMMAND")]
    pub install: Option<String>,
}

/// A scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchedulePlatform {
    /// Timers and services of systemd.
    Systemd,
    /// A crontab.
    Cron,
    /// A workflow of GitHub Actions.
    Github,
    /// CronJobs of Kubernetes.
    Kubernetes,
}
