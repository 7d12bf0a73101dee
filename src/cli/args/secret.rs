//! The flags of `secret`.

use clap::{Args, Subcommand};

use super::TextOrJson;

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
