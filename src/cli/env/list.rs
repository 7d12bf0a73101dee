//! `envrun env list`: the matrix of the environments.

use std::time::Duration;

use crate::base::unit::show_duration;
use crate::ops::env::list::{Row, list};
use crate::ops::env::made::State;
use crate::ops::{Problem, Project};

use super::super::Invocation;
use super::super::args::{EnvListArgs, TextOrJson};
use super::{json, print, table};

pub fn run(invocation: &Invocation<'_>, project: &Project, args: &EnvListArgs) -> Result<u8, Problem> {
    let rows = list(project, invocation.context.clock.now())?;
    match args.format {
        TextOrJson::Json => print(&json(&rows)),
        TextOrJson::Text if rows.is_empty() => {
            invocation.terminal.say("the Envfile declares no environment");
            Ok(0)
        }
        TextOrJson::Text => print(&text(&rows, |text| invocation.terminal.bold_out(text))),
    }
}

fn text(rows: &[Row], bold: impl Fn(&str) -> String) -> String {
    let cells = |row: &Row| {
        let mut notes = Vec::new();
        notes.extend(row.default.then(|| "default".to_owned()));
        notes.extend(row.is_abstract.then(|| "abstract".to_owned()));
        notes.extend(row.ephemeral.then(|| "ephemeral".to_owned()));
        if let Some(made) = &row.made {
            notes.push(match (made.busy, made.state) {
                (true, State::Creating) => "being made".to_owned(),
                (true, _) => "being taken down".to_owned(),
                (false, state) => state.word().to_owned(),
            });
            notes.extend(made.due_in.map(|left| match left {
                0 => "due".to_owned(),
                left => format!("{} left", show_duration(Duration::from_secs(left))),
            }));
        }
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        vec![
            row.name.clone(),
            or_dash(
                row.extends
                    .clone()
                    .or(row.made.as_ref().map(|made| format!("{} (gone)", made.pattern)))
                    .unwrap_or_default(),
            ),
            or_dash(notes.join(", ")),
            row.nodes.to_string(),
            row.variables.to_string(),
            or_dash(row.guard.join("; ")),
            row.made.as_ref().and_then(|made| made.failure.clone()).or(row.desc.clone()).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    table(&["ENVIRONMENT", "EXTENDS", "KIND", "NODES", "VARIABLES", "GUARD", ""], &rows, bold)
}
