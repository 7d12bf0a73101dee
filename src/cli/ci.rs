//! `envrun ci`: the pipeline as a workflow of a CI system.

use crate::base::fs;
use crate::ops::ci::{System, export};
use crate::ops::{Problem, Project};

use super::args::{CiArgs, CiCommand, CiExportArgs, CiSystem};
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &CiArgs) -> Result<u8, Problem> {
    match &args.command {
        CiCommand::Export(args) => write(invocation, args),
    }
}

fn write(invocation: &Invocation<'_>, args: &CiExportArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let system = match args.system {
        CiSystem::Github => System::Github,
        CiSystem::Gitlab => System::Gitlab,
    };
    let text = export(&project, system, args.install.as_deref())?;
    let Some(out) = &args.out else {
        terminal::print(&text)
            .map_err(|source| Problem::System { doing: "write to standard output", source })?;
        return Ok(0);
    };
    let path = invocation.context.cwd.join(out);
    let shown = out.display();
    match fs::read_if_there(&path)? {
        Some(there) if there == text.as_bytes() => {
            invocation.terminal.say(&format!("{shown} is as it should be"));
        }
        Some(_) if !args.force => {
            return Err(Problem::usage(
                format!("{shown} is there already, and is not what would be written"),
                Some(format!(
                    "`--force` replaces it; without `-o` the workflow is printed: `envrun ci export {} | diff {shown} -`",
                    system.word()
                )),
            ));
        }
        _ => {
            fs::write_atomic(&path, text.as_bytes())?;
            invocation.terminal.say(&format!("wrote {shown}"));
        }
    }
    Ok(0)
}
