//! What comes when, and what came of it last.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::base::Timestamp;
use crate::base::fs::{FileLock, read_text};
use crate::event::{Counts, OutcomeKind};
use crate::ops::{Context, Problem, Project};
use crate::record::{Recorded, runs};
use crate::schedule::{Book, Due, Went};

use super::lock_file;

/// So many records are looked through for runs that no runner started.
const LOOKED_AT: usize = 300;

/// Every schedule.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    /// The runner of this project, if there is one: which process, since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// In the order of their next times.
    pub schedules: Vec<Listed>,
}

/// One schedule.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What runs.
    pub node: String,
    /// At which times.
    pub times: String,
    /// When it begins next, its jitter included; the milliseconds since 1970. Nothing if that is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// Its times lie less than a minute apart.
    #[serde(skip)]
    pub by_the_second: bool,
    /// It runs once for times that were missed.
    pub catch_up: bool,
    /// What happens while the last run goes on.
    pub overlap: &'static str,
    /// What runs when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_fail: Option<String>,
    /// Its last run, whoever began it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
}

/// The last run of a node.
#[derive(Debug, Clone, Serialize)]
pub struct LastRun {
    /// When it began.
    pub began: Timestamp,
    /// How it came out: a word.
    pub result: &'static str,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Why it did not come out well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Lists the schedules of a project.
pub fn list(context: &Context, project: &Project) -> Result<Listing, Problem> {
    let schedules = &project.envfile().schedules;
    let root = project.root();
    let runner = FileLock::is_taken(&lock_file(root))
        .then(|| read_text(&Book::folder(root).join("runner")).unwrap_or_default().trim().to_owned());
    let (book, _) = Book::read(root)?;
    let labels: Vec<String> = schedules.iter().map(crate::model::Schedule::label).collect();
    let mut recorded = recorded(root, &labels);
    let now = context.clock.now();
    let mut listed: Vec<Listed> = schedules
        .iter()
        .zip(labels)
        .map(|(schedule, node)| {
            let due = Due::of(schedule);
            let between = due.as_ref().and_then(|due| {
                let next = due.next_after(now)?;
                Some(due.next_after(next)?.since(next))
            });
            let next = due.and_then(|due| {
                // One that is put off now comes before the one after it.
                let from = Timestamp(now.0.saturating_sub(due.jitter().as_millis() as u64));
                let times = std::iter::successors(due.next_after(from), |last| due.next_after(*last));
                times.map(|time| due.begins(time)).find(|begins| *begins > now)
            });
            let noted = book.entry(&schedule.key()).and_then(|entry| entry.last.clone());
            let noted = noted.map(|last| LastRun {
                began: last.began,
                result: match last.went {
                    Some(went) => went.word(),
                    None if runner.is_some() => "going on",
                    None => "cut short",
                },
                took_ms: last.went.map(|_| last.took_ms),
                run: last.run,
                why: last.why,
            });
            let found = recorded.get_mut(&node).cloned();
            let last = match (noted, found) {
                // What the runner noted says more of the same run.
                (Some(noted), Some(found)) if found.run == noted.run || found.began <= noted.began => {
                    Some(noted)
                }
                (noted, found) => found.or(noted),
            };
            Listed {
                node,
                times: schedule.times.to_string(),
                next,
                by_the_second: between.is_some_and(|between| between.as_secs() < 60),
                catch_up: schedule.catch_up,
                overlap: schedule.overlap.word(),
                on_fail: schedule.on_fail_label(),
                last,
            }
        })
        .collect();
    listed.sort_by_key(|listed| listed.next.map_or(u64::MAX, |next| next.0));
    Ok(Listing { runner, schedules: listed })
}

/// The newest recorded run of each of these: a platform's own scheduler, or a person, may have begun it. What cannot be
/// read is passed over.
fn recorded(root: &Path, labels: &[String]) -> BTreeMap<String, LastRun> {
    let mut found = BTreeMap::new();
    for id in runs(root).unwrap_or_default().into_iter().take(LOOKED_AT) {
        if labels.iter().all(|label| found.contains_key(label)) {
            break;
        }
        let Ok(run) = Recorded::open(root, id.as_str()) else { continue };
        let Ok(targets) = run.targets() else { continue };
        let wanted = labels.iter().filter(|label| targets.contains(label));
        let wanted: Vec<&String> = wanted.filter(|label| !found.contains_key(*label)).collect();
        if wanted.is_empty() {
            continue;
        }
        let Ok(summary) = run.summary() else { continue };
        let last = LastRun {
            began: summary.began,
            result: match summary.exit {
                Some(0) if only_skipped(&summary.counts) => Went::Skipped.word(),
                Some(exit) => Went::of(i32::from(exit)).word(),
                None if summary.live => "going on",
                None => "cut short",
            },
            took_ms: summary.exit.map(|_| u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX)),
            run: Some(id.to_string()),
            why: None,
        };
        for label in wanted {
            found.insert(label.clone(), last.clone());
        }
    }
    found
}

/// Whether all that a run did was to find that nothing was to be done.
fn only_skipped(counts: &Counts) -> bool {
    let there = [OutcomeKind::UpToDate, OutcomeKind::Restored, OutcomeKind::AlreadyDone];
    counts.of(OutcomeKind::Skipped) > 0
        && counts.executed() == 0
        && there.iter().all(|kind| counts.of(*kind) == 0)
}
