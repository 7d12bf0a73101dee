//! The flags, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod env;
mod plan;
mod release;
mod run;
mod schedule;
mod secret;
mod service;
mod snapshot;
mod stage;

pub use env::{
    EnvArgs, EnvCommand, EnvCreateArgs, EnvDestroyArgs, EnvDiffArgs, EnvExecArgs, EnvExportArgs, EnvGcArgs,
    EnvListArgs, EnvPlace, EnvShowArgs, EnvSyncArgs, ExportFormat,
};

pub use plan::{ApplyArgs, PlanArgs};
pub use release::{
    DeployArgs, DeployCommand, FinishArgs, HistoryArgs, HowArgs, ReleaseFormat, ReportArgs, ReportFormat,
    ResumeArgs, RollbackArgs, StatusArgs,
};
pub use run::{CacheUse, Glass, OutputStyle, RunArgs, RunOptions, Screen, Shown, Ui};
pub use schedule::{
    ScheduleArgs, ScheduleCommand, ScheduleExportArgs, ScheduleListArgs, SchedulePlatform, ScheduleRunArgs,
};
pub use secret::{
    SecretArgs, SecretCommand, SecretEnvArgs, SecretListArgs, SecretRotateArgs, SecretWordsArgs,
};
pub use service::{DownArgs, LogsArgs, PsArgs, RestartArgs, ServeArgs, UpArgs, WaitArgs};
pub use snapshot::{RestoreArgs, SnapshotArgs, SnapshotCommand, SnapshotListArgs, SnapshotPlace};
pub use stage::{CiArgs, CiCommand, CiExportArgs, CiSystem, StageArgs, StageFormat};

/// A declarative build graph and task runner: environments, stages, tasks and deploys in one Envfile.kdl.
#[derive(Debug, Parser)]
#[command(
    name = "envrun",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = false,
    override_usage = "envrun [OPTIONS] [TARGET…] [-- ARGS]\n       envrun [OPTIONS] COMMAND",
    after_help = "A target is [ENV.][PROJECT:]NAME, such as `build` or `prod.deploy`. Without one, the tasks are listed.\n\
                  `envrun TARGET --help` shows a task's own arguments; `envrun run --help` the options of a run."
)]
pub struct Cli {
    /// Where to look, whatever is done.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where the Envfile is, and how the terminal is written to.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Work as if started in this folder
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// The Envfile to read [default: Envfile.kdl here or in a folder above]
    #[arg(short = 'f', long = "file", value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
    /// When to use colour
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        global = true,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub color: When,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run targets: `envrun build` is `envrun run build`
    Run(RunArgs),
    /// Run targets, wait until files change, run what that affects, until Ctrl-C: `envrun run --watch`
    #[command(override_usage = "envrun dev [OPTIONS] [ENV] [TARGET…] [-- ARGS]")]
    Dev(RunArgs),
    /// Start the services of an environment, and what they need; they stay up
    Up(UpArgs),
    /// Stop the services of an environment
    Down(DownArgs),
    /// Start services again that are up
    Restart(RestartArgs),
    /// Show the services: state, process, cpu, memory, address
    Ps(PsArgs),
    /// Print what services print
    Logs(LogsArgs),
    /// Wait until services are ready
    Wait(WaitArgs),
    /// List the tasks, with what they are for
    List(ListArgs),
    /// Show what a target comes to: its definition after all patches, each line with its place
    Show(ShowArgs),
    /// Show the pipeline and what came of each stage, or run a stage
    Stage(StageArgs),
    /// Run nodes at given times: what comes when, a runner, texts for other schedulers
    Schedule(ScheduleArgs),
    /// Write the pipeline as a workflow of a CI system
    Ci(CiArgs),
    /// Print the version that a file says, or raise it
    Semver(SemverArgs),
    /// Draw the graph of the targets, or of everything
    Graph(GraphArgs),
    /// Say why a target would run, compared with its last good run
    Why(WhyArgs),
    /// Run a task and list the files it reads and writes without declaring them
    Audit(AuditArgs),
    /// Check the Envfile and everything it includes
    Check(CheckArgs),
    /// Look for what is missing before anything runs: tools, values, ports, space
    Doctor(DoctorArgs),
    /// Look at environments: list, show, compare, export, run a command in one
    Env(EnvArgs),
    /// List, set, get, make, replace and edit the secrets of an environment
    Secret(SecretArgs),
    /// Put saved data back; what is there now is saved first
    Restore(RestoreArgs),
    /// Look after saved data: list the copies, verify them, remove the old ones
    Snapshot(SnapshotArgs),
    /// Put the Envfile and everything it includes into the standard form
    Fmt(FmtArgs),
    /// Write a first Envfile for the project in this folder
    Init(InitArgs),
    /// Write an Envfile from what another tool has
    Import(ImportArgs),
    /// Look after the local cache
    Cache(CacheArgs),
    /// Print earlier runs, or one of them again
    Log(LogArgs),
    /// Show what a run would do as a checklist, and freeze it into a file
    Plan(PlanArgs),
    /// Carry out a frozen plan, if nothing that it rests on moved
    Apply(ApplyArgs),
    /// Bring a deploy that was cut short to an end: go on, or go back
    Deploy(DeployArgs),
    /// Put an earlier release live again
    Rollback(RollbackArgs),
    /// Show what is live where, since when, and whether it is well
    Status(StatusArgs),
    /// List deploys and rollbacks: who, what, when, how it came out
    History(HistoryArgs),
    /// Say how deploys went: success rate, rollbacks, durations
    Report(ReportArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// What a shell asks to complete a word
    #[command(name = "__complete", hide = true)]
    Complete(CompleteArgs),
    /// What keeps the services of an environment
    #[command(name = "__services", hide = true)]
    Serve(ServeArgs),
}

/// `envrun list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this environment, project or name
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,
    /// Hidden tasks too
    #[arg(short, long)]
    pub all: bool,
    /// As JSON, on standard output
    #[arg(long)]
    pub json: bool,
}

