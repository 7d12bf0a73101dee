//! `envrun snapshot`: saved data, looked after.

use std::fmt::Write as _;

use crate::base::unit::{show_duration, show_size};
use crate::ops::snapshot::{Listed, Place, list, places, prune, undescribed, verify};
use crate::ops::target::environment;
use crate::ops::{Problem, Project};
use crate::vars::write::shell_word;

use super::args::{SnapshotArgs, SnapshotCommand, SnapshotListArgs, SnapshotPlace, TextOrJson};
use super::{Invocation, terminal};

/// A copy is not what was saved (`verify`).
const EXIT_DAMAGED: u8 = 1;

/// Does what was asked.
pub fn run(invocation: &Invocation<'_>, args: &SnapshotArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let mut exit = 0;
    let text = match &args.command {
        SnapshotCommand::List(args) => listing(invocation, &project, args)?,
        SnapshotCommand::Verify(args) => {
            let mut text = String::new();
            for place in meant(&project, args)? {
                let (good, bad) = verify(&place)?;
                for error in &bad {
                    exit = EXIT_DAMAGED;
                    let _ = writeln!(text, "damaged: {error}");
                }
                let _ = writeln!(text, "{}: {} good, {} damaged", place.label, copies(good), bad.len());
            }
            text
        }
        SnapshotCommand::Prune(args) => {
            let mut text = String::new();
            for place in meant(&project, args)? {
                for copy in prune(&project, &place)? {
                    let _ = writeln!(text, "removed {} {} of {}", place.label, copy.number, copy.moment());
                }
                // What it is of nobody can tell, so nobody but a person lets it go.
                for (number, folder) in undescribed(&place)? {
                    let folder = shell_word(&folder.to_string_lossy());
                    let _ = writeln!(
                        text,
                        "kept {} {number}, whose description is damaged: `rm -r {folder}` if nobody needs it",
                        place.label
                    );
                }
            }
            if text.is_empty() { "nothing to remove\n".into() } else { text }
        }
    };
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(exit)
}

fn meant(project: &Project, args: &SnapshotPlace) -> Result<Vec<Place>, Problem> {
    let env = args.env.as_deref().map(|env| environment(project.envfile(), env)).transpose()?;
    places(project, &args.snapshots, env.as_ref())
}

fn copies(count: usize) -> String {
    if count == 1 { "1 copy".into() } else { format!("{count} copies") }
}

fn listing(
    invocation: &Invocation<'_>,
    project: &Project,
    args: &SnapshotListArgs,
) -> Result<String, Problem> {
    let mut rows: Vec<Listed> = Vec::new();
    for place in meant(project, &args.place)? {
        rows.extend(list(project, &place)?);
    }
    if args.format == TextOrJson::Json {
        let json = serde_json::to_string_pretty(&rows).expect("copies have only text for keys");
        return Ok(format!("{json}\n"));
    }
    if rows.is_empty() {
        return Ok("no copies\n".into());
    }
    let now = invocation.context.clock.now();
    let widest = rows.iter().map(|row| row.copy.node.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Listed { copy, damage, releases } in &rows {
        let _ = write!(text, "{:widest$}  {:>4}  ", copy.node, copy.number);
        if let Some(damage) = damage {
            let _ = writeln!(text, "damaged: {damage}");
            continue;
        }
        let age = show_duration(now.since(copy.time));
        let proof = if copy.verified { "verified" } else { "not verified" };
        let _ = write!(
            text,
            "{}  {age:>7} ago  {:>10}  {proof}, {}",
            copy.moment(),
            show_size(copy.bytes),
            copy.meta.why
        );
        if !releases.is_empty() {
            let releases: Vec<String> = releases.iter().map(ToString::to_string).collect();
            let _ = write!(text, ", kept for release {}", releases.join(", "));
        }
        text.push('\n');
    }
    Ok(text)
}
