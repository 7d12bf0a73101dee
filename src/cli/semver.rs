//! `envrun semver`: the version in a file, and the next one.

use crate::ops::Problem;
use crate::ops::semver::{Level, bump, show};

use super::args::{SemverArgs, SemverCommand, SemverLevel};
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &SemverArgs) -> Result<u8, Problem> {
    let cwd = &invocation.context.cwd;
    let version = match &args.command {
        SemverCommand::Show { file } => show(&cwd.join(file))?,
        SemverCommand::Bump { level, file } => {
            let level = match level {
                SemverLevel::Major => Level::Major,
                SemverLevel::Minor => Level::Minor,
                SemverLevel::Patch => Level::Patch,
            };
            bump(&cwd.join(file), level)?
        }
    };
    let text = format!("{version}\n");
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}
