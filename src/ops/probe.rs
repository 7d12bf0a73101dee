//! A command of a condition that is asked outside of any run.

use std::path::Path;
use std::process::{Command as Process, Stdio};

use crate::exec::Environ;
use crate::model::Command;

/// Whether the command succeeds in `dir`, seeing `environ`; or why it could not be run. What it prints is nobody's.
pub(super) fn succeeds(command: &Command, dir: &Path, environ: &Environ) -> Result<bool, String> {
    let words = match command {
        Command::Shell(text) => vec!["sh".to_owned(), "-eu".into(), "-c".into(), text.clone()],
        Command::Argv(words) => words.clone(),
    };
    let (program, args) = words.split_first().ok_or("it is empty")?;
    let status = Process::new(program)
        .args(args)
        .current_dir(dir)
        .env_clear()
        .envs(environ.iter())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.map(|status| status.success()).map_err(|error| error.to_string())
}
