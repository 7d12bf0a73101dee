//! `envrun status`: what is live where, and whether it is well.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::base::unit::show_size;
use crate::ledger::Hold;
use crate::ops::deploy::history::line;
use crate::ops::deploy::status::{DeployStatus, Overview, Status, check, status};
use crate::ops::deploy::words::{age, short, title};
use crate::ops::{Problem, Project};

use super::args::{ReleaseFormat, StatusArgs};
use super::deploy::{reporters, request};
use super::{Invocation, terminal};

/// So many lines of drift are told to people.
const TOLD: usize = 10;

pub fn run(invocation: &Invocation<'_>, args: &StatusArgs) -> Result<u8, Problem> {
    let mut project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let Overview { environments: mut found, warnings } =
        status(invocation.context, &project, args.env.as_deref())?;
    warn(invocation, &warnings);
    if args.check {
        let request = request(&args.how)?;
        check(invocation.context, &mut project, &mut found, &request, &mut || {
            reporters(invocation, &args.how)
        })?;
    }
    let text = match if args.json { ReleaseFormat::Json } else { args.format } {
        ReleaseFormat::Json => {
            let all: Vec<Value> = found.iter().map(as_json).collect();
            format!("{}\n", serde_json::to_string_pretty(&all).expect("only text for keys"))
        }
        ReleaseFormat::Text => found.iter().map(|status| as_text(invocation, status)).collect(),
    };
    if found.is_empty() {
        invocation.terminal.say("no environment has a deploy, or a service that is up");
    }
    terminal::print(&text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(u8::from(found.iter().any(Status::is_bad)))
}

/// Says what may be missing from what is shown.
pub fn warn(invocation: &Invocation<'_>, warnings: &[(String, Option<String>)]) {
    for (warning, hint) in warnings {
        let hint = hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        invocation.terminal.say(&format!("warning: {warning}{hint}"));
    }
}

fn as_text(invocation: &Invocation<'_>, status: &Status) -> String {
    let now = invocation.context.clock.now();
    let mut text = String::new();
    let _ = writeln!(text, "{}", invocation.terminal.bold_out(&status.env));
    if let Some(holder) = &status.holder {
        let mut holder = holder.clone();
        holder.read = now;
        let _ = writeln!(text, "  locked by {holder}");
    }
    if status.deploys.is_empty() && status.services.is_empty() {
        let _ = writeln!(text, "  no deploy is declared here");
    }
    for deploy in &status.deploys {
        let _ = writeln!(
            text,
            "  {}  {}",
            deploy.node,
            state(deploy, now, status.holder.as_ref().map(|holder| holder.hold), &status.env)
        );
        let drift = deploy.drift.as_deref().unwrap_or_default();
        for line in drift.iter().take(TOLD) {
            let _ = writeln!(text, "    drift: {line}");
        }
        if drift.len() > TOLD {
            let _ = writeln!(text, "    drift: and {} more", drift.len() - TOLD);
        }
    }
    for line in &status.changed {
        let _ = writeln!(text, "  drift: {line}");
    }
    for service in &status.services {
        let since = service.ready.or(service.started).filter(|_| !service.state.is_over());
        let since = since.map(|since| format!(" for {}", age(now, since))).unwrap_or_default();
        let name = service.label.strip_prefix(&format!("{}.", status.env)).unwrap_or(&service.label);
        let load = service.load.map(|load| format!(", {}.{}% cpu", load / 10, load % 10)).unwrap_or_default();
        let memory = service.usage.map(|usage| format!(", {}", show_size(usage.memory))).unwrap_or_default();
        let _ = writeln!(text, "  {name}  {}{since}{load}{memory}", service.state.word());
    }
    text
}

fn state(deploy: &DeployStatus, now: crate::base::Timestamp, hold: Option<Hold>, env: &str) -> String {
    let mut parts = Vec::new();
    match (&deploy.live, &deploy.broken) {
        (Some(live), _) => {
            let since = live.end.as_ref().map_or(live.at, |end| end.at);
            parts.push(format!(
                "release {} live: revision {}, for {}, by {}",
                live.id(),
                short(&live.began.revision),
                age(now, since),
                live.began.who.user
            ));
            match deploy.ahead {
                Some(0) => parts.push("HEAD is what is live".to_owned()),
                Some(1) => parts.push("HEAD is 1 commit ahead".to_owned()),
                Some(ahead) => parts.push(format!("HEAD is {ahead} commits ahead")),
                None => {}
            }
        }
        (None, Some(broken)) => {
            let reason = broken.end.as_ref().and_then(|end| end.reason.clone()).unwrap_or_default();
            parts.push(format!("broken: {}: {reason}", title(broken)));
        }
        (None, None) if deploy.open.is_none() => parts.push("nothing is live".to_owned()),
        (None, None) => {}
    }
    match deploy.healthy {
        Some(true) => parts.push("healthy".to_owned()),
        Some(false) if deploy.failed.is_empty() => parts.push("NOT healthy".to_owned()),
        Some(false) => parts.push(format!("NOT healthy: {} failed", deploy.failed.join(", "))),
        None => {}
    }
    if let Some(open) = &deploy.open {
        let what = match hold {
            Some(Hold::Lock | Hold::Lives) => "goes on",
            Some(Hold::Unknown) => "has no end",
            None => "was cut short",
        };
        parts.push(format!("{} {what}, {}", title(open), open.phase.word()));
        let ways = format!("`envrun deploy resume {env}` or `envrun deploy back {env}`");
        match hold {
            Some(Hold::Lock | Hold::Lives) => {}
            Some(Hold::Unknown) => parts.push(format!("if nobody is at it: {ways}")),
            None => parts.push(ways),
        }
    }
    parts.join("; ")
}

fn as_json(status: &Status) -> Value {
    let release = |release: &Option<crate::ledger::Release>| {
        release.as_ref().map(|release| serde_json::to_value(line(&status.env, release)).expect("only text"))
    };
    let deploys: Vec<Value> = status
        .deploys
        .iter()
        .map(|deploy| {
            json!({
                "deploy": deploy.node,
                "live": release(&deploy.live),
                "broken": release(&deploy.broken),
                "open": release(&deploy.open),
                "ahead": deploy.ahead,
                "healthy": deploy.healthy,
                "failed": deploy.failed,
                "drift": deploy.drift,
            })
        })
        .collect();
    json!({
        "env": status.env,
        "locked": status.holder,
        "deploys": deploys,
        "services": status.services,
        "rendered": status.changed,
    })
}
