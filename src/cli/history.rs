//! `envrun history`: who put what live, when, and how it came out.

use std::fmt::Write as _;

use crate::base::unit::show_duration;
use crate::ledger::{Kind, Release};
use crate::ops::deploy::history::{Overview, line, releases};
use crate::ops::deploy::words::{moment, short, table};
use crate::ops::{Problem, Project};

use super::args::HistoryArgs;
use super::status::warn;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &HistoryArgs) -> Result<u8, Problem> {
    let project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let Overview { releases: mut found, warnings, .. } =
        releases(invocation.context, &project, args.env.as_deref())?;
    warn(invocation, &warnings);
    let is_empty = found.is_empty();
    found.truncate(args.limit.unwrap_or(usize::MAX));
    let mut text = String::new();
    if args.json {
        for (env, release) in &found {
            let json = serde_json::to_string(&line(env, release)).expect("only text for keys");
            let _ = writeln!(text, "{json}");
        }
    } else {
        let rows: Vec<Vec<String>> = found.iter().map(|(env, release)| row(env, release)).collect();
        text = table(&rows);
        // What a damaged ledger had is told by a warning.
        if is_empty && warnings.is_empty() {
            invocation.terminal.say("nothing was ever deployed here");
        }
    }
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

fn row(env: &str, release: &Release) -> Vec<String> {
    let began = &release.began;
    let what = match (began.kind, began.of, &began.from) {
        (Kind::Rollback, Some(of), _) => format!("rollback to {of}"),
        (Kind::Rollback, None, _) => "rollback".to_owned(),
        (Kind::Deploy, _, Some(from)) => format!("deploy from {}/{}", from.env, from.release),
        (Kind::Restore, _, _) if began.unsaved => format!("restore of {}, unsaved", began.node),
        (Kind::Restore, _, _) => format!("restore of {}", began.node),
        (Kind::Deploy, _, None) => "deploy".to_owned(),
    };
    let outcome =
        release.outcome().map_or_else(|| format!("{} …", release.phase.word()), |o| o.word().to_owned());
    let mut notes: Vec<String> = Vec::new();
    notes.extend(release.end.as_ref().and_then(|end| end.reason.clone()));
    notes.extend(began.break_glass.as_ref().map(|reason| format!("break-glass: {reason}")));
    if !release.evidence.is_empty() {
        notes.push(format!("guards: {}", release.evidence.join(", ")));
    }
    if !release.artefacts.is_empty() {
        notes.push(format!("shipped: {}", crate::ops::deploy::shipped(&release.artefacts)));
    }
    vec![
        format!("{env}/{}", release.id()),
        moment(release.at),
        began.node.clone(),
        what,
        short(&began.revision).to_owned(),
        outcome,
        release.took().map_or_else(String::new, show_duration),
        format!("{}@{}", began.who.user, began.who.host),
        notes.join("; "),
    ]
}
