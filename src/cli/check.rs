//! `envrun check`: everything that is wrong with the Envfile, at once.

use crate::ops::check::check;
use crate::ops::schedule::unattended;
use crate::ops::{Problem, Project};

use super::args::{CheckArgs, DiagnosticFormat};
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &CheckArgs) -> Result<u8, Problem> {
    let mut project = Project::open_with_errors(invocation.context, invocation.place.file.as_deref())?;
    let mut diagnostics = check(&project);
    if !crate::ops::has_errors(&diagnostics) {
        diagnostics.extend(unattended(invocation.context, &mut project));
    }
    let text = invocation.terminal.diagnostics(&diagnostics, project.sources(), args.format);
    // For people on standard error like every diagnostic; what a program asked for is data.
    match args.format {
        DiagnosticFormat::Json | DiagnosticFormat::Github => {
            terminal::print(&text)
                .map_err(|source| Problem::System { doing: "write to standard output", source })?;
        }
        DiagnosticFormat::Auto | DiagnosticFormat::Short if !text.is_empty() => {
            invocation.terminal.say(text.trim_end())
        }
        DiagnosticFormat::Auto | DiagnosticFormat::Short => {}
    }
    let errors = crate::ops::has_errors(&diagnostics);
    let bad = errors || (args.strict && !diagnostics.is_empty());
    if !bad && matches!(args.format, DiagnosticFormat::Auto | DiagnosticFormat::Short) {
        let files = project.sources().files().len();
        let nodes = project.envfile().node_paths().len();
        let plural =
            |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
        invocation.terminal.say(&format!("{} in {}: good", plural(nodes, "node"), plural(files, "file")));
    }
    Ok(if bad { 2 } else { 0 })
}
