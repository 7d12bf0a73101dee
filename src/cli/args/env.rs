//! The flags of `env`.

use clap::{Args, Subcommand, ValueEnum};

use super::TextOrJson;

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
    /// Do without an `on-destroy` that fails, or that cannot run since the pattern is gone from the Envfile
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
