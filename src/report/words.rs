//! What is said: events and their parts, in words, without colours.

use std::time::Duration;

use super::Style;
use super::style::Ink;
use crate::base::Timestamp;
use crate::base::unit::show_duration;
use crate::event::{Because, Failure, NodeState, OutcomeKind, RunState, Served, Texts};
use crate::graph::NodeIx;
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
        Failure::WentBack { reason, revision, .. } if revision.is_empty() => {
            format!("{reason}; what was there before is there again")
        }
        Failure::WentBack { reason, revision, .. } => {
            format!("{reason}; it went back, and revision {} is live again", short(revision))
        }
        Failure::Broken { reason, back, .. } => format!("{reason}; {back}"),
        Failure::Lost { phase, reason, .. } => format!("stopped while {phase}: {reason}"),
        Failure::Unfinished { phase, reason, .. } => format!("stopped while {phase}: {reason}"),
    }
}

/// A command as it stands in a failure: of a long script the beginning, and where the rest is.
pub(super) fn script(command: &str, label: &str) -> String {
    /// So many lines are shown of one that has more than one more.
    const MOST: usize = 6;
    let lines: Vec<&str> = command.trim_end().lines().collect();
    match lines.len().saturating_sub(MOST) {
        0 | 1 => command.to_owned(),
        more => format!("{}\n({more} more lines: `envrun show {label}`)", lines[..MOST].join("\n")),
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
    let parts = counted(state);
    let idle =
        [OutcomeKind::UpToDate, OutcomeKind::AlreadyDone, OutcomeKind::AlreadyUp, OutcomeKind::Skipped];
    let others = |(kind, _): &(OutcomeKind, String)| !idle.contains(kind);
    if parts.iter().any(others) || state.counts().of(OutcomeKind::Skipped) > 0 {
        let interrupted = if state.interrupted() > 0 { "interrupted: " } else { "" };
        return format!("{interrupted}{} in {}", join(&parts), show_duration(took));
    }
    let failed = state.finished().is_some_and(|finished| finished.exit != 0);
    match (parts.is_empty(), failed) {
        (true, true) => format!("nothing was done ({})", show_duration(took)),
        (true, false) => format!("nothing to do ({})", show_duration(took)),
        (false, _) if state.interrupted() > 0 => {
            format!("interrupted: {} in {}", join(&parts), show_duration(took))
        }
        (false, _) => format!("nothing to do: {} ({})", join(&parts), show_duration(took)),
    }
}

fn join(parts: &[(OutcomeKind, String)]) -> String {
    parts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is counted, in the order it is said; failures last, where they are seen.
fn counted(state: &RunState) -> Vec<(OutcomeKind, String)> {
    // Where services are what was asked for, it counts that they are down; else that they were up.
    let asked_up = || state.services().iter().any(|served| is_target(state, served.node));
    let ends_down = state.interrupted() > 0 || asked_up();
    // What was up, and is not any more when all is said.
    let fate = |served: &&Served| {
        let was_up = matches!(
            state.state(served.node),
            Some(NodeState::Over(OutcomeKind::Up | OutcomeKind::AlreadyUp))
        );
        was_up && (ends_down || served.state != State::Stopped)
    };
    let over = |is_it: fn(&State) -> bool| {
        state.services().iter().filter(fate).filter(|served| is_it(&served.state)).count()
    };
    let fates = [
        (OutcomeKind::Up, over(|state| *state == State::Stopped), "stopped"),
        (OutcomeKind::Up, over(|state| *state == State::Completed), "completed"),
        (OutcomeKind::Failed, over(|state| matches!(state, State::Failed(_))), "failed"),
    ];
    let mut gone: usize = fates.iter().map(|(_, count, _)| count).sum();
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
    let mut parts = Vec::new();
    for (kind, word) in words {
        let mut count = state.counts().of(kind);
        if matches!(kind, OutcomeKind::Up | OutcomeKind::AlreadyUp) {
            let less = gone.min(count);
            (count, gone) = (count - less, gone - less);
        }
        if kind == OutcomeKind::Skipped {
            let some = fates[..2].iter().filter(|(_, count, _)| *count > 0);
            parts.extend(some.map(|(kind, count, word)| (*kind, format!("{count} {word}"))));
        }
        if kind == OutcomeKind::Failed {
            count += fates[2].1;
        }
        if count > 0 {
            parts.push((kind, format!("{count} {word}")));
        }
    }
    parts
}

fn is_target(state: &RunState, node: NodeIx) -> bool {
    state.node(node).is_some_and(|info| info.target)
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
        Begun::Found => " as it was: its probes passed before it was started".to_owned(),
        // Why, stands behind its beginning.
        Begun::Changed | Begun::Outdated | Begun::Again => format!(" in {took}, restarted"),
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
        State::Starting | State::Started | State::Stopping { .. } | State::Waiting => return None,
    })
}

/// `src/a.rs changed → 2 tasks, 1 service`.
pub(super) fn changed(
    files: &[String],
    more: usize,
    (tasks, services): (usize, usize),
    style: Style,
) -> String {
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = files.join(", ");
    let whom = match (tasks, services) {
        (tasks, 0) => number(tasks, "task"),
        (0, services) => number(services, "service"),
        (tasks, services) => format!("{}, {}", number(tasks, "task"), number(services, "service")),
    };
    format!("{named}{more} changed {} {whom}", style.arrow())
}

/// `watching 312 files in 14 folders`.
pub(super) fn watching(files: usize, folders: usize, polling: Option<&str>) -> String {
    let how = polling.map(|reason| format!(" by looking again and again: {reason}")).unwrap_or_default();
    format!("watching {} in {}{how}", number(files, "file"), number(folders, "folder"))
}