/// `envrun show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// What to show: a task, service, deploy, snapshot or stage
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// TARGET is a stage: where something else has its name too
    #[arg(long)]
    pub stage: bool,
    /// As JSON, on standard output
    #[arg(long)]
    pub json: bool,
}

/// `envrun semver`.
#[derive(Debug, Args)]
pub struct SemverArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SemverCommand,
}

/// What to do with a version.
#[derive(Debug, Subcommand)]
pub enum SemverCommand {
    /// Print the version that a file says: a plain file, Cargo.toml, pyproject.toml or package.json
    Show {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Raise the version in a file, and print the new one
    Bump {
        /// Which number
        #[arg(value_enum)]
        level: SemverLevel,
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Which number of a version is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SemverLevel {
    /// Something that worked works no more.
    Major,
    /// Something new.
    Minor,
    /// Something mended.
    Patch,
}

/// `envrun graph`.
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Whose graph; everything in the default environment without one
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: GraphFormat,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A form of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz.
    #[default]
    Dot,
    /// For Markdown.
    Mermaid,
    /// For programs.
    Json,
    /// A page of its own, for a browser.
    Html,
}

/// `envrun why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Only the first cause, and the way to it
    #[arg(long)]
    pub first: bool,
    /// Compare with a recorded run: an id, or `latest`
    #[arg(long, value_name = "RUN")]
    pub vs: Option<String>,
    /// Which node
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Its own arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// `envrun audit`.
#[derive(Debug, Args)]
#[command(
    after_help = "Status 0 if every file is declared, or was declared by --fix; 1 if not, or if the task failed."
)]
pub struct AuditArgs {
    /// Declare them: add what is missing to `inputs` and `outputs` in the Envfile
    #[arg(long)]
    pub fix: bool,
    /// As JSON, on standard output
    #[arg(long)]
    pub json: bool,
    /// Also list inputs that were not read, folders that were listed, and what was looked for in vain
    #[arg(short, long)]
    pub verbose: bool,
    /// The environment of a target that names none
    #[arg(short, long, value_name = "ENV")]
    pub env: Option<String>,
    /// Which task
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Its own arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// `envrun check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Warnings count as errors
    #[arg(long)]
    pub strict: bool,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: DiagnosticFormat,
}

/// A form of diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DiagnosticFormat {
    /// Graphical on a terminal, short otherwise.
    #[default]
    Auto,
    /// One line each.
    Short,
    /// One JSON object per line.
    Json,
    /// GitHub's annotations.
    Github,
}

/// `envrun doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// For which environments; their ports must differ [default: the chosen one, else all]
    #[arg(value_name = "ENV")]
    pub environments: Vec<String>,
    /// Warnings count as failures
    #[arg(long)]
    pub strict: bool,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: DoctorFormat,
}

/// A form of the doctor's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DoctorFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// GitHub's annotations.
    Github,
}

/// For people, or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TextOrJson {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// `envrun fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// Change nothing; status 1 if something would be
    #[arg(long)]
    pub check: bool,
    /// These files instead; `-` for standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `envrun init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Print it instead of writing it
    #[arg(long)]
    pub print: bool,
}

/// `envrun import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Which tool
    #[arg(value_enum)]
    pub from: ImportFrom,
    /// Its file [default: build.ninja]
    pub path: Option<PathBuf>,
    /// Print it instead of writing it
    #[arg(long)]
    pub print: bool,
}

/// A tool that an Envfile can be made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// ninja's manifest.
    Ninja,
}

/// `envrun cache`.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with it
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What to do with the local cache.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum CacheCommand {
    /// How much is in it, and where it lies
    Stats,
    /// List the results
    Ls,
    /// Remove what is over the limits of size and age
    Gc,
    /// Read every result and remove those that are damaged
    Verify,
    /// Remove everything
    Clear,
}

/// `envrun log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Which run; `latest` for the last one; the list of runs without one
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// How output is shown
    #[arg(short, long, value_enum, default_value_t, hide_possible_values = true)]
    pub output: OutputStyle,
    /// Also list what was up to date
    #[arg(short, long)]
    pub verbose: bool,
}

/// `envrun completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that completes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// `envrun __complete`.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words of the line up to the cursor, the program's name left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}
