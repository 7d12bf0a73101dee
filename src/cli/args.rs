//! The flags, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod plan;
mod release;
mod schedule;

pub use plan::{ApplyArgs, PlanArgs};
pub use release::{
    DeployArgs, DeployCommand, FinishArgs, HistoryArgs, HowArgs, ReleaseFormat, ReportArgs, ReportFormat,
    RollbackArgs, StatusArgs,
};

pub use schedule::{
    ScheduleArgs, ScheduleCommand, ScheduleExportArgs, ScheduleListArgs, SchedulePlatform, ScheduleRunArgs,
};

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

/// `envrun run`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// The options that may also stand behind a target.
    #[command(flatten)]
    pub options: RunOptions,
    /// What to run, each followed by its own arguments; `--` ends the options
    #[arg(value_name = "TARGET", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The options of a run. Short letters follow make.
#[derive(Debug, Clone, Default, Args)]
pub struct RunOptions {
    /// How many commands may run at once [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub jobs: Option<u32>,
    /// Go on with what does not depend on a failure
    #[arg(short, long)]
    pub keep_going: bool,
    /// Execute nothing; say what would be, and why
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Execute nothing, print nothing; status 4 if anything would be executed
    #[arg(short = 'q', long)]
    pub question: bool,
    /// Execute the named targets even if they are up to date, and overwrite files they render that were changed by hand
    #[arg(short = 'B', long)]
    pub force: bool,
    /// Execute everything, up to date or not
    #[arg(long)]
    pub force_all: bool,
    /// Type the word that a guard wants to be typed (`confirm`): for where there is no terminal
    #[arg(long, value_name = "WORD")]
    pub confirm: Vec<String>,
    /// Pass approvals, windows, `deployed` and `confirm`, and have it recorded for ever
    #[arg(long, value_name = "REASON")]
    pub break_glass: Option<String>,
    /// The environment of targets that name none
    #[arg(short, long, value_name = "ENV")]
    pub env: Option<String>,
    /// Give a declared variable a value for this run
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// How output is shown: auto, stream, prefix, group, errors, quiet or json
    #[arg(
        short,
        long,
        value_enum,
        value_name = "STYLE",
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub output: OutputStyle,
    /// What is shown on a terminal: auto (a live view below the output), plain (no live view) or tui (panes)
    #[arg(
        long,
        value_enum,
        value_name = "UI",
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub ui: Ui,
    /// The local cache: rw, r (only read), w (only write) or off
    #[arg(
        long,
        value_enum,
        value_name = "USE",
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub cache: CacheUse,
    /// Stay, and run again whatever a changed file affects
    #[arg(short, long)]
    pub watch: bool,
    /// With --watch: look for changes again and again, instead of being told by the system
    #[arg(long)]
    pub poll: bool,
    /// Ring the bell, and show a notification where the desktop can, when a run ends that took long
    #[arg(long)]
    pub notify: bool,
    /// Treat warnings about the Envfile as errors
    #[arg(long)]
    pub strict: bool,
    /// Also list what is up to date
    #[arg(short, long)]
    pub verbose: bool,
    /// With --dry-run: print the plan as JSON
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// How output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputStyle {
    /// As suits: live on a terminal, groups in CI, lines with a prefix otherwise.
    #[default]
    Auto,
    /// As it comes.
    Stream,
    /// As it comes, each line with its node's name.
    Prefix,
    /// All of a node's output at its end.
    Group,
    /// Only that of failed nodes.
    Errors,
    /// Nothing but failures and the last line.
    Quiet,
    /// Events on standard output, one JSON object per line.
    Json,
}

/// What is shown on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Ui {
    /// A live view below the output, where it helps.
    #[default]
    Auto,
    /// Only text.
    Plain,
    /// Panes on a screen of their own: a list of nodes, and the log of one.
    Tui,
}

/// What the local cache is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum CacheUse {
    /// Read and write.
    #[default]
    Rw,
    /// Only read.
    R,
    /// Only write.
    W,
    /// Neither.
    Off,
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
    /// Type the word that a guard wants to be typed (`confirm`): for where there is no terminal
    #[arg(long, value_name = "WORD")]
    pub confirm: Vec<String>,
    /// Pass approvals, windows, `deployed` and `confirm`, and have it recorded for ever
    #[arg(long, value_name = "REASON")]
    pub break_glass: Option<String>,
    /// How output is shown: auto, stream, prefix, group, errors, quiet or json
    #[arg(
        short,
        long,
        value_enum,
        value_name = "STYLE",
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub output: OutputStyle,
    /// Also list what is up to date
    #[arg(short, long)]
    pub verbose: bool,
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

/// `envrun secret`.
#[derive(Debug, Args)]
pub struct SecretArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SecretCommand,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// List them: present or not, where from, how old, when due; never a value
    List(SecretListArgs),
    /// Store a value: asked for without being shown, or read from standard input
    Set(SecretWordsArgs),
    /// Print a value; the environment's guard is asked first
    Get(SecretWordsArgs),
    /// Make those that are missing and say how; never one that is there
    Generate(SecretEnvArgs),
    /// Replace values: tell their owner, store, verify; any failure goes back
    #[command(
        after_help = "Status 5 if one could not be replaced and has the value that it had; 6 if going back failed too."
    )]
    Rotate(SecretRotateArgs),
    /// Edit them in $EDITOR
    Edit(SecretEnvArgs),
}

