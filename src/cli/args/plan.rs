//! The flags of `plan` and `apply`.

use std::path::PathBuf;

use clap::Args;

use super::{Glass, ReleaseFormat, Shown};

/// `envrun plan`.
#[derive(Debug, Args)]
#[command(
    override_usage = "envrun plan [OPTIONS] TARGET… [-- ARGS]",
    after_help = "Nothing is executed but `when` and `done`. With -o the plan is written to a file, whole, with digests of everything it\n\
                  rests on and no value of a secret; `envrun apply FILE` carries out that and nothing else. Status 0 also\n\
                  when a guard does not hold yet: guards are asked again when the plan is carried out."
)]
pub struct PlanArgs {
    /// What to plan; flags of its own stand behind `--`
    #[arg(value_name = "TARGET", required = true)]
    pub words: Vec<String>,
    /// The environment of targets that name none
    #[arg(short, long, value_name = "ENV")]
    pub env: Option<String>,
    /// Give a declared variable a value
    #[arg(short, long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Freeze the plan into this file
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The form
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub format: ReleaseFormat,
    /// Arguments of the last target
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// `envrun apply`.
#[derive(Debug, Args)]
#[command(
    after_help = "Refused with status 3 if anything moved since the plan was made, naming it: a file, a variable, a command, a tool, a secret,\n\
                  a text of the Envfile, the commit, what is live. Guards are asked as in any run; a signed tag\n\
                  approve/ENV/DIGEST, with the plan's whole digest, approves this plan and no other."
)]
pub struct ApplyArgs {
    /// The plan
    #[arg(value_name = "FILE")]
    pub plan: PathBuf,
    /// How many commands may run at once [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub jobs: Option<u32>,
    /// What it takes to pass guards.
    #[command(flatten)]
    pub glass: Glass,
    /// How it is shown.
    #[command(flatten)]
    pub shown: Shown,
}
