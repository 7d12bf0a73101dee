//! `envrun import`: an Envfile from what another tool has.

use crate::base::fs;
use crate::load::FILE_NAME;
use crate::ops::Problem;
use crate::ops::import::ninja;

use super::args::{ImportArgs, ImportFrom};
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &ImportArgs) -> Result<u8, Problem> {
    let ImportFrom::Ninja = args.from;
    let root = &invocation.context.cwd;
    let manifest = root.join(args.path.as_deref().unwrap_or("build.ninja".as_ref()));
    // Real paths on both sides, so that one can be seen to lie below the other.
    let manifest = manifest.canonicalize().unwrap_or(manifest);
    let root = root.canonicalize().unwrap_or_else(|_| root.clone());
    let text = ninja::envfile(&root, &manifest).map_err(|error| Problem::usage(error.to_string(), None))?;
    if args.print {
        terminal::print(&text)
            .map_err(|source| Problem::System { doing: "write to standard output", source })?;
        return Ok(0);
    }
    let path = root.join(FILE_NAME);
    if path.exists() {
        return Err(Problem::usage(
            format!("there is an `{FILE_NAME}` in {} already", root.display()),
            Some("`--print` shows what would be written".into()),
        ));
    }
    fs::write_atomic(&path, text.as_bytes())?;
    invocation.terminal.say(&format!("wrote {FILE_NAME}\nhint: `envrun default` makes what `ninja` makes"));
    Ok(0)
}