/// `envrun secret list`.
#[derive(Debug, Args)]
pub struct SecretListArgs {
    /// Of which environment [default: the chosen one]
    #[arg(value_name = "ENV")]
    pub environment: Option<String>,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: TextOrJson,
}

/// `envrun secret generate`, `envrun secret edit`.
#[derive(Debug, Args)]
pub struct SecretEnvArgs {
    /// Of which environment [default: the chosen one]
    #[arg(value_name = "ENV")]
    pub environment: Option<String>,
}

/// `envrun secret set`, `envrun secret get`.
#[derive(Debug, Args)]
pub struct SecretWordsArgs {
    /// The environment and the secret's name; only the name where there are no environments
    #[arg(value_name = "ENV NAME")]
    pub words: Vec<String>,
}

/// `envrun secret rotate`.
#[derive(Debug, Args)]
pub struct SecretRotateArgs {
    /// The environment, and the names of secrets
    #[arg(value_name = "ENV NAME")]
    pub words: Vec<String>,
    /// Those that are older than their `rotate=`
    #[arg(long)]
    pub due: bool,
}

/// `envrun env`.
#[derive(Debug, Args)]
pub struct EnvArgs {
    /// What to do
    #[command(subcommand)]
    pub command: EnvCommand,
}

/// What to do with environments.
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// List the environments, with what sets each apart
    List(EnvListArgs),
    /// Show what every name stands for in an environment
    Show(EnvShowArgs),
    /// Compare two environments: variables, secrets by fingerprint, nodes, requirements, guards
    #[command(
        after_help = "A difference is explained if the Envfile says it: an `env` block of one of the two gives the value, or only \
                      one declares the name, or it is built from such values; secrets are meant to differ. What dotenv files or \
                      the shell make different is not."
    )]
    Diff(EnvDiffArgs),
    /// Add to one environment what another has and it lacks: never takes away, never changes, never copies a secret
    #[command(
        after_help = "What is synced is B's own dotenv file, the last one that B loads and no other environment does. Added are names \
                      that the Envfile declares as variables and for which B has no value at all. Before anything is written a \
                      numbered copy of the file is kept below .envrun/env/B/snapshots; the result must be what B's types and \
                      constraints ask, or nothing is written."
    )]
    Sync(EnvSyncArgs),
    /// Make an environment from a pattern, an `env` with ephemeral=#true
    #[command(
        override_usage = "envrun env create [OPTIONS] PATTERN [ARGS]…",
        after_help = "Arguments are the pattern's own: `envrun env create pr 7` and `envrun env create pr --number 7` make `pr-7`, whose \
                      nodes are `pr-7.deploy` and so on. It has free ports of its own, and its state lies below .envrun/env/pr-7."
    )]
    Create(EnvCreateArgs),
    /// Take down environments that `create` made
    #[command(
        after_help = "What fails stays listed with the reason, and is tried again by the next `destroy` or `gc`."
    )]
    Destroy(EnvDestroyArgs),
    /// Take down the environments that lay idle for longer than their `ttl`, and those that could not be taken down before
    Gc(EnvGcArgs),
    /// Run a command that sees an environment's variables, secrets included
    #[command(
        override_usage = "envrun env exec [OPTIONS] [ENV] -- COMMAND [ARGS]…",
        after_help = "The command takes envrun's place: it has its terminal, hears its signals, and its end is envrun's. The \
                      environment's guard is asked first, and for the word of its `confirm`."
    )]
    Exec(EnvExecArgs),
    /// Print an environment's values, secrets included, in a form that another program reads
    #[command(after_help = "direnv: `eval \"$(envrun env export dev --format shell)\"` in .envrc. \
                      GitHub: `envrun env export prod --format github` in a step appends to $GITHUB_ENV and masks secrets. \
                      If there is a secret among the values, the environment's guard is asked first.")]
    Export(EnvExportArgs),
}

