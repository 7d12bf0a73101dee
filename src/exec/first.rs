//! A first form of `run`, by the standard library.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use super::Processes;
use super::command::{CommandSpec, Ended, Exit, Invocation, Io, StartError, Stream};

pub(super) fn run(
    spec: &CommandSpec<'_>,
    processes: &Processes,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Ended, StartError> {
    let words: Vec<String> = match spec.invocation {
        Invocation::Argv(words) => words.to_vec(),
        Invocation::Shell { text, shell } => shell.argv().chain([text]).map(str::to_owned).collect(),
    };
    let program = processes.programs().find(words[0].as_ref(), spec.env.get("PATH"), spec.dir)?;
    let mut command = Command::new(&*program);
    command.arg0(&words[0]).args(&words[1..]).current_dir(spec.dir).env_clear().envs(spec.env.iter());
    if spec.io == Io::Captured {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    }
    let fail = |source| StartError::Spawn { program: program.to_path_buf(), source };
    let mut child = command.spawn().map_err(fail)?;
    let read = |stream: &mut dyn Read, which, output: &mut dyn FnMut(Stream, &[u8])| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        output(which, &bytes);
    };
    if let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) {
        let err = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = err.read_to_end(&mut bytes);
            bytes
        });
        read(&mut out, Stream::Stdout, output);
        output(Stream::Stderr, &err.join().expect("reading does not panic"));
    }
    let status = child.wait().map_err(fail)?;
    let exit = status.code().map_or_else(|| Exit::Signal(status.signal().unwrap_or(0)), Exit::Status);
    Ok(Ended { exit, left_behind: false })
}
