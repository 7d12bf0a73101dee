//! `envrun init`: a first Envfile, nothing asked.

use crate::base::fs;
use crate::load::FILE_NAME;
use crate::ops::Problem;
use crate::ops::init::first_envfile;

use super::args::InitArgs;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &InitArgs) -> Result<u8, Problem> {
    let folder = &invocation.context.cwd;
    let first = first_envfile(folder);
    if args.print {
        terminal::print(&first.text)
            .map_err(|source| Problem::System { doing: "write to standard output", source })?;
        return Ok(0);
    }
    let path = folder.join(FILE_NAME);
    if path.exists() {
        return Err(Problem::usage(
            format!("there is an `{FILE_NAME}` in {} already", folder.display()),
            Some(
                "`envrun list` shows what is in it; `envrun init --print` shows what would be written".into(),
            ),
        ));
    }
    fs::write_atomic(&path, first.text.as_bytes())?;
    let what =
        if first.found.is_empty() { "no project that it knows".into() } else { first.found.join(" and ") };
    invocation.terminal.say(&format!("wrote {FILE_NAME} for {what}\nhint: `envrun` lists what is in it"));
    if folder.join(".git").exists() && !is_ignored(folder) {
        invocation
            .terminal
            .say("hint: add `.envrun/` to .gitignore: what envrun remembers of this checkout lies there");
    }
    Ok(0)
}

fn is_ignored(folder: &std::path::Path) -> bool {
    std::fs::read_to_string(folder.join(".gitignore")).is_ok_and(|text| {
        text.lines().any(|line| matches!(line.trim().trim_matches('/'), ".envrun" | ".envrun/*"))
    })
}