/// `envrun env list`.
#[derive(Debug, Args)]
pub struct EnvListArgs {
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: TextOrJson,
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

/// `envrun env show`.
#[derive(Debug, Args)]
pub struct EnvShowArgs {
    /// Which [default: the one that a run would choose; with --ports, all]
    #[arg(value_name = "ENV")]
    pub environments: Vec<String>,
    /// Where each value comes from
    #[arg(long)]
    pub origin: bool,
    /// The ports of environments side by side, and where they clash
    #[arg(long, conflicts_with = "origin")]
    pub ports: bool,
    /// Give a declared variable a value
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: TextOrJson,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// `envrun env diff`.
#[derive(Debug, Args)]
pub struct EnvDiffArgs {
    /// The first
    #[arg(value_name = "A")]
    pub a: String,
    /// The other
    #[arg(value_name = "B")]
    pub b: String,
    /// Status 1 if there is a difference that the Envfile does not explain
    #[arg(long)]
    pub strict: bool,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: TextOrJson,
}

/// `envrun env sync`.
#[derive(Debug, Args)]
pub struct EnvSyncArgs {
    /// Where values come from
    #[arg(value_name = "A")]
    pub from: String,
    /// Where they go
    #[arg(value_name = "B")]
    pub to: String,
    /// Write nothing; show what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not ask whether to go on; a word that B's guard wants is asked for all the same
    #[arg(short, long)]
    pub yes: bool,
    /// Type the word that B's guard wants to be typed (`confirm`): for where there is no terminal
    #[arg(long, value_name = "WORD")]
    pub confirm: Vec<String>,
    /// Give B this value for a name that it lacks, whatever A has
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The dotenv file of this included project
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: TextOrJson,
}

/// `envrun env create`.
#[derive(Debug, Args)]
pub struct EnvCreateArgs {
    /// What to call it [default: the pattern and the arguments' values, with `-` between]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The pattern
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    /// Its arguments: values in order, `--NAME VALUE`, or `--arg NAME=VALUE`
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// `envrun env destroy`.
#[derive(Debug, Args)]
pub struct EnvDestroyArgs {
    /// Which
    #[arg(value_name = "ENV", required = true)]
    pub environments: Vec<String>,
    /// Do without an `on-destroy` that cannot run, since the pattern is gone from the Envfile
    #[arg(long)]
    pub force: bool,
}

/// `envrun env gc`.
#[derive(Debug, Args)]
pub struct EnvGcArgs {
    /// Take nothing down; show what would be
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// Whose values a command of `envrun env` takes.
#[derive(Debug, Args)]
pub struct EnvPlace {
    /// Which [default: the one that a run would choose]
    #[arg(value_name = "ENV")]
    pub environment: Option<String>,
    /// The values as this included project has them
    #[arg(long, value_name = "PROJECT")]
    pub project: Option<String>,
    /// Give a declared variable a value
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// `envrun env exec`.
#[derive(Debug, Args)]
pub struct EnvExecArgs {
    /// Whose values.
    #[command(flatten)]
    pub place: EnvPlace,
    /// Type the word that the guard wants to be typed (`confirm`): for where there is no terminal
    #[arg(long, value_name = "WORD")]
    pub confirm: Vec<String>,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<std::ffi::OsString>,
}

/// `envrun env export`.
#[derive(Debug, Args)]
pub struct EnvExportArgs {
    /// Whose values.
    #[command(flatten)]
    pub place: EnvPlace,
    /// The form
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
}

/// A form of exported values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExportFormat {
    /// `NAME=value` lines.
    #[default]
    Dotenv,
    /// `export` lines for a POSIX shell.
    Shell,
    /// One object, with numbers and booleans as such.
    Json,
    /// What GitHub reads from $GITHUB_ENV.
    Github,
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

/// `envrun up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The environment, or several, the services, or both [default: all services of the environment]
    #[arg(value_name = "ENV|SERVICE")]
    pub words: Vec<String>,
    /// Stay with them: show what they print, and stop them at the end
    #[arg(short, long)]
    pub attach: bool,
    /// Start nothing; say what would be started, and why
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Give a declared variable a value
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// How output is shown: auto, stream, prefix, group, errors, quiet or json
    #[arg(
        short,
        long,
        value_enum,
        value_name = "STYLE",
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub output: OutputStyle,
    /// What is shown on a terminal: auto (a live view below the output), plain (no live view) or tui (panes)
    #[arg(
        long,
        value_enum,
        value_name = "UI",
        default_value_t,
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub ui: Ui,
    /// Also list what is up to date
    #[arg(short, long)]
    pub verbose: bool,
}

/// `envrun down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// The environment, or several, the services, or both [default: all services of the environment]
    #[arg(value_name = "ENV|SERVICE")]
    pub words: Vec<String>,
}

/// `envrun restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// The environment, or several, the services, or both [default: all services that are up]
    #[arg(value_name = "ENV|SERVICE")]
    pub words: Vec<String>,
}

/// `envrun ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// The environment, or several [default: all that have services]
    #[arg(value_name = "ENV")]
    pub environments: Vec<String>,
    /// How it is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: TextOrJson,
}

/// `envrun logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The environment, or several, the services, or both [default: all services of the environment]
    #[arg(value_name = "ENV|SERVICE")]
    pub words: Vec<String>,
    /// Go on with what is printed from now on; behind `logs`, `-f` says the same
    #[arg(long)]
    pub follow: bool,
    /// Everything that is still there of earlier starts, too
    #[arg(long, conflicts_with = "lines")]
    pub all: bool,
    /// Begin with the last N lines [default: all since the last start, or 20 lines of several services]
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub lines: Option<usize>,
}

/// `envrun wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The environment, or several, the services, or both [default: all services of the environment]
    #[arg(value_name = "ENV|SERVICE")]
    pub words: Vec<String>,
    /// How long at the most; services that are not there yet are waited for too
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
}

/// `envrun __services`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The folder of the environment's services
    pub folder: PathBuf,
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
