//! The only room that knows clap, the terminal and process exit.

pub mod args;

use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
