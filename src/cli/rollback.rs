//! `envrun rollback`: an earlier release goes live again.

use std::fmt::Write as _;

use crate::ops::deploy::history::line;
use crate::ops::deploy::words::{age, moment, short, table};
use crate::ops::deploy::{Candidates, Rollback, candidates, rollback};
use crate::ops::{Problem, Project};

use super::args::{ReleaseFormat, RollbackArgs};
use super::deploy::{reporters, request};
use super::status::warn;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &RollbackArgs) -> Result<u8, Problem> {
    let mut project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    if args.list {
        return list(invocation, &project, args);
    }
    let asked = Rollback {
        what: args.what.clone(),
        to: args.to.clone(),
        emergency: args.emergency,
        with_data: args.with_data,
    };
    let request = request(&args.how)?;
    let reporters = reporters(invocation, &args.how);
    let (ending, _rest) = rollback(invocation.context, &mut project, &asked, &request, reporters)?;
    // The program ends here: nothing of the run has to be taken apart.
    std::process::exit(i32::from(ending.exit))
}

fn list(invocation: &Invocation<'_>, project: &Project, args: &RollbackArgs) -> Result<u8, Problem> {
    let Candidates { env, releases, next, warnings } = candidates(invocation.context, project, &args.what)?;
    warn(invocation, &warnings);
    let mut text = String::new();
    if args.format == ReleaseFormat::Json {
        for (release, _) in &releases {
            let json = serde_json::to_string(&line(&env, release)).expect("only text for keys");
            let _ = writeln!(text, "{json}");
        }
    } else {
        let now = invocation.context.clock.now();
        let rows: Vec<Vec<String>> = releases
            .iter()
            .map(|(release, is_at_hand)| {
                let at = release.end.as_ref().map_or(release.at, |end| end.at);
                let saved: Vec<&str> =
                    release.snapshots.iter().map(|saved| saved.snapshot.as_str()).collect();
                vec![
                    release.id().to_string(),
                    short(&release.began.revision).to_owned(),
                    moment(at),
                    format!("{} ago", age(now, at)),
                    if saved.is_empty() { String::new() } else { format!("data: {}", saved.join(", ")) },
                    match (next == Some(release.id()), is_at_hand) {
                        (true, true) => "next".to_owned(),
                        (true, false) => "next; its bytes are not in this cache".to_owned(),
                        (false, true) => String::new(),
                        (false, false) => "its bytes are not in this cache".to_owned(),
                    },
                ]
            })
            .collect();
        text = table(&rows);
        if rows.is_empty() {
            invocation.terminal.say(&format!("there is nothing to go back to in `{env}`"));
        }
    }
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}
