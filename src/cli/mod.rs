//! The only room that knows clap, the terminal and process exit.

pub mod args;
pub mod list;
pub mod words;

use std::process::ExitCode;

/// The program.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
