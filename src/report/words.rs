//! What is said: events and their parts, in words, without colours.

use std::time::Duration;

use super::Style;
use super::style::Ink;
use crate::base::unit::show_duration;
use crate::event::{Because, Counts, Failure, OutcomeKind, RunState};
use crate::model::Gate;
use crate::service::spec::Link;
use crate::service::{Begun, State};

/// `src/api.rs changed (+1 more)`.
pub(super) fn because(because: &Because) -> String {
    match because.more {
        0 => because.reason.clone(),
        more => format!("{} (+{more} more)", because.reason),
    }
}

/// How it failed, as the words after the colon in `test failed:`.
pub(super) fn failure(failure: &Failure) -> String {
    match failure {
        Failure::Exit { status, .. } => format!("exit status {status}"),
        Failure::Signal { signal, .. } => match signal_hook::low_level::signal_name(*signal) {
            Some(name) => format!("ended by {name}"),
            None => format!("ended by signal {signal}"),
        },
        Failure::Start { reason, .. } => format!("could not be started: {reason}"),
        Failure::Timeout { limit, .. } => format!("took longer than {}", show_duration(*limit)),
        Failure::Outputs { reason } | Failure::Io { reason } | Failure::Service { reason, .. } => {
            reason.clone()
        }
        Failure::Refused { reasons } => format!("refused: {}", reasons.join("; ")),
        Failure::WentBack { reason, revision, .. } => {
            format!("{reason}; it went back, and revision {} is live again", short(revision))
        }
        Failure::Broken { reason, back, .. } => format!("{reason}; it did not go back: {back}"),
        Failure::Lost { phase, reason, .. } => format!("stopped while {phase}: {reason}"),
        Failure::Unfinished { phase, reason, .. } => format!("stopped while {phase}: {reason}"),
    }
}

/// The first digits of a commit's id; any other text as it is.
fn short(revision: &str) -> &str {
    let is_id = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { &revision[..10] } else { revision }
}

/// `3 executed, 1 restored, 12 up to date, 1 failed in 2.3s`, or `nothing to do: 12 up to date (8ms)`.
pub(super) fn summary(state: &RunState) -> String {
    let took = state.finished().map_or(state.elapsed(), |finished| finished.took);
    let counts = state.counts();
    let parts = counted(counts);
    let idle =
        [OutcomeKind::UpToDate, OutcomeKind::AlreadyDone, OutcomeKind::AlreadyUp, OutcomeKind::Skipped];
    let others = |(kind, _): &(OutcomeKind, String)| !idle.contains(kind);
    if parts.iter().any(others) || counts.of(OutcomeKind::Skipped) > 0 {
        let interrupted = if state.interrupted() > 0 { "interrupted: " } else { "" };
        return format!("{interrupted}{} in {}", join(&parts), show_duration(took));
    }
    let failed = state.finished().is_some_and(|finished| finished.exit != 0);
    match (parts.is_empty(), failed) {
        (true, true) => format!("nothing was done ({})", show_duration(took)),
        (true, false) => format!("nothing to do ({})", show_duration(took)),
        (false, _) => format!("nothing to do: {} ({})", join(&parts), show_duration(took)),
    }
}

fn join(parts: &[(OutcomeKind, String)]) -> String {
    parts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is counted, in the order it is said; failures last, where they are seen.
fn counted(counts: &Counts) -> Vec<(OutcomeKind, String)> {
    let words = [
        (OutcomeKind::WouldRun, "to execute"),
        (OutcomeKind::Succeeded, "executed"),
        (OutcomeKind::Restored, "restored"),
        (OutcomeKind::UpToDate, "up to date"),
        (OutcomeKind::AlreadyDone, "already done"),
        (OutcomeKind::Up, "up"),
        (OutcomeKind::AlreadyUp, "already up"),
        (OutcomeKind::Skipped, "skipped"),
        (OutcomeKind::Blocked, "blocked"),
        (OutcomeKind::Cancelled, "cancelled"),
        (OutcomeKind::Failed, "failed"),
    ];
    let some = words.into_iter().filter(|(kind, _)| counts.of(*kind) > 0);
    some.map(|(kind, word)| (kind, format!("{} {word}", counts.of(kind)))).collect()
}

/// The verb for a service that has come that far.
pub(super) fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Started => "started",
        Gate::Ready => "ready",
        Gate::Completed => "completed",
    }
}

/// ` in 1.2s  http://localhost:8000`, ` already`.
pub(super) fn up(begun: Begun, gate: Gate, urls: &[Link], took: &str) -> String {
    let mut text = match begun {
        Begun::Already => " already".to_owned(),
        Begun::Started => format!(" in {took}"),
        Begun::Changed => format!(" in {took}, restarted because its values changed"),
        Begun::Outdated => format!(" in {took}, restarted because what it depends on changed"),
        Begun::Again => format!(" in {took}, restarted because it was forced"),
    };
    if gate != Gate::Completed {
        text.push_str(&links(urls));
    }
    text
}

/// `  http://localhost:8000`, `  Open WebUI http://localhost:3000`.
pub(super) fn links(urls: &[Link]) -> String {
    let one = |link: &Link| match &link.name {
        Some(name) => format!("  {name} {}", link.url),
        None => format!("  {}", link.url),
    };
    urls.iter().map(one).collect()
}

/// What a service became by itself, if that is worth a line.
pub(super) fn service(state: &State) -> Option<(Ink, &'static str, String)> {
    Some(match state {
        State::Pausing { exit, pause, attempt } => {
            (Ink::Warn, "restart", format!(" {attempt} in {}: it {exit}", show_duration(*pause)))
        }
        State::Ready => (Ink::Good, "ready", " again".to_owned()),
        State::Completed => (Ink::Faint, "completed", String::new()),
        State::Failed(trouble) => (Ink::Bad, "failed", format!(": {trouble}")),
        State::Stopped => (Ink::Faint, "stopped", String::new()),
        State::Starting | State::Started | State::Stopping | State::Waiting => return None,
    })
}

/// `src/a.rs changed → 2 tasks`.
pub(super) fn changed(files: &[String], more: usize, tasks: usize, style: Style) -> String {
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = files.join(", ");
    format!("{named}{more} changed {} {}", style.arrow(), number(tasks, "task"))
}

/// `watching 312 files in 14 folders`.
pub(super) fn watching(files: usize, folders: usize, polling: Option<&str>) -> String {
    let how = polling.map(|reason| format!(" by looking again and again: {reason}")).unwrap_or_default();
    format!("watching {} in {}{how}", number(files, "file"), number(folders, "folder"))
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What a stop asked for at this level means, and what asking again does.
pub(super) fn interrupted(level: u32, running: usize) -> String {
    let tasks = match running {
        1 => "1 task".to_owned(),
        several => format!("{several} tasks"),
    };
    match level {
        0 | 1 if running == 0 => "nothing new is started".to_owned(),
        0 | 1 => format!("nothing new is started, {tasks} told to stop; once more for SIGTERM"),
        2 => format!("SIGTERM to {tasks}; once more for SIGKILL"),
        _ => format!("SIGKILL to {tasks}"),
    }
}

/// Time that passes, for the live view: tenths below a minute, so that it does not jump about.
pub(super) fn clock(time: Duration) -> String {
    if time < Duration::from_secs(60) { format!("{:.1}s", time.as_secs_f64()) } else { show_duration(time) }
}

/// Time that is left, roughly: nobody believes tenths.
pub(super) fn roughly(time: Duration) -> String {
    match time.as_secs() {
        0 => "1s".to_owned(),
        seconds @ 1..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", (seconds + 30) / 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
