//! `envrun report`: how deploys went.

use crate::base::Timestamp;
use crate::base::unit::parse_duration;
use crate::ledger::Release;
use crate::ops::deploy::history::releases;
use crate::ops::deploy::report::{figures, prometheus, text};
use crate::ops::{Problem, Project};

use super::args::{ReportArgs, ReportFormat};
use super::status::warn;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &ReportArgs) -> Result<u8, Problem> {
    let project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let since = match &args.since {
        None => None,
        Some(text) => {
            let age = parse_duration(text).ok_or_else(|| {
                Problem::usage(
                    format!("`--since {text}` is no duration"),
                    Some("write for instance `--since 30d`".into()),
                )
            })?;
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            Some(Timestamp(invocation.context.clock.now().0.saturating_sub(age)))
        }
    };
    let found = releases(invocation.context, &project, args.env.as_deref())?;
    warn(invocation, &found.warnings);
    let all: Vec<_> = found
        .environments
        .iter()
        .map(|env| {
            let of_env: Vec<&Release> =
                found.releases.iter().rev().filter(|(of, _)| of == env).map(|(_, release)| release).collect();
            figures(env, &of_env, since)
        })
        .collect();
    let text = match args.format {
        ReportFormat::Text => text(&all),
        ReportFormat::Json => {
            format!("{}\n", serde_json::to_string_pretty(&all).expect("only text for keys"))
        }
        ReportFormat::Prometheus => prometheus(&all, since),
    };
    if all.is_empty() {
        invocation.terminal.say("no environment has a deploy");
    }
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}
