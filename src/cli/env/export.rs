//! `envrun env export`: an environment's values, for another program.

use std::io::Write;

use crate::base::fs::FsError;
use crate::ops::env::export::{Form, export, masks, text};
use crate::ops::{Problem, Project};
use crate::vars::write::{misread, misread_by};

use super::super::Invocation;
use super::super::args::{EnvExportArgs, ExportFormat};
use super::{place, print};

pub fn run(invocation: &Invocation<'_>, project: &mut Project, args: &EnvExportArgs) -> Result<u8, Problem> {
    let (env, owner, set) = place(invocation, project, &args.place)?;
    let exported = export(invocation.context, project, &owner, env.as_ref(), &set)?;
    let form = match args.format {
        ExportFormat::Dotenv => Form::Dotenv,
        ExportFormat::Shell => Form::Shell,
        ExportFormat::Json => Form::Json,
        ExportFormat::Github => Form::Github,
    };
    if form == Form::Dotenv {
        for (name, who) in exported.iter().filter_map(|value| Some((&value.name, misread(&value.text)?))) {
            invocation.terminal.say(&format!("notice: {}", misread_by(name, who)));
        }
    }
    let text = text(&exported, form);
    if form != Form::Github {
        return print(&text);
    }
    // Masked first: from the moment that a later step can print a value, the log must not show it.
    match invocation.context.caller_text("GITHUB_ENV").filter(|file| !file.is_empty()) {
        Some(file) => {
            print(&masks(&exported))?;
            let file = invocation.context.cwd.join(file);
            let mut open = std::fs::OpenOptions::new();
            open.append(true)
                .create(true)
                .open(&file)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|error| FsError::new("append to", &file, error))?;
            Ok(0)
        }
        // Nobody listens for masks here.
        None => print(&text),
    }
}
