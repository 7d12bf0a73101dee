//! The flags of a run, and those that other commands share with it.

use clap::{Args, ValueEnum};

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
    /// What it takes to pass guards.
    #[command(flatten)]
    pub glass: Glass,
    /// The environment of targets that name none
    #[arg(short, long, value_name = "ENV")]
    pub env: Option<String>,
    /// Give a declared variable a value for this run
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
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
    /// With --dry-run: print the plan as JSON
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// How a command that runs something shows it.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Shown {
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

/// The same, where there may be a view of it.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Screen {
    /// How it is shown.
    #[command(flatten)]
    pub shown: Shown,
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
}

/// What a person gives to pass guards.
#[derive(Debug, Clone, Default, Args)]
pub struct Glass {
    /// Type the word that a guard wants to be typed (`confirm`): for where there is no terminal
    #[arg(long, value_name = "WORD")]
    pub confirm: Vec<String>,
    /// Pass approvals, windows, `deployed` and `confirm`, and have it recorded for ever
    #[arg(long, value_name = "REASON")]
    pub break_glass: Option<String>,
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
