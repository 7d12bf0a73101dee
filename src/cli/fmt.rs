//! `envrun fmt`: the standard form, comments kept.

use std::io::Read;
use std::path::PathBuf;

use crate::base::fs;
use crate::diag::SourceMap;
use crate::ops::{Problem, Project};
use crate::syntax;

use super::args::FmtArgs;
use super::{Invocation, terminal};

/// Something is not in the standard form (`--check`).
const EXIT_DIFFERS: u8 = 1;

pub fn run(invocation: &Invocation<'_>, args: &FmtArgs) -> Result<u8, Problem> {
    if args.files.iter().any(|file| file.as_os_str() == "-") {
        return standard_input(args.check);
    }
    let files: Vec<PathBuf> = if args.files.is_empty() {
        let project = Project::open_with_errors(invocation.context, invocation.place.file.as_deref())?;
        project.sources().files().iter().map(|file| file.path.clone()).collect()
    } else {
        args.files.iter().map(|file| invocation.context.cwd.join(file)).collect()
    };
    let mut differs = false;
    for file in files {
        let text = fs::read_text(&file)?;
        let formatted = format(&file.display().to_string(), &file, &text)?;
        if formatted == text {
            continue;
        }
        differs = true;
        let shown = file.strip_prefix(&invocation.context.cwd).unwrap_or(&file).display().to_string();
        if args.check {
            invocation.terminal.say(&format!("{shown} is not in the standard form"));
        } else {
            fs::write_atomic(&file, formatted.as_bytes())?;
            invocation.terminal.say(&format!("formatted {shown}"));
        }
    }
    Ok(if args.check && differs { EXIT_DIFFERS } else { 0 })
}

fn standard_input(check: bool) -> Result<u8, Problem> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| Problem::System { doing: "read standard input", source })?;
    let formatted = format("standard input", "-".as_ref(), &text)?;
    if check {
        return Ok(if formatted == text { 0 } else { EXIT_DIFFERS });
    }
    terminal::print(&formatted)
        .map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

fn format(name: &str, path: &std::path::Path, text: &str) -> Result<String, Problem> {
    let mut sources = SourceMap::default();
    let file = sources.add(name, path, text);
    syntax::format(file, text)
        .map_err(|diagnostics| Problem::Diagnostics { diagnostics, sources: Box::new(sources) })
}