/// The same where there is little room, and all of it was said before: `watching 312 files in 14 folders, polling`.
pub(super) fn watching_shortly(files: usize, folders: usize, polling: bool) -> String {
    let how = if polling { ", polling" } else { "" };
    format!("{}{how}", watching(files, folders, None))
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What a stop asked for at this level means, and what asking again does.
pub(super) fn interrupted(level: u32, state: &RunState) -> String {
    let is_service = |node| state.node(node).is_some_and(|info| info.service);
    let tasks = state.running().iter().filter(|running| !is_service(running.node)).count();
    let up: Vec<&str> = still_up(state).collect();
    let mut who = Vec::new();
    if tasks > 0 {
        who.push(number(tasks, "task"));
    }
    if !up.is_empty() {
        who.push(number(up.len(), "service"));
    }
    let who = if who.is_empty() { "whatever is left".to_owned() } else { who.join(" and ") };
    match level {
        0 | 1 if tasks == 0 && up.is_empty() => "nothing new is started".to_owned(),
        0 | 1 if tasks == 0 => format!("{}; once more for SIGTERM", parting(state)),
        0 | 1 => {
            let then = if up.is_empty() { String::new() } else { format!(", then {}", named(&up)) };
            let tasks = number(tasks, "task");
            format!("nothing new is started, {tasks} told to stop{then}; once more for SIGTERM")
        }
        2 => format!("SIGTERM to {who}; once more for SIGKILL"),
        _ => format!("SIGKILL to {who}"),
    }
}

/// `stopping dev.api, dev.db`: what a session does that is left; nothing if nothing is up.
pub(super) fn ending(state: &RunState) -> Option<String> {
    still_up(state).next().is_some().then(|| parting(state))
}

/// `stopping dev.api, leaving dev.db`: what was up before, others may need.
fn parting(state: &RunState) -> String {
    let up = || state.services().iter().filter(|served| !served.state.is_over());
    let part = |joined: bool, verb: &str| {
        let labels: Vec<&str> =
            up().filter(|served| served.joined == joined).map(|served| &*served.label).collect();
        (!labels.is_empty()).then(|| format!("{verb} {}", named(&labels)))
    };
    let parts: Vec<String> = [part(false, "stopping"), part(true, "leaving")].into_iter().flatten().collect();
    parts.join(", ")
}

/// `stopping dev.stub (SIGKILL in 3s), dev.db`: what is being stopped at this moment.
pub(super) fn stopping(what: &[(String, Option<Timestamp>)], now: Timestamp) -> String {
    let one = |(label, killed): &(String, Option<Timestamp>)| match killed {
        Some(killed) if *killed > now => {
            // Rounded up: it never says that no time is left while there is some.
            let left = killed.since(now).as_millis().div_ceil(1000);
            format!("{label} (SIGKILL in {left}s)")
        }
        Some(_) => format!("{label} (SIGKILL)"),
        None => label.clone(),
    };
    let all: Vec<String> = what.iter().map(one).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    if all.is_empty() { "stopping".to_owned() } else { format!("stopping {}", named(&all)) }
}

/// `dev.api, dev.stub stopped in 3.1s; dev.db stays up: not only this session needs it`: what became of the services when a
/// session was left.
pub(super) fn ended(state: &RunState, took: Duration) -> Option<String> {
    let is_stopped =
        |served: &&Served| served.state == State::Stopped && Some(served.since) >= state.ending_since();
    let mut stopped: Vec<&Served> = state.services().iter().filter(is_stopped).collect();
    stopped.sort_by_key(|served| served.since);
    let stopped: Vec<&str> = stopped.iter().map(|served| &*served.label).collect();
    let up: Vec<&str> = still_up(state).collect();
    let (stay, them) = if up.len() == 1 { ("stays", "it") } else { ("stay", "them") };
    let mut parts = Vec::new();
    if !stopped.is_empty() {
        parts.push(format!("{} stopped in {}", named(&stopped), show_duration(took)));
    }
    if !up.is_empty() {
        parts.push(format!("{} {stay} up: not only this session needs {them}", named(&up)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// ` in 3.0s`, ` in 3.0s, by SIGKILL`: how long it took to stop a service.
pub(super) fn stopped(stopped: Option<(Duration, bool)>) -> String {
    match stopped {
        Some((took, true)) => format!(" in {}, by SIGKILL", show_duration(took)),
        Some((took, false)) => format!(" in {}", show_duration(took)),
        None => String::new(),
    }
}

/// What is not over, as far as it was told.
fn still_up(state: &RunState) -> impl Iterator<Item = &str> {
    let services = state.services().iter();
    services.filter(|served| !served.state.is_over()).map(|served| &*served.label)
}

/// The first few by name.
fn named(all: &[&str]) -> String {
    const FEW: usize = 3;
    match all.len().checked_sub(FEW) {
        None | Some(0) => all.join(", "),
        Some(more) => format!("{} and {more} more", all[..FEW].join(", ")),
    }
}

/// `.env changed: PORT, MODE`, `Envfile.kdl changed, and can be used again`.
pub(super) fn reread(files: &[String], more: usize, values: &[String], state: Texts) -> String {
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let how = match state {
        Texts::Used => "",
        Texts::Repaired => ", and can be used again",
        Texts::Broken => ", and cannot be used: the session goes on with what it was",
    };
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let what = if values.is_empty() { String::new() } else { format!(": {}", named(&values)) };
    format!("{}{more} changed{how}{what}", files.join(", "))
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
