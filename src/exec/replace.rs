//! A command in the place of envrun itself.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{Environ, Programs, StartError};

/// Makes the command of this process: its pid, its streams and its terminal become the command's, which hears every signal
/// that envrun would have heard and whose end is envrun's. Returns only if the command cannot be started.
pub fn replace(words: &[OsString], dir: &Path, env: &Environ) -> StartError {
    let Some((program, args)) = words.split_first() else {
        return StartError::Nul("no command".to_owned());
    };
    if let Some(name) = env.nul() {
        return StartError::Nul(format!("the variable `{name}`"));
    }
    let found = match Programs::default().find(program, env.get("PATH"), dir) {
        Ok(found) => found,
        Err(error) => return error.into(),
    };
    // What took on the orphans of its children was envrun; it would outlive this, and the command knows nothing of it.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(None);
    let source =
        Command::new(&*found).arg0(program).args(args).env_clear().envs(env.iter()).current_dir(dir).exec();
    StartError::Spawn { program: found.to_path_buf(), source }
}
