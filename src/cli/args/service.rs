//! The flags of what looks after services.

use std::path::PathBuf;

use clap::Args;

use super::{Screen, TextOrJson};

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
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
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
